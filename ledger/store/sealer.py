"""The sealer: follows the positions, grows the log's tiles, signs and publishes checkpoints.

Leaf index = position - 1. One sealer per ledger (an advisory lock makes the others wait). Tiles and checkpoint are
written in one transaction, so publishing is its commit: a crash before it leaves the log as it was, a crash after it a
log that the next start takes up. Every start goes through `recover`, there is no other way in.

What is signed is checked first against what was signed before: the newest checkpoint in the database, this process's
own memory, and a file outside the database (`Anchor`). If they do not continue each other the sealer stops for good,
says why in `log_alarm` and in its log, and signs nothing: going on would make two histories out of one.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from ledger.errors import Conflict, HistoryAlarm, NotProven, SettingsError, StoreUnavailable
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.edge import LogEdge, partial_tiles
from ledger.seal.entry import Entry, encode_entry
from ledger.seal.merkle import consistency_proof, leaf_hash, verify_consistency
from ledger.seal.note import Note, parse_note, sign, verified_by
from ledger.seal.strict import HASH_BYTES
from ledger.seal.tiles import WIDTH, tile_at
from ledger.store.anchor import UnusableAnchor
from ledger.store.database import translated
from ledger.store.lanes import SELECT_SPAN
from ledger.store.log_files import GROW_TILES, load_nodes, load_tiles, newest
from ledger.store.log_troubles import SEALER, end_trouble, note_trouble
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ledger.seal.note import SignerKey
    from ledger.store.anchor import Anchor
    from ledger.store.database import Database, Row
    from ledger.store.log_keys import LogKeyFile

logger = get_logger(__name__)

BATCH = 8_192
"""Events under one checkpoint at most; a log that is far behind is sealed in several."""

PACE_S = 0.5
"""Between checkpoints of a log that is not behind: half of the second within which news must be sealed."""

POLL_S = 0.1

LOST_S = 10.0
"""Between looks for a file outside the database that is missing or cannot be used."""

_REFUSED = frozenset({"LG001", "23505", "23514"})
"""SQLSTATEs of the log's triggers and constraints: somebody else has written to it."""

_LAST = "SELECT coalesce(max(position), 0) FROM {schema}.events"
_LOOK = "Compare the database with its backups, the published checkpoints and the witnesses."

LEADER = (
    "SELECT pg_try_advisory_lock((1279543122::bigint << 32) | ('{schema}_sealer'::regrole::oid::bigint & 4294967295))"
)
_PUBLISH = "INSERT INTO {schema}.log_checkpoints (size, root, note) VALUES (%b, %b, %b)"
_ALARM = "INSERT INTO {schema}.log_alarm (reason) SELECT %b::text WHERE NOT EXISTS (SELECT FROM {schema}.log_alarm)"


class Sealer:
    """Seals one ledger; belongs to one thread.

    Args:
        signers: the log's keys, all of one name; each checkpoint is signed by all (more than one while keys change).
        anchor: the newest checkpoint outside the database.
        key_file: where the keys come from, looked at again before each signature, so that keys change while it runs.
    """

    def __init__(
        self, database: Database, signers: Sequence[SignerKey], anchor: Anchor, key_file: LogKeyFile | None = None
    ) -> None:
        if not signers or len({signer.name for signer in signers}) != 1:
            raise SettingsError("The keys of a log have one name.", help="Check the file of LEDGER_LOG_KEY_FILE.")
        self._database = database
        self._signers = tuple(signers)
        self._anchor = anchor
        self._key_file = key_file
        self._select = database.bind(SELECT_SPAN)
        self._edge = LogEdge()
        self._sealed: Checkpoint | None = None
        """The checkpoint that this process knows to be the newest, after `recover`."""
        self._begun: datetime | None = None
        """When it began to run, by the database's clock."""
        self._warned = False

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._signers[0].name

    # --- life -------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Seals until `stop` is set; reconnects when the database goes away.

        Without its file outside the database it seals nothing, and says so until the file is there and can be written.

        Raises:
            HistoryAlarm: what is stored does not continue what was signed; nothing more is signed.
        """
        while not stop.is_set():
            try:
                with translated(), self._database.connect("sealer") as connection:
                    if self._begun is None:
                        (self._begun,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
                    row = connection.execute(self._database.bind(LEADER)).fetchone()
                    if not (row and row[0]):
                        self._look_for_anchor(connection)
                        stop.wait(1.0)
                        continue
                    # A new start may end an alarm; who only waited for the lead, or lost the connection, may not.
                    self._check_alarm(connection, since=self._begun)
                    self._follow(connection, stop)
            except StoreUnavailable as error:
                logger.warning("The sealer lost the database.", reason=error.detail)
                stop.wait(0.5)
            except UnusableAnchor as error:
                # Not an alarm, which would stop another host that has its file and waits for the lead.
                logger.critical(error.detail, help=error.help)
                stop.wait(LOST_S)

    def catch_up(self) -> int:
        """Seals everything that is recorded now and returns the size of the log; for commands without a service.

        Where another sealer leads, it does the work and this waits for it.

        Raises:
            HistoryAlarm: what is stored does not continue what was signed. LostAnchor: see `recover`.
        """
        with translated(), self._database.connect("sealer") as connection:
            row = connection.execute(self._database.bind(_LAST)).fetchone()
            last = int(row[0]) if row else 0
            leads = False
            while (stored := newest(connection, self._database)) is None or stored.size < last:
                if not last:
                    break
                if not leads:
                    row = connection.execute(self._database.bind(LEADER)).fetchone()
                    leads = bool(row and row[0])
                    if leads:
                        self._check_alarm(connection)
                        self.recover(connection)
                if leads:
                    self.seal(connection)
                    continue
                self._check_alarm(connection)
                time.sleep(POLL_S)
        return last

    def trust(self, kept: bytes | None = None, *, accepting: bool = False) -> Checkpoint:
        """Returns the newest checkpoint of the database, checked as at a start, for an operator whose file is lost.

        Args:
            kept: a checkpoint from elsewhere that it must continue.
            accepting: write it as the file outside the database, from where on it is trusted.

        Raises:
            Conflict: the file is there, or none is needed. HistoryAlarm: what is stored does not hold.
        """
        if self._anchor.read() is not None:
            raise Conflict(
                "The file outside the database is there; nothing is to be accepted.",
                help="One that the database does not continue is an alarm; docs/log.md says what to do.",
            )
        with translated(), self._database.connect("sealer") as connection, _alarming():
            checkpoint, note = self._check_stored(connection)
            if note is None:
                raise Conflict("Nothing has been sealed yet.", help="The sealer makes the file when it starts.")
            if kept is not None:
                self._check_continues(connection, kept, checkpoint)
        if accepting:
            self._anchor.write(note)
        return checkpoint

    def _check_alarm(self, connection: psycopg.Connection[Row], *, since: datetime | None = None) -> None:
        """Passes if no alarm stands, or none that was sounded after a time.

        Raises:
            HistoryAlarm: one does.
        """
        query = "SELECT reason FROM {schema}.log_alarm WHERE raised_at >= coalesce(%b::timestamptz, '-infinity')"
        row = connection.execute(self._database.bind(query), (since,)).fetchone()
        if row is not None:
            raise HistoryAlarm(row[0], help=_LOOK)

    def _follow(self, connection: psycopg.Connection[Row], stop: threading.Event) -> None:
        try:
            self.recover(connection)
            connection.execute(self._database.bind("LISTEN {schema}"))
            while not stop.is_set():
                began = time.monotonic()
                if self.seal(connection) == BATCH:
                    continue
                while not stop.is_set() and time.monotonic() < began + PACE_S:
                    stop.wait(POLL_S)
                for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                    pass
        except HistoryAlarm as alarm:
            logger.critical(alarm.detail, help=alarm.help)
            connection.execute(self._database.bind(_ALARM), (alarm.detail,))
            raise
        except UnusableAnchor as error:
            note_trouble(connection, self._database, SEALER, error.detail)
            raise

    # --- start ------------------------------------------------------------------------------------------------------

    def recover(self, connection: psycopg.Connection[Row]) -> Checkpoint:
        """Takes the log up where it was left, after checking everything that it will stand on; returns where that is.

        Raises:
            HistoryAlarm: a signature, a tile, the last events or the file outside do not agree.
            LostAnchor: there is no file outside, although something was sealed.
        """
        self._read_keys_again()
        with _alarming():
            self._look_for_anchor(connection)
            checkpoint, note = self._check_stored(connection)
            self._check_anchor(connection, checkpoint, note)
        self._list_keys(connection)
        connection.execute(self._database.bind("DELETE FROM {schema}.log_alarm"))
        end_trouble(connection, self._database, SEALER)
        self._sealed = checkpoint
        return checkpoint

    def _check_stored(self, connection: psycopg.Connection[Row]) -> tuple[Checkpoint, bytes | None]:
        """Returns the newest checkpoint of the database with its note if tiles and events agree with it."""
        stored = newest(connection, self._database)
        if stored is None:
            self._edge = LogEdge()
            return self._beginning, None
        checkpoint = self._opened(stored.note)
        if (checkpoint.size, checkpoint.root) != (stored.size, stored.root):
            raise _alarm(f"The checkpoint stored for size {stored.size} says something else.")
        tiles = partial_tiles(checkpoint.size)
        self._edge = LogEdge.load(checkpoint.size, load_tiles(connection, self._database, tiles))
        if self._edge.root() != checkpoint.root:
            raise _alarm(f"The tiles of the log do not have the root of its checkpoint {checkpoint.size}.")
        self._check_last_events(connection, checkpoint.size)
        return checkpoint, stored.note

    @property
    def _beginning(self) -> Checkpoint:
        return Checkpoint(self.origin, 0, LogEdge().root())

    def _look_for_anchor(self, connection: psycopg.Connection[Row]) -> None:
        """Begins the file while nothing has been sealed; later one that is missing is told, also while others lead."""
        if self._anchor.read() is not None:
            return
        stored = newest(connection, self._database)
        if stored is None:
            self._anchor.write(bytes(self._signed(self._beginning)))
        elif not self._warned:
            lost = self._anchor.lost(stored.size)
            logger.warning(lost.detail, help=lost.help)
            self._warned = True

    def _signed(self, checkpoint: Checkpoint) -> Note:
        return Note(checkpoint.text, tuple(sign(checkpoint.text, signer) for signer in self._signers))

    def _read_keys_again(self) -> bool:
        """Takes over the keys of a file that was replaced, and tells whether it did.

        One that cannot be read now is no reason to stop: the keys in memory are the log's.

        Raises:
            HistoryAlarm: none of the keys that signed so far is among them, so that nobody could follow.
        """
        try:
            keys = self._key_file.changed() if self._key_file is not None else None
        except SettingsError as error:
            logger.warning(error.detail, help=error.help)
            return False
        if keys is None or keys == self._signers:
            return False
        if not set(keys) & set(self._signers):
            raise _alarm("The key file holds none of the keys that have signed this log.")
        self._signers = keys
        logger.info("The keys of the log have changed.", keys=[key.verifier.id.hex() for key in keys])
        return True

    def _list_keys(self, connection: psycopg.Connection[Row]) -> None:
        """Lists the keys for those who ask."""
        verifiers = [str(signer.verifier) for signer in self._signers]
        connection.execute(
            self._database.bind(
                "INSERT INTO {schema}.log_keys (verifier) SELECT unnest(%b::text[]) ON CONFLICT DO NOTHING"
            ),
            (verifiers,),
        )

    def _check_last_events(self, connection: psycopg.Connection[Row], size: int) -> None:
        """Passes if the events of the last tile are those that were sealed; all others are `ledger verify`'s matter."""
        if not size:
            return
        tile = tile_at(0, (size - 1) // WIDTH, size)
        hashes = load_tiles(connection, self._database, [tile])(tile)
        first = tile.number * WIDTH
        for offset, entry in enumerate(self._entries(connection, first, first + tile.width)):
            at = offset * HASH_BYTES
            if leaf_hash(encode_entry(entry)) != hashes[at : at + HASH_BYTES]:
                raise _alarm(f"The event at position {entry.position} is not the one that was sealed.")

    def _check_anchor(self, connection: psycopg.Connection[Row], checkpoint: Checkpoint, note: bytes | None) -> None:
        """Passes if the database continues what the file outside it says, and brings the file up to date."""
        written = self._anchor.read()
        if written is None:
            raise self._anchor.lost(checkpoint.size)
        outside = self._check_continues(connection, written, checkpoint)
        if outside < checkpoint.size and note is not None:
            self._anchor.write(note)

    def _check_continues(self, connection: psycopg.Connection[Row], kept: bytes, checkpoint: Checkpoint) -> int:
        """Returns the size of a checkpoint from outside if the newest one of the database continues it."""
        older = self._opened(kept, outside=True)
        if older.size > checkpoint.size:
            raise _alarm(f"The database knows {checkpoint.size} sealed events, but {older.size} have been published.")
        prove = partial(consistency_proof, old=older.size, new=checkpoint.size)
        proof = prove(load_nodes(connection, self._database, checkpoint.size, prove))
        verify_consistency(older.size, older.root, checkpoint.size, checkpoint.root, proof)
        return older.size

    def _opened(self, note: bytes, *, outside: bool = False) -> Checkpoint:
        """Returns a checkpoint that one of our keys signed (while keys change, an older one has not all of them).

        Args:
            outside: it was kept outside the database, perhaps since before a key was retired.
        """
        found = parse_note(note)
        checkpoint = Checkpoint.parse(found.text)
        keys = [signer.verifier for signer in self._signers]
        if outside and self._key_file is not None:
            keys += self._key_file.retired()
        if checkpoint.origin != self.origin or not verified_by(found, keys):
            raise _alarm("A checkpoint of this log is not signed by its key.")
        return checkpoint

    # --- one step ---------------------------------------------------------------------------------------------------

    def seal(self, connection: psycopg.Connection[Row]) -> int:
        """Seals what has been recorded since, up to BATCH events, and returns how many that were.

        Raises:
            HistoryAlarm: a position is missing, or another process has published something else.
        """
        if self._sealed is None:
            message = "A sealer begins with recover()."
            raise RuntimeError(message)
        size = self._sealed.size
        entries = self._entries(connection, size, size + BATCH, complete=False)
        if not entries:
            return 0
        # After the events were read: whatever covers the event of a key's retirement, that key has not signed.
        if self._read_keys_again():
            self._list_keys(connection)
        try:
            for entry in entries:
                self._edge.append(leaf_hash(encode_entry(entry)))
            checkpoint = Checkpoint(self.origin, self._edge.size, self._edge.root())
            note = self._signed(checkpoint)
            self._publish(connection, checkpoint, bytes(note))
        except BaseException:
            # What is in memory may be ahead of the database now, or the database of us: only recover() knows.
            self._sealed = None
            raise
        self._sealed = checkpoint
        self._anchor.write(bytes(note))
        return len(entries)

    def _publish(self, connection: psycopg.Connection[Row], checkpoint: Checkpoint, note: bytes) -> None:
        """Stores tiles and checkpoint together; the commit publishes them."""
        previous = self._sealed
        grown = self._edge.take_grown()
        levels, numbers = [level for level, _ in grown], [number for _, number in grown]
        with _alarming(), connection.transaction():
            self._check_alarm(connection)
            stored = newest(connection, self._database)
            if previous is not None and (stored.size if stored else 0) != previous.size:
                raise _alarm("Another sealer has published a checkpoint of this log.")
            connection.execute(self._database.bind(GROW_TILES), (levels, numbers, list(grown.values())), binary=True)
            connection.execute(self._database.bind(_PUBLISH), (checkpoint.size, checkpoint.root, note), binary=True)
            connection.execute(self._database.bind("NOTIFY {schema}_log"))

    def _entries(
        self, connection: psycopg.Connection[Row], after: int, until: int, *, complete: bool = True
    ) -> list[Entry]:
        """Returns the entries after a position, without a gap.

        Raises:
            HistoryAlarm: one is missing.
        """
        cursor = connection.execute(self._select, (after, until), prepare=True, binary=True)
        entries = [Entry._make(row) for row in cursor.fetchall()]
        missing = next(
            (place for place, entry in enumerate(entries, after + 1) if entry.position != place),
            after + len(entries) + 1 if complete and len(entries) < until - after else None,
        )
        if missing is not None:
            raise _alarm(f"The event at position {missing} is missing.")
        return entries


@contextmanager
def _alarming() -> Iterator[None]:
    """Turns what cannot be proven, and what the log's own triggers refuse, into an alarm."""
    try:
        yield
    except NotProven as error:
        raise _alarm(error.detail) from error
    except psycopg.Error as error:
        if error.sqlstate not in _REFUSED:
            raise
        raise _alarm("The database refused a change of the log.") from error


def _alarm(detail: str) -> HistoryAlarm:
    return HistoryAlarm(
        f"Nothing more is sealed. {detail}",
        help=_LOOK,
    )
