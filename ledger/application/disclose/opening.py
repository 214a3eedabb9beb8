"""Opening rows: a student's with a receipt that covers them, the school's own without one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg

from ledger.application.disclose.proving import prove
from ledger.errors import Busy, Erased, InvalidInput, UndisclosedAccess
from ledger.projections.query import last_position, not_served, reached, select, tracked, wait_for
from ledger.projections.tables import TableStore
from ledger.store.database import translated
from ledger.store.keyring import SELECT_KEYS
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from uuid import UUID

    from ledger.application.ledger import Ledger
    from ledger.projections.query import Part, Stored
    from ledger.projections.view import Key, Row, View
    from ledger.receipt import Disclosure
    from ledger.seal.entry import Entry
    from ledger.store.database import Row as DbRow
    from ledger.store.keyring import KeyNumber
    from ledger.streams.base import LedgerEvent

BREATH = 500
"""Events opened between two pauses: a reader of a long past must not hold up everybody else's requests."""


def table(ledger: Ledger, view_name: str, table_name: str) -> TableStore:
    """Returns a table of a view as it is served."""
    view = ledger.view(view_name)
    name = (view_name, view.version, table_name)
    store = ledger.tables.get(name)
    if store is None:
        store = ledger.tables[name] = TableStore(view, view.table(table_name), view.schema(ledger.database.schema))
    return store


async def look(ledger: Ledger, views: Sequence[str], *parts: Part, min_position: int = 0) -> list[list[Stored]]:
    """Returns what answers each of the parts, all of one snapshot, once the views have reached `min_position`.

    Raises:
        Busy, InvalidInput: as `snapshot` says.
    """
    wanted = [view for view in ledger.views if view.name in views]
    with translated():
        await _reached(ledger, wanted, min_position)
        try:
            async with ledger.pool.connection() as connection:
                return await select(connection, *parts)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise await _not_served(ledger, wanted) from None


async def look_at(ledger: Ledger, view: str, part: Part, min_position: int = 0) -> tuple[list[Stored], int]:
    """Returns what answers a question to a view, as `look`, and how far the view was."""
    position = reached(ledger.database, [ledger.view(view)])
    [(at,)], stored = await look(ledger, (view,), position, part, min_position=min_position)
    return stored, at


@asynccontextmanager
async def snapshot(
    ledger: Ledger, views: Sequence[str], min_position: int = 0
) -> AsyncIterator[psycopg.AsyncConnection[DbRow]]:
    """Yields a connection of the reader role in one read-only snapshot, once the views have reached `min_position`.

    The tables of the views are locked (shared) before the snapshot begins: a rebuild that swaps one of them comes
    wholly before it or wholly after it. Without that a snapshot of before would look into tables of after.

    Raises:
        Busy: a view is behind, or is being made.
        InvalidInput: nothing has been recorded at `min_position` yet, so that waiting would be in vain.
    """
    wanted = [view for view in ledger.views if view.name in views]
    with translated():
        await _reached(ledger, wanted, min_position)
        try:
            async with ledger.pool.connection() as connection:
                try:
                    await connection.execute(_begin(ledger, wanted))
                    yield connection
                finally:
                    if not connection.closed:
                        # Nothing was written. After a ROLLBACK psycopg would forget every statement it has prepared.
                        await connection.commit()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise await _not_served(ledger, wanted) from None


async def _reached(ledger: Ledger, views: Sequence[View], min_position: int) -> None:
    """Returns when the views have reached a position, if one is asked for."""
    if min_position:
        await check_recorded(ledger, min_position)
        await wait_for(ledger.pool, ledger.database, views, min_position, ledger.settings.wait_seconds)


def _begin(ledger: Ledger, views: Sequence[View]) -> bytes:
    """Returns the statements that begin a snapshot, in one message; all names are our own."""
    names = [
        f"{view.schema(ledger.database.schema)}.{name}"
        for view in views
        for name in sorted(table.name for table in view.tables)
    ]
    lock = f"LOCK TABLE {', '.join(names)} IN ACCESS SHARE MODE"
    return f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {lock}".encode()


async def check_recorded(ledger: Ledger, position: int) -> int:
    """Returns the last position recorded, if the one that somebody speaks of is not beyond it.

    Raises:
        InvalidInput: it is.
    """
    with translated():
        async with ledger.keys.connection() as connection:
            last = await last_position(connection, ledger.database)
    if not 0 <= position <= last:
        raise InvalidInput(
            f"Nothing has been recorded at position {position} yet.", help=f"The last position is {last}."
        )
    return last


async def _not_served(ledger: Ledger, views: Sequence[View]) -> Busy:
    """Returns why one of the views cannot be read, with how far its making is."""
    async with ledger.pool.connection() as connection:
        rows = await tracked(connection, ledger.database)
    async with ledger.keys.connection() as connection:
        last = await last_position(connection, ledger.database)
    found = (not_served(view, rows, last) for view in views)
    return next((busy for busy in found if busy), Busy("The view was just made.", help="Ask again."))


async def load_keys(ledger: Ledger, wanted: Iterable[KeyNumber]) -> None:
    """Admits the data keys that are not in memory."""
    if subjects := ledger.keyring.missing(wanted):
        with translated():
            async with ledger.keys.connection() as connection:
                cursor = await connection.execute(
                    ledger.database.bind(SELECT_KEYS), (subjects,), prepare=True, binary=True
                )
                ledger.keyring.admit(subjects, await cursor.fetchall())


async def open_rows(
    ledger: Ledger, receipt: Disclosure, store: TableStore, stored: Sequence[Stored]
) -> list[tuple[Key, Row]]:
    """Returns students' rows, opened; erased ones are left out.

    Raises:
        UndisclosedAccess: the receipt does not cover one of them; none is opened then.
    """
    names = store.names(stored)
    (await prove(ledger, receipt)).check(names)
    return await _open(ledger, store, stored, names)


async def open_accesses(
    ledger: Ledger, receipt: Disclosure, store: TableStore, stored: Sequence[Stored], disclosed: set[UUID]
) -> list[tuple[Key, Row]]:
    """Returns accesses, opened, for the students whose disclosures the receipt covers.

    Args:
        disclosed: the accesses that opened rows of those students name; no other one is opened.
    """
    proven = await prove(ledger, receipt)
    proven.check(())
    if not stored:
        return []
    if not proven.discloses(RecordClass.DISCLOSURES) or any(row[0] not in disclosed for row in stored):
        raise UndisclosedAccess("An access was about to be opened that nobody disclosed.", help="Report this fault.")
    return await _open(ledger, store, stored, store.names(stored))


async def open_school_rows(ledger: Ledger, store: TableStore, stored: Sequence[Stored]) -> list[tuple[Key, Row]]:
    """Returns rows of the school itself, opened; they are about no student.

    Raises:
        UndisclosedAccess: one of them is about somebody after all.
    """
    names = store.names(stored)
    if not names.keys() <= {(ledger.id.int, RecordClass.ORGANISATION)}:
        raise UndisclosedAccess("A student's record was about to be opened without a disclosure.", help="Report this.")
    return await _open(ledger, store, stored, names)


async def open_events(
    ledger: Ledger, receipt: Disclosure | None, entries: Sequence[Entry]
) -> list[tuple[Entry, LedgerEvent | None]]:
    """Returns stored events, opened, each with its entry; None stands for what was erased.

    Args:
        receipt: covers every student's event among them; the school's own need none.

    Raises:
        UndisclosedAccess: one is not covered; none is opened then.
    """
    names = {(entry.subject_id.int, entry.record_class) for entry in entries}
    personal = names - {(ledger.id.int, RecordClass.ORGANISATION)}
    if receipt is not None:
        (await prove(ledger, receipt)).check(personal)
    elif personal:
        raise UndisclosedAccess("A student's record was about to be opened without a disclosure.", help="Report this.")
    await load_keys(ledger, names)
    opened: list[tuple[Entry, LedgerEvent | None]] = []
    for number, entry in enumerate(entries, start=1):
        try:
            opened.append((entry, ledger.mapper.open(entry, ledger.keyring)))
        except Erased:
            opened.append((entry, None))
        if number % BREATH == 0:
            await asyncio.sleep(0)
    return opened


async def _open(
    ledger: Ledger, store: TableStore, stored: Sequence[Stored], names: Mapping[KeyNumber, int]
) -> list[tuple[Key, Row]]:
    await load_keys(ledger, names)
    return store.open_all(stored, names, ledger.keyring)
