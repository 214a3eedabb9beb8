"""Connections have their bounds, whatever the part that uses them does."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.errors import StoreUnavailable
from ledger.store.database import HISTORY_FACTOR, Database
from tests.support.commands import Enrol, Mark, envelope

if TYPE_CHECKING:
    from tests.conftest import MakeExecutor


@pytest.mark.parametrize(
    ("role", "limit"), [("writer", "2s"), ("reader", "2s"), ("projector", f"{2 * HISTORY_FACTOR}s"), ("owner", "0")]
)
def test_every_role_has_its_time_for_a_statement(ledger_db: Database, role: str, limit: str) -> None:
    with replace(ledger_db, statement_s=2.0).connect(role) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == (limit,)
        assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("1min",)


def test_statement_that_takes_too_long_is_cancelled(ledger_db: Database) -> None:
    with (
        replace(ledger_db, statement_s=0.05).connect("reader") as connection,
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        connection.execute("SELECT pg_sleep(10)")


async def test_connections_notice_a_server_that_vanished(ledger_db: Database) -> None:
    for role in ("writer", "reader", "projector"):
        async with await ledger_db.connect_async(role) as connection:
            told = connection.info.get_parameters()
        assert (told["keepalives_idle"], told["tcp_user_timeout"], told["connect_timeout"]) == ("15", "30000", "10")


def test_what_the_operators_url_says_holds() -> None:
    database = Database("postgresql://db/ledger?tcp_user_timeout=5000&connect_timeout=3", "ledger")
    arguments = database.arguments("reader")
    assert not {"tcp_user_timeout", "connect_timeout"} & arguments.keys()
    assert arguments["keepalives"] == 1


async def test_lock_that_somebody_holds_too_long_fails_commands_and_not_the_writer(
    ledger_db: Database, make_executor: MakeExecutor
) -> None:
    executor = await make_executor(database=replace(ledger_db, statement_s=0.3))
    student = Enrol()
    await executor.execute(envelope(student))
    async with await ledger_db.connect_async("writer") as other, other.transaction():
        await other.execute(ledger_db.bind("SELECT {schema}.lock_appends()"))
        with pytest.raises(StoreUnavailable):
            await executor.execute(envelope(Mark(student.student)))
    recorded = await executor.execute(envelope(Mark(student.student)))
    assert recorded.first_position == 2


async def test_readers_after_a_restart_wait_for_no_dead_connection(ledger_db: Database) -> None:
    """Four connections idle, all of them cut: who reads next meets none of them, and rests after none."""
    many = 4
    async with ledger_db.pool("reader", many) as pool, AsyncExitStack() as held:
        cut = [await held.enter_async_context(pool.connection()) for _ in range(many)]
        await held.aclose()
        pids = [connection.info.backend_pid for connection in cut]
        with ledger_db.connect("owner") as owner:
            owner.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", (pids,))
        began = time.monotonic()
        for _ in range(many):
            async with pool.connection() as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
                assert connection.info.backend_pid not in pids
        assert time.monotonic() - began < 5, "The library rests for a second after the first, for seven after all."


async def test_connection_of_a_reader_who_went_away_while_it_was_looked_at_stays_the_pools(
    ledger_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Event()

    async def looks_for_ever(_: object) -> bool:
        looked.set()
        await asyncio.Event().wait()
        return True

    async with ledger_db.pool("reader", 1) as pool:
        with monkeypatch.context() as patched:
            patched.setattr("ledger.store.database._lives", looks_for_ever)
            reader = asyncio.create_task(pool.getconn())
            await looked.wait()
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader
        async with pool.connection(timeout=30) as connection:
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_pool_hands_out_the_connection_that_came_back_last(ledger_db: Database) -> None:
    """It turns the library's own queue; a version of the library that keeps another one fails here."""
    async with ledger_db.pool("reader", 3) as pool:
        await pool.wait()
        held = [await pool.getconn() for _ in range(3)]
        for connection in held:
            await pool.putconn(connection)
        assert [await pool.getconn() for _ in range(3)] == held[::-1]
        for connection in held:
            await pool.putconn(connection)
