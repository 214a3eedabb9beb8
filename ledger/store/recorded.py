"""What became of commands: looked up by their idempotency keys, answered from the stored columns alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.store.commands import Recorded, RecordedEvent
from ledger.store.replication import confirm

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ledger.store.database import Database, Row

_SELECT = """
SELECT c.command_id, c.request, c.first_position, e.recorded_at,
    e.position, e.event_id, e.stream_id, e.subject_id, e.topic, e.version
FROM {schema}.commands c
JOIN {schema}.events e ON e.position >= c.first_position AND e.position < c.first_position + c.count
WHERE c.command_id = ANY(%b::bytea[])
ORDER BY c.first_position, e.position
"""


async def select_recorded(
    connection: psycopg.AsyncConnection[Row], database: Database, command_ids: list[bytes]
) -> dict[bytes, tuple[bytes, Recorded]]:
    """Returns, for each command that was recorded, the stored hash of its request and the answer.

    Whoever is told so takes it for acknowledged: before it returns, the synchronous standbys have it.
    """
    cursor = await connection.execute(database.bind(_SELECT), (command_ids,), prepare=True, binary=True)
    found: dict[bytes, tuple[bytes, int, datetime, list[RecordedEvent]]] = {}
    for command_id, request, first, recorded_at, *event in await cursor.fetchall():
        entry = found.setdefault(bytes(command_id), (bytes(request), first, recorded_at, []))
        entry[3].append(RecordedEvent(*event))
    if found:
        await confirm(connection)
    return {
        command_id: (request, Recorded(first, len(events), recorded_at, tuple(events), repeated=True))
        for command_id, (request, first, recorded_at, events) in found.items()
    }
