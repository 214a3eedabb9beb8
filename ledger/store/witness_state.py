"""What a witness remembers: the newest checkpoint of each log that it has cosigned, in one SQLite file.

The new state is stored before the cosignature leaves, compared with the old one in the same transaction: two requests
at once never make the witness vouch for two histories, and a crash after storing costs one cosignature, which the log
asks for again.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from ledger.errors import SettingsError
from ledger.seal.merkle import EMPTY_ROOT
from ledger.seal.witness import Known

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BUSY_S = 10
_TABLE = """
CREATE TABLE IF NOT EXISTS known (
    origin TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB NOT NULL CHECK (length(root) = 32),
    note BLOB NOT NULL
) STRICT
"""


class WitnessState:
    """One file; connections are short, so that threads and processes may share it.

    Args:
        path: of the file; it is made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._connection() as connection:
                connection.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"The witness's state {path} cannot be used.", help="Check its folder; never begin with an empty one."
            ) from error

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            yield connection

    def known(self, origin: str) -> Known:
        """Returns what was cosigned of a log; the empty tree where nothing was."""
        with self._connection() as connection:
            row = connection.execute("SELECT size, root FROM known WHERE origin = ?", (origin,)).fetchone()
        return Known(row[0], row[1]) if row else Known()

    def replace(self, origin: str, before: Known, after: Known, note: bytes) -> bool:
        """Stores the new state if the old one is still `before`, durably; tells whether it did."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT size, root FROM known WHERE origin = ?", (origin,)).fetchone()
            current = Known(row[0], row[1]) if row else Known(0, EMPTY_ROOT)
            if current != before:
                connection.execute("ROLLBACK")
                return False
            connection.execute(
                "INSERT INTO known (origin, size, root, note) VALUES (?, ?, ?, ?) ON CONFLICT (origin)"
                " DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note",
                (origin, after.size, after.root, note),
            )
            connection.execute("COMMIT")
        return True
