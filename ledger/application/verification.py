"""`ledger verify`: the database against its log, and the log against what was kept outside it.

Hashes: every stored event against its leaf, every tile against the one above it, the highest against the signed
checkpoint, that one against older checkpoints from elsewhere. Guards: triggers and functions as the migrations made
them. What no hash covers (`beside_log`): the list of keys, and cosignatures. Snapshots: each against a replay of its
events. Meaning (`Auditor`): every event opens and every view is what a replay makes of it. Everything that is wrong is
listed with the record that it concerns; nothing is mended.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from eventsourcing.domain import EventSourcingError
from psycopg import IsolationLevel

from ledger.application.audit import MAX_FINDINGS, Finding
from ledger.application.beside_log import BesideLog, KnownKeys
from ledger.errors import Erased, InvalidInput, LedgerError, NotProven
from ledger.projections.reader import EventReader
from ledger.seal.check import check_continues, check_entries, wrong_tiles
from ledger.seal.checkpoint import open_checkpoint
from ledger.seal.entry import Entry, encode_entry
from ledger.seal.tiles import WIDTH, Tile
from ledger.store.database import translated
from ledger.store.guards import broken_guards
from ledger.store.keyring import Keyring
from ledger.store.lanes import ENTRY_COLUMNS, SELECT_SPAN, fold, fold_erased
from ledger.store.log_files import load_tiles, newest
from ledger.store.snapshots import open_snapshot, same_state

if TYPE_CHECKING:
    from ledger.seal.checkpoint import Checkpoint
    from ledger.seal.note import VerifierKey
    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper
    from ledger.streams.base import Lane

Progress = Callable[[int, int], None]

CHUNK = 10 * WIDTH
KEPT_TILES = 1_024

_SNAPSHOTS = (
    "SELECT 0::bigint, stream_id, stream_id, version, subject_id, 'snapshot', taken_at, kind, algorithm,"
    " key_commitment, ''::bytea, sealed FROM {schema}.snapshots ORDER BY stream_id"
)
_OF_STREAM = (
    f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events"  # noqa: S608 - ours
    " WHERE stream_id = %b AND version BETWEEN 1 AND %b ORDER BY version"
)


class Outside(NamedTuple):
    """A checkpoint that was kept outside the database, and where."""

    name: str
    note: bytes


@dataclass(slots=True)
class LogReport:
    """What was verified of the log, what was found, and what was not checked."""

    origin: str = ""
    sealed: int = 0
    events: int = 0
    snapshots: int = 0
    findings: list[Finding] = field(default_factory=list)
    unlisted: int = 0
    not_checked: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def add(self, where: str, record: str, what: str) -> None:
        """Lists a finding; past the first thousand they are only counted."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(where, record, what))
        else:
            self.unlisted += 1


class LogVerifier:
    """Verifies one ledger's database against its log.

    Args:
        keys: the log's verifier keys, as the one who verifies trusts them.
        outside: checkpoints that were kept outside the database.
        retired: keys that signed the log once. They open what was kept outside, and never what is newest: whoever
            stole one must not make a new history with it.
        witnesses: keys of the log's witnesses, present and former.
        complete: whether `keys` and `retired` are all that the log ever had; see `KnownKeys`.
    """

    def __init__(
        self,
        database: Database,
        mapper: EventMapper,
        keks: KeyEncryptionKeys,
        keys: Sequence[VerifierKey],
        outside: Sequence[Outside] = (),
        retired: Sequence[VerifierKey] = (),
        witnesses: Sequence[VerifierKey] = (),
        *,
        complete: bool = True,
    ) -> None:
        self._database = database
        self._mapper = mapper
        self._keyring = Keyring(keks, maximum=1_000_000)
        self._reader = EventReader(database, mapper, self._keyring)
        self._keys = tuple(keys)
        self._outside = tuple(outside)
        self._retired = tuple(retired)
        self._known = KnownKeys(self._keys, self._retired, tuple(witnesses), complete)
        self._tiles: OrderedDict[Tile, bytes] = OrderedDict()

    def verify(self, progress: Progress | None = None, cosignatures: Progress | None = None) -> LogReport:
        """Verifies everything, in one snapshot of the database.

        Args:
            progress: called with (events done, events in all).
            cosignatures: called with (cosignatures done, cosignatures in all).

        Raises:
            StoreUnavailable, SettingsError: the database cannot be read at all.
        """
        report = LogReport()
        with translated(), self._database.connect("writer") as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction():
                for guard in broken_guards(connection, self._database):
                    report.add("guards", guard.what, f"It {guard.how}.")
                last = self._reader.last_position(connection)
                kept = self._open_outside(report)
                checkpoint = self._checkpoint(connection, report, last, kept)
                if checkpoint is not None:
                    self._check_outside(connection, report, checkpoint, kept)
                    self._check_log(connection, report, checkpoint, progress)
                    self._check_beside(connection, report, checkpoint, cosignatures)
                    if last > checkpoint.size:
                        report.not_checked.append(
                            f"{last - checkpoint.size} events after the last checkpoint are not sealed yet."
                        )
                self._check_snapshots(connection, report)
        if not kept:
            report.not_checked.append(
                "No checkpoint from outside the database was given: an exchanged whole goes unseen."
            )
        return report

    # --- the log ----------------------------------------------------------------------------------------------------

    def _open_outside(self, report: LogReport) -> list[tuple[str, Checkpoint]]:
        """Returns what was kept outside, of those that a key has signed, and that say something."""
        kept: list[tuple[str, Checkpoint]] = []
        for outside in self._outside:
            wrong = "No verifier key was given."
            for key in (*self._keys, *self._retired):
                try:
                    checkpoint = open_checkpoint(outside.note, key).checkpoint
                except NotProven as error:
                    wrong = error.detail
                    continue
                if checkpoint.size:
                    kept.append((outside.name, checkpoint))
                else:
                    told = f"{outside.name} is of the empty log (size 0), which every history continues."
                    report.not_checked.append(told)
                break
            else:
                report.add("checkpoints", outside.name, wrong)
        return kept

    def _checkpoint(
        self,
        connection: psycopg.Connection[Row],
        report: LogReport,
        last: int,
        kept: Sequence[tuple[str, Checkpoint]],
    ) -> Checkpoint | None:
        stored = newest(connection, self._database)
        if stored is None:
            if kept:
                report.add("checkpoints", "the newest one", "There is none, but one was published.")
            elif last:
                report.not_checked.append(f"Nothing is sealed yet: {last} events stand without a proof.")
            return None
        wrong = ""
        for key in self._keys:
            try:
                checkpoint = open_checkpoint(stored.note, key).checkpoint
            except NotProven as error:
                wrong = error.detail
                continue
            if (checkpoint.size, checkpoint.root) != (stored.size, stored.root):
                report.add("checkpoints", f"size {stored.size}", "Its columns do not say what its note says.")
            report.origin, report.sealed = checkpoint.origin, checkpoint.size
            return checkpoint
        report.add("checkpoints", f"size {stored.size}", wrong or "No verifier key was given.")
        return None

    def _check_outside(
        self,
        connection: psycopg.Connection[Row],
        report: LogReport,
        checkpoint: Checkpoint,
        kept: Sequence[tuple[str, Checkpoint]],
    ) -> None:
        for name, older in kept:
            try:
                check_continues(self._loader(connection), older, checkpoint)
            except NotProven as error:
                report.add("checkpoints", name, error.detail)

    def _loader(self, connection: psycopg.Connection[Row]) -> Callable[[Tile], bytes]:
        """Returns a loader of tiles that keeps some of them."""

        def load(tile: Tile) -> bytes:
            found = self._tiles.get(tile)
            if found is None:
                found = self._tiles[tile] = load_tiles(connection, self._database, [tile])(tile)
                if len(self._tiles) > KEPT_TILES:
                    self._tiles.popitem(last=False)
            return found

        return load

    def _check_log(
        self, connection: psycopg.Connection[Row], report: LogReport, checkpoint: Checkpoint, progress: Progress | None
    ) -> None:
        load, size = self._loader(connection), checkpoint.size
        doubted: set[int] = set()
        for wrong in wrong_tiles(load, checkpoint):
            span = wrong.span
            report.add("log", f"{wrong.tile.path} (positions {span.first} to {span.last})", wrong.detail)
            if wrong.tile.level == 0:
                doubted.add(wrong.tile.number)
        for after in range(0, size, CHUNK):
            until = min(after + CHUNK, size)
            cursor = connection.execute(self._database.bind(SELECT_SPAN), (after, until), binary=True)
            entries = [Entry._make(row) for row in cursor.fetchall()]
            report.events += len(entries)
            there = {entry.position for entry in entries}
            for position in range(after + 1, until + 1):
                if position not in there:
                    report.add("events", f"position {position}", "The event was sealed and is missing.")
            for run in _runs(entries):
                self._check_run(load, report, run, size, doubted)
            if progress is not None:
                progress(until, size)

    def _check_run(
        self, load: Callable[[Tile], bytes], report: LogReport, run: Sequence[Entry], size: int, doubted: set[int]
    ) -> None:
        first = run[0].position
        try:
            found = list(check_entries(load, first, [_encoded(entry) for entry in run], size))
        except NotProven:
            return  # the tile is missing, and named already
        for wrong in found:
            entry = run[wrong.position - first]
            where = f"position {entry.position} (event {entry.event_id}, {entry.topic}, stream {entry.stream_id})"
            if (first - 1) // WIDTH in doubted:
                report.add(
                    "events", where, "The stored event and its hash in the log do not agree; the hash was altered."
                )
            else:
                report.add("events", where, "The stored event is not the one that was sealed.")

    def _check_beside(
        self, connection: psycopg.Connection[Row], report: LogReport, checkpoint: Checkpoint, progress: Progress | None
    ) -> None:
        beside = BesideLog(connection, self._database, self._reader, self._known, report.add, report.not_checked.append)
        stored = newest(connection, self._database)
        if stored is not None:
            beside.check_keys(checkpoint.origin, stored.size, stored.note)
        beside.check_cosignatures(self._loader(connection), checkpoint, progress)

    # --- snapshots --------------------------------------------------------------------------------------------------

    def _check_snapshots(self, connection: psycopg.Connection[Row], report: LogReport) -> None:
        kinds = self._mapper.lane_kinds()
        rows = connection.execute(self._database.bind(_SNAPSHOTS), binary=True).fetchall()
        for row in rows:
            entry = Entry._make(row)
            if entry.record_class not in kinds:
                report.not_checked.append(f"The snapshot of stream {entry.stream_id} has a shape of another version.")
                continue
            report.snapshots += 1
            where = f"stream {entry.stream_id}, version {entry.version}"
            try:
                self._reader.load_keys(connection, [(entry.subject_id, "snapshots")])
                stored = open_snapshot(entry, kinds, self._keyring)
                replayed, erased = self._replay(connection, entry, kinds[entry.record_class])
            except Erased:
                report.not_checked.append(f"The snapshot of stream {entry.stream_id} was erased.")
                continue
            except LedgerError as error:
                report.add("snapshots", where, error.detail)
                continue
            except (EventSourcingError, LookupError, TypeError, ValueError, AttributeError) as error:
                report.add("snapshots", where, f"Its events cannot be replayed ({type(error).__name__}).")
                continue
            if erased:
                report.not_checked.append(f"Events under the snapshot of stream {entry.stream_id} were erased.")
            elif replayed is None or not same_state(stored, replayed):
                report.add("snapshots", where, "It is not what its events make.")

    def _replay(
        self, connection: psycopg.Connection[Row], snapshot: Entry, kind: type[Lane]
    ) -> tuple[Lane | None, int]:
        """Returns the lane that the events make, and how many of them were erased."""
        cursor = connection.execute(
            self._database.bind(_OF_STREAM), (snapshot.stream_id, snapshot.version), binary=True
        )
        entries = [Entry._make(row) for row in cursor.fetchall()]
        self._reader.load_keys(connection, {(entry.subject_id, entry.record_class) for entry in entries})
        lane: Lane | None = None
        erased = 0
        for entry in entries:
            try:
                event = self._mapper.open(entry, self._keyring)
            except Erased:
                lane = fold_erased(lane, entry, kind)
                erased += 1
            else:
                lane = fold(lane, event)
        return lane, erased


def _runs(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yields entries by tile, in pieces without a gap, so that a tile is taken apart once and not for each entry."""
    begin = 0
    for end in range(1, len(entries) + 1):
        if (
            end == len(entries)
            or entries[end].position != entries[end - 1].position + 1
            or entries[end].position % WIDTH == 1
        ):
            yield entries[begin:end]
            begin = end


def _encoded(entry: Entry) -> bytes:
    """Returns the bytes of an entry; nothing where it has become one that cannot be, which no leaf is the hash of."""
    try:
        return encode_entry(entry)
    except InvalidInput:
        return b""
