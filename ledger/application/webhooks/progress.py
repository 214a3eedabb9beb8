"""How far each webhook has been told, stored: what a dispatcher that starts anew goes on from.

A position only ever moves from where its mover believes it to be, so two dispatchers that both believe to lead cannot
skip an event between them: the second finds the position moved, and stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.disclose.feed import HEADER_COLUMNS
from ledger.seal.entry import Entry
from ledger.store.database import translated
from ledger.store.tail import LAST

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from psycopg_pool import AsyncConnectionPool

    from ledger.application.webhooks.registered import RegisteredWebhook
    from ledger.store.database import Database, Row

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 4 * 3600.0
GIVE_UP_AFTER = timedelta(days=5)
BATCH = 100

_BEGIN = "INSERT INTO {schema}.webhooks (webhook_id, position) VALUES (%(id)s, %(after)s) ON CONFLICT DO NOTHING"
_RESUME = (
    "UPDATE {schema}.webhooks SET failures = 0, failing_since = NULL, next_attempt_at = NULL, given_up_at = NULL,"
    " failure = NULL, resumed = %(resumed)s WHERE webhook_id = %(id)s AND resumed < %(resumed)s"
)
_STATE = (
    "SELECT position, given_up_at IS NOT NULL,"
    " coalesce(greatest(extract(epoch FROM next_attempt_at - clock_timestamp()), 0), 0)::float8"
    " FROM {schema}.webhooks WHERE webhook_id = %(id)s"
)
# A position that a crash of the server loses costs a repeated message, which is allowed; a flush for each costs more.
_ADVANCE = (
    "WITH lazily AS (SELECT set_config('synchronous_commit', 'off', true))"
    " UPDATE {schema}.webhooks SET position = %(next)s, failures = 0, failing_since = NULL, next_attempt_at = NULL,"
    " failure = NULL FROM lazily WHERE webhook_id = %(id)s AND position = %(position)s RETURNING position"
)
_FAIL = (
    "UPDATE {schema}.webhooks SET failures = failures + 1, failure = %(failure)s,"
    " failing_since = coalesce(failing_since, clock_timestamp()),"
    " next_attempt_at = clock_timestamp() + make_interval(secs => least("
    "greatest(%(first)s * power(2, least(failures, 30)) * %(jitter)s, %(retry_after)s), %(longest)s)),"
    " given_up_at = CASE WHEN %(final)s OR failing_since < clock_timestamp() - %(patience)s THEN clock_timestamp() END"
    " WHERE webhook_id = %(id)s AND position = %(position)s RETURNING failures, given_up_at IS NOT NULL"
)
_FORGET = (
    "WITH gone AS (DELETE FROM {schema}.webhooks WHERE webhook_id = ANY(%(ids)s))"
    " DELETE FROM {schema}.webhook_secrets WHERE webhook_id = ANY(%(ids)s)"
)
_ALL = (
    "SELECT webhook_id, position, failures, failing_since, next_attempt_at, given_up_at, failure, resumed"
    " FROM {schema}.webhooks"
)


class Overtaken(Exception):
    """Another dispatcher moved a webhook's position: this one no longer leads."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a webhook stands: its position, whether it was given up, and seconds until it may be tried."""

    position: int
    given_up: bool
    pause: float


@dataclass(frozen=True, slots=True)
class StoredProgress:
    """A row, for those who look."""

    webhook_id: UUID
    position: int
    failures: int
    failing_since: datetime | None
    next_attempt_at: datetime | None
    given_up_at: datetime | None
    failure: str | None
    resumed: int


async def read_progress(connection: psycopg.AsyncConnection[Row], database: Database) -> dict[UUID, StoredProgress]:
    """Returns how far every webhook is; one that no dispatcher has seen yet has no row."""
    with translated():
        cursor = await connection.execute(database.bind(_ALL), prepare=True)
        return {row[0]: StoredProgress(*row) for row in await cursor.fetchall()}


class Progress:
    """Reads and moves positions, over a pool of the dispatcher's own."""

    def __init__(self, database: Database, pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]]) -> None:
        self.database = database
        self.pool = pool
        self._select = database.bind(
            f"SELECT {HEADER_COLUMNS} FROM {{schema}}.events WHERE position > %b ORDER BY position LIMIT %b"  # noqa: S608 - ours
        )

    async def begin(self, webhook: RegisteredWebhook) -> Standing:
        """Returns where the webhook stands; gives it a row if it has none, and takes note of a resumption."""
        parameters = {"id": webhook.id, "after": webhook.after, "resumed": webhook.resumed}
        await self._run(_BEGIN, parameters)
        await self._run(_RESUME, parameters)
        row = await self._run(_STATE, parameters)
        if row is None:
            raise Overtaken
        return Standing(*row)

    async def entries(self, after: int) -> tuple[list[Entry], int]:
        """Returns the next entries after a position, without their states, and the position of the newest one."""
        with translated():
            async with self.pool.connection() as connection:
                cursor = await connection.execute(self._select, (after, BATCH), prepare=True, binary=True)
                entries = [Entry._make(row) for row in await cursor.fetchall()]
                row = await (await connection.execute(self.database.bind(LAST), prepare=True)).fetchone()
        return entries, int(row[0]) if row else 0

    async def advance(self, webhook_id: UUID, position: int, reached: int) -> None:
        """Moves a webhook on.

        Raises:
            Overtaken: somebody else has.
        """
        if await self._run(_ADVANCE, {"id": webhook_id, "position": position, "next": reached}) is None:
            raise Overtaken

    async def fail(
        self, webhook_id: UUID, position: int, failure: str, *, jitter: float, retry_after: float, final: bool
    ) -> tuple[int, bool]:
        """Notes a failure; returns how many there were in a row, and whether the webhook was given up.

        Args:
            jitter: what the pause is multiplied with.
            retry_after: seconds that the pause has at least.
            final: whether to give it up at once.
        """
        parameters: dict[str, object] = {
            "id": webhook_id,
            "position": position,
            "failure": failure,
            "jitter": jitter,
            "retry_after": retry_after,
            "final": final,
            "first": FIRST_PAUSE_S,
            "longest": LONGEST_PAUSE_S,
            "patience": GIVE_UP_AFTER,
        }
        row = await self._run(_FAIL, parameters)
        if row is None:
            raise Overtaken
        return row[0], row[1]

    async def forget(self, webhook_ids: Sequence[UUID]) -> None:
        """Removes what is kept of webhooks that were removed, their secrets first of all."""
        await self._run(_FORGET, {"ids": list(webhook_ids)})

    async def _run(self, query: str, parameters: dict[str, object]) -> Row | None:
        """Runs a statement and returns its first row."""
        with translated():
            async with self.pool.connection() as connection:
                cursor = await connection.execute(self.database.bind(query), parameters, prepare=True)
                return await cursor.fetchone() if cursor.description else None
