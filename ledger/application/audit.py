"""The audit: replay the whole history and compare every view, at its own position, with what is served.

Everything is read in one snapshot of the database. The history itself is checked first: positions without a gap,
versions without a gap in each stream, times that never go back, every state opened with the key that it names. Then
each view is computed anew in memory by the same rules that serve it live, and each row compared. A finding names the
record and which fields differ, never their values, so that a report can be shown to anybody.

What this does not prove: that nobody with the database and the keys rewrote history consistently. That is the seal's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from psycopg import IsolationLevel, sql

from ledger.errors import Erased, LedgerError, Unreadable
from ledger.projections.reader import EventReader
from ledger.projections.tables import TableStore, associated, row_bytes
from ledger.projections.view import Rows
from ledger.store.database import translated
from ledger.store.header import decode_header
from ledger.store.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ledger.projections.view import Key, Row, View
    from ledger.seal.entry import Entry
    from ledger.store.database import Database
    from ledger.store.database import Row as DbRow
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

BATCH = 2_000
MAX_FINDINGS = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as the history says: where, which record, and what differs."""

    where: str
    record: str
    what: str


@dataclass(frozen=True, slots=True)
class ViewDigest:
    """A view's state in one number: equal digests mean equal rows."""

    view: str
    position: int
    rows: int
    served: str
    replayed: str


@dataclass(slots=True)
class AuditReport:
    """What an audit looked at and what it found."""

    events: int = 0
    erased: int = 0
    erased_rows: int = 0
    position: int = 0
    views: list[ViewDigest] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unlisted: int = 0

    @property
    def equal(self) -> bool:
        """Whether the history is sound and every view equals its replay."""
        return not self.findings and not self.unlisted

    def add(self, where: str, record: str, what: str) -> None:
        """Lists a finding; past the first thousand they are only counted."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(where, record, what))
        else:
            self.unlisted += 1


class _Digest:
    """An order-independent digest: the sum of the rows' hashes modulo 2^256, so rows may come in any order."""

    def __init__(self) -> None:
        self._sum = 0
        self.rows = 0

    def add(self, row_hash: bytes) -> None:
        self._sum = (self._sum + int.from_bytes(row_hash)) % (1 << 256)
        self.rows += 1

    def hex(self) -> str:
        return self._sum.to_bytes(32).hex()


def _hash(view: str, table: TableStore, key: Key, row: Row) -> bytes:
    bound = associated(view, table.table.name, key, row)
    body = row_bytes(table.table, row)
    return hashlib.sha256(len(bound).to_bytes(4) + bound + body).digest()


class Auditor:
    """Audits a ledger with a keyring of its own, on a connection that reads only."""

    def __init__(self, database: Database, mapper: EventMapper, keks: KeyEncryptionKeys, views: Sequence[View]) -> None:
        self._database = database
        self._keyring = Keyring(keks, maximum=1_000_000)
        self._reader = EventReader(database, mapper, self._keyring)
        self._views = views
        self._erased: set[tuple[UUID, str]] = set()
        self._broken: set[tuple[UUID, str]] = set()
        self._served: set[tuple[str, str]] = set()

    def audit(self, progress: Callable[[int, int], None] | None = None) -> AuditReport:
        """Replays and compares everything.

        Args:
            progress: called with (events done, events in all).

        Raises:
            StoreUnavailable, SettingsError: the database cannot be read at all.
        """
        report = AuditReport()
        self._erased, self._broken = set(), set()
        with translated(), self._database.connect("projector") as connection:
            self._served = self._existing(connection)
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction():
                self._lock_tables(connection)
                positions = self._positions(connection, report)
                replayed = {name: Rows() for name in positions}
                self._replay(connection, report, positions, replayed, progress)
                for view in self._views:
                    if view.name in positions:
                        self._compare(connection, report, view, positions[view.name], replayed.pop(view.name))
        return report

    def _lock_tables(self, connection: psycopg.Connection[DbRow]) -> None:
        """Locks the tables (shared) before the snapshot begins, so that no rebuild swaps one away under the audit."""
        names = sql.SQL(", ").join(
            sql.Identifier(view.schema(self._database.schema), table.name)
            for view in self._views
            for table in sorted(view.tables, key=lambda table: table.name)
            if (view.name, table.name) in self._served
        )
        if self._served:
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))

    def _existing(self, connection: psycopg.Connection[DbRow]) -> set[tuple[str, str]]:
        """Returns (view, table) of every table that exists."""
        schemas = {view.schema(self._database.schema): view.name for view in self._views}
        rows = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s)", (list(schemas),)
        ).fetchall()
        return {(schemas[schema], table) for schema, table in rows}

    def _positions(self, connection: psycopg.Connection[DbRow], report: AuditReport) -> dict[str, int]:
        rows = connection.execute(
            self._database.bind(
                "SELECT view, position, version, failed_position, failure FROM {schema}.tracking WHERE NOT shadow"
            )
        ).fetchall()
        stored = {(row[0], row[2]): row for row in rows}
        positions = {}
        for view in self._views:
            row = stored.get((view.name, view.version))
            if row is None:
                report.add(
                    f"view {view.name}", "tracking", "The view has not been built in this version; start the service."
                )
                continue
            if row[3] is not None and row[3] > row[1]:
                report.add(f"view {view.name}", f"position {row[3]}", f"The view has stopped: {row[4]}")
            positions[view.name] = row[1]
        return positions

    # --- the history ------------------------------------------------------------------------------------------------

    def _replay(
        self,
        connection: psycopg.Connection[DbRow],
        report: AuditReport,
        positions: dict[str, int],
        replayed: dict[str, Rows],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        last = self._reader.last_position(connection)
        versions: dict[UUID, int] = {}
        before: Entry | None = None
        followed = [view for view in self._views if view.name in positions]
        while entries := self._reader.entries(connection, report.position, BATCH):
            for entry in entries:
                self._check(report, entry, before, versions)
                before = entry
            facts = self._reader.facts(connection, entries, lambda entry, error: self._unreadable(report, entry, error))
            report.events += len(entries)
            report.erased += len(entries) - len(facts)
            self._remember_erased(entries)
            for fact in facts:
                for view in followed:
                    if fact.entry.position <= positions[view.name]:
                        try:
                            view.apply(fact, replayed[view.name])
                        except (LedgerError, LookupError, TypeError, ValueError, AttributeError) as error:
                            report.add(
                                f"view {view.name}",
                                f"position {fact.entry.position}",
                                f"The event cannot be applied ({type(error).__name__}).",
                            )
            report.position = entries[-1].position
            if progress is not None:
                progress(report.position, last)
        for name, position in positions.items():
            if position > report.position:
                report.add(
                    f"view {name}", f"position {position}", "The view is ahead of the history: events are missing."
                )

    def _remember_erased(self, entries: Sequence[Entry]) -> None:
        """Remembers which classes of whom have events and no key any more: their rows are no findings."""
        self._erased.update(
            pair
            for pair in {(entry.subject_id, entry.record_class) for entry in entries}
            if not self._keyring.holds(*pair) and pair not in self._broken
        )

    def _unreadable(self, report: AuditReport, entry: Entry, error: Unreadable) -> None:
        report.erased -= 1
        if not self._keyring.holds(entry.subject_id, entry.record_class):
            self._broken.add((entry.subject_id, entry.record_class))
        report.add("events", _name(entry), f"{error.detail}")

    @staticmethod
    def _check(report: AuditReport, entry: Entry, before: Entry | None, versions: dict[UUID, int]) -> None:
        expected = before.position + 1 if before else 1
        if entry.position != expected:
            report.add(
                "events", f"position {expected}", f"{entry.position - expected} positions are missing from here."
            )
        version = versions.get(entry.stream_id, 0) + 1
        if entry.version != version:
            report.add("events", _name(entry), f"Its stream should be at version {version}.")
        versions[entry.stream_id] = entry.version
        earlier: datetime | None = before.recorded_at if before else None
        if earlier is not None and entry.recorded_at < earlier:
            report.add("events", _name(entry), "It was recorded before the event in front of it.")
        try:
            decode_header(entry.header)
        except Unreadable:
            report.add("events", _name(entry), "Its header cannot be read.")

    # --- the views --------------------------------------------------------------------------------------------------

    def _compare(
        self, connection: psycopg.Connection[DbRow], report: AuditReport, view: View, position: int, rows: Rows
    ) -> None:
        expected: dict[str, dict[Key, Row]] = {table.name: {} for table in view.tables}
        for (name, key), row in rows.items():
            expected[name][key] = row
        served, replayed = _Digest(), _Digest()
        for table in view.tables:
            store = TableStore(view, table, view.schema(self._database.schema))
            self._compare_table(connection, report, view, store, expected[table.name], served, replayed)
        report.views.append(ViewDigest(view.name, position, served.rows, served.hex(), replayed.hex()))

    def _compare_table(
        self,
        connection: psycopg.Connection[DbRow],
        report: AuditReport,
        view: View,
        store: TableStore,
        expected: dict[Key, Row],
        served: _Digest,
        replayed: _Digest,
    ) -> None:
        where = f"view {view.name}, table {store.table.name}"
        seen: set[Key] = set()
        if (view.name, store.table.name) not in self._served:
            report.add(where, "all rows", "The table is missing; run `ledger rebuild`.")
            return
        with connection.cursor(name=f"audit_{view.name}_{store.table.name}", binary=True) as cursor:
            cursor.itersize = BATCH
            cursor.execute(sql.SQL(store.select_all))
            while stored := cursor.fetchmany(BATCH):
                broken = self._reader.try_keys(connection, {store.subject(row) for row in stored})
                for row in stored:
                    key = tuple(row[: len(store.table.key)])
                    seen.add(key)
                    opened = self._open_row(store, row, broken)
                    if opened is None:
                        report.erased_rows += 1
                        continue
                    if isinstance(opened, str):
                        served.rows += 1
                        report.add(where, _key(store, key), opened)
                        continue
                    served.add(_hash(view.name, store, key, opened))
                    wanted = expected.get(key)
                    if wanted is None:
                        report.add(where, _key(store, key), "The replay has no such row.")
                    elif wanted != opened:
                        report.add(
                            where, _key(store, key), f"Differs in: {', '.join(_differing(store, wanted, opened))}."
                        )
        for key, made in expected.items():
            replayed.add(_hash(view.name, store, key, made))
            if key not in seen:
                report.add(where, _key(store, key), "The row is missing.")

    def _open_row(
        self, store: TableStore, stored: DbRow, broken: dict[tuple[UUID, str], Unreadable]
    ) -> Row | str | None:
        """Returns a row, opened, or why it does not open; None where the history says that its class was erased."""
        subject = store.subject(stored)
        if subject in broken:
            return broken[subject].detail
        try:
            return store.open(stored, self._keyring)[1]
        except Erased:
            return None if subject in self._erased else "No event of the history is behind the row."
        except Unreadable as error:
            return error.detail


def _name(entry: Entry) -> str:
    return (
        f"position {entry.position} (event {entry.event_id}, {entry.topic}, stream {entry.stream_id},"
        f" version {entry.version})"
    )


def _key(store: TableStore, key: Key) -> str:
    return ", ".join(
        f"{column.name} {value.hex() if isinstance(value, bytes) else value}"
        for column, value in zip(store.table.key, key, strict=True)
    )


def _differing(store: TableStore, wanted: Row, served: Row) -> list[str]:
    names = [
        name for name in ("subject_id", "record_class", "position") if getattr(wanted, name) != getattr(served, name)
    ]
    pairs = zip(store.table.clear, wanted.clear, served.clear, strict=True)
    names += [column.name for column, left, right in pairs if left != right]
    if wanted.body != served.body:
        left, right = _plain(wanted.body), _plain(served.body)
        names += [f"sealed {name}" for name in left if left.get(name) != right.get(name)]
    return names


def _plain(body: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(body)
    return plain
