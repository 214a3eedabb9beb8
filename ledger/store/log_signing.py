"""The keys of a running sealer: what it signs with them, and what it takes for signed by its own log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.errors import HistoryAlarm, SettingsError
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.note import Note, parse_note, sign, verified_by
from ledger.store.anchor import UnusableAnchor
from ledger.store.log_alarms import alarm
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.seal.note import SignerKey, VerifierKey
    from ledger.store.log_key_source import LogKeySource

logger = get_logger(__name__)


class LogSigners:
    """The keys that sign, all of one name, and where they come from.

    Args:
        keys: none where they are to be read from there when they are needed (`load`).
        source: looked at again when the sealer asks for it, so that keys change while it runs.
    """

    def __init__(self, keys: Sequence[SignerKey], source: LogKeySource | None = None) -> None:
        if len({key.name for key in keys}) > 1 or not (keys or source):
            raise SettingsError("The keys of a log have one name.", help="Check LEDGER_LOG_KEY_FILE or LEDGER_LOG_KEY.")
        self._keys = tuple(keys)
        self._source = source

    def load(self) -> None:
        """Reads the keys where there are none yet; nothing else of this class may be asked for before.

        Raises:
            UnusableAnchor: they cannot be read. None is ever made here: the log has a key, which must come back.
        """
        if self._keys or self._source is None:
            return
        try:
            self._keys = self._source.changed() or ()
        except SettingsError as error:
            what = "Nothing is sealed here: the key file of the log cannot be read."
            raise UnusableAnchor(what, help=f"{error.detail} {error.help}") from error

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._keys[0].name

    @property
    def verifiers(self) -> list[VerifierKey]:
        """Their verifier keys."""
        return [key.verifier for key in self._keys]

    @property
    def is_new(self) -> bool:
        """Whether they have signed nothing yet; that the database has no log may be somebody's doing."""
        return self._source is not None and self._source.is_unused(self._keys)

    def mark_used(self) -> None:
        """Removes the mark that they have signed nothing: no log begins with them any more.

        Raises:
            UnusableAnchor: it cannot be removed.
        """
        try:
            if self._source is not None:
                self._source.mark_used(self._keys)
        except SettingsError as error:
            what = "Nothing is sealed here: the mark that the log's key has signed nothing cannot be removed."
            raise UnusableAnchor(what, help=f"{error.detail} {error.help}") from error

    def signed(self, checkpoint: Checkpoint) -> bytes:
        """Returns the checkpoint with the signatures of all of them."""
        return bytes(Note(checkpoint.text, tuple(sign(checkpoint.text, key) for key in self._keys)))

    def read_again(self) -> bool:
        """Takes over the keys of a file that was replaced, and tells whether it did.

        One that cannot be read now is no reason to stop: the keys in memory are the log's.

        Raises:
            HistoryAlarm: none of the keys that signed so far is among them, so that nobody could follow.
        """
        try:
            keys = self._source.changed() if self._source is not None else None
        except SettingsError as error:
            logger.warning(error.detail, help=error.help)
            return False
        if keys is None or keys == self._keys:
            return False
        if not set(keys) & set(self._keys):
            raise alarm("The key file holds none of the keys that have signed this log.")
        self._keys = keys
        logger.info("The keys of the log have changed.", keys=[key.verifier.id.hex() for key in keys])
        return True

    def know(self, note: bytes) -> bool:
        """Tells whether one of them, after a look at the file, has signed; for a host that waits.

        That such a host has other keys proves nothing against the log.

        Raises:
            NotProven: it is no note.
        """
        try:
            self.read_again()
        except HistoryAlarm as raised:
            logger.warning(raised.detail, help="This host only waits for the lead; give it the log's key file.")
        return bool(verified_by(parse_note(note), self.verifiers))

    def opened(self, note: bytes, *, outside: bool = False) -> Checkpoint:
        """Returns a checkpoint that one of our keys signed (while keys change, an older one has not all of them).

        Args:
            outside: it was kept outside the database, perhaps since before a key was retired.

        Raises:
            HistoryAlarm: none has. NotProven: it is no checkpoint. UnusableAnchor: the retired keys cannot be read.
        """
        found = parse_note(note)
        checkpoint = Checkpoint.parse(found.text)
        keys = self.verifiers
        if outside and self._source is not None:
            try:
                keys += self._source.retired()
            except SettingsError as error:
                what = "Nothing is sealed here: the list of the log's retired keys cannot be read."
                raise UnusableAnchor(what, help=f"{error.detail} {error.help}") from error
        if checkpoint.origin != self.origin or not verified_by(found, keys):
            raise alarm("A checkpoint of this log is not signed by its key.")
        return checkpoint
