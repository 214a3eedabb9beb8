"""Events in order of position, decoded once, for whoever follows the history: the runner, rebuilds and audits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.errors import Erased, Unreadable
from ledger.projections.view import Fact
from ledger.seal.entry import Entry
from ledger.store.keyring import SELECT_KEYS
from ledger.store.lanes import ENTRY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from uuid import UUID

    import psycopg

    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.store.mapper import EventMapper


_new = tuple.__new__
"""Makes an entry of a row of its columns at half the cost of `Entry._make`, which counts them."""


class EventReader:
    """Reads batches of events on a connection of its user."""

    def __init__(self, database: Database, mapper: EventMapper, keyring: Keyring) -> None:
        self._mapper = mapper
        self._keyring = keyring
        self._select = database.bind(
            f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events WHERE position > %b AND position <= %b"  # noqa: S608 - ours
            " ORDER BY position LIMIT %b"
        )
        self._select_keys = database.bind(SELECT_KEYS)
        self._last = database.bind("SELECT coalesce(max(position), 0) FROM {schema}.events")

    @property
    def loads(self) -> int:
        """Subjects whose keys the keyring has loaded."""
        return self._keyring.loads

    def last_position(self, connection: psycopg.Connection[Row]) -> int:
        """Returns the position of the newest event; 0 where there is none."""
        row = connection.execute(self._last).fetchone()
        return int(row[0]) if row else 0

    def entries(self, connection: psycopg.Connection[Row], after: int, limit: int, until: int = 2**62) -> list[Entry]:
        """Returns up to `limit` entries after a position, in order."""
        cursor = connection.execute(self._select, (after, until, limit), prepare=True, binary=True)
        return [_new(Entry, row) for row in cursor.fetchall()]

    def load_keys(self, connection: psycopg.Connection[Row], wanted: Iterable[tuple[UUID, str]]) -> None:
        """Admits the data keys of (subject, class) pairs that are not in memory.

        Raises:
            Unreadable: a stored key of theirs does not open; all others were admitted.
        """
        for error in self.try_keys(connection, list(wanted)).values():
            raise error

    def try_keys(
        self, connection: psycopg.Connection[Row], wanted: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], Unreadable]:
        """Admits data keys as `load_keys` does, and returns those that do not open with the reason."""
        subjects = self._keyring.missing([(subject.int, record_class) for subject, record_class in wanted])
        broken: dict[tuple[UUID, str], Unreadable] = {}
        if subjects:
            cursor = connection.execute(self._select_keys, (subjects,), prepare=True, binary=True)
            for row in cursor.fetchall():
                try:
                    self._keyring.admit((), [row])
                except Unreadable as error:
                    if (row[0], row[1]) in wanted:
                        broken[row[0], row[1]] = error
            self._keyring.admit(subjects, ())
        return broken

    def facts(
        self,
        connection: psycopg.Connection[Row],
        entries: list[Entry],
        unreadable: Callable[[Entry, Unreadable], None] | None = None,
    ) -> list[Fact]:
        """Returns the entries with their events, without those that were erased.

        Args:
            unreadable: told of entries that do not open; without it the first of them is raised.
        """
        broken = self.try_keys(connection, [(entry.subject_id, entry.record_class) for entry in entries])
        facts: list[Fact] = []
        for entry in entries:
            try:
                if broken and (unopened := broken.get((entry.subject_id, entry.record_class))):
                    raise unopened
                facts.append(Fact(entry, self._mapper.open(entry, self._keyring)))
            except Erased:
                continue
            except Unreadable as error:
                if unreadable is None:
                    error.add_note(f"position {entry.position}")
                    raise
                unreadable(entry, error)
        return facts
