"""What breaks around the executor: connections before and after a commit, servers that go away, histories that lie."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.aggregates.student import marks_lane
from ledger.aggregates.student.marks import MarksOpened
from ledger.errors import (
    Erased,
    HistoryAlarm,
    InvalidInput,
    OutcomeUnknown,
    Refused,
    SettingsError,
    StoreUnavailable,
    Unreadable,
)
from ledger.ids import new_id
from ledger.store.executor import WORTH_HALVING, CommandExecutor
from ledger.store.keyring import KeyEncryptionKeys, Keyring
from ledger.streams.base import Proposal
from tests.support.commands import YEAR, Disclose, Enrol, Mark, Scripted, envelope
from tests.support.proxy import Proxy
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ledger.store.database import Database, Row
    from ledger.store.mapper import EventMapper
    from ledger.store.secrets import Hasher
    from ledger.streams.base import Lanes
    from tests.conftest import MakeExecutor

LONG_TEXT = "я" * 2_000


@pytest.fixture
async def proxy(ledger_db: Database) -> AsyncIterator[Proxy]:
    async with Proxy(ledger_db) as wire:
        yield wire


def _count(owner: psycopg.Connection[Row], table: str = "events") -> int:
    row = owner.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def _pid(executor: CommandExecutor) -> int:
    assert executor._writer.connection is not None
    return executor._writer.connection.info.backend_pid


def _waits_for_lock(owner: psycopg.Connection[Row], pid: int) -> bool:
    row = owner.execute("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return row == ("advisory",)


async def test_what_is_being_flushed_is_seen_by_the_next_batch_even_if_the_cache_is_too_small_for_it(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row]
) -> None:
    student, other = new_id(), new_id()
    executor = await make_executor(lanes=0, batch=1)
    for command in (Enrol(student), Enrol(other), Mark(student)):
        await executor.execute(envelope(command))
    seen: list[int] = []

    def few(lanes: Lanes) -> Sequence[Proposal]:
        """Reads one lane and writes another: no version conflict would betray that the first one is old."""
        ref = marks_lane(other, YEAR)
        lanes.need(marks_lane(student, YEAR), ref)
        marks = lanes.get(marks_lane(student, YEAR))
        seen.append(len(marks.state.marks) if marks else 0)
        if seen[-1] > 1:
            raise InvalidInput("too many")
        assert lanes.get(ref) is None
        return [Proposal(ref, MarksOpened, {"year": YEAR}, new_id())]

    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        first, second = executor.submit(envelope(Mark(student))), executor.submit(envelope(Scripted(few)))
        crowd = [executor.submit(envelope(Enrol(new_id()))) for _ in range(WORTH_HALVING)]  # else it would wait
        pid = _pid(executor)
        await until(lambda: bool(seen) and _waits_for_lock(owner, pid))
    await first
    with pytest.raises(InvalidInput, match="too many"):
        await second
    await asyncio.gather(*crowd)


# --- broken connections ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyed", [True, False])
async def test_connection_killed_before_the_commit_is_recorded_once(
    executor: CommandExecutor, owner: psycopg.Connection[Row], hasher: Hasher, *, keyed: bool
) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        futures = [
            executor.submit(envelope(Mark(student), hasher=hasher, key="k" if keyed else None)),
            executor.submit(envelope(Disclose((student,)))),
        ]
        pid = _pid(executor)
        await until(lambda: _waits_for_lock(owner, pid))
        owner.execute("SELECT pg_terminate_backend(%s)", (pid,))
    mark, _ = await asyncio.gather(*futures)
    assert (mark.repeated, mark.count) == (False, 2)
    assert (_count(owner), _count(owner, "commands")) == (5, int(keyed))


async def test_idle_connection_that_was_killed_is_replaced_unnoticed(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    owner.execute("SELECT pg_terminate_backend(%s)", (_pid(executor),))
    await executor.execute(envelope(Mark(student)))
    assert _count(owner) == 3


async def test_commit_that_nobody_lets_us_look_up_is_not_called_unrecorded(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(database=proxy.database)
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    proxy.swallow_long = True
    future = executor.submit(envelope(Mark(student, changes={"comment": LONG_TEXT})))
    await until(lambda: _count(owner) == 3)
    lost = _pid(executor)
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        proxy.cut()

        def looks() -> bool:
            connection = executor._writer.connection
            return connection is not None and not connection.closed and _pid(executor) != lost

        await until(lambda: looks() and _waits_for_lock(owner, _pid(executor)))
        owner.execute("SELECT pg_cancel_backend(%s)", (_pid(executor),))
        with pytest.raises(OutcomeUnknown):
            await future
    await executor.execute(envelope(Mark(student)))
    assert _count(owner) == 4


@pytest.mark.parametrize("keyed", [True, False])
async def test_commit_whose_answer_was_lost_is_answered_once(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row], hasher: Hasher, *, keyed: bool
) -> None:
    executor = await make_executor(database=proxy.database)
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await executor.execute(envelope(Mark(student)))
    proxy.swallow_long = True
    futures = [
        executor.submit(
            envelope(Mark(student, changes={"comment": LONG_TEXT}), hasher=hasher, key="k" if keyed else None)
        ),
        executor.submit(envelope(Mark(new_id()))),
        executor.submit(envelope(Mark(student, value="3"))),
    ]
    await until(lambda: _count(owner) == 5)
    proxy.cut()
    first, refused, second = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(refused, Refused)
    assert not isinstance(first, BaseException)
    assert not isinstance(second, BaseException)
    assert (first.position, second.position) == (4, 5)
    stored = owner.execute("SELECT event_id FROM events WHERE position > 3 ORDER BY position").fetchall()
    assert [event.event_id for answer in (first, second) for event in answer.events] == [row[0] for row in stored]
    again = await executor.execute(envelope(Mark(student)))
    assert again.position == 6


async def test_commit_whose_answer_was_lost_with_its_new_keys_leaves_them_usable(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(database=proxy.database)
    proxy.swallow_long = True
    student = new_id()
    future = executor.submit(envelope(Enrol(student, name=LONG_TEXT)))
    await until(lambda: _count(owner) == 1)
    proxy.cut()
    await future
    await executor.execute(envelope(Mark(student)))
    assert owner.execute("SELECT record_class FROM data_keys ORDER BY 1").fetchall() == [("marks",), ("personal_file",)]


async def test_lost_refusal_is_decided_again(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(database=proxy.database)
    decisions: list[int] = []
    future = executor.submit(envelope(Mark(new_id(), before=lambda: _cut_once(decisions, proxy))))
    with pytest.raises(Refused):
        await future
    assert len(decisions) >= 2
    assert _count(owner) == 0


def _cut_once(decisions: list[int], proxy: Proxy) -> None:
    decisions.append(1)
    if len(decisions) == 2:
        proxy.cut()


# --- a server that goes away ----------------------------------------------------------------------------------------


async def test_server_that_comes_back_in_time_is_waited_for(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(database=proxy.database)
    await proxy.refuse()
    future = executor.submit(envelope(Enrol()))
    await until(lambda: executor.waiting == 0)
    await proxy.accept()
    await future
    assert _count(owner) == 1


async def test_server_that_stays_away_is_told_and_the_next_command_finds_it_again(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(database=proxy.database, patience_s=0.2)
    await proxy.refuse()
    with pytest.raises((StoreUnavailable, OutcomeUnknown)):
        await executor.execute(envelope(Enrol()))
    with pytest.raises(StoreUnavailable):
        await executor.execute(envelope(Enrol()))
    assert _count(owner) == 0
    await proxy.accept()
    await executor.execute(envelope(Enrol()))
    assert _count(owner) == 1


async def test_server_that_goes_away_in_the_commit_leaves_the_outcome_open_until_the_key_is_asked(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row], hasher: Hasher
) -> None:
    executor = await make_executor(database=proxy.database, patience_s=0.2)
    student = new_id()
    proxy.swallow_long = True
    future = executor.submit(envelope(Enrol(student, name=LONG_TEXT), hasher=hasher, key="k"))
    await until(lambda: _count(owner) == 1)
    await proxy.refuse()
    with pytest.raises(OutcomeUnknown):
        await future
    await proxy.accept()
    again = await executor.execute(envelope(Enrol(student), hasher=hasher, key="k"))
    assert (again.repeated, again.position, _count(owner)) == (True, 1, 1)


async def test_connection_that_breaks_at_every_append_ends_with_the_patience(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(database=proxy.database, patience_s=0.3)
    proxy.cut_long = True
    with pytest.raises(StoreUnavailable, match="again and again"):
        await executor.execute(envelope(Enrol(name=LONG_TEXT)))
    assert proxy.connections > 2
    proxy.cut_long = False
    await executor.execute(envelope(Enrol()))
    assert _count(owner) == 1


async def test_statement_that_the_server_refuses_fails_the_batch_and_not_the_executor(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        future = executor.submit(envelope(Enrol()))
        pid = _pid(executor)
        await until(lambda: _waits_for_lock(owner, pid))
        owner.execute("SELECT pg_cancel_backend(%s)", (pid,))
        with pytest.raises(StoreUnavailable, match="nothing was recorded"):
            await future
    assert _pid(executor) == pid
    await executor.execute(envelope(Enrol()))
    assert _count(owner) == 1


async def test_full_disk_is_told_and_recording_goes_on_when_there_is_space_again(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    """A trigger says what the server says on a full disk; `tests/soak/test_full_disk.py` fills a real one."""
    owner.execute(
        "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    )
    owner.execute("CREATE TRIGGER a_no_space BEFORE INSERT ON events EXECUTE FUNCTION no_space()")
    pid = _pid(executor)
    with pytest.raises(StoreUnavailable, match="disk of the database is full; nothing was recorded"):
        await executor.execute(envelope(Enrol()))
    assert _count(owner) == 0
    owner.execute("DROP TRIGGER a_no_space ON events")
    await executor.execute(envelope(Enrol()))
    assert (_count(owner), _pid(executor)) == (1, pid)


async def test_commits_that_would_not_be_durable_are_refused(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    assert executor._writer.connection is not None
    await executor._writer.connection.execute("SET synchronous_commit = off")
    with pytest.raises(StoreUnavailable):
        await executor.execute(envelope(Enrol()))
    assert _count(owner) == 0


async def test_ledger_that_was_not_migrated_says_so_at_once(
    empty_db: Database, keks: KeyEncryptionKeys, mapper: EventMapper
) -> None:
    with pytest.raises(SettingsError, match="ledger migrate"):
        await CommandExecutor(empty_db, mapper, Keyring(keks)).start()


async def test_stop_finishes_what_waits_through_a_broken_connection(
    make_executor: MakeExecutor, proxy: Proxy, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(database=proxy.database)
    future = executor.submit(envelope(Enrol()))
    proxy.cut()
    await executor.stop()
    assert (await future).position == 1
    assert _count(owner) == 1


# --- a history that lies --------------------------------------------------------------------------------------------


def _behind_the_curtain(owner: psycopg.Connection[Row], statement: str, *values: object) -> None:
    """Does what only somebody with all rights over the server can do."""
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute(statement, values)


async def test_history_that_went_back_stops_the_recording(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    for _ in range(3):
        await executor.execute(envelope(Enrol()))
    _behind_the_curtain(owner, "DELETE FROM events WHERE position > 1")
    waiting = [executor.submit(envelope(Enrol())) for _ in range(2)]
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, HistoryAlarm)
    assert executor.alarm is not None
    with pytest.raises(HistoryAlarm):
        executor.submit(envelope(Enrol()))
    assert _count(owner) == 1


async def test_history_that_went_back_is_noticed_on_a_new_connection(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    for _ in range(3):
        await executor.execute(envelope(Enrol()))
    _behind_the_curtain(owner, "DELETE FROM events WHERE position > 1")
    owner.execute("SELECT pg_terminate_backend(%s)", (_pid(executor),))
    with pytest.raises(HistoryAlarm):
        await executor.execute(envelope(Enrol()))
    assert _count(owner) == 1


async def test_history_that_went_back_and_grew_again_is_noticed_on_a_new_connection(
    executor: CommandExecutor, make_executor: MakeExecutor, owner: psycopg.Connection[Row]
) -> None:
    for _ in range(3):
        await executor.execute(envelope(Enrol()))
    _behind_the_curtain(owner, "DELETE FROM events WHERE position > 1")
    other = await make_executor()
    for _ in range(5):
        await other.execute(envelope(Enrol()))
    owner.execute("SELECT pg_terminate_backend(%s)", (_pid(executor),))
    with pytest.raises(HistoryAlarm, match="Another event stands at position 3"):
        await executor.execute(envelope(Enrol()))
    assert _count(owner) == 6


async def test_clock_that_went_back_stops_the_recording_for_good(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(batch=1)
    await executor.execute(envelope(Enrol()))
    _behind_the_curtain(owner, "UPDATE events SET recorded_at = %s", datetime.now(UTC) + timedelta(minutes=5))
    first, second = executor.submit(envelope(Enrol())), executor.submit(envelope(Enrol()))
    with pytest.raises(HistoryAlarm, match="clock"):
        await first
    _behind_the_curtain(owner, "UPDATE events SET recorded_at = %s", datetime.now(UTC))
    with pytest.raises(HistoryAlarm):
        await second
    assert _count(owner) == 1


async def test_writer_far_behind_forgets_its_lanes_and_goes_on(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    _behind_the_curtain(
        owner,
        "INSERT INTO events SELECT 60000, gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 't', now(), 'c',"
        " 1, '', '', ''",
    )
    assert (await executor.execute(envelope(Mark(student)))).first_position == 60_001


async def test_version_that_appeared_unseen_is_decided_again_and_told_when_it_does_not_help(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    taken = new_id()
    await executor.execute(envelope(Enrol(taken)))
    event_id = owner.execute("SELECT event_id FROM events").fetchone()
    assert event_id is not None
    student = new_id()

    def with_a_taken_id(lanes: Lanes) -> Sequence[Proposal]:
        (proposal,) = Enrol(student).decide(lanes, envelope(Enrol()).context)
        return [type(proposal)(proposal.lane, proposal.event, proposal.values, event_id[0])]

    with pytest.raises(StoreUnavailable, match="nothing was recorded"):
        await executor.execute(envelope(Scripted(with_a_taken_id)))
    await executor.execute(envelope(Enrol(student)))
    assert _count(owner) == 2


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        (
            "UPDATE events SET state = set_byte(state, 20, get_byte(state, 20) # 1) WHERE topic = 'marks.recorded'",
            Unreadable,
        ),
        ("UPDATE events SET topic = 'marks.unknown' WHERE topic = 'marks.recorded'", Unreadable),
        ("UPDATE events SET key_commitment = '' WHERE topic = 'marks.recorded'", Unreadable),
        ("UPDATE events SET header = '' WHERE topic = 'marks.recorded'", Unreadable),
        ("UPDATE events SET version = 9 WHERE topic = 'marks.recorded'", Exception),
        ("DELETE FROM events WHERE topic = 'marks.opened'", Exception),
        ("UPDATE data_keys SET wrapped = '\\x00' WHERE record_class = 'marks'", Unreadable),
        ("UPDATE data_keys SET epoch = 7 WHERE record_class = 'marks'", SettingsError),
    ],
)
async def test_altered_lane_fails_its_own_commands_and_no_others(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], statement: str, error: type[Exception]
) -> None:
    altered, other = new_id(), new_id()
    first = await make_executor()
    await first.execute(envelope(Enrol(altered)))
    await first.execute(envelope(Mark(altered)))
    await first.execute(envelope(Enrol(other)))
    _behind_the_curtain(owner, statement)
    fresh = await make_executor()
    outcomes = await asyncio.gather(
        fresh.execute(envelope(Mark(altered))), fresh.execute(envelope(Mark(other))), return_exceptions=True
    )
    assert isinstance(outcomes[0], error)
    assert not isinstance(outcomes[0], (Erased, psycopg.Error))
    assert not isinstance(outcomes[1], BaseException)
