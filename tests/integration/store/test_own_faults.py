"""Faults of the executor itself: whoever waits hears of it, nothing is recorded twice, and it goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ledger.errors import OutcomeUnknown, StoreUnavailable
from ledger.ids import new_id
from ledger.store.commands import Recorded
from ledger.store.executor import WORTH_HALVING, CommandExecutor, _Round
from tests.support.commands import Enrol, Mark, envelope
from tests.support.waiting import until

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ledger.store.database import Row
    from ledger.store.secrets import Hasher
    from tests.conftest import MakeExecutor

CROWD = 2 * WORTH_HALVING
"""So many that one half is decided while the other is being flushed."""
UNREADABLE = """
SELECT count(*) FROM events e LEFT JOIN data_keys d USING (subject_id, record_class) WHERE d.subject_id IS NULL
"""
"""How many events are sealed with a key that was never stored: nobody could ever read them."""


class Breaks:
    """Lets a method of the executor raise once: instead of its work in the given call, or after it."""

    def __init__(self, executor: CommandExecutor, name: str, call: int, *, after: bool) -> None:
        self.happened = False
        self._whole = getattr(executor, name)
        self._left, self._after = call, after
        asynchronous = asyncio.iscoroutinefunction(self._whole)
        setattr(executor, name, self._awaited if asynchronous else self._called)

    def _now(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _break(self) -> None:
        self.happened = True
        raise RuntimeError("a fault that somebody built in")

    def _called(self, *arguments: object) -> object:
        broken = self._now()
        if broken and not self._after:
            self._break()
        outcome = self._whole(*arguments)
        if broken:
            self._break()
        return outcome

    async def _awaited(self, *arguments: object) -> object:
        broken = self._now()
        if broken and not self._after:
            self._break()
        outcome = await self._whole(*arguments)
        if broken:
            self._break()
        return outcome


async def _answers(executor: CommandExecutor, students: list[UUID], hasher: Hasher) -> list[Recorded | BaseException]:
    """Enrols students who have no data key yet, all at once, each with its own idempotency key."""
    futures = [executor.submit(envelope(Enrol(one), hasher=hasher, key=str(one))) for one in students]
    async with asyncio.timeout(30):
        return await asyncio.gather(*futures, return_exceptions=True)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("name", ["_hear", "_take", "_look_ahead", "_pass_on", "_answer", "_overtaken", "_land"])
async def test_fault_of_the_executor_is_told_to_all_who_wait_and_it_goes_on(
    make_executor: MakeExecutor,
    owner: psycopg.Connection[Row],
    hasher: Hasher,
    name: str,
    call: int,
    after: bool,  # noqa: FBT001 - pytest passes parameters by name
) -> None:
    executor = await make_executor()
    breaks = Breaks(executor, name, call, after=after)
    students = [new_id() for _ in range(CROWD)]
    outcomes = await _answers(executor, students, hasher)
    assert breaks.happened
    assert {type(one) for one in outcomes} <= {Recorded, OutcomeUnknown, StoreUnavailable}

    again = await _answers(executor, students, hasher)
    assert all(isinstance(one, Recorded) for one in again)
    for first, second in zip(outcomes, again, strict=True):
        if isinstance(first, Recorded):
            assert isinstance(second, Recorded)
            assert (second.position, second.repeated) == (first.position, True)
        elif isinstance(first, StoreUnavailable):
            assert isinstance(second, Recorded)
            assert not second.repeated

    rows = owner.execute("SELECT subject_id, count(*) FROM events GROUP BY subject_id").fetchall()
    assert dict(rows) == dict.fromkeys(students, 1)
    assert owner.execute(UNREADABLE).fetchone() == (0,)
    marks = await asyncio.gather(*(executor.execute(envelope(Mark(one))) for one in students))
    assert all(mark.count == 2 for mark in marks)


async def test_append_has_ended_before_anybody_is_told_that_its_outcome_is_unknown(
    executor: CommandExecutor, owner: psycopg.Connection[Row], hasher: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert executor._writer.connection is not None
    pid, whole = executor._writer.connection.info.backend_pid, executor._look_ahead

    def waits() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'advisory'"
        return owner.execute(query, (pid,)).fetchone() == (1,)

    async def breaks(under_way: _Round | None) -> _Round:
        upcoming = await whole(under_way)
        if under_way is not None:
            await until(waits)
            raise RuntimeError("a fault that somebody built in")
        return upcoming

    monkeypatch.setattr(executor, "_look_ahead", breaks)
    with owner.transaction():
        owner.execute("SELECT lock_appends()")
        futures = [executor.submit(envelope(Enrol(new_id()), hasher=hasher, key=str(one))) for one in range(CROWD)]
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert not waits()
    assert {type(one) for one in outcomes} == {OutcomeUnknown}
    assert owner.execute("SELECT count(*) FROM events").fetchone() == (0,)


async def test_executor_that_cannot_even_begin_anew_answers_all_who_wait(
    executor: CommandExecutor, hasher: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    Breaks(executor, "_hear", 1, after=False)
    closes, late = executor._writer.close, []

    async def breaks() -> None:
        late.append(executor.submit(envelope(Enrol(new_id()))))  # somebody comes just then
        await closes()
        raise RuntimeError("a second fault that somebody built in")

    monkeypatch.setattr(executor._writer, "close", breaks)
    outcomes = await _answers(executor, [new_id() for _ in range(3)], hasher)
    assert {type(one) for one in outcomes} == {StoreUnavailable}
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(late[0], 30)
    monkeypatch.undo()
    assert not executor.running
    with pytest.raises(StoreUnavailable):
        executor.submit(envelope(Enrol(new_id())))
    executor._task = None  # it ended with what was built in, which is not to be met again


async def test_executor_that_failed_is_idle_again_and_stops(executor: CommandExecutor, hasher: Hasher) -> None:
    breaks = Breaks(executor, "_pass_on", 1, after=True)
    (outcome,) = await _answers(executor, [new_id()], hasher)
    assert isinstance(outcome, OutcomeUnknown)
    assert breaks.happened
    assert executor.running
    assert executor.waiting == 0
    await until(lambda: executor.stalled_s == 0)
    await executor.stop()
    assert not executor.running
