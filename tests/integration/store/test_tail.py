"""Waiting at the end of the history: one connection for all, and no notification that everything hangs on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from ledger.store import tail as module
from ledger.store.tail import Tail
from tests.support.appending import Row1, foreign
from tests.support.proxy import Proxy
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import psycopg

    from ledger.store.database import Database, Row


@pytest_asyncio.fixture
async def tail(ledger_db: Database) -> AsyncIterator[Tail]:
    waiting = Tail(ledger_db)
    yield waiting
    await waiting.close()


async def test_what_is_there_already_is_not_waited_for(tail: Tail, ledger_db: Database) -> None:
    foreign(ledger_db)
    assert await tail.wait(0, 60)
    assert await tail.wait(0, 0.001)
    assert not await tail.wait(1, 0.01)


async def test_everybody_who_waits_is_woken_over_one_connection(ledger_db: Database) -> None:
    async with Proxy(ledger_db) as proxy:
        tail = Tail(proxy.database)
        waiting = [asyncio.create_task(tail.wait(0, 60)) for _ in range(50)]
        await until(lambda: tail.waiting == 50 and proxy.connections > 0)
        foreign(ledger_db)
        assert await asyncio.gather(*waiting) == [True] * 50
        assert proxy.connections == 1
        await tail.close()


async def test_lost_connections_and_notifications_cost_a_moment_and_no_event(
    ledger_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECONNECT_S", 0.01)
    async with Proxy(ledger_db) as proxy:
        tail = Tail(proxy.database)
        for position in range(5):
            waiting = asyncio.create_task(tail.wait(position, 60))
            await until(lambda: tail.waiting == 1)
            proxy.cut()
            foreign(ledger_db, Row1())
            assert await waiting
        await proxy.refuse()
        waiting = asyncio.create_task(tail.wait(5, 60))
        foreign(ledger_db, Row1())
        await proxy.accept()
        assert await waiting
        await tail.close()


async def test_polling_finds_what_was_not_notified(
    tail: Tail, ledger_db: Database, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)
    waiting = asyncio.create_task(tail.wait(0, 60))
    await until(lambda: tail.listening)
    owner.execute(
        "INSERT INTO events SELECT 1, gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 't', now(),"
        " 'c', 1, '', '', ''"
    )  # past the append function: nobody is notified
    assert await waiting


async def test_connection_is_given_back_when_nobody_waits(
    tail: Tail, ledger_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.01)
    monkeypatch.setattr(module, "POLL_S", 0.01)
    assert not await tail.wait(0, 0.02)
    await until(lambda: not tail.listening)
    foreign(ledger_db)
    assert await tail.wait(0, 60)


async def test_stopping_wakes_everybody_for_good(tail: Tail) -> None:
    waiting = asyncio.create_task(tail.wait(0, 60))
    await until(lambda: tail.listening)
    tail.stop()
    assert not await waiting
    assert not await tail.wait(0, 60)
