"""Reading rows of a view as they are stored; they are opened only behind the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import sql

from ledger.errors import Busy
from ledger.projections.tracking import SELECT_TRACKED, Tracked
from ledger.projections.view import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable
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


class Part(NamedTuple):
    """A question: the types of the columns of its answer, a query (ours, with %s), and what stands in it.

    Several are asked together in one statement: one message, one snapshot, and no transaction around it.
    """

    types: tuple[str, ...]
    query: str
    parameters: Sequence[object]


class Place(NamedTuple):
    """Where students stand: a table with their ids, and which of its rows (a condition of ours, with %s)."""

    store: TableStore
    condition: str
    parameters: Sequence[object]


class Since(NamedTuple):
    """Which rows were there at a moment: made by a position (an expression of ours, with %s), their day had come."""

    position: str
    parameters: Sequence[object]
    effective_on: date | None = None
    beside: Part | None = None
    """A question whose answer the expression reads as `reached`: asked once, however many tables are compared."""

    @classmethod
    def at(cls, moment: Moment) -> Since:
        """Returns the rows of a moment, which the views must have reached."""
        return cls("%s", (moment.position,), moment.effective_on)

    @classmethod
    def now(cls, reached: Part) -> Since:
        """Returns the rows that were there at the position that views have reached together, asked in passing."""
        return cls("(SELECT position FROM reached)", (), beside=reached)


def rows_where(store: TableStore, condition: str, parameters: Sequence[object]) -> Part:
    """Asks for the rows of a table for which a condition (ours, with %s) holds."""
    return Part(store.types, f"{store.select_all} WHERE {condition}", parameters)


def reached(database: Database, views: Sequence[View]) -> Part:
    """Asks for the position that every one of the views has reached."""
    # The names are ours: written into the text, they need not be handed over with each question.
    names = ", ".join(f"('{view.name}', {view.version})" for view in views)
    query = (
        f"SELECT coalesce(min(coalesce(t.position, 0)), 0) FROM (VALUES {names}) AS v (view, version)"  # noqa: S608 - ours
        f" LEFT JOIN {database.schema}.tracking t ON (t.view, t.version, t.shadow) = (v.view, v.version, false)"
    )
    return Part(("bigint",), query, ())


def students(
    places: Sequence[Place], after: UUID | None, limit: int, since: Since | None = None, on: date | None = None
) -> Part:
    """Asks for the ids of students who stand in one of the places, a page in their order.

    Args:
        since: only rows of a moment.
        on: only rows of tables with a first and a last day (`starts_on`, `ends_on`) that held on this one.
    """
    parameters: list[object] = []
    queries = []
    for store, condition, values in places:
        parameters += [*values, after or NIL]
        then = ""
        if since is not None:
            day = next(column.name for column in store.table.clear if column.name in BEGINNINGS)
            then = f" AND since <= {since.position} AND ({day} IS NULL OR {day} <= %s)"
            parameters += [*since.parameters, since.effective_on or date.max]
        if on is not None:
            then += " AND (starts_on IS NULL OR starts_on <= %s) AND (ends_on IS NULL OR ends_on >= %s)"
            parameters += [on, on]
        queries.append(
            f"(SELECT DISTINCT student_id FROM {store.qualified} WHERE {condition} AND student_id > %s{then}"  # noqa: S608 - ours
            " ORDER BY student_id LIMIT %s)"
        )
        parameters.append(limit)
    found = f"SELECT student_id FROM ({' UNION '.join(queries)}) AS found ORDER BY student_id LIMIT %s"  # noqa: S608 - ours
    parameters.append(limit)
    if since is not None and since.beside is not None:
        found = f"WITH reached (position) AS MATERIALIZED ({since.beside.query}) {found}"
        parameters[:0] = since.beside.parameters
    return Part(("uuid",), found, parameters)


async def select(connection: psycopg.AsyncConnection[Row], *parts: Part) -> list[list[Stored]]:
    """Returns the rows that answer each of the parts, all of one snapshot.

    Each answer is in the order of its query. While a rebuild swaps tables, the statement reads them as they were or as
    they are: it locks them before its snapshot is taken (READ COMMITTED of PostgreSQL), and finds them by name again.
    """
    statement, places = _together(tuple([(part.types, part.query) for part in parts]))
    parameters = [value for part in parts for value in part.parameters]
    cursor = await connection.execute(statement, parameters, prepare=True, binary=True)
    rows = await cursor.fetchall()
    if len(parts) == 1:
        return [rows]
    answers: list[list[Stored]] = [[] for _ in parts]
    for row in rows:
        number = row[0]
        answers[number].append(places[number](row))
    return answers


@cache
def _together(parts: tuple[tuple[tuple[str, ...], str], ...]) -> tuple[sql.SQL, list[Callable[[Stored], Stored]]]:
    """Returns one statement for several questions, and how each row of it is read.

    Its columns are the number of the part and as many of each type as any part needs; a part leaves the others empty.
    """
    if len(parts) == 1:
        return sql.SQL(parts[0][1]), []
    needed: dict[str, int] = {}
    for types, _ in parts:
        for kind in types:
            needed[kind] = max(needed.get(kind, 0), types.count(kind))
    columns = [(kind, number) for kind, count in needed.items() for number in range(count)]
    queries = []
    places: list[Callable[[Stored], Stored]] = []
    for number, (types, query) in enumerate(parts):
        named = [(kind, types[:at].count(kind)) for at, kind in enumerate(types)]
        names = ", ".join(f"c{at}" for at in range(len(types)))
        given = ", ".join(f"c{named.index(one)}" if one in named else f"NULL::{one[0]}" for one in columns)
        queries.append(f"SELECT {number}, {given} FROM ({query}) AS p ({names})")  # noqa: S608 - ours
        places.append(_picker([columns.index(one) + 1 for one in named]))
    return sql.SQL(" UNION ALL ".join(queries)), places


def _picker(places: list[int]) -> Callable[[Stored], Stored]:
    if len(places) == 1:  # itemgetter of one place returns what stands there alone
        place = places[0]
        return lambda row: (row[place],)
    return itemgetter(*places)


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
    return int((await select(connection, reached(database, views)))[0][0][0])


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
