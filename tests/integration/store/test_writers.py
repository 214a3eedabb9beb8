"""Several writers on one ledger: conflicts are decided again, and nothing is missed, lost or doubled."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ledger.aggregates.registry import EVENTS
from ledger.aggregates.student import marks_lane, record_lane
from ledger.aggregates.student.marks import MarksOpened
from ledger.errors import InvalidInput, Refused
from ledger.ids import new_id
from ledger.seal.entry import Entry
from ledger.store.database import Database
from ledger.store.executor import CommandExecutor
from ledger.store.keyring import SELECT_KEYS, KeyEncryptionKeys, Keyring
from ledger.store.lanes import ENTRY_COLUMNS
from ledger.store.mapper import EventMapper
from ledger.streams.base import Proposal
from tests.support.commands import CONTEXT, YEAR, Disclose, Enrol, Mark, Scripted, envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from ledger.store.commands import Command, Recorded
    from ledger.store.database import Row
    from ledger.streams.base import Lanes, LedgerEvent
    from tests.conftest import MakeExecutor

SHARED = UUID("00000000-0000-7000-8000-0000000000cc")


def _open_all(
    database: Database, owner: psycopg.Connection[Row], mapper: EventMapper, keks: KeyEncryptionKeys
) -> list[LedgerEvent]:
    """Returns the whole history, opened from the stored columns and keys alone."""
    rows = owner.execute(f"SELECT {ENTRY_COLUMNS} FROM events ORDER BY position").fetchall()
    keyring, subjects = Keyring(keks), [row[4] for row in rows]
    keyring.admit(subjects, owner.execute(database.bind(SELECT_KEYS), (subjects,)).fetchall())
    return [mapper.open(Entry._make(row), keyring) for row in rows]


def _count(owner: psycopg.Connection[Row], table: str) -> int:
    row = owner.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


async def test_key_created_by_two_processes_at_once_is_one_key(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], ledger_db: Database, keks: KeyEncryptionKeys,
    mapper: EventMapper,
) -> None:  # fmt: skip
    student = new_id()
    one, two = await make_executor(), await make_executor()
    # Disclosures read no lane, so only the key stands between these two.
    await asyncio.gather(
        *(executor.execute(envelope(Disclose((student,)))) for executor in (one, two)),
    )
    disclosed = [event for event in _open_all(ledger_db, owner, mapper, keks) if event.TOPIC == "disclosure.made"]
    assert sorted(event.originator_version for event in disclosed) == [1, 2]
    assert owner.execute("SELECT count(*) FROM data_keys WHERE subject_id = %s", (student,)).fetchone() == (1,)


async def test_conflict_between_two_executors_is_decided_again(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row]
) -> None:
    student, decisions = new_id(), [0]
    one, two = await make_executor(), await make_executor()
    await one.execute(envelope(Enrol(student)))
    await one.execute(envelope(Mark(student)))
    await two.execute(envelope(Mark(student)))  # the lane of `one` is old from now on

    def count() -> None:
        decisions[0] += 1

    with pytest.raises(Refused):  # which only fresh lanes could tell
        await one.execute(envelope(Mark(student, at_most=2, before=count)))
    assert decisions[0] >= 2
    assert _count(owner, "events") == 4


@pytest.mark.parametrize("place", [None, 0, 1], ids=["alone", "first of a pair", "second of a pair"])
async def test_what_was_only_read_is_decided_on_again_as_well(make_executor: MakeExecutor, place: int | None) -> None:
    student, other = new_id(), new_id()
    one, two = await make_executor(), await make_executor()
    await one.execute(envelope(Enrol(student)))
    await one.execute(envelope(Enrol(other)))
    await one.execute(envelope(Mark(student)))

    def few(lanes: Lanes) -> Sequence[Proposal]:
        ref, beside = marks_lane(student, YEAR), record_lane(other)
        if place is None:
            marks = lanes.get(ref)
        elif place == 0:
            marks, _ = lanes.pair(ref, beside)
        else:
            _, marks = lanes.pair(beside, ref)
        if marks is not None and len(marks.state.marks) > 1:
            raise InvalidInput("too many")
        ref = marks_lane(other, YEAR)
        assert lanes.get(ref) is None
        return [Proposal(ref, MarksOpened, {"year": YEAR}, new_id())]

    await two.execute(envelope(Mark(student)))
    with pytest.raises(InvalidInput, match="too many"):
        await one.execute(envelope(Scripted(few)))


async def test_batch_decided_before_a_new_connection_does_not_miss_what_moved_meanwhile(
    make_executor: MakeExecutor, rival: Callable[[Command], None]
) -> None:
    student, other = new_id(), new_id()
    executor = await make_executor()
    for command in (Enrol(student), Enrol(other), Mark(student)):
        await executor.execute(envelope(command))
    await executor._writer.close()  # as after an outage
    seen: list[int] = []

    def few(lanes: Lanes) -> Sequence[Proposal]:
        """Reads one lane and writes another: no version conflict would betray that the first one moved."""
        ref = marks_lane(other, YEAR)
        lanes.need(marks_lane(student, YEAR), ref)
        marks = lanes.get(marks_lane(student, YEAR))
        assert marks is not None
        seen.append(len(marks.state.marks))
        if seen[-1] > 1:
            raise InvalidInput("too many")
        rival(Mark(student))
        assert lanes.get(ref) is None
        return [Proposal(ref, MarksOpened, {"year": YEAR}, new_id())]

    with pytest.raises(InvalidInput, match="too many"):
        await executor.execute(envelope(Scripted(few)))
    assert seen == [1, 2]


async def test_writer_that_was_overtaken_twice_takes_the_lock_first_and_gets_on(
    make_executor: MakeExecutor, rival: Callable[[Command], None], owner: psycopg.Connection[Row]
) -> None:
    student = new_id()
    executor = await make_executor()
    await executor.execute(envelope(Enrol(student)))
    await executor.execute(envelope(Mark(student)))
    locked: list[bool] = []

    def overtaken(lanes: Lanes) -> Sequence[Proposal]:
        """Each time that this has been decided, somebody else is faster, as long as the lock lets them."""
        proposals = Mark(student).decide(lanes, CONTEXT)
        locked.append(_locked(owner))
        if not locked[-1]:
            rival(Mark(student))
        return proposals

    assert (await executor.execute(envelope(Scripted(overtaken)))).count == 1
    # Ahead of the flush, alone, alone once more, and then with the lock.
    assert locked == [False, False, False, True]
    versions = owner.execute("SELECT version FROM events WHERE topic LIKE 'marks.%' ORDER BY position").fetchall()
    assert [version for (version,) in versions] == [1, 2, 3, 4, 5, 6]


async def test_lane_that_was_loaded_and_not_read_is_not_kept_when_it_moved(
    make_executor: MakeExecutor, rival: Callable[[Command], None]
) -> None:
    """A decision may name the lanes that it could need and be refused before it reads them all."""
    student, other = new_id(), new_id()
    executor = await make_executor()
    for command in (Enrol(student), Mark(student)):
        await executor.execute(envelope(command))
    rival(Mark(student))

    def names_it_only(lanes: Lanes) -> Sequence[Proposal]:
        lanes.need(marks_lane(student, YEAR))
        raise InvalidInput("refused early")

    with pytest.raises(InvalidInput, match="refused early"):
        await asyncio.gather(
            executor.submit(envelope(Enrol(other))), executor.submit(envelope(Scripted(names_it_only)))
        )
    versions: list[int] = []

    def look(lanes: Lanes) -> Sequence[Proposal]:
        """Only reads: a version conflict would betray an old lane to a decision that writes."""
        lane = lanes.get(marks_lane(student, YEAR))
        versions.append(lane.version if lane else 0)
        raise InvalidInput("looked")

    with pytest.raises(InvalidInput, match="looked"):
        await executor.execute(envelope(Scripted(look)))
    assert versions == [3]


def _locked(owner: psycopg.Connection[Row]) -> bool:
    """Whether somebody holds the lock of this ledger under which events are appended."""
    row = owner.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1279543122"
        " AND objid = current_schema()::regnamespace::oid"
    ).fetchone()
    assert row is not None
    return bool(row[0])


# --- real processes -------------------------------------------------------------------------------------------------


def _write(
    url: str, schema: str, kek_text: str, results: multiprocessing.Queue[list[tuple[int, int]]], count: int
) -> None:
    """A process that records marks for students of its own and for one whom everybody marks."""
    database = Database(url, schema)

    async def run() -> list[tuple[int, int]]:
        executor = CommandExecutor(database, EventMapper(EVENTS), Keyring(KeyEncryptionKeys.parse(kek_text)))
        await executor.start()
        try:
            recorded = await asyncio.gather(*(_record(executor) for _ in range(count)))
        finally:
            await executor.stop()
        return [(answer.first_position, answer.count) for answers in recorded for answer in answers]

    async def _record(executor: CommandExecutor) -> list[Recorded]:
        student = new_id()
        commands = (Enrol(student), Mark(student), Mark(SHARED), Disclose((student, SHARED)))
        return [await executor.execute(envelope(command)) for command in commands]

    results.put(asyncio.run(run()))


def _tail(url: str, schema: str, found: multiprocessing.Queue[list[int]], total: int) -> None:
    """A process that reads what is new, as a view would, woken by NOTIFY and in any case soon."""
    with Database(url, schema).connect("owner") as connection:
        connection.execute(f"LISTEN {schema}")
        seen: list[int] = []
        while len(seen) < total:
            last = seen[-1] if seen else 0
            rows = connection.execute(
                "SELECT position FROM events WHERE position > %s ORDER BY position LIMIT 50", (last,)
            ).fetchall()
            seen.extend(position for (position,) in rows)
            if not rows:
                list(connection.notifies(timeout=0.05, stop_after=1))
    found.put(seen)


async def test_two_writing_processes_and_a_tailing_reader_agree_on_the_history(
    make_executor: MakeExecutor, ledger_db: Database, owner: psycopg.Connection[Row], kek_text: str
) -> None:
    executor = await make_executor()
    await executor.execute(envelope(Enrol(SHARED)))
    await executor.execute(envelope(Mark(SHARED)))
    each, begun = 60, 3
    # Per student: enrolled, marks opened and set, one mark for the shared one, one access with two disclosures.
    total = begun + 2 * each * (1 + 2 + 1 + 3)
    spawn = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[Any] = spawn.Queue()
    found: multiprocessing.Queue[Any] = spawn.Queue()
    place = (ledger_db.url, ledger_db.schema)
    processes = [spawn.Process(target=_tail, args=(*place, found, total))]
    processes += [spawn.Process(target=_write, args=(*place, kek_text, answers, each)) for _ in range(2)]
    for process in processes:
        process.start()
    answered = [pair for _ in range(2) for pair in await asyncio.to_thread(answers.get, timeout=60)]
    tailed = await asyncio.to_thread(found.get, timeout=60)
    for process in processes:
        await asyncio.to_thread(process.join, 30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert tailed == list(range(1, total + 1))
    positions = [position for first, count in answered for position in range(first, first + count)]
    assert sorted(positions) == list(range(begun + 1, total + 1))
    gaps = owner.execute(
        "SELECT count(*) FROM (SELECT count(*) AS n, min(version) AS least, max(version) AS most FROM events"
        " GROUP BY stream_id) s WHERE least <> 1 OR most <> n"
    ).fetchone()
    assert gaps == (0,)


async def test_recorded_entries_are_readable_by_who_has_the_keys(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], mapper: EventMapper,
    keks: KeyEncryptionKeys,
) -> None:  # fmt: skip
    student = new_id()
    for command in (Enrol(student, name="Канарейкина"), Mark(student, value="4"), Disclose((student,))):
        await executor.execute(envelope(command))
    events = _open_all(ledger_db, owner, mapper, keks)
    assert [event.TOPIC for event in events] == [
        "student.enrolled", "marks.opened", "marks.recorded", "access.opened", "disclosure.made",
    ]  # fmt: skip
    assert (vars(events[0])["family_name"], vars(events[2])["value"]) == ("Канарейкина", "4")
    stored = owner.execute("SELECT string_agg(state, '') || string_agg(header, '') FROM events").fetchone()
    assert stored is not None
    assert "Канарейкина".encode() not in stored[0]
