"""Reading rows of a view as they are stored; they are opened only behind the gate."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

from psycopg import sql

from ledger.errors import Busy
from ledger.projections.tracking import SELECT_TRACKED, Tracked
from ledger.projections.view import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    import psycopg
    from psycopg_pool import AsyncConnectionPool

    from ledger.projections.tables import TableStore
    from ledger.projections.view import View
    from ledger.store.database import Database, Row

POLL_S = 0.01
MAKING_PER_S = 10_000
"""About how many events go into a view each second while it is made: for how long a client is told to wait."""
MAX_RETRY_AFTER_S = 60
NIL = "00000000-0000-0000-0000-000000000000"
"""Before every id: where a page begins that continues nothing."""

BEGINNINGS = ("starts_on", "effective_on")
"""Clear columns that say from which day on a row says something of a student."""

Stored = tuple[Any, ...]


async def select_rows(
    connection: psycopg.AsyncConnection[Row], store: TableStore, where: str, parameters: Sequence[object]
) -> list[Stored]:
    """Returns the rows of a table for which `where` (ours, with %s) holds."""
    query = sql.SQL(f"{store.select_all} WHERE {where}")
    cursor = await connection.execute(query, parameters, prepare=True, binary=True)
    return await cursor.fetchall()


async def select_students(
    connection: psycopg.AsyncConnection[Row],
    places: Sequence[tuple[TableStore, str, UUID]],
    after: UUID | None,
    limit: int,
    moment: Moment | None = None,
    on: date | None = None,
) -> list[UUID]:
    """Returns the ids of students who have a row that belongs to a group or course, a page in their order.

    Args:
        places: tables to look in, each with a column (ours) and the id that must stand in it.
        moment: only rows that were there at this position (`since`) and whose day had come; the view must have reached
            the position.
        on: only rows of tables with a first and a last day (`starts_on`, `ends_on`) that held on this one.
    """
    parameters: list[object] = []
    parts = []
    for store, column, value in places:
        parameters += [value, after or NIL]
        then = ""
        if moment is not None:
            day = next(column.name for column in store.table.clear if column.name in BEGINNINGS)
            then = f" AND since <= %s AND ({day} IS NULL OR {day} <= %s)"
            parameters += [moment.position, moment.effective_on or date.max]
        if on is not None:
            then += " AND (starts_on IS NULL OR starts_on <= %s) AND (ends_on IS NULL OR ends_on >= %s)"
            parameters += [on, on]
        parts.append(
            f"(SELECT DISTINCT student_id FROM {store.qualified} WHERE {column} = %s AND student_id > %s{then}"  # noqa: S608 - ours
            " ORDER BY student_id LIMIT %s)"
        )
        parameters.append(limit)
    found = f"SELECT student_id FROM ({' UNION '.join(parts)}) AS found"  # noqa: S608 - ours
    query = sql.SQL(f"{found} ORDER BY student_id LIMIT %s")
    cursor = await connection.execute(query, (*parameters, limit), prepare=True)
    return [row[0] for row in await cursor.fetchall()]


async def tracked(connection: psycopg.AsyncConnection[Row], database: Database) -> list[Tracked]:
    """Returns every tracking row: of all versions, and of what is being made."""
    cursor = await connection.execute(database.bind(SELECT_TRACKED), prepare=True)
    return [Tracked._make(row) for row in await cursor.fetchall()]


async def last_position(connection: psycopg.AsyncConnection[Row], database: Database) -> int:
    """Returns the position of the newest event, on a connection of the writer role; 0 where there is none."""
    cursor = await connection.execute(
        database.bind("SELECT coalesce(max(position), 0) FROM {schema}.events"), prepare=True
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def positions(
    connection: psycopg.AsyncConnection[Row], database: Database, views: Iterable[View]
) -> dict[str, tuple[int, int | None]]:
    """Returns, for each view that is served, its position and the position of the event that stopped it, if one did."""
    versions = {view.name: view.version for view in views}
    return {
        row.view: (row.position, row.failed_position)
        for row in await tracked(connection, database)
        if not row.shadow and versions.get(row.view) == row.version
    }


async def lowest(connection: psycopg.AsyncConnection[Row], database: Database, views: Sequence[View]) -> int:
    """Returns the position that every one of the views has reached."""
    found = await positions(connection, database, views)
    return min(found.get(view.name, (0, None))[0] for view in views)


async def wait_for(
    pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]],
    database: Database,
    views: Sequence[View],
    position: int,
    seconds: float,
) -> None:
    """Returns when every view has reached `position`: read your own writes.

    Who waits holds no connection: a reader who asks for a position far ahead must not keep others from reading.

    Raises:
        Busy: they have not within `seconds`; says which one is behind, and whether it has stopped.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        async with pool.connection() as connection:
            found = await positions(connection, database, views)
        behind = [view.name for view in views if found.get(view.name, (0, None))[0] < position]
        if not behind:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise await _late(pool, database, views, behind, position)
        await asyncio.sleep(POLL_S)


async def _late(
    pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]],
    database: Database,
    views: Sequence[View],
    behind: list[str],
    position: int,
) -> Busy:
    async with pool.connection() as connection:
        rows = await tracked(connection, database)
    for view in views:
        if (found := not_served(view, rows)) is not None:
            return found
    stopped = [row.view for row in rows if row.view in behind and row.failed_position is not None]
    why = f"It was stopped by an event: {', '.join(stopped)}." if stopped else "It is catching up."
    return Busy(
        f"The view {behind[0]} has not reached position {position}.",
        help=f"{why} Ask again in a second, or without min_position.",
    )


def not_served(view: View, rows: Iterable[Tracked], last: int | None = None) -> Busy | None:
    """Returns why a view cannot be read at all, with how far its making is; None where it can.

    Args:
        last: the position of the newest event, where it is known.
    """
    mine = [row for row in rows if row.view == view.name]
    live = [row.version for row in mine if not row.shadow]
    if view.version in live:
        return None
    shadow = next((row for row in mine if row.shadow and row.version == view.version), None)
    if shadow is None:
        newer = max(live, default=0) > view.version
        return Busy(
            f"The view {view.name} is not there in version {view.version} any more."
            if newer
            else f"The view {view.name} has not been made yet.",
            help="A newer version of the ledger is running: ask there."
            if newer
            else "Ask again in a second; a projector must be running.",
        )
    of = f" of {last}" if last is not None else ""
    return Busy(
        f"The view {view.name} is being made: it is at position {shadow.position}{of}.",
        help=shadow.stopped or "Ask again later; nothing needs to be done.",
        retry_after=_seconds_left(shadow.position, last),
    )


def _seconds_left(position: int, last: int | None) -> int:
    if last is None:
        return 1
    return min(max((last - position) // MAKING_PER_S, 1), MAX_RETRY_AFTER_S)
