"""What a database administrator can do behind the ledger's back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import sql

from ledger.projections.views import all_views

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import LiteralString

    import psycopg

    from ledger.store.database import Database, Row

FLIPPED = "overlay({0} PLACING set_byte(substring({0} FROM 20 FOR 1), 0, get_byte({0}, 19) # 1) FROM 20 FOR 1)"
"""An expression for a bytea column with its 20th byte changed by one bit."""


@contextmanager
def behind_the_back(database: Database) -> Iterator[psycopg.Connection[Row]]:
    """Yields a connection of the owner, for whom the history's triggers are switched off."""
    with database.connect("owner") as connection:
        connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
        try:
            yield connection
        finally:
            connection.execute("ALTER TABLE events ENABLE TRIGGER USER")


def in_events(database: Database, statement: LiteralString, *parameters: object) -> None:
    """Changes stored events; the statement must hit at least one."""
    with behind_the_back(database) as connection:
        assert connection.execute(sql.SQL(statement), parameters).rowcount > 0


def schema_of_view(database: Database, view: str) -> str:
    """Returns the schema in which a view is served."""
    known = {one.name: one for one in all_views(lambda _field, _value: b"")}
    return known[view].schema(database.schema)


def in_view(database: Database, view: str, statement: LiteralString, *parameters: object) -> None:
    """Changes stored rows of a view (the statement names tables without their schema); it must hit at least one."""
    with database.connect("owner") as connection, connection.transaction():
        schema = sql.Identifier(schema_of_view(database, view))
        connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(schema))
        assert connection.execute(sql.SQL(statement), parameters).rowcount > 0


def erase(database: Database, subject: object, record_class: str) -> None:
    """Destroys a data key, as the eraser will."""
    with database.connect("eraser") as connection:
        done = connection.execute(
            "DELETE FROM data_keys WHERE subject_id = %s AND record_class = %s", (subject, record_class)
        )
        assert done.rowcount == 1
