"""Reading rows of a view as they are stored; they are opened only behind the gate."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

from psycopg import sql

from ledger.errors import Busy
from ledger.projections.view import Moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg
    from psycopg_pool import AsyncConnectionPool

    from ledger.projections.tables import TableStore
    from ledger.store.database import Database, Row

POLL_S = 0.01
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
    store: TableStore,
    belonging_to: tuple[str, UUID],
    after: UUID | None,
    limit: int,
    moment: Moment | None = None,
) -> list[UUID]:
    """Returns the ids of students who have a row that belongs to a group or course, a page in their order.

    Args:
        belonging_to: a column (ours) and the id that must stand in it.
        moment: only rows that were there at this position (`since`) and whose day had come; the view must have reached
            the position.
    """
    column, value = belonging_to
    parameters: list[object] = [value, after or NIL]
    then = ""
    if moment is not None:
        day = next(column.name for column in store.table.clear if column.name in BEGINNINGS)
        then = f" AND since <= %s AND ({day} IS NULL OR {day} <= %s)"
        parameters += [moment.position, moment.effective_on or date.max]
    query = sql.SQL(
        f"SELECT DISTINCT student_id FROM {store.qualified} WHERE {column} = %s AND student_id > %s{then}"  # noqa: S608 - ours
        " ORDER BY student_id LIMIT %s"
    )
    cursor = await connection.execute(query, (*parameters, limit), prepare=True)
    return [row[0] for row in await cursor.fetchall()]


async def positions(connection: psycopg.AsyncConnection[Row], database: Database) -> dict[str, tuple[int, int | None]]:
    """Returns, for each view, its position and the position of the event that stopped it, if one did."""
    cursor = await connection.execute(
        database.bind("SELECT view, position, failed_position FROM {schema}.tracking"), prepare=True
    )
    return {view: (position, failed) for view, position, failed in await cursor.fetchall()}


async def wait_for(
    pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]],
    database: Database,
    views: Sequence[str],
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
            found = await positions(connection, database)
        behind = [view for view in views if found.get(view, (0, None))[0] < position]
        if not behind:
            return
        if asyncio.get_running_loop().time() > deadline:
            stopped = [view for view in behind if found.get(view, (0, None))[1] is not None]
            why = f"It was stopped by an event: {', '.join(stopped)}." if stopped else "It is catching up."
            raise Busy(
                f"The view {behind[0]} has not reached position {position}.",
                help=f"{why} Ask again in a second, or without min_position.",
            )
        await asyncio.sleep(POLL_S)
