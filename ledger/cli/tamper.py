"""What a database administrator could do behind the ledger's back: for the demo, which shows that it is found.

Only the demo uses this, on its own embedded database, and it puts back what it changed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from ledger.errors import NotFound
from ledger.store.database import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store.database import Database, Row

REFUSED = "LG001"
"""What the triggers on the history answer; see the first migration."""


def owner_is_refused(database: Database, position: int) -> bool:
    """Tells whether the triggers refuse a plain UPDATE of an event, even to the owner of the database."""
    with translated(), database.connect("owner") as connection:
        try:
            connection.execute(
                database.bind("UPDATE {schema}.events SET state = state WHERE position = %s"), (position,)
            )
        except psycopg.Error as error:
            return error.sqlstate == REFUSED
    return False


def count_disclosures(database: Database) -> int:
    """Returns how many times data of a student were disclosed, according to the history itself."""
    with translated(), database.connect("owner") as connection:
        row = connection.execute(
            database.bind("SELECT count(*) FROM {schema}.events WHERE topic = 'disclosure.made'")
        ).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def altered(database: Database, position: int) -> Iterator[None]:
    """Flips one bit of a stored event for the time of the block, with the triggers off in this session only.

    A crash inside the block leaves the event altered; `ledger audit` names it then, and `ledger reset` starts over.

    Raises:
        NotFound: there is no such event. AssertionError: the row is not what it was before.
    """
    with translated(), database.connect("owner") as connection:
        before = _row(connection, database, position)
        state = bytes(before[0])
        middle = len(state) // 2
        flipped = state[:middle] + bytes([state[middle] ^ 1]) + state[middle + 1 :]
        _write(connection, database, position, flipped)
        try:
            yield
        finally:
            _write(connection, database, position, state)
            if _row(connection, database, position) != before:
                message = f"The event at position {position} was not put back as it was."
                raise AssertionError(message)


def _row(connection: psycopg.Connection[Row], database: Database, position: int) -> Row:
    query = database.bind("SELECT state, e.* FROM {schema}.events e WHERE position = %s")
    row = connection.execute(query, (position,), binary=True).fetchone()
    if row is None:
        raise NotFound(f"There is no event at position {position}.")
    return row


def _write(connection: psycopg.Connection[Row], database: Database, position: int, state: bytes) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            database.bind("UPDATE {schema}.events SET state = %s WHERE position = %s"), (state, position)
        )
