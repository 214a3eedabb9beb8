"""What lets 0.1.0 go on beside this version: it knows each view by a schema of the view's name, without a version.

Migration 7 leaves SQL views over the tables of version 1 there. 0.1.0 reads them, and its projector writes through
them; here they are kept where the tables are, and kept from being dropped while that projector leads. Dropped they are
with version 1. `docs/schema-evolution.md` says how to take all of this away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Database, Row

VERSION = 1
"""Of every view of 0.1.0."""

_LEADER = "(1279543122::bigint << 32) | ('{schema}_projector'::regrole::oid::bigint & 4294967295)"
"""The advisory lock by which the projector of 0.1.0 leads all of its views."""


def try_lock_leader(connection: psycopg.Connection[Row], database: Database) -> bool:
    """Takes the place of 0.1.0's projector for this connection, unless one leads."""
    row = connection.execute(database.bind(f"SELECT pg_try_advisory_lock({_LEADER})")).fetchone()
    return bool(row and row[0])


def unlock_leader(connection: psycopg.Connection[Row], database: Database) -> None:
    """Gives that place back: 0.1.0 asks for it again after a second."""
    connection.execute(database.bind(f"SELECT pg_advisory_unlock({_LEADER})"))


def lock_aliases(connection: psycopg.Connection[Row], schema: str) -> list[str]:
    """Locks the SQL views that stand for the tables of a schema, and these with them; returns their names.

    Before the tables alone are locked, as a reader does who comes by the SQL views.

    Args:
        schema: of a version of a view; nothing stands for others than the first.
    """
    rows = connection.execute(
        'SELECT viewname FROM pg_views WHERE schemaname = %s ORDER BY viewname COLLATE "C"', (_alias_of(schema),)
    ).fetchall()
    names = [name for (name,) in rows]
    if names:
        aliases = sql.SQL(", ").join(sql.Identifier(_alias_of(schema), name) for name in names)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(aliases))
    return names


def point(connection: psycopg.Connection[Row], schema: str, names: list[str]) -> None:
    """Points SQL views to the tables that a schema has now; who may read them stays."""
    for name in names:
        alias, table = sql.Identifier(_alias_of(schema), name), sql.Identifier(schema, name)
        connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT * FROM {}").format(alias, table))


def _alias_of(schema: str) -> str:
    """Returns the schema that 0.1.0 looks into for what is in this one; without SQL views it is another version's."""
    return schema.removesuffix(f"_v{VERSION}")
