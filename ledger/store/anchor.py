"""The newest checkpoint outside the database: what this host has signed, whatever a restored backup says.

A database that was set back, or exchanged for a forked one, cannot take this file with it. The sealer compares the two
at every start, and while it waits for the lead, and refuses to go on when they do not continue each other. It does not
make the file anew by itself: what lies outside would then be what the database says. Only with a key that has signed
nothing yet (`log_keys`) does it begin with an empty log: that the database has none may be somebody's doing.
"""

from __future__ import annotations

import os
from pathlib import Path

from ledger.errors import SettingsError


class UnusableAnchor(SettingsError):
    """The file, or one of the log's key, cannot be read or written; nothing is sealed until it can."""


class LostAnchor(UnusableAnchor):
    """The file is not there although the log was sealed; an operator must bring it back, or say what is trusted."""


class Anchor:
    """One file, replaced whole.

    Args:
        path: where it stands; its folder is made. It must not lie with the database's own files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes | None:
        """Returns the checkpoint, or None where none was written yet.

        Raises:
            UnusableAnchor: the file cannot be read.
        """
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def write(self, note: bytes) -> None:
        """Replaces the checkpoint; after a crash the old one or the new one stands there, never a part.

        Raises:
            UnusableAnchor: the file cannot be written.
        """
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with fresh.open("wb") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unusable(error) from error

    def lost(self, size: int) -> LostAnchor:
        """Returns what is to be raised where the file is missing over a log of this size; 0 where there is none."""
        before = (
            f"{size} events were sealed before" if size else "the key may have sealed before, the database has no log"
        )
        return LostAnchor(
            f"Nothing is sealed here: {before}, and this host's file outside the database is missing.",
            help=f"Bring {self._path} back from its copy. If it is lost for good, or this host is new: see first that"
            " the database was not set back, then `ledger log anchor --accept` (docs/log.md). A log with a key"
            " of LEDGER_LOG_KEY begins so as well.",
        )

    def _unusable(self, error: OSError) -> UnusableAnchor:
        return UnusableAnchor(
            f"Nothing is sealed here: the sealer's file outside the database cannot be used ({error.strerror}).",
            help=f"Check {self._path} (LEDGER_SEAL_FILE), its permissions and the space on its disk.",
        )
