"""Whether a ledger can do its work: the database answers, recording goes on, and the views follow. Nothing personal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.application.webhooks.progress import read_progress
from ledger.errors import LedgerError
from ledger.projections.query import positions
from ledger.store.database import translated

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger

PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the service, whether it is ready, and in words why not; a view also says how far it is."""

    name: str
    ready: bool
    reason: str = ""
    position: int | None = None
    lag: int | None = None


async def read_readiness(ledger: Ledger) -> list[Part]:
    """Returns the state of every part; a database that does not answer leaves nothing to say about the views."""
    alarm = ledger.executor.alarm
    reason = alarm.detail if alarm else "" if ledger.executor.running else "The writer has stopped."
    recording = Part("recording", not reason, reason)
    try:
        async with asyncio.timeout(PATIENCE_S):
            last, views = await _look(ledger)
            seal = await _look_at_the_seal(ledger, last)
            webhooks = await _look_at_webhooks(ledger, last)
    except TimeoutError:
        return [Part("database", ready=False, reason="The database does not answer in time."), recording]
    except LedgerError as error:
        return [Part("database", ready=False, reason=error.detail), recording]
    parts = [Part("database", ready=True, position=last), recording, seal]
    for view in ledger.views:
        position, failed = views.get(view.name, (None, None))
        if position is None:
            reason = "The view has not been made yet: no projector has run."
        elif failed is not None:
            reason = f"The view was stopped by the event at position {failed}."
        else:
            reason = ""
        lag = None if position is None else max(last - position, 0)
        parts.append(Part(f"view {view.name}", not reason, reason, position, lag))
    return [*parts, *webhooks]


async def _look_at_webhooks(ledger: Ledger, last: int) -> list[Part]:
    """Returns the webhooks that fail. The ledger is ready all the same: it is somebody else who does not answer."""
    with translated():
        async with ledger.pool.connection(PATIENCE_S) as connection:
            rows = await read_progress(connection, ledger.database)
    return [
        Part(
            f"webhook {row.webhook_id}",
            ready=True,
            reason=f"{'Given up' if row.given_up_at else 'Failing'}, {row.failures} times in a row: {row.failure}",
            position=row.position,
            lag=max(last - row.position, 0),
        )
        for row in rows.values()
        if row.failures
    ]


async def _look_at_the_seal(ledger: Ledger, last: int) -> Part:
    """Returns how far the log is; not ready after an alarm, which says that history was altered."""
    with translated():
        async with ledger.pool.connection(PATIENCE_S) as connection:
            cursor = await connection.execute(
                ledger.database.bind(
                    "SELECT (SELECT reason FROM {schema}.log_alarm),"
                    " (SELECT coalesce(max(size), 0) FROM {schema}.log_checkpoints)"
                )
            )
            row = await cursor.fetchone()
    reason, size = row or (None, 0)
    return Part("seal", reason is None, reason or "", size, max(last - size, 0))


async def _look(ledger: Ledger) -> tuple[int, dict[str, tuple[int, int | None]]]:
    with translated():
        async with ledger.pool.connection(PATIENCE_S) as connection:
            views = await positions(connection, ledger.database, ledger.views)
        async with ledger.keys.connection(PATIENCE_S) as connection:
            cursor = await connection.execute(
                ledger.database.bind("SELECT coalesce(max(position), 0) FROM {schema}.events")
            )
            row = await cursor.fetchone()
    return (row[0] if row else 0), views
