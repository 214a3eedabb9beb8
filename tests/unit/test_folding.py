"""Whole histories are looked at in threads; whoever gives up holds the place until the thread is done."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ledger.application.disclose.past import in_thread
from tests.support.waiting import until


async def test_who_gives_up_holds_the_place_until_the_thread_is_done() -> None:
    folding, begun, goes_on = asyncio.Semaphore(1), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert goes_on.wait(20)

    async def reads() -> None:
        async with folding:
            await in_thread(work)

    reading = asyncio.create_task(reads())
    try:
        await until(begun.is_set)
        reading.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert folding.locked()
    finally:
        goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not folding.locked()


async def test_fault_of_a_thread_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
