"""How far each view is: one row for each of its versions, and one for a shadow that is being made.

Whoever changes rows of a view locks its tracking row first and moves it in the same transaction, so that rows and
position never part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from psycopg.rows import class_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ledger.projections.store import ViewFailed, ViewStore
    from ledger.store.database import Database, Row


class Tracked(NamedTuple):
    """A tracking row."""

    view: str
    version: int
    shadow: bool
    position: int
    failed_position: int | None
    failed_event: UUID | None
    failed_topic: str | None
    failed_error: str | None
    failed_at: datetime | None

    @property
    def stopped(self) -> str:
        """What stopped it, in a sentence without a stored value; empty where nothing did."""
        if self.failed_position is None:
            return ""
        what = f" ({self.failed_topic}, event {self.failed_event})" if self.failed_event else ""
        why = f": {self.failed_error}" if self.failed_error else ""
        return f"It was stopped by the event at position {self.failed_position}{what}{why}."


COLUMNS = ", ".join(Tracked._fields).replace(
    "failed_position", "CASE WHEN failed_position > position THEN failed_position END AS failed_position"
)
"""What a `Tracked` is made of. A failure that the view is past says that a projector of an older version met an event
that only newer ones know: it stopped that projector, and not the view."""
SELECT_TRACKED = f"SELECT {COLUMNS} FROM {{schema}}.tracking"  # noqa: S608 - names of ours

_ONE = "view = %s AND version = %s AND shadow = %s"
_UNSTOPPED = (
    "failed_position = NULL, failed_event = NULL, failed_topic = NULL, failed_error = NULL, failed_at = NULL,"
    " failure = NULL"
)


LOCK_KEY = "hashtextextended(%s, 0)"
"""The advisory lock of who follows or makes a version of a view, from the name of its schema or of its shadow's."""


def try_lock(connection: psycopg.Connection[Row], schema: str) -> bool:
    """Takes the lock of a schema for this connection, unless somebody has it."""
    row = connection.execute(f"SELECT pg_try_advisory_lock({LOCK_KEY})", (schema,)).fetchone()
    return bool(row and row[0])


def lock(connection: psycopg.Connection[Row], schema: str, *, transaction: bool = False) -> None:
    """Takes the lock of a schema for this connection, or for its transaction; waits for whoever has it."""
    connection.execute(f"SELECT pg_advisory_{'xact_' if transaction else ''}lock({LOCK_KEY})", (schema,))


def unlock(connection: psycopg.Connection[Row], schema: str) -> None:
    """Gives the lock of a schema back."""
    connection.execute(f"SELECT pg_advisory_unlock({LOCK_KEY})", (schema,))


class Tracking:
    """Reads and writes tracking rows, on connections of the projector role."""

    def __init__(self, database: Database) -> None:
        self._select = database.bind(SELECT_TRACKED)
        self._lock = database.bind(f"SELECT position FROM {{schema}}.tracking WHERE {_ONE} FOR UPDATE")  # noqa: S608 - ours
        self._set = database.bind(
            "INSERT INTO {schema}.tracking (view, version, shadow, position) VALUES (%s, %s, %s, %s) ON CONFLICT"  # noqa: S608 - names of ours
            f" (view, version, shadow) DO UPDATE SET position = excluded.position, {_UNSTOPPED}"
        )
        self._pass = database.bind(
            f"UPDATE {{schema}}.tracking AS t SET position = %s, {_UNSTOPPED}"  # noqa: S608 - names of ours
            " FROM unnest(%s::text[], %s::int[], %s::bool[], %s::bigint[]) AS v (view, version, shadow, position)"
            " WHERE (t.view, t.version, t.shadow, t.position) = (v.view, v.version, v.shadow, v.position)"
            " RETURNING t.view"
        )
        self._delete = database.bind(f"DELETE FROM {{schema}}.tracking WHERE {_ONE}")  # noqa: S608 - ours
        self._fail = database.bind(
            "UPDATE {schema}.tracking"  # noqa: S608 - names of ours
            " SET failed_position = %s, failed_event = %s, failed_topic = %s,"
            f" failed_error = %s, failed_at = clock_timestamp(), failure = %s WHERE {_ONE}"
        )

    def rows(self, connection: psycopg.Connection[Row]) -> list[Tracked]:
        """Returns every row."""
        with connection.cursor(row_factory=class_row(Tracked)) as cursor:
            return cursor.execute(self._select).fetchall()

    def lock(self, connection: psycopg.Connection[Row], store: ViewStore) -> int | None:
        """Returns how far a view is and keeps others from moving it (in the caller's transaction); None if not made."""
        row = connection.execute(self._lock, store.key, prepare=True).fetchone()
        return None if row is None else int(row[0])

    def move(self, connection: psycopg.Connection[Row], store: ViewStore, position: int) -> None:
        """Notes that a view is at a position, and that nothing stops it (in the caller's transaction)."""
        connection.execute(self._set, (*store.key, position), prepare=True)

    def move_past(
        self, connection: psycopg.Connection[Row], stores: Sequence[tuple[ViewStore, int]], position: int
    ) -> set[str]:
        """Moves views to a position over events that leave their rows as they are: one statement for all of them.

        Args:
            stores: each with the position from which it is moved; one that is not there (any more) stays.
            position: where they are moved to.

        Returns:
            The names of the views that were moved.
        """
        views, versions, shadows = zip(*(store.key for store, _ in stores), strict=True)
        columns = (list(views), list(versions), list(shadows), [before for _, before in stores])
        return {view for (view,) in connection.execute(self._pass, (position, *columns), prepare=True).fetchall()}

    def forget(self, connection: psycopg.Connection[Row], view: str, version: int, *, shadow: bool) -> None:
        """Removes a row (in the caller's transaction)."""
        connection.execute(self._delete, (view, version, shadow))

    def fail(self, connection: psycopg.Connection[Row], store: ViewStore, error: ViewFailed) -> None:
        """Notes what stopped a view; never a stored value."""
        entry = error.entry
        named = (entry.event_id, entry.topic) if entry else (None, None)
        connection.execute(self._fail, (error.position, *named, error.error, error.detail, *store.key))
