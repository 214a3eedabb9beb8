"""Random histories: whatever happened, and in whatever batches it was applied, the views are the same."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.aggregates.student import marks_lane
from ledger.projections import follower
from ledger.projections.views import all_views
from tests.support.desk import a_base, an_audit, at_desk, positions_of
from tests.support.examples import examples
from tests.support.postgres import fresh_ledger
from tests.support.school import YEAR
from tests.support.story import Step, again, histories, told
from tests.support.views import body, facts_of, in_batches, keys, replay, the

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.aggregates.student import StudentRecord
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

VIEWS = all_views(lambda field, value: f"{field}|{value}".encode())
batches = st.lists(st.integers(1, 20), max_size=20)


@settings(max_examples=examples(150), deadline=None)
@given(histories, batches)
def test_batches_of_any_sizes_give_the_rows_of_one_replay(history: list[Step], sizes: list[int]) -> None:
    facts = facts_of(told(history))
    for view in VIEWS:
        assert in_batches(view, facts, sizes) == replay(view, facts), view.name


@settings(max_examples=examples(150), deadline=None)
@given(histories)
def test_roster_shows_what_the_lanes_decide_by(history: list[Step]) -> None:
    """Memberships, leaving and the day of enrolment are in the view exactly what the rules believe."""
    story = told(history)
    rows = replay(VIEWS[0], facts_of(story))
    for student in story.students:
        lane: StudentRecord = story.the(student)
        wanted = [(entry.group_id, entry.starts_on, entry.ends_on) for entry in lane.state.memberships]
        shown = body(rows, "students", student.subject_id).memberships
        assert [(entry.group_id, entry.starts_on, entry.ends_on) for entry in shown] == wanted
        listed = [
            (key[0], *the(rows, "memberships", *key).clear[:2])
            for key in keys(rows, "memberships")
            if key[1] == student.subject_id
        ]
        assert sorted(listed, key=str) == sorted(wanted, key=str)
        card = the(rows, "students", student.subject_id)
        assert card.clear == (lane.state.enrolled_on, lane.state.left_on, lane.state.card)


@settings(max_examples=examples(150), deadline=None)
@given(histories)
def test_every_version_in_a_view_is_the_one_that_the_lane_decides_by(history: list[Step]) -> None:
    """So a tag that was read fits exactly as long as the thing is not changed."""
    story = told(history)
    facts = facts_of(story)
    rosters, journals = replay(VIEWS[0], facts), replay(VIEWS[1], facts)
    assert the(rosters, "school", story.ref.stream_id).clear[-1] == story.lane.version
    assert the(rosters, "groups", story.group.stream_id).clear[-1] == story.the(story.group).version
    assert the(rosters, "courses", story.course.stream_id).clear[-1] == story.the(story.course).version
    for student in story.students:
        lane = story.get(marks_lane(student.subject_id, YEAR))
        if lane is None:
            continue
        shown = {key[0].bytes: the(journals, "entries", *key) for key in keys(journals, "entries")}  # type: ignore[attr-defined]  # ids
        for mark_id, mark in lane.state.marks.items():
            assert shown[mark_id].clear[-1] == mark.version
        for name, result in lane.state.results.items():
            course_id, period, kind = name.split("|")
            row = the(journals, "results", student.subject_id, UUID(course_id), period, kind)
            assert row.clear[-1] == result.version


@settings(max_examples=examples(100), deadline=None)
@given(histories)
def test_journal_shows_every_mark_with_its_value_and_no_change_is_lost(history: list[Step]) -> None:
    story = told(history)
    facts = facts_of(story)
    rows = replay(VIEWS[1], facts)
    events = [event for _, event in story.events]
    for topic, table in (("marks.recorded", "entries"), ("results.set", "results")):
        shown = [key for key in keys(rows, table) if table == "results" or body(rows, table, *key).kind == "mark"]
        assert len(shown) == sum(topic == event.TOPIC for event in events)
    changes = sum(len(row.body.changes) for row in rows.values())
    assert changes == sum(event.TOPIC in {"marks.corrected", "marks.voided", "results.corrected"} for event in events)
    assert all(row.position <= len(facts) for row in rows.values())


# --- against the database ---------------------------------------------------------------------------------------------


@contextmanager
def batch_of(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follower, "BATCH", size)
        yield


@settings(
    max_examples=examples(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(histories, st.lists(st.tuples(st.integers(1, 25), st.integers(1, 30)), min_size=1, max_size=4))
def test_live_views_equal_replayed_and_rebuilt_ones(
    postgres_url: str,
    keks: KeyEncryptionKeys,
    mapper: EventMapper,
    tmp_path: Path,
    history: list[Step],
    parts: list[tuple[int, int]],
) -> None:
    """The history is recorded part by part; after each part the views catch up in batches of another size."""
    story = told(history)

    async def scenario() -> None:
        with fresh_ledger(postgres_url, keks) as database:
            base = a_base(database, keks, mapper, tmp_path)
            async with at_desk(base) as desk:
                rest = story.proposals
                for many, size in [*parts, (len(rest), 1_000)]:
                    part, rest = rest[:many], rest[many:]
                    for proposal in part:
                        await desk.ledger.executor.execute(again(proposal))
                    with batch_of(size):
                        await desk.catches_up()
                live = await asyncio.to_thread(an_audit, base)
                assert live.equal, live.findings[:3]
                assert set(positions_of(database).values()) == {len(story.events)}
                with batch_of(parts[0][1]):
                    await asyncio.to_thread(base.runner().rebuild, base.views)
                assert (await asyncio.to_thread(an_audit, base)) == live

    asyncio.run(scenario())
