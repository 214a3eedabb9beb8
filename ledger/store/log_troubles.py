"""What troubles the log without proving anything, in the database, so that no restart forgets it.

An alarm (`log_alarm`) stops sealing and needs proof: something that a key of the log has signed. What a witness merely
says, and a sealer that lacks its file, stand here: everybody is told (`/readyz`, metrics, doctor) until it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ledger.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ledger.store.database import Database, Row

SEALER = "sealer"
"""The source of the sealer's own trouble; a witness is the text of its verifier key."""

SELECT_TROUBLES = "SELECT source, said FROM {schema}.log_troubles WHERE settled_at IS NULL ORDER BY source"
_NOTE = (
    "INSERT INTO {schema}.log_troubles AS t (source, said) VALUES (%b, %b) ON CONFLICT (source) DO UPDATE"
    " SET said = excluded.said, since = clock_timestamp(), settled_at = NULL, settled_why = NULL"
    " WHERE t.said <> excluded.said"
)
_END = "DELETE FROM {schema}.log_troubles WHERE source = %b"
_DECIDE = "INSERT INTO {schema}.log_decisions (about, said, reason, decided_by) VALUES (%b, %b, %b, %b)"
_SETTLE = (
    "WITH settled AS (UPDATE {schema}.log_troubles SET settled_at = clock_timestamp(), settled_why = %b"
    " WHERE split_part(source, '+', 1) = %b AND source <> %b AND settled_at IS NULL"
    " RETURNING source, said, settled_why)"
    " INSERT INTO {schema}.log_decisions (about, said, reason, decided_by)"
    " SELECT source, said, settled_why, %b FROM settled RETURNING said"
)
_DECISIONS = "SELECT decided_at, decided_by, about, said, reason FROM {schema}.log_decisions ORDER BY id"

ANCHOR = "anchor"
"""What a decision is about that lets the sealer trust the database without its file outside; others name a witness."""


class Trouble(NamedTuple):
    """Who is in trouble or makes it, and what is said."""

    source: str
    said: str

    @property
    def name(self) -> str:
        """What the source is called; a witness may be called `sealer`, so never compare it with that."""
        return self.source.partition("+")[0]


class Decision(NamedTuple):
    """What an operator has decided about the log; nobody can change it.

    Args:
        decided_by: the operator's id; None where it was decided before ids were kept.
        about: `ANCHOR`, or the verifier key of the witness whose claim was looked into.
        said: the checkpoint that was accepted (origin, size, root) and the one that it was compared with, or what the
            witness had claimed.
    """

    decided_at: datetime
    decided_by: UUID | None
    about: str
    said: str
    reason: str


def troubles_from(rows: Iterable[Row]) -> list[Trouble]:
    """Returns the troubles that SELECT_TROUBLES found."""
    return [Trouble(source, said) for source, said in rows]


def read_troubles(connection: psycopg.Connection[Row], database: Database) -> list[Trouble]:
    """Returns the troubles that nobody has settled."""
    return troubles_from(connection.execute(database.bind(SELECT_TROUBLES)).fetchall())


def note_trouble(connection: psycopg.Connection[Row], database: Database, source: str, said: str) -> None:
    """Notes a trouble; the same words again change nothing, other words stand anew although settled before."""
    connection.execute(database.bind(_NOTE), (source, said))


def end_trouble(connection: psycopg.Connection[Row], database: Database, source: str) -> bool:
    """Forgets the trouble of a source, which is over; tells whether there was one."""
    return connection.execute(database.bind(_END), (source,)).rowcount > 0


def settle_trouble(
    connection: psycopg.Connection[Row], database: Database, witness: str, why: str, by: UUID
) -> str | None:
    """Settles what a witness of this name says, and returns it; None where it says nothing that is not settled.

    The decision is kept also after the trouble is over: who was accused must not be able to end what was found.

    Args:
        by: who decides.

    Raises:
        InvalidInput: no reason is given.
    """
    _check_reason(why)
    row = connection.execute(database.bind(_SETTLE), (why, witness, SEALER, by)).fetchone()
    return row[0] if row else None


def keep_decision(
    connection: psycopg.Connection[Row], database: Database, about: str, said: str, why: str, by: UUID
) -> None:
    """Keeps for ever what an operator has decided about the log; the arguments are those of `Decision`.

    Raises:
        InvalidInput: no reason is given.
    """
    _check_reason(why)
    connection.execute(database.bind(_DECIDE), (about, said, why, by))


def read_decisions(connection: psycopg.Connection[Row], database: Database) -> list[Decision]:
    """Returns what operators have decided about the log, the oldest first."""
    return [Decision._make(row) for row in connection.execute(database.bind(_DECISIONS)).fetchall()]


def _check_reason(why: str) -> None:
    if not why.strip():
        raise InvalidInput("A decision about the log has a reason.", help="Say what you found out: --reason.")
