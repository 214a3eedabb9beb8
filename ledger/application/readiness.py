"""Whether a ledger can do its work: the database answers, recording goes on, and the views follow. Nothing personal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.cosigning import read_witnesses
from ledger.application.webhooks.progress import read_progress
from ledger.errors import LedgerError, SettingsError
from ledger.projections.query import last_position
from ledger.projections.states import read_states
from ledger.store.database import translated
from ledger.store.log_troubles import SEALER, SELECT_TROUBLES, troubles_from

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.projections.states import ViewState
    from ledger.settings import Settings

PATIENCE_S = 2.0
SHARED_S = 0.5
"""How long an answer serves everybody who asks the process."""
STALLED_S = 5.0
"""How long a batch may take before recording counts as standing still."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the service, whether it is ready, and in words why not; a view also says how far it is.

    Args:
        stage: what a view is doing (see `projections/states.py`).
        failed_position: the event that stopped a view, its id and topic, and the kind of error.
    """

    name: str
    ready: bool
    reason: str = ""
    position: int | None = None
    lag: int | None = None
    stage: str | None = None
    failed_position: int | None = None
    failed_event: UUID | None = None
    failed_topic: str | None = None
    failed_error: str | None = None


class Readiness:
    """The readiness of a process's ledger, looked at once for all who ask at the same time; belongs to one event loop.

    Anybody may ask, and nobody too often: one of them at a time looks, at most every `SHARED_S` seconds.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._look: asyncio.Task[list[Part]] | None = None
        self._serves_until = 0.0

    async def read(self) -> list[Part]:
        """Returns the state of every part, as it was at most `SHARED_S` seconds ago (see `read_readiness`)."""
        now = asyncio.get_running_loop().time()
        if self._look is None or (self._look.done() and now >= self._serves_until):
            self._look = asyncio.create_task(self._read(), name="readiness")
        return await asyncio.shield(self._look)  # whoever goes away must not take the answer of the others along

    async def _read(self) -> list[Part]:
        parts = await read_readiness(self._ledger)
        self._serves_until = asyncio.get_running_loop().time() + SHARED_S
        return parts


def _what_keeps_the_writer(ledger: Ledger) -> str:
    executor = ledger.executor
    if executor.alarm is not None:
        return executor.alarm.detail
    if not executor.running:
        return "The writer has stopped."
    if executor.stalled_s > STALLED_S:
        return (
            f"A batch has been under way for {executor.stalled_s:.0f} s: the database, its disk, a lock or a"
            " synchronous standby keeps it waiting."
        )
    return ""


async def read_readiness(ledger: Ledger) -> list[Part]:
    """Returns the state of every part; a database that does not answer leaves nothing to say about the views."""
    reason = _what_keeps_the_writer(ledger)
    recording = Part("recording", not reason, reason)
    try:
        async with asyncio.timeout(PATIENCE_S):
            last, states = await _states(ledger)
            seal, *witnesses = await _look_at_the_seal(ledger, last)
            webhooks = await _look_at_webhooks(ledger, last)
    except TimeoutError:
        return [Part("database", ready=False, reason="The database does not answer in time."), recording]
    except LedgerError as error:
        return [Part("database", ready=False, reason=error.detail), recording]
    return [
        Part("database", ready=True, position=last),
        recording,
        seal,
        *witnesses,
        *(_part(state, ledger.settings.lag_limit) for state in states),
        *webhooks,
    ]


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


async def _look_at_the_seal(ledger: Ledger, last: int) -> list[Part]:
    """Returns how far the log is, and each witness that contradicts it.

    It is not ready after an alarm. What a witness says, and what keeps the sealer from its file, is told and changes
    nothing: else a broken witness, or one full disk, would take every host out of service while recording works.
    """
    with translated():
        async with ledger.pool.connection(PATIENCE_S) as connection:
            cursor = await connection.execute(
                ledger.database.bind(
                    "SELECT (SELECT reason FROM {schema}.log_alarm),"
                    " (SELECT coalesce(max(size), 0) FROM {schema}.log_checkpoints)"
                )
            )
            row = await cursor.fetchone()
            rows = await (await connection.execute(ledger.database.bind(SELECT_TROUBLES))).fetchall()
    alarm, size = row or (None, 0)
    troubles = troubles_from(rows)
    reason = alarm or next((trouble.said for trouble in troubles if trouble.source == SEALER), "")
    return [
        Part("seal", alarm is None, reason, size, max(last - size, 0)),
        *(
            Part(f"witness {trouble.name}", ready=True, reason=trouble.said)
            for trouble in troubles
            if trouble.source != SEALER
        ),
        *_unlisted(ledger.settings),
    ]


def _unlisted(settings: Settings) -> list[Part]:
    """Returns that receipts cannot be handed out here, where that is so; recording works, so it is only told."""
    try:
        if settings.witness_quorum:
            read_witnesses(settings.witness_file)
    except SettingsError:
        return [Part("witnesses", ready=True, reason="The list of witnesses cannot be read: no receipts from here.")]
    return []


def _part(state: ViewState, limit: int) -> Part:
    if state.stopped:
        reason = state.stopped
    elif state.made is not None and state.position is None:
        reason = f"The view is being made: it is at position {state.made} of {state.last}."
    elif state.position is None:
        reason = "The view has not been made yet: no projector has run."
    elif limit and state.lag > limit:
        reason = f"The view is {state.lag} events behind, more than LEDGER_LAG_LIMIT ({limit})."
    else:
        reason = ""
    return Part(
        f"view {state.name}",
        not reason,
        reason,
        state.position,
        None if state.position is None else state.lag,
        state.stage,
        state.failed_position,
        state.failed_event,
        state.failed_topic,
        state.failed_error,
    )


async def view_states(ledger: Ledger, *, counting: bool = False) -> list[ViewState]:
    """Returns how each view stands: version, position, lag, what is being made, what stopped it.

    Args:
        counting: whether their rows are counted, which takes as long as they are many.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    return (await _states(ledger, counting=counting))[1]


async def _states(ledger: Ledger, *, counting: bool = False) -> tuple[int, list[ViewState]]:
    with translated():
        async with ledger.keys.connection(PATIENCE_S) as connection:
            last = await last_position(connection, ledger.database)
        async with ledger.pool.connection(PATIENCE_S) as connection:
            return last, await read_states(connection, ledger.database, ledger.views, last, counting=counting)
