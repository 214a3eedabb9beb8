"""Deadlines: as `asyncio.timeout`, but for one timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ledger.api.deadlines import Deadline, Deadlines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SHORT_S = 0.02


async def forever() -> None:
    await asyncio.Event().wait()


def test_block_that_takes_too_long_ends_and_its_task_goes_on() -> None:
    async def works() -> bool:
        deadline = Deadline(Deadlines(SHORT_S))
        with pytest.raises(TimeoutError), deadline:
            await forever()
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return deadline.expired

    assert asyncio.run(works())


def test_later_ones_end_later_and_those_that_ended_or_were_lifted_are_left_alone() -> None:
    ended: list[str] = []

    async def works() -> None:
        among = Deadlines(SHORT_S)

        async def one(name: str, what: Callable[[Deadline], Awaitable[object]]) -> None:
            try:
                with Deadline(among) as deadline:
                    await what(deadline)
            except TimeoutError:
                name += " was late"
            ended.append(name)

        async def lifted(deadline: Deadline) -> None:
            deadline.lift()
            await asyncio.sleep(4 * SHORT_S)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(one("quick", lambda _: asyncio.sleep(0)))
            tasks.create_task(one("first", lambda _: forever()))
            tasks.create_task(one("lifted", lifted))
            await asyncio.sleep(SHORT_S / 2)
            tasks.create_task(one("second", lambda _: forever()))
        with Deadline(among):  # the timer has rung for the last one, and is set anew
            await asyncio.sleep(0)
        await one("third", lambda _: forever())

    asyncio.run(works())
    assert ended == ["quick", "first was late", "second was late", "lifted", "third was late"]


@pytest.mark.parametrize("late", [False, True])
def test_cancellation_by_somebody_else_stays_one_even_where_the_time_is_over(*, late: bool) -> None:
    async def works() -> bool:
        deadline = Deadline(among := Deadlines(0 if late else 60))

        async def bounded() -> None:
            with deadline:
                await forever()

        task = asyncio.create_task(bounded())
        await asyncio.sleep(0)  # it has begun
        among._ring(asyncio.get_running_loop())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return deadline.expired

    assert asyncio.run(works()) is late


def test_error_of_the_block_is_its_own() -> None:
    async def works() -> None:
        with Deadline(Deadlines(SHORT_S)):
            raise TimeoutError("of something within")

    with pytest.raises(TimeoutError, match="within"):
        asyncio.run(works())


def test_deadline_bounds_a_task() -> None:
    with pytest.raises(RuntimeError), Deadline(Deadlines(SHORT_S)):
        pytest.fail("There is no task.")
