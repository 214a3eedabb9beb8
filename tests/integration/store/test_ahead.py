"""Two batches at once: one waits for its flush, the next was decided on what the first will leave behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ledger.aggregates.student import marks_lane
from ledger.errors import Refused, StoreUnavailable
from ledger.ids import new_id
from ledger.store.executor import WORTH_HALVING
from tests.support.commands import CONTEXT, YEAR, Enrol, Mark, Scripted, envelope
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.store.commands import Recorded
    from ledger.store.database import Database, Row
    from ledger.store.executor import CommandExecutor
    from ledger.streams.base import Lanes, Proposal
    from tests.conftest import MakeExecutor

HALF = WORTH_HALVING
"""Enough commands that the executor halves them."""


def _pid(executor: CommandExecutor) -> int:
    assert executor._writer.connection is not None
    return executor._writer.connection.info.backend_pid


def _waiting(owner: psycopg.Connection[Row], *pids: int) -> bool:
    row = owner.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event = 'advisory'", (list(pids),)
    ).fetchone()
    return row == (len(pids),)


def _versions(owner: psycopg.Connection[Row]) -> list[int]:
    rows = owner.execute("SELECT version FROM events WHERE topic = 'marks.recorded' ORDER BY position").fetchall()
    return [version for (version,) in rows]


def _submit(executor: CommandExecutor, student: UUID) -> list[asyncio.Future[Recorded]]:
    """Puts two halves of marks of one student into the queue: the second builds on the first."""
    return [executor.submit(envelope(Mark(student))) for _ in range(2 * HALF)]


@pytest.fixture
async def student(executor: CommandExecutor) -> UUID:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await executor.execute(envelope(Mark(student)))
    return student


async def test_second_half_builds_on_the_first_before_it_is_committed(
    executor: CommandExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        futures = _submit(executor, student)
        await until(lambda: _waiting(owner, _pid(executor)))
        await until(lambda: executor.waiting == 0)
        assert not any(future.done() for future in futures)
    answers = await asyncio.gather(*futures)
    assert len({answer.recorded_at for answer in answers}) == 2
    assert _versions(owner) == list(range(2, 2 * HALF + 3))


async def test_half_that_the_server_refuses_fails_and_the_one_decided_on_it_is_decided_again(
    executor: CommandExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        futures = _submit(executor, student)
        await until(lambda: _waiting(owner, _pid(executor)) and executor.waiting == 0)
        owner.execute("SELECT pg_cancel_backend(%s)", (_pid(executor),))
        await until(futures[0].done)
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[:HALF]] == [StoreUnavailable] * HALF
    assert not any(isinstance(outcome, BaseException) for outcome in outcomes[HALF:])
    assert _versions(owner) == list(range(2, HALF + 3))


async def test_connection_that_breaks_under_both_halves_loses_and_doubles_nothing(
    executor: CommandExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        futures = _submit(executor, student)
        await until(lambda: _waiting(owner, _pid(executor)) and executor.waiting == 0)
        owner.execute("SELECT pg_terminate_backend(%s)", (_pid(executor),))
    answers = await asyncio.gather(*futures)
    positions = [position for answer in answers for position in range(answer.first_position, answer.position + 1)]
    assert len(set(positions)) == 2 * HALF
    assert _versions(owner) == list(range(2, 2 * HALF + 3))


async def test_both_halves_are_decided_again_when_another_process_was_faster(
    executor: CommandExecutor, make_executor: MakeExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    rival = await make_executor()
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        first = rival.submit(envelope(Mark(student)))
        await until(lambda: _waiting(owner, _pid(rival)))
        futures = _submit(executor, student)
        await until(lambda: _waiting(owner, _pid(rival), _pid(executor)) and executor.waiting == 0)
    overtaking = await first
    answers = await asyncio.gather(*futures)
    assert all(answer.position > overtaking.position for answer in answers)
    assert _versions(owner) == list(range(2, 2 * HALF + 4))


async def test_half_that_read_what_another_process_moved_leaves_nothing_on_the_lanes_that_it_wrote(
    executor: CommandExecutor, make_executor: MakeExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    """The first half stands; the second is decided again, on lanes that nobody else has moved."""
    rival, read, written = await make_executor(), new_id(), new_id()
    for command in (Enrol(read), Mark(read), Enrol(written), Mark(written)):
        await executor.execute(envelope(command))
    await rival.execute(envelope(Enrol(new_id())))  # with which it hears of them

    def reads_one_and_writes_another(lanes: Lanes) -> Sequence[Proposal]:
        assert lanes.get(marks_lane(read, YEAR)) is not None
        return Mark(written).decide(lanes, CONTEXT)

    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        first = rival.submit(envelope(Mark(read)))
        await until(lambda: _waiting(owner, _pid(rival)))
        futures = [executor.submit(envelope(Mark(student))) for _ in range(HALF)]
        futures += [executor.submit(envelope(Scripted(reads_one_and_writes_another))) for _ in range(HALF)]
        await until(lambda: _waiting(owner, _pid(rival), _pid(executor)) and executor.waiting == 0)
    await asyncio.gather(first, *futures)
    versions = owner.execute(
        "SELECT version FROM events WHERE stream_id = %s ORDER BY position", (marks_lane(written, YEAR).stream_id,)
    ).fetchall()
    assert versions == [(version,) for version in range(1, HALF + 3)]


async def test_few_commands_that_come_one_by_one_during_a_flush_are_recorded_together(
    executor: CommandExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        first = executor.submit(envelope(Mark(student)))
        await until(lambda: _waiting(owner, _pid(executor)))
        later = []
        for number in range(5):
            later.append(executor.submit(envelope(Mark(student))))
            for _ in range(10):
                await asyncio.sleep(0)
            assert executor.waiting == number + 1  # nobody has decided it yet
    answers = await asyncio.gather(*later)
    assert (await first).recorded_at < answers[0].recorded_at
    assert len({answer.recorded_at for answer in answers}) == 1
    assert _versions(owner) == list(range(2, 9))


async def test_commands_of_requests_that_are_being_read_are_recorded_together(
    executor: CommandExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    """Each comes one turn of the loop after the one before it."""
    futures: list[asyncio.Future[Recorded]] = []

    async def submit(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)
        futures.append(executor.submit(envelope(Mark(student))))

    await asyncio.gather(*(submit(number) for number in range(4)))
    answers = await asyncio.gather(*futures)
    assert len({answer.recorded_at for answer in answers}) == 1
    assert _versions(owner) == list(range(2, 7))


async def test_lanes_are_loaded_on_a_new_connection_when_the_writer_has_a_new_one(
    executor: CommandExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    """After a failover the old server may live on, fenced off, and tell what was."""

    def loading() -> int:
        assert executor._loading is not None
        return executor._loading.info.backend_pid

    before = loading()
    await executor.execute(envelope(Mark(student)))
    assert loading() == before
    owner.execute("SELECT pg_terminate_backend(%s)", (_pid(executor),))
    for _ in range(2):  # the first one meets the end of the connection
        await executor.execute(envelope(Mark(student)))
    after = loading()
    assert after != before
    await executor.execute(envelope(Mark(student)))
    assert loading() == after
    assert _versions(owner) == list(range(2, 7))


async def test_small_batch_is_answered_when_it_is_committed_whatever_the_next_one_waits_for(
    executor: CommandExecutor, owner: psycopg.Connection[Row], ledger_db: Database, student: UUID
) -> None:
    stranger = new_id()
    with ledger_db.connect("owner") as other, other.transaction():
        other.execute("LOCK TABLE snapshots IN ACCESS EXCLUSIVE MODE")  # which lanes are loaded from
        with owner.transaction():
            owner.execute("SELECT lock_appends()")
            first = executor.submit(envelope(Mark(student)))
            await until(lambda: _waiting(owner, _pid(executor)))
            second = executor.submit(envelope(Mark(stranger)))
        assert (await asyncio.wait_for(asyncio.shield(first), 30)).count == 1
        assert not second.done()
    with pytest.raises(Refused):
        await second


async def test_all_who_came_while_a_small_batch_was_flushed_are_recorded_together(
    executor: CommandExecutor, owner: psycopg.Connection[Row], student: UUID
) -> None:
    few, more = HALF // 3, HALF - 2
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        early = [executor.submit(envelope(Mark(student))) for _ in range(few)]
        await until(lambda: _waiting(owner, _pid(executor)))
        late = [executor.submit(envelope(Mark(student))) for _ in range(more)]
    await asyncio.gather(*early)
    answers = await asyncio.gather(*late)
    assert len({answer.recorded_at for answer in answers}) == 1
