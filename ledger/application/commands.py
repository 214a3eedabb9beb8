"""What became of a command: looked up by the client's own key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ledger.application.record.command import Request, idempotency_of
from ledger.errors import Busy, NotFound
from ledger.store.database import translated
from ledger.store.recorded import select_recorded

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.store.commands import Recorded


PATIENCE_S = 5.0
"""How long a look-up waits for a synchronous standby that is away; the connections for it are few."""


async def find_command(ledger: Ledger, request: Request, key: str) -> Recorded:
    """Returns what was recorded under the client's key.

    Raises:
        NotFound: nothing was (it was refused, never came, or is still on its way).
        Busy: it stands on the primary only, and a failover could lose it yet.
    """
    command_id = idempotency_of(ledger, request, key).command_id
    try:
        with translated():
            async with asyncio.timeout(PATIENCE_S), ledger.keys.connection() as connection:
                found = await select_recorded(connection, ledger.database, [command_id])
    except TimeoutError:
        raise Busy(
            "The database's standby does not confirm what is recorded.",
            help="Ask again in a moment; nothing counts as recorded before the standby has it.",
        ) from None
    if command_id not in found:
        raise NotFound(
            "Nothing was recorded under this key.", help="If its request may still be on its way, ask again shortly."
        )
    return found[command_id][1]
