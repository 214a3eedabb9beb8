"""Who is overtaken by another process keeps what did not move, and reads next to nothing under the lock."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.pq import TransactionStatus

from ledger.aggregates.student import marks_lane, record_lane
from ledger.errors import InvalidInput
from ledger.ids import new_id
from ledger.store.writer import BatchWriter
from tests.support.commands import CONTEXT, YEAR, Enrol, Mark, Scripted, envelope
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    import psycopg

    from ledger.store.commands import Command
    from ledger.store.database import Row
    from ledger.store.executor import CommandExecutor
    from ledger.streams.base import Lane, LaneRef, Lanes, Proposal
    from tests.conftest import MakeExecutor


class Reads:
    """What one executor reads of lanes."""

    def __init__(self, executor: CommandExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: Counter[UUID] = Counter()
        """How often each lane was asked for."""
        self.events: Counter[UUID] = Counter()
        """How many of its events were fetched."""
        self.locked: Counter[UUID] = Counter()
        """How many of these under the lock."""
        self.most = 0
        """Events of one lane that were fetched at once."""
        loader = executor._writer.loader
        rows = loader._rows

        async def watched(
            connection: psycopg.AsyncConnection[Row],
            wanted: dict[int, LaneRef[Any]],
            lanes: dict[int, Lane | None],
            most: int,
        ) -> list[Row]:
            self.asked.update([ref.stream_id for ref in wanted.values()])
            locked = connection.info.transaction_status == TransactionStatus.INTRANS
            found = await rows(connection, wanted, lanes, most)
            events = Counter(row[2] for row in found if row[5] != "snapshot")
            self.events += events
            self.locked += events if locked else Counter()
            self.most = max([self.most, *events.values()])
            return found

        monkeypatch.setattr(loader, "_rows", watched)


def _cached(executor: CommandExecutor, *refs: LaneRef[Any]) -> list[int]:
    """Returns the versions of lanes in memory; 0 for one that is not there."""
    found = [executor._writer.cache.get(ref.stream_id.int) for ref in refs]
    return [lane.version if lane else 0 for lane in found]


def _overtaken(student: UUID, executor: CommandExecutor, rival: Callable[[Command], None]) -> Scripted:
    """A mark which somebody else is faster than, as long as they are let."""

    def decide(lanes: Lanes) -> Sequence[Proposal]:
        proposals = Mark(student).decide(lanes, CONTEXT)
        connection = executor._writer.connection
        assert connection is not None
        if connection.info.transaction_status != TransactionStatus.INTRANS:
            rival(Mark(student))
        return proposals

    return Scripted(decide)


def _overtaken_near_the_lock(student: UUID, rival: Callable[[Command], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets somebody be faster before a writer looks what has moved, and again before it takes the lock."""
    come_near = BatchWriter._come_near

    async def between(writer: BatchWriter, *arguments: Any) -> None:  # noqa: ANN401 - as they come
        rival(Mark(student))
        await come_near(writer, *arguments)
        rival(Mark(student))

    monkeypatch.setattr(BatchWriter, "_come_near", between)


@pytest.mark.parametrize("many_moved", [50_000, 0])
async def test_lane_that_did_not_move_is_not_read_again_by_who_was_overtaken_three_times(
    make_executor: MakeExecutor,
    rival: Callable[[Command], None],
    monkeypatch: pytest.MonkeyPatch,
    many_moved: int,
) -> None:
    """Where so many events were recorded meanwhile that nobody says which lanes moved, each is asked about."""
    monkeypatch.setattr("ledger.store.writer.MANY_MOVED", many_moved)
    executor = await make_executor()
    student, others = new_id(), [new_id() for _ in range(3)]
    for other in (student, *others):
        await executor.execute(envelope(Enrol(other)))
        await executor.execute(envelope(Mark(other)))
    still = [record_lane(student), *(lane for other in others for lane in _lanes(other))]
    reads = Reads(executor, monkeypatch)
    _overtaken_near_the_lock(student, rival, monkeypatch)
    await executor.execute(envelope(_overtaken(student, executor, rival)))
    if many_moved:
        assert _cached(executor, *still) == [1, *[1, 2] * 3]
        assert set(reads.asked) == {marks_lane(student, YEAR).stream_id}
    await asyncio.gather(*(executor.execute(envelope(Mark(other))) for other in (student, *others)))
    assert set(reads.events) == {marks_lane(student, YEAR).stream_id}
    assert _cached(executor, marks_lane(student, YEAR), *still) == [9, 1, *[1, 3] * 3]


@pytest.mark.parametrize("many_moved", [50_000, 0])
async def test_lane_that_was_only_read_is_the_newest_each_time_that_its_batch_is_overtaken(
    make_executor: MakeExecutor,
    rival: Callable[[Command], None],
    monkeypatch: pytest.MonkeyPatch,
    many_moved: int,
) -> None:
    """No version conflict would betray a decision on an old one."""
    monkeypatch.setattr("ledger.store.writer.MANY_MOVED", many_moved)
    executor = await make_executor()
    student, other = new_id(), new_id()
    for command in (Enrol(student), Mark(student), Enrol(other)):
        await executor.execute(envelope(command))
    overtaken, seen = _overtaken(student, executor, rival), list[int]()

    def reads_one_and_writes_another(lanes: Lanes) -> Sequence[Proposal]:
        lanes.need(*_lanes(student), *_lanes(other))
        overtaken.script(lanes)
        lane = lanes.get(marks_lane(student, YEAR))
        assert lane is not None
        seen.append(lane.version)
        return Mark(other).decide(lanes, CONTEXT)

    _overtaken_near_the_lock(student, rival, monkeypatch)
    await executor.execute(envelope(Scripted(reads_one_and_writes_another)))
    assert seen == [2, 3, 4, 7], "What is decided under the lock is decided on lanes as of the lock."


async def test_long_lane_is_not_read_under_the_lock_but_for_what_is_new(
    make_executor: MakeExecutor, rival: Callable[[Command], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = await make_executor()
    student = new_id()
    ref = marks_lane(student, YEAR)
    await executor.execute(envelope(Enrol(student)))
    await asyncio.gather(*(executor.execute(envelope(Mark(student))) for _ in range(40)))
    reads, decided = Reads(executor, monkeypatch), list[int]()
    _overtaken_near_the_lock(student, rival, monkeypatch)
    command = _overtaken(student, executor, rival)

    def decide(lanes: Lanes) -> Sequence[Proposal]:
        proposals = command.script(lanes)
        lane = lanes.get(ref)
        assert lane is not None
        decided.append(lane.version)
        return proposals

    assert (await executor.execute(envelope(Scripted(decide)))).count == 1
    assert decided == [41, 42, 43, 46]
    assert reads.locked == {ref.stream_id: 1}
    assert _cached(executor, ref) == [47]


async def test_lane_that_cannot_be_read_any_more_fails_its_own_commands_only(
    make_executor: MakeExecutor,
    rival: Callable[[Command], None],
    owner: psycopg.Connection[Row],
) -> None:
    """It has to be read again because its batch was overtaken."""
    executor = await make_executor()
    one, two = new_id(), new_id()
    for student in (one, two):
        await executor.execute(envelope(Enrol(student)))
        await executor.execute(envelope(Mark(student)))
    command, times = _overtaken(one, executor, rival), Counter[str]()

    def alters(lanes: Lanes) -> Sequence[Proposal]:
        proposals = command.script(lanes)
        times["decided"] += 1
        if times["decided"] == 3:
            with owner.transaction():
                owner.execute("SET LOCAL session_replication_role = replica")
                owner.execute("UPDATE events SET state = '' WHERE stream_id = %s", (marks_lane(two, YEAR).stream_id,))
        return proposals

    outcomes = await asyncio.gather(
        executor.execute(envelope(Scripted(alters))), executor.execute(envelope(Mark(two))), return_exceptions=True
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Recorded", "Unreadable"]
    assert times["decided"] == 4


@pytest.mark.parametrize(("snapshot_every", "lanes"), [(3, 50_000), (500, 50_000), (3, 4)])
async def test_lanes_of_processes_that_overtake_each_other_are_equal_to_their_events(
    make_executor: MakeExecutor, monkeypatch: pytest.MonkeyPatch, snapshot_every: int, lanes: int
) -> None:
    """Batches that were decided on what another process has moved leave nothing of theirs in memory."""
    executors = [await make_executor(snapshot_every=snapshot_every, lanes=lanes) for _ in range(2)]
    outcomes: Counter[str] = Counter()
    for executor in executors:
        accept = executor._writer.accept

        def accepts(*arguments: Any, accept: Callable[..., bool] = accept) -> bool:  # noqa: ANN401 - as they come
            outcomes[arguments[0].outcome] += 1
            return accept(*arguments)

        monkeypatch.setattr(executor._writer, "accept", accepts)
    students, chooser = [new_id() for _ in range(6)], random.Random(snapshot_every)  # noqa: S311 - of a test
    await asyncio.gather(*(executors[0].execute(envelope(Enrol(student))) for student in students))
    refs = [marks_lane(student, YEAR) for student in students]
    marked: Counter[UUID] = Counter()
    compared = 0
    for _ in range(12):
        marks = [chooser.choice(students) for _ in range(24)]
        await asyncio.gather(*(chooser.choice(executors).execute(envelope(Mark(student))) for student in marks))
        marked.update(marks)
        for executor in (*executors, executors[0]):  # with which each hears what the other one has moved
            await executor.execute(envelope(Enrol(new_id())))
        for ref, executor in product(refs, executors):
            lane = executor._writer.cache.get(ref.stream_id.int)
            if lane is not None:
                assert (lane.version, len(lane._state.marks)) == (marked[ref.subject_id] + 1, marked[ref.subject_id])
                compared += 1
    assert outcomes["moved"] > 0, "Nobody was overtaken."
    assert compared > 0


async def test_processes_that_contend_for_long_lanes_read_only_what_is_new(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from the last threshold, and these lie further and further apart."""
    every, rounds = 20, 20
    students = [new_id() for _ in range(5)]
    first = await make_executor(snapshot_every=every)
    await asyncio.gather(*(first.execute(envelope(Enrol(student))) for student in students))
    for marks in (80, 50):
        await asyncio.gather(*(first.execute(envelope(Mark(student))) for student in students for _ in range(marks)))
    await first.stop()
    executors = [await make_executor(snapshot_every=every) for _ in range(2)]
    reads = [Reads(executor, monkeypatch) for executor in executors]

    def taken() -> set[int]:
        return {version for (version,) in owner.execute("SELECT version FROM snapshots").fetchall()}

    for executor in executors:
        with pytest.raises(InvalidInput):
            await executor.execute(envelope(_looks_at(students)))
        await until(lambda: taken() == {131})
    assert reads[0].most >= 50
    assert reads[1].most == 1, "The first one left no snapshot."
    reads[0].most = 0
    given = [Mark(student) for _ in range(rounds) for student in students]
    asked = [executor.submit(envelope(mark)) for mark in given for executor in executors]
    assert all(recorded.count == 1 for recorded in await asyncio.gather(*asked))
    assert max(one.most for one in reads) <= 2 * rounds
    versions = owner.execute(
        "SELECT max(version), count(*) FROM events WHERE topic LIKE 'marks.%' GROUP BY stream_id"
    ).fetchall()
    assert versions == [(131 + 2 * rounds,) * 2] * len(students)


def _lanes(student: UUID) -> list[LaneRef[Any]]:
    return [record_lane(student), marks_lane(student, YEAR)]


def _looks_at(students: Sequence[UUID]) -> Scripted:
    """A refusal after all lanes of the students were read."""

    def decide(lanes: Lanes) -> Sequence[Proposal]:
        refs = [lane for student in students for lane in _lanes(student)]
        lanes.need(*refs)
        assert None not in [lanes.get(ref) for ref in refs]
        raise InvalidInput("looked")

    return Scripted(decide)
