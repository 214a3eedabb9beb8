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
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from ledger.errors import Conflict, InvalidInput, SettingsError, StoreUnavailable
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.edge import LogEdge, partial_tiles
from ledger.seal.entry import Entry, encode_entry
from ledger.seal.merkle import consistency_proof, leaf_hash, verify_consistency
from ledger.seal.strict import HASH_BYTES
from ledger.seal.tiles import WIDTH, tile_at
from ledger.store.anchor import UnusableAnchor
from ledger.store.database import translated
from ledger.store.lanes import SELECT_SPAN
from ledger.store.log_alarms import alarm, alarming, check_alarm, end_alarm, sounding
from ledger.store.log_files import GROW_TILES, load_nodes, load_tiles, newest
from ledger.store.log_signing import LogSigners
from ledger.store.log_troubles import SEALER, end_trouble, note_trouble
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from datetime import datetime

    from ledger.errors import LedgerError
    from ledger.seal.note import SignerKey
    from ledger.store.anchor import Anchor
    from ledger.store.database import Database, Row
    from ledger.store.log_files import StoredCheckpoint
    from ledger.store.log_key_source import LogKeySource

logger = get_logger(__name__)

BATCH = 8_192
"""Events under one checkpoint at most; a log that is far behind is sealed in several."""

PACE_S = 0.5
"""Between checkpoints of a log that is not behind: half of the second within which news must be sealed."""

POLL_S = 0.1

WAITING_S = 1.0
"""Between tries to take the lead; as often the file of a host that waits follows."""

LOST_S = 10.0
"""Between looks for a file outside the database that is missing or cannot be used."""

_LAST = "SELECT coalesce(max(position), 0) FROM {schema}.events"

LEADER = (
    "SELECT pg_try_advisory_lock((1279543122::bigint << 32) | ('{schema}_sealer'::regrole::oid::bigint & 4294967295))"
)
_PUBLISH = "INSERT INTO {schema}.log_checkpoints (size, root, note) VALUES (%b, %b, %b)"


class Sealer:
    """Seals one ledger; belongs to one thread.

    Args:
        signers: the log's keys, all of one name; each checkpoint is signed by all (more than one while keys change).
            Empty where they are read at the start: then keys that cannot be read are waited for.
        anchor: the newest checkpoint outside the database.
        source: where the keys come from, looked at again before each signature, so that keys change while it runs.
    """

    def __init__(
        self, database: Database, signers: Sequence[SignerKey], anchor: Anchor, source: LogKeySource | None = None
    ) -> None:
        self._database = database
        self._signers = LogSigners(signers, source)
        self._anchor = anchor
        self._select = database.bind(SELECT_SPAN)
        self._edge = LogEdge()
        self._sealed: Checkpoint | None = None
        """The checkpoint that this process knows to be the newest, after `recover`."""
        self._begun: datetime | None = None
        """When it began to run, by the database's clock."""
        self._told = ""
        """What it has warned of last, while it waits for the lead."""

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._signers.origin

    # --- life -------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Seals until `stop` is set; reconnects when the database goes away.

        Without its keys, or its file outside the database, it seals nothing, and says so until they are there.
        While another host leads, it follows with its own file.

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
                        self._signers.load()
                        with sounding(connection, self._database):
                            self._look_for_anchor(connection)
                            self._keep_up(connection)
                        stop.wait(WAITING_S)
                        continue
                    # A new start may end an alarm; who only waited for the lead, or lost the connection, may not.
                    check_alarm(connection, self._database, since=self._begun)
                    self._follow(connection, stop)
            except StoreUnavailable as error:
                logger.warning("The sealer lost the database.", reason=error.detail)
                stop.wait(0.5)
            except SettingsError as error:
                # Not an alarm, which would stop another host that has its files and waits for the lead. Nor does it
                # end here: the supervisor would give a sealer up that ends again and again, and stop the service.
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
                        check_alarm(connection, self._database)
                        self.recover(connection)
                if leads:
                    self.seal(connection)
                    continue
                check_alarm(connection, self._database)
                time.sleep(POLL_S)
        return last

    def trust(self, kept: bytes | None = None, *, accepting: bool = False) -> Checkpoint:
        """Returns the newest checkpoint of the database, checked as at a start, for an operator whose file is lost.

        Its size is 0 where the database has no log: whatever its events are, they are signed then.

        Args:
            kept: a checkpoint from elsewhere that it must continue.
            accepting: write it as the file outside the database, from where on it is trusted.

        Raises:
            Conflict: the file is there, or the sealer will begin it. HistoryAlarm: what is stored does not hold.
            UnusableAnchor: the file, or that of the keys, cannot be read.
        """
        self._signers.load()
        if self._anchor.read() is not None:
            raise Conflict(
                "The file outside the database is there; nothing is to be accepted.",
                help="One that the database does not continue is an alarm; docs/log.md says what to do.",
            )
        with translated(), self._database.connect("sealer") as connection, alarming():
            checkpoint, note = self._check_stored(connection)
            if note is None and self._signers.is_new:
                raise Conflict("Nothing has been sealed yet.", help="The sealer makes the file when it starts.")
            if kept is not None:
                self._check_continues(connection, kept, checkpoint)
        if accepting:
            self._anchor.write(note or self._signers.signed(checkpoint))
        return checkpoint

    def _follow(self, connection: psycopg.Connection[Row], stop: threading.Event) -> None:
        try:
            with sounding(connection, self._database):
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
        except UnusableAnchor as error:
            note_trouble(connection, self._database, SEALER, error.detail)
            raise

    def _keep_up(self, connection: psycopg.Connection[Row]) -> None:
        """Follows another host with the file of this one: it must know what was signed before it takes the lead.

        Raises:
            HistoryAlarm: the database does not continue the file.
        """
        kept = self._anchor.read()  # before the database, so that it is never ahead while all is well
        stored = newest(connection, self._database)
        if kept is None or (stored is not None and stored.note == kept):
            return
        with alarming():
            checkpoint = self._beginning
            if stored is not None:
                if not self._signers.know(stored.note):
                    what = "The newest checkpoint is not signed by a key of this host, which follows it no more."
                    self._tell(SettingsError(what, help="Copy the log's key file to it, and start its sealer again."))
                    return
                checkpoint = self._opened_row(stored)
            older = self._check_continues(connection, kept, checkpoint)
        if stored is not None and older < checkpoint.size and self._anchor.read() == kept:
            self._anchor.write(stored.note)

    def _tell(self, error: LedgerError) -> None:
        """Warns, once for as long as nothing else is to be told."""
        if error.detail != self._told:
            logger.warning(error.detail, help=error.help)
            self._told = error.detail

    # --- start ------------------------------------------------------------------------------------------------------

    def recover(self, connection: psycopg.Connection[Row]) -> Checkpoint:
        """Takes the log up where it was left, after checking everything that it will stand on; returns where that is.

        Raises:
            HistoryAlarm: a signature, a tile, the last events or the file outside do not agree.
            LostAnchor: there is no file outside, although something was or may have been sealed.
            UnusableAnchor: it, or that of the keys, cannot be read or written.
        """
        self._signers.load()
        self._signers.read_again()
        with alarming():
            self._look_for_anchor(connection)
            checkpoint, note = self._check_stored(connection)
            self._check_anchor(connection, checkpoint, note)
        self._list_keys(connection)
        end_alarm(connection, self._database)
        end_trouble(connection, self._database, SEALER)
        self._sealed = checkpoint
        return checkpoint

    def _check_stored(self, connection: psycopg.Connection[Row]) -> tuple[Checkpoint, bytes | None]:
        """Returns the newest checkpoint of the database with its note if tiles and events agree with it."""
        stored = newest(connection, self._database)
        if stored is None:
            self._edge = LogEdge()
            return self._beginning, None
        checkpoint = self._opened_row(stored)
        tiles = partial_tiles(checkpoint.size)
        self._edge = LogEdge.load(checkpoint.size, load_tiles(connection, self._database, tiles))
        if self._edge.root() != checkpoint.root:
            raise alarm(f"The tiles of the log do not have the root of its checkpoint {checkpoint.size}.")
        self._check_last_events(connection, checkpoint.size)
        return checkpoint, stored.note

    def _opened_row(self, stored: StoredCheckpoint) -> Checkpoint:
        checkpoint = self._signers.opened(stored.note)
        if (checkpoint.size, checkpoint.root) != (stored.size, stored.root):
            raise alarm(f"The checkpoint stored for size {stored.size} says something else.")
        return checkpoint

    @property
    def _beginning(self) -> Checkpoint:
        return Checkpoint(self.origin, 0, LogEdge().root())

    def _look_for_anchor(self, connection: psycopg.Connection[Row]) -> None:
        """Begins the file of a key that has signed nothing; another that is missing is told, also while others lead.

        Raises:
            UnusableAnchor: the file cannot be written, or the key's mark not be removed.
        """
        if self._anchor.read() is None:
            stored = newest(connection, self._database)
            if stored is None and self._signers.is_new:
                self._anchor.write(self._signers.signed(self._beginning))
            else:
                self._tell(self._anchor.lost(stored.size if stored else 0))
        if self._signers.is_new:  # whichever it was: no log begins with this key any more
            self._signers.mark_used()

    def _list_keys(self, connection: psycopg.Connection[Row]) -> None:
        """Lists the keys for those who ask."""
        verifiers = [str(key) for key in self._signers.verifiers]
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
            if _leaf(entry) != hashes[at : at + HASH_BYTES]:
                raise alarm(f"The event at position {entry.position} is not the one that was sealed.")

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
        older = self._signers.opened(kept, outside=True)
        if older.size > checkpoint.size:
            raise alarm(f"The database knows {checkpoint.size} sealed events, but {older.size} have been published.")
        prove = partial(consistency_proof, old=older.size, new=checkpoint.size)
        proof = prove(load_nodes(connection, self._database, checkpoint.size, prove))
        verify_consistency(older.size, older.root, checkpoint.size, checkpoint.root, proof)
        return older.size

    # --- one step ---------------------------------------------------------------------------------------------------

    def seal(self, connection: psycopg.Connection[Row]) -> int:
        """Seals what has been recorded since, up to BATCH events, and returns how many that were.

        Raises:
            HistoryAlarm: a position is missing, an event cannot have been recorded, or another process has published
                something else.
        """
        if self._sealed is None:
            message = "A sealer begins with recover()."
            raise RuntimeError(message)
        size = self._sealed.size
        entries = self._entries(connection, size, size + BATCH, complete=False)
        if not entries:
            return 0
        # After the events were read: whatever covers the event of a key's retirement, that key has not signed.
        if self._signers.read_again():
            self._list_keys(connection)
        try:
            for entry in entries:
                self._edge.append(_leaf(entry))
            checkpoint = Checkpoint(self.origin, self._edge.size, self._edge.root())
            note = self._signers.signed(checkpoint)
            self._publish(connection, checkpoint, note)
        except BaseException:
            # What is in memory may be ahead of the database now, or the database of us: only recover() knows.
            self._sealed = None
            raise
        self._sealed = checkpoint
        self._anchor.write(note)
        return len(entries)

    def _publish(self, connection: psycopg.Connection[Row], checkpoint: Checkpoint, note: bytes) -> None:
        """Stores tiles and checkpoint together; the commit publishes them."""
        previous = self._sealed
        grown = self._edge.take_grown()
        levels, numbers = [level for level, _ in grown], [number for _, number in grown]
        with alarming(), connection.transaction():
            check_alarm(connection, self._database)
            stored = newest(connection, self._database)
            if previous is not None and (stored.size if stored else 0) != previous.size:
                raise alarm("Another sealer has published a checkpoint of this log.")
            connection.execute(self._database.bind(GROW_TILES), (levels, numbers, list(grown.values())), binary=True)
            connection.execute(self._database.bind(_PUBLISH), (checkpoint.size, checkpoint.root, note), binary=True)
            connection.execute(self._database.bind("NOTIFY {schema}_log"))

    def _entries(
        self, connection: psycopg.Connection[Row], after: int, until: int, *, complete: bool = True
    ) -> list[Entry]:
        """Returns the entries after a position, without a gap.

        Raises:
            HistoryAlarm: one is missing, or cannot be read.
        """
        cursor = connection.execute(self._select, (after, until), prepare=True, binary=True)
        try:
            entries = [Entry._make(row) for row in cursor.fetchall()]
        except psycopg.DataError as error:  # a time that no calendar has
            raise alarm(f"An event after position {after} holds what the ledger cannot have recorded.") from error
        missing = next(
            (place for place, entry in enumerate(entries, after + 1) if entry.position != place),
            after + len(entries) + 1 if complete and len(entries) < until - after else None,
        )
        if missing is not None:
            raise alarm(f"The event at position {missing} is missing.")
        return entries


def _leaf(entry: Entry) -> bytes:
    """Returns the hash of an event; one that is no entry was made behind the ledger.

    Raises:
        HistoryAlarm: it is such a one.
    """
    try:
        return leaf_hash(encode_entry(entry))
    except InvalidInput as error:
        raise alarm(f"The event at position {entry.position} cannot have been recorded. {error.detail}") from error
