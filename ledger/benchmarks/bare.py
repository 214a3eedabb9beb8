"""What PostgreSQL and Python allow at best: a group commit with the lock and the NOTIFY of an append, nothing else.

No rules, no keys, no encryption, no idempotency, no check of what moved: what ours adds is the difference.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING
from uuid import UUID

from psycopg import AsyncConnection, sql

from ledger.ids import new_id
from ledger.store.arrays import byteas, uuids

if TYPE_CHECKING:
    from collections.abc import Awaitable

TABLES = """
CREATE TABLE events (position bigint PRIMARY KEY, event_id uuid NOT NULL UNIQUE, stream_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL, state bytea NOT NULL);
CREATE INDEX ON events (stream_id);
CREATE FUNCTION append(event_ids uuid[], stream_ids uuid[], states bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext(current_schema()));
    SELECT coalesce(max(position), 0) INTO last FROM events;
    INSERT INTO events SELECT last + number, event_id, stream_id, clock_timestamp(), state
        FROM unnest(event_ids, stream_ids, states) WITH ORDINALITY AS e (event_id, stream_id, state, number);
    PERFORM pg_notify(current_schema(), '');
    RETURN last;
END $$;
"""
STATE_BYTES = 330
"""About the size of a stored mark."""

_APPEND = "SELECT append(%b::uuid[], %b::uuid[], %b::bytea[])"


class BareWriter:
    """Records rows in groups, on the connection that it is given."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._queue: list[tuple[UUID, UUID, bytes, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    def save(self, stream_id: UUID, state: bytes) -> Awaitable[None]:
        """Puts a row into the queue; what is returned is done when the row is durable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((new_id(), stream_id, state, future))
        self._wake.set()
        return future

    async def run(self) -> None:
        """Commits all that wait, together, again and again, until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._queue = self._queue, []
            event_ids, stream_ids, states, futures = zip(*batch, strict=True)
            parameters = (uuids(event_ids), uuids(stream_ids), byteas(states))
            await self._connection.execute(_APPEND, parameters, prepare=True, binary=True)
            for future in futures:
                future.set_result(None)
            await asyncio.sleep(0)


async def make(url: str, schema: str) -> None:
    """Makes the schema with its table."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        await connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        await connection.execute(TABLES)


async def group_commits(url: str, schema: str, producers: int, seconds: float) -> float:
    """Returns rows per second of producers that record one row each at a time."""
    async with await AsyncConnection.connect(
        url, autocommit=True, options=f"-c search_path={schema} -c plan_cache_mode=force_generic_plan"
    ) as connection:
        writer = BareWriter(connection)
        began = time.perf_counter()

        async def produce(stream_id: UUID) -> int:
            count = 0
            while time.perf_counter() < began + seconds:
                await writer.save(stream_id, os.urandom(STATE_BYTES))
                count += 1
            return count

        async with asyncio.TaskGroup() as group:
            running = group.create_task(writer.run())
            producing = [group.create_task(produce(new_id())) for _ in range(producers)]
            counts = [await task for task in producing]
            took = time.perf_counter() - began
            running.cancel()
    return sum(counts) / took
