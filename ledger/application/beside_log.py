"""What stands beside the log in the database, where no hash covers it: the list of its keys, and cosignatures.

People take both for the log's: `/log/key` and packs show keys of the list, `/log/checkpoint` and receipts the stored
cosignatures. A database superuser can write there what he likes. So the list is compared with the keys that this host
knows and with the events that say which key came and which went; those events are leaves. A cosignature needs no such
comparison, since its witness signed it: it is verified, and so is the checkpoint that it is about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from ledger.aggregates.log_keys import LogKeyAdded, LogKeyRetired
from ledger.errors import LedgerError, NotProven, Unreadable
from ledger.seal.check import check_continues
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.entry import Entry
from ledger.seal.note import COSIGNATURE, VerifierKey, parse_note, verified_by
from ledger.seal.witness import read_cosignature
from ledger.store.lanes import ENTRY_COLUMNS
from ledger.store.log_files import SELECT_KEYS

if TYPE_CHECKING:
    import psycopg

    from ledger.projections.reader import EventReader
    from ledger.seal.tiles import Tile
    from ledger.store.database import Database, Row

Tell = Callable[[str, str, str], None]
Leave = Callable[[str], None]

KEYS = "log keys"
COSIGNATURES = "cosignatures"
TOGETHER = 1_000

_OF_KEYS = f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events WHERE topic = ANY(%b::text[]) ORDER BY position"  # noqa: S608 - ours
_HOW_MANY = "SELECT count(*) FROM {schema}.log_cosignatures"
_COSIGNED = (
    "SELECT c.size, c.witness, c.line, k.root, k.note FROM {schema}.log_cosignatures c"
    " LEFT JOIN {schema}.log_checkpoints k ON k.size = c.size ORDER BY c.size, c.witness"
)


class KnownKeys(NamedTuple):
    """What the one who verifies knows without the database.

    Args:
        signing: the log's keys.
        retired: those that signed once.
        witnesses: present and former ones.
        complete: whether `signing` and `retired` are all that the log ever had, as on the host that has its key file;
            one who was given a key elsewhere may not know another honest one.
    """

    signing: Sequence[VerifierKey]
    retired: Sequence[VerifierKey] = ()
    witnesses: Sequence[VerifierKey] = ()
    complete: bool = True


class BesideLog:
    """Checks the lists of one ledger, in the snapshot of whoever verifies.

    Args:
        tell: called with each finding: where, which record, what is wrong.
        leave: called with what could not be checked.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Row],
        database: Database,
        reader: EventReader,
        known: KnownKeys,
        tell: Tell,
        leave: Leave,
    ) -> None:
        self._connection = connection
        self._database = database
        self._reader = reader
        self._known = known
        self._tell = tell
        self._leave = leave

    def check_keys(self, origin: str, size: int, note: bytes) -> None:
        """Compares the list of keys, and the signatures under the newest checkpoint, with what is known of them."""
        rows = self._connection.execute(self._database.bind(SELECT_KEYS)).fetchall()
        listed = [text for (text,) in rows]
        told = self._told()
        for text in listed:
            self._check_key(text, origin, told)
        signed = parse_note(note)
        try:
            signers = verified_by(signed, self._known.signing)
        except NotProven as error:
            self._tell("checkpoints", f"size {size}", error.detail)
            return
        for key in signers:
            if str(key) not in listed:
                self._tell(KEYS, str(key), "It signs the log, and is missing from the list of keys.")
        own = (*self._known.signing, *self._known.retired, *map(VerifierKey.parse, told))
        for signature in signed.signatures:
            if self._known.complete and (signature.name, signature.key_id) not in {(key.name, key.id) for key in own}:
                what = f"It has a signature of {signature.name} {signature.key_id.hex()}, which is no key of the log."
                self._tell("checkpoints", f"size {size}", what)

    def _told(self) -> dict[str, tuple[int, bool]]:
        """Returns what events say of keys: the position of the last one of a key, and whether it still signs."""
        topics = [LogKeyAdded.TOPIC, LogKeyRetired.TOPIC]
        cursor = self._connection.execute(self._database.bind(_OF_KEYS), (topics,), binary=True)
        told: dict[str, tuple[int, bool]] = {}
        entries = [Entry._make(row) for row in cursor.fetchall()]
        for fact in self._reader.facts(self._connection, entries, self._unopened):
            event = fact.event
            if isinstance(event, LogKeyAdded | LogKeyRetired):
                told[event.verifier] = (fact.entry.position, isinstance(event, LogKeyAdded))
        return told

    def _unopened(self, entry: Entry, error: Unreadable) -> None:
        self._leave(f"What the event at position {entry.position} says of the log's keys: {error.detail}")

    def _check_key(self, text: str, origin: str, told: dict[str, tuple[int, bool]]) -> None:
        try:
            key = VerifierKey.parse(text)
        except NotProven as error:
            self._tell(KEYS, text, f"What is listed is no verifier key. {error.detail}")
            return
        position, signs = told.get(text, (0, True))
        if key.name != origin:
            self._tell(KEYS, text, "It is listed, and is a key of another log.")
        elif not signs and self._known.complete and key in self._known.signing:
            self._tell(KEYS, text, f"The event at position {position} retired it, and the keys of this host have it.")
        elif position or key in self._known.signing or key in self._known.retired:
            return
        elif self._known.complete:
            what = "It is listed, but is no key of this host, retired or not, and no event says that it was added."
            self._tell(KEYS, text, what)
        else:
            self._leave(f"The listed key {text}: it was not given here, and no event says that it was added.")

    def check_cosignatures(
        self, load: Callable[[Tile], bytes], newest: Checkpoint, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Verifies each stored cosignature by its witness's key, and that the log continues what it is about.

        About a millisecond each, so that years of them take minutes.

        Args:
            progress: called with (cosignatures done, cosignatures in all).
        """
        row = self._connection.execute(self._database.bind(_HOW_MANY)).fetchone()
        total = int(row[0]) if row else 0
        strangers: Counter[str] = Counter()
        vouched: tuple[int, int, str] | None = None
        texts: dict[int, str | None] = {}
        with self._connection.cursor("cosignatures", binary=True) as cursor:
            cursor.itersize = TOGETHER
            cursor.execute(self._database.bind(_COSIGNED))
            for done, (size, witness, line, root, note) in enumerate(cursor, 1):
                if progress is not None and (done % TOGETHER == 0 or done == total):
                    progress(done, total)
                if size not in texts:  # they come by size
                    texts = {size: self._checkpoint_of(load, newest, size, root, note)}
                text = texts[size]
                if text is None:
                    continue
                record = f"size {size}, {witness}"
                try:
                    key = VerifierKey.parse(witness)
                    if key.kind != COSIGNATURE or key.public in {own.public for own in self._known.signing}:
                        raise NotProven("The key is none of a witness.")  # noqa: TRY301 - one answer to all of it
                    found, seconds = read_cosignature(bytes(line), text, key)
                    if found.line().encode() != bytes(line):
                        raise NotProven("More stands there than the witness's signature.")  # noqa: TRY301 - likewise
                except NotProven as error:
                    self._tell(COSIGNATURES, record, error.detail)
                    continue
                if key in self._known.witnesses:
                    vouched = (size, seconds, key.name)
                else:
                    strangers[witness] += 1
        for witness, count in strangers.items():
            self._leave(
                f"Whose {witness} is: {count} cosignatures are of this key, which is no witness of this host"
                " (one that was it before: --witness)."
            )
        self._leave(_times(vouched))

    def _checkpoint_of(
        self, load: Callable[[Tile], bytes], newest: Checkpoint, size: int, root: bytes | None, note: bytes | None
    ) -> str | None:
        """Returns the text that witnesses have signed, or None where there is none that is to be verified."""
        if note is None or root is None:
            self._tell(COSIGNATURES, f"size {size}", "There is no checkpoint of this size.")
            return None
        try:
            parsed = parse_note(bytes(note))
            checkpoint = Checkpoint.parse(parsed.text)
            if checkpoint != Checkpoint(newest.origin, size, bytes(root)):
                raise NotProven("Its columns do not say what its note says.")
            if self._known.complete and not verified_by(parsed, (*self._known.signing, *self._known.retired)):
                raise NotProven("The log's own signature is missing.")
            check_continues(load, checkpoint, newest)
        except LedgerError as error:
            self._tell("checkpoints", f"size {size}", error.detail)
            return None
        return parsed.text


def _times(vouched: tuple[int, int, str] | None) -> str:
    said = (
        "When checkpoints were signed, keys listed and cosignatures received, and what operators decided about the log:"
        " the database alone says so."
    )
    if vouched is None:
        return said
    size, seconds, name = vouched
    return f"{said} {name} has signed that it saw {size} events at {datetime.fromtimestamp(seconds, UTC):%F %T} UTC."
