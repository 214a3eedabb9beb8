"""Reconciling against a model that knows each single opening and its time, which the counts do not."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ledger.application.reconciliation import Disclosed, Interval, Opened, Reconciliation, compare, gap_after
from ledger.receipt import LIFETIME
from ledger.store.openings import FLUSH_S, LEASE_S

BEGAN = datetime(2025, 9, 20, 8, tzinfo=UTC)
PEOPLE = [UUID(int=10), UUID(int=11)]
STUDENTS = [UUID(int=20), UUID(int=21), UUID(int=22)]
CLASSES = ["marks", "personal_file"]
FLUSHES = 10
KILLED_S = FLUSHES * FLUSH_S
"""When the process of the model stores for the last time what it has counted."""

Key = tuple[UUID | None, UUID, str]


@dataclass(frozen=True)
class Single:
    """One opening, at a second of the model."""

    at: float
    actor: UUID | None
    student_id: UUID
    record_class: str

    @property
    def key(self) -> Key:
        return self.actor, self.student_id, self.record_class

    def is_of(self, one: Disclosed) -> bool:
        whose = (one.actor, one.student_id) == (self.actor, self.student_id)
        return whose and (one.categories is None or self.record_class in one.categories)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def second(one: Disclosed) -> float:
    return (one.recorded_at - BEGAN).total_seconds()


disclosures = st.lists(
    st.builds(
        Disclosed,
        st.integers(1, 10**9),
        st.integers(-200, int(KILLED_S + LEASE_S)).map(at),
        st.sampled_from(PEOPLE),
        st.sampled_from(STUDENTS),
        st.one_of(st.none(), st.frozensets(st.sampled_from(CLASSES), min_size=1)),
    ),
    max_size=12,
    unique_by=lambda one: one.position,
)
strays = st.lists(
    st.builds(
        Single,
        st.floats(0, KILLED_S + LEASE_S),
        st.one_of(st.none(), st.sampled_from(PEOPLE)),
        st.sampled_from(STUDENTS),
        st.sampled_from(CLASSES),
    ),
    max_size=8,
)


@st.composite
def through_the_gate(draw: st.DrawFn) -> tuple[list[Disclosed], list[Single]]:
    """Draws disclosures, and openings that each come after one of them while its receipt lives."""
    disclosed = draw(disclosures)
    opened = []
    for one in disclosed:
        for name in sorted(one.categories or CLASSES):
            delays = draw(st.lists(st.floats(0, LIFETIME.total_seconds()), max_size=3))
            opened += [Single(second(one) + delay, one.actor, one.student_id, name) for delay in delays]
    return disclosed, [one for one in opened if 0 < one.at <= KILLED_S + LEASE_S]


ENDS = [FLUSH_S * number for number in range(1, FLUSHES + 1)]


def counted(opened: list[Single]) -> dict[tuple[int, Key], int]:
    """Returns what the process had stored when it was killed: by interval and key, how often."""
    return dict(Counter((bisect_left(ENDS, one.at), one.key) for one in opened if one.at <= KILLED_S))


def told(opened: list[Single], disclosed: list[Disclosed]) -> Reconciliation:
    intervals = [
        Interval(UUID(int=1), number + 2, at(end - FLUSH_S), at(end), False, "host, pid 1", end == KILLED_S)  # noqa: FBT003 - fields of a row
        for number, end in enumerate(ENDS)
    ]
    openings = [Opened(intervals[number], *key, times) for (number, key), times in counted(opened).items()]
    report = Reconciliation(at(-3600), at(3600))
    compare(
        openings,
        sorted(disclosed, key=lambda one: one.recorded_at),
        [gap_after(intervals[-1])],
        report,
        lambda _: False,
    )
    return report


@given(through_the_gate(), strays)
def test_no_interval_in_which_something_was_opened_through_the_gate_is_a_difference(
    through: tuple[list[Disclosed], list[Single]], stray: list[Single]
) -> None:
    disclosed, opened = through
    report = told([*opened, *stray], disclosed)
    honest = {(at(ENDS[number]), key) for number, key in counted(opened)}
    found = {(one.ended_at, (one.actor, one.student_id, one.record_class)) for one in report.differences}
    assert not found & honest
    assert report.covered + report.uncovered == len(counted([*opened, *stray]))
    assert report.uncovered == len(report.differences) == len(found)


@given(disclosures, strays)
def test_opening_far_from_every_disclosure_of_it_is_a_difference(
    disclosed: list[Disclosed], opened: list[Single]
) -> None:
    report = told(opened, disclosed)
    found = {(one.ended_at, (one.actor, one.student_id, one.record_class)) for one in report.differences}
    far = FLUSH_S + LIFETIME.total_seconds() + 5
    for number, key in counted(opened):
        mine = [one for one in opened if (bisect_left(ENDS, one.at), one.key) == (number, key)]
        if all(abs(second(other) - one.at) > far for one in mine for other in disclosed if one.is_of(other)):
            assert (at(ENDS[number]), key) in found


@given(through_the_gate())
def test_what_was_opened_after_the_newest_count_of_a_killed_process_is_unknown(
    through: tuple[list[Disclosed], list[Single]],
) -> None:
    disclosed, opened = through
    report = told(opened, disclosed)
    kept = [one for one in opened if one.at <= KILLED_S]
    lost = [one for one in opened if one.at > KILLED_S]
    nowhere = [
        one
        for one in disclosed
        if any(single.is_of(one) and 0 <= single.at - second(one) <= LIFETIME.total_seconds() for single in lost)
        and not any(single.is_of(one) for single in kept)
    ]
    long_before = [one for one in disclosed if second(one) < KILLED_S - LIFETIME.total_seconds() - 5]
    assert len(nowhere) <= report.unknown <= len(disclosed) - len(long_before)
    assert report.disclosures == len(disclosed)
    assert report.unknown + report.unopened <= report.disclosures
    if nowhere:
        assert report.coverage < 1
