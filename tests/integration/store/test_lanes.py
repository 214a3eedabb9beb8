"""Lanes in memory: snapshots equal a replay, erased classes do not stop it, caches stay bounded."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from ledger.aggregates.school import School
from ledger.aggregates.student import marks_lane, record_lane
from ledger.aggregates.student.marks import PeriodMarkSet, StudentMarks
from ledger.errors import Erased, InvalidInput, Refused, Unreadable
from ledger.ids import new_id
from ledger.store.keyring import KeyEncryptionKeys, Keyring
from ledger.store.lanes import LaneCache, LaneLoader
from tests.support.commands import CLIENT, CONTEXT, TODAY, YEAR, Disclose, Enrol, Mark, Scripted, envelope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.store.database import Database, Row
    from ledger.store.executor import CommandExecutor
    from ledger.store.mapper import EventMapper
    from ledger.streams.base import Lane, LaneRef, Lanes, Proposal
    from tests.conftest import MakeExecutor


class Load:
    """Loads a lane as a process that has just begun would."""

    def __init__(self, database: Database, mapper: EventMapper, keks: KeyEncryptionKeys) -> None:
        self._database, self._mapper, self._keks = database, mapper, keks

    async def __call__(self, ref: LaneRef[Any], cache: LaneCache | None = None) -> Lane | None:
        return (await self.all([ref], cache))[ref.stream_id]

    async def all(self, refs: Sequence[LaneRef[Any]], cache: LaneCache | None = None) -> dict[UUID, Lane | None]:
        """Loads several."""
        async with await self._database.connect_async("writer") as connection:
            loader = LaneLoader(self._database, self._mapper, Keyring(self._keks))
            return await loader.load(connection, refs, cache)


@pytest.fixture
def load(ledger_db: Database, mapper: EventMapper, keks: KeyEncryptionKeys) -> Load:
    return Load(ledger_db, mapper, keks)


def _state(lane: Lane | None) -> tuple[int, object]:
    assert lane is not None
    return lane.version, lane._state


async def _marks(executor: CommandExecutor, student: UUID, count: int) -> None:
    for value in range(count):
        await executor.execute(envelope(Mark(student, value=str(value % 5 + 1))))


async def test_snapshot_is_taken_used_and_equal_to_a_replay(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], load: Load
) -> None:
    executor = await make_executor(snapshot_every=5)
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await _marks(executor, student, 12)
    await executor.stop()
    assert owner.execute("SELECT version, kind FROM snapshots").fetchall() == [(10, StudentMarks.shape())]
    ref = marks_lane(student, YEAR)
    with_snapshot = _state(await load(ref))
    with owner.transaction():
        owner.execute("DELETE FROM snapshots")
    replayed = _state(await load(ref))
    assert with_snapshot == replayed
    assert replayed[0] == 13


async def test_lane_of_a_snapshot_is_not_folded_from_what_went_before(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], load: Load
) -> None:
    executor = await make_executor(snapshot_every=5)
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await _marks(executor, student, 6)
    await executor.stop()
    expected = _state(await load(marks_lane(student, YEAR)))
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute("UPDATE events SET state = '' WHERE topic LIKE 'marks.%' AND version <= 5")
    assert _state(await load(marks_lane(student, YEAR))) == expected


@pytest.mark.parametrize("snapshot_every", [5, 500])
async def test_lane_that_moved_is_brought_on_to_what_a_replay_makes(
    make_executor: MakeExecutor, load: Load, snapshot_every: int
) -> None:
    """Whether a snapshot has been taken since, or none: it lacks its newest events, and gets these."""
    executor = await make_executor(snapshot_every=snapshot_every)
    student = new_id()
    ref = marks_lane(student, YEAR)
    await executor.execute(envelope(Enrol(student)))
    await _marks(executor, student, 3)
    cache = LaneCache(10)
    held = await load(ref)
    assert held is not None
    cache.put(held)
    await _marks(executor, student, 9)
    await executor.stop()
    cache.outdate([ref.stream_id])
    assert cache.get(ref.stream_id.int) is None
    assert _state(await load(ref, cache)) == _state(await load(ref))
    assert cache.take_outdated(ref.stream_id.int) is None


async def test_batch_that_passes_several_boundaries_takes_one_snapshot(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], load: Load
) -> None:
    executor = await make_executor(snapshot_every=2)
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await asyncio.gather(*(executor.execute(envelope(Mark(student))) for _ in range(9)))
    await executor.stop()  # a snapshot is saved after the answer
    assert owner.execute("SELECT version FROM snapshots").fetchall() == [(10,)]
    assert _state(await load(marks_lane(student, YEAR)))[0] == 10


async def test_executor_without_memory_decides_the_same_through_snapshots(
    make_executor: MakeExecutor, load: Load
) -> None:
    executor = await make_executor(snapshot_every=3, lanes=1)
    one, two = new_id(), new_id()
    for student in (one, two):
        await executor.execute(envelope(Enrol(student)))
    for _ in range(4):
        await _marks(executor, one, 2)
        await _marks(executor, two, 1)
    assert _state(await load(marks_lane(one, YEAR)))[0] == 9
    assert _state(await load(marks_lane(two, YEAR)))[0] == 5


async def test_who_had_to_replay_many_events_takes_a_snapshot_between_the_thresholds(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], load: Load
) -> None:
    """Of what was loaded, whatever becomes of the batch: another process may overtake it."""
    student, version = new_id(), "SELECT version FROM snapshots WHERE subject_id = %s"
    first = await make_executor(snapshot_every=4)
    await first.execute(envelope(Enrol(student)))
    await _marks(first, student, 12)  # the version of the lane is 13
    await first.stop()
    assert owner.execute(version, (student,)).fetchall() == [(8,)]
    another = await make_executor(snapshot_every=4)
    with pytest.raises(Refused):
        await another.execute(envelope(Mark(student, at_most=1)))
    await another.stop()  # a snapshot is saved after the answer
    assert owner.execute(version, (student,)).fetchall() == [(13,)]
    for marks, taken in ((1, 13), (2, 16)):  # none was replayed, and then one: only the threshold counts
        another = await make_executor(snapshot_every=4)
        await _marks(another, student, marks)
        await another.stop()
        assert owner.execute(version, (student,)).fetchall() == [(taken,)]
    with_snapshot = _state(await load(marks_lane(student, YEAR)))
    owner.execute("DELETE FROM snapshots")
    assert _state(await load(marks_lane(student, YEAR))) == with_snapshot


async def test_lanes_that_are_read_in_portions_are_equal_to_their_events(
    make_executor: MakeExecutor, load: Load, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = await make_executor(snapshot_every=7)
    students = [new_id() for _ in range(4)]
    refs = [lane for student in students for lane in (record_lane(student), marks_lane(student, YEAR))]
    for student, marks in zip(students, (30, 19, 3, 0), strict=True):
        await executor.execute(envelope(Enrol(student)))
        await asyncio.gather(*(executor.execute(envelope(Mark(student))) for _ in range(marks)))
    await executor.stop()
    whole = await load.all(refs)
    portions: list[int] = []
    rows = LaneLoader._rows

    async def counted(*arguments: Any) -> list[Row]:  # noqa: ANN401 - as they come
        found = await rows(*arguments)
        portions.append(len(found))
        return found

    monkeypatch.setattr(LaneLoader, "_rows", counted)
    monkeypatch.setattr("ledger.store.lanes.PORTION", 16)
    monkeypatch.setattr("ledger.store.lanes.PORTION_EACH", 2)
    owner.execute("DELETE FROM snapshots")
    for stream_id, lane in (await load.all(refs)).items():
        expected = whole[stream_id]
        assert lane == expected is None or _state(lane) == _state(expected)
    assert sum(portions) == 4 + 31 + 20 + 4
    assert max(portions) <= 16


async def test_events_of_all_portions_count_for_a_snapshot_and_an_opened_snapshot_does_not(
    make_executor: MakeExecutor, ledger_db: Database, owner: psycopg.Connection[Row], mapper: EventMapper,
    keks: KeyEncryptionKeys, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    executor = await make_executor(snapshot_every=4)
    replayed, opened = new_id(), new_id()
    for student in (replayed, opened):
        await executor.execute(envelope(Enrol(student)))
        await _marks(executor, student, 9)
    await executor.stop()
    taken = "SELECT subject_id, version FROM snapshots"
    assert dict(owner.execute(taken).fetchall()) == {replayed: 8, opened: 8}
    owner.execute("DELETE FROM snapshots WHERE subject_id = %s", (replayed,))
    monkeypatch.setattr("ledger.store.lanes.PORTION", 4)
    monkeypatch.setattr("ledger.store.lanes.PORTION_EACH", 2)
    loader = LaneLoader(ledger_db, mapper, Keyring(keks), many=3)
    async with await ledger_db.connect_async("writer") as connection:
        await loader.load(connection, [marks_lane(student, YEAR) for student in (replayed, opened)])
        await loader.save_snapshots()
    assert dict(owner.execute(taken).fetchall()) == {replayed: 10, opened: 8}


async def test_snapshot_that_cannot_be_saved_does_not_fail_the_command(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], ledger_db: Database
) -> None:
    executor = await make_executor(snapshot_every=1)
    owner.execute(f"REVOKE INSERT ON snapshots FROM {ledger_db.schema}_writer")
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await executor.execute(envelope(Mark(student)))
    await executor.stop()
    assert owner.execute("SELECT count(*) FROM snapshots").fetchone() == (0,)


@pytest.mark.parametrize(
    "change", ["algorithm = 9", "version = version + 1", "sealed = '\\x00'", f"kind = '{School.shape()}'"]
)
async def test_altered_snapshot_is_not_believed(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], load: Load, change: str
) -> None:
    executor = await make_executor(snapshot_every=1)
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await executor.stop()
    assert owner.execute(f"UPDATE snapshots SET {change}").rowcount == 1
    with pytest.raises(Unreadable):
        await load(record_lane(student))


async def test_snapshot_of_another_shape_is_passed_over_and_replaced(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], load: Load
) -> None:
    executor = await make_executor(snapshot_every=4)
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await _marks(executor, student, 5)
    await executor.stop()
    ref = marks_lane(student, YEAR)
    expected = _state(await load(ref))
    owner.execute("UPDATE snapshots SET kind = 'student_marks/0', version = 1000, sealed = '\\x00'")
    assert _state(await load(ref)) == expected
    again = await make_executor(snapshot_every=4)
    await _marks(again, student, 4)
    await again.stop()
    assert owner.execute("SELECT version, kind FROM snapshots").fetchall() == [(8, StudentMarks.shape())]
    assert _state(await load(ref))[0] == 10


async def test_erased_class_is_passed_over_and_the_version_goes_on(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], load: Load,
    make_executor: MakeExecutor,
) -> None:  # fmt: skip
    student = new_id()
    ref = marks_lane(student, YEAR)

    def final(lanes: Lanes) -> Sequence[Any]:
        (proposal,) = Mark(student).decide(lanes, envelope(Enrol()).context)[-1:]
        values = {
            "course_id": CLIENT, "period": "q1", "kind": "quarter", "scale": "five", "scale_version": 1, "value": "5",
            "effective_on": TODAY, "permit_id": None, "flags": (),
        }  # fmt: skip
        return [type(proposal)(ref, PeriodMarkSet, values, new_id())]

    await executor.execute(envelope(Enrol(student)))
    await _marks(executor, student, 2)
    await executor.execute(envelope(Scripted(final)))
    await _marks(executor, student, 1)
    with ledger_db.connect("eraser") as eraser:
        eraser.execute("DELETE FROM data_keys WHERE subject_id = %s AND record_class = 'marks'", (student,))
        eraser.execute("DELETE FROM snapshots WHERE subject_id = %s", (student,))
    version, state = _state(await load(ref))
    assert version == 5
    assert (state.marks, [result.value for result in state.results.values()]) == ({}, ["5"])  # type: ignore[attr-defined]  # of marks

    def next_final(lanes: Lanes) -> Sequence[Any]:
        lane = lanes.get(ref)
        assert lane is not None
        return final(lanes)

    fresh = await make_executor()
    recorded = await fresh.execute(envelope(Scripted(next_final)))
    assert owner.execute("SELECT version FROM events WHERE position = %s", (recorded.position,)).fetchone() == (6,)


async def test_mapper_says_erased_for_what_nobody_can_read(
    executor: CommandExecutor, ledger_db: Database, load: Load
) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    with ledger_db.connect("eraser") as eraser:
        eraser.execute("DELETE FROM data_keys")
    lane = await load(record_lane(student))
    assert _state(lane) == (1, record_lane(student).kind.STATE())
    with pytest.raises(Erased):
        Keyring(KeyEncryptionKeys({1: bytes(32)})).get(student, "personal_file")


async def test_lane_asked_for_under_another_subject_finds_its_keys_all_the_same(
    executor: CommandExecutor, load: Load
) -> None:
    student, wrong = new_id(), new_id()
    await executor.execute(envelope(Enrol(student)))
    ref = record_lane(student)
    assert _state(await load(type(ref)(ref.stream_id, wrong, ref.kind)))[0] == 1


async def test_disclosures_are_recorded_without_loading_or_conflict(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row]
) -> None:
    students = tuple(new_id() for _ in range(3))
    writers = [await make_executor() for _ in range(2)]
    await asyncio.gather(*(writer.execute(envelope(Disclose(students))) for writer in writers for _ in range(5)))
    versions = owner.execute(
        "SELECT max(version), count(*) FROM events WHERE topic = 'disclosure.made' GROUP BY stream_id"
    ).fetchall()
    assert versions == [(10, 10)] * 3


async def test_class_that_another_process_began_is_readable_here(make_executor: MakeExecutor) -> None:
    student = new_id()
    one, two = await make_executor(), await make_executor()
    await one.execute(envelope(Enrol(student)))
    await two.execute(envelope(Mark(student)))
    seen: list[int] = []

    def look(lanes: Lanes) -> Sequence[Any]:
        lane = lanes.get(marks_lane(student, YEAR))
        assert lane is not None
        seen.append(lane.version)
        raise InvalidInput("looked")

    with pytest.raises(InvalidInput, match="looked"):
        await one.execute(envelope(Scripted(look)))
    assert seen[-1] == 2


async def test_lane_that_another_process_moved_is_brought_on_from_where_it_was(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row]
) -> None:
    one, two = await make_executor(), await make_executor()
    student, seen = new_id(), []
    await one.execute(envelope(Enrol(student)))
    await one.execute(envelope(Mark(student)))
    await two.execute(envelope(Mark(student)))
    await one.execute(envelope(Enrol(new_id())))  # with which it hears that the lane has moved
    with owner.transaction():  # whoever reads what went before again cannot
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute("UPDATE events SET state = '' WHERE topic LIKE 'marks.%' AND version <= 2")

    def counts(lanes: Lanes) -> Sequence[Proposal]:
        marks = lanes.get(marks_lane(student, YEAR))
        seen.append(len(marks.state.marks) if marks else 0)
        return Mark(student).decide(lanes, CONTEXT)

    assert (await one.execute(envelope(Scripted(counts)))).count == 1
    assert seen[-1] == 2
    with pytest.raises(Unreadable):
        await (await make_executor()).execute(envelope(Mark(student)))


@pytest.mark.parametrize("snapshot_every", [3, 500])
async def test_lanes_of_processes_that_take_turns_are_equal_to_their_events(
    make_executor: MakeExecutor, load: Load, snapshot_every: int
) -> None:
    executors = [await make_executor(snapshot_every=snapshot_every, lanes=5) for _ in range(2)]
    students, chooser = [new_id() for _ in range(3)], random.Random(snapshot_every)  # noqa: S311 - of a test
    for student in students:
        await executors[0].execute(envelope(Enrol(student)))
    for _ in range(30):
        executor, ref = chooser.choice(executors), marks_lane(chooser.choice(students), YEAR)
        await executor.execute(envelope(Mark(ref.subject_id, value=str(chooser.randint(1, 5)))))
        cached = executor._writer.cache.get(ref.stream_id.int)
        assert _state(cached) == _state(await load(ref))
