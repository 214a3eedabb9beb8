"""Reconciling: whoever is shown what was disclosed agrees; whatever is opened besides differs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ledger.application.reconciliation import Disclosed, Interval, Opened, Reconciliation, compare
from ledger.receipt import LIFETIME

BEGAN = datetime(2025, 9, 20, 8, tzinfo=UTC)
ENDED = BEGAN + timedelta(seconds=30)
INTERVAL = Interval(UUID(int=1), 2, BEGAN, ENDED, False, "host, pid 1", False)  # noqa: FBT003 - fields of a row
PEOPLE = [UUID(int=10), UUID(int=11)]
STUDENTS = [UUID(int=20), UUID(int=21), UUID(int=22)]
CLASSES = ["marks", "personal_file", "disclosures"]

disclosures = st.lists(
    st.builds(
        Disclosed,
        st.integers(1, 10**9),
        st.integers(-200, 100).map(lambda seconds: BEGAN + timedelta(seconds=seconds)),
        st.sampled_from(PEOPLE),
        st.sampled_from(STUDENTS),
        st.one_of(st.none(), st.frozensets(st.sampled_from(CLASSES))),
    ),
    max_size=12,
    unique_by=lambda one: one.position,
)
opened = st.lists(
    st.builds(
        Opened,
        st.just(INTERVAL),
        st.one_of(st.none(), st.sampled_from(PEOPLE)),
        st.sampled_from(STUDENTS),
        st.sampled_from(CLASSES),
        st.integers(1, 5),
    ),
    max_size=12,
)


def told(opened: list[Opened], disclosed: list[Disclosed], gaps: list[tuple[datetime, datetime]]) -> Reconciliation:
    report = Reconciliation(BEGAN - timedelta(hours=1), ENDED + timedelta(hours=1))
    compare(opened, disclosed, gaps, report, lambda _: False)
    return report


@given(opened, disclosures)
def test_opening_agrees_exactly_if_it_was_disclosed_within_a_receipts_life(
    opened: list[Opened], disclosed: list[Disclosed]
) -> None:
    report = told(opened, disclosed, [])
    slack = timedelta(seconds=5)
    for one in opened:
        rests = any(
            (found.actor, found.student_id) == (one.actor, one.subject_id)
            and BEGAN - LIFETIME - slack <= found.recorded_at <= ENDED + slack
            and (found.categories is None or one.record_class in found.categories)
            for found in disclosed
        )
        named = [(found.actor, found.student_id, found.record_class) for found in report.differences]
        assert ((one.actor, one.subject_id, one.record_class) in named) != rests
    assert report.covered + report.uncovered == len(opened)
    assert report.equal == (not report.differences)


@given(opened, disclosures, st.booleans())
def test_every_disclosure_is_counted_once(opened: list[Opened], disclosed: list[Disclosed], killed: bool) -> None:  # noqa: FBT001
    gaps = [(BEGAN - timedelta(days=1), ENDED + timedelta(days=1))] if killed else []
    report = told(opened, disclosed, gaps)
    assert report.disclosures == len(disclosed)
    assert not (report.unopened if killed else report.unknown)
    assert 0 <= report.coverage <= 1
    assert report.unknown + report.unopened <= report.disclosures


@given(disclosures)
def test_everything_opened_as_it_was_disclosed_gives_no_difference(disclosed: list[Disclosed]) -> None:
    fresh = [one for one in disclosed if BEGAN <= one.recorded_at <= ENDED and one.categories]
    openings = [Opened(INTERVAL, one.actor, one.student_id, name, 1) for one in fresh for name in one.categories or ()]
    report = told(openings, fresh, [])
    assert (report.equal, report.coverage, report.unopened) == (True, 1.0, 0)
