"""A view in the database: its schema and tables, its tracking row, and one batch of facts in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from ledger.errors import Erased, LedgerError
from ledger.projections.tables import TableStore
from ledger.projections.view import Fact, Key, Row, Rows, View

if TYPE_CHECKING:
    import psycopg

    from ledger.projections.reader import EventReader
    from ledger.store.database import Database
    from ledger.store.database import Row as DbRow
    from ledger.store.keyring import Keyring


class ViewFailed(LedgerError):
    """A view could not apply an event; the others go on without it."""

    code = "view-failed"

    def __init__(self, view: str, position: int, cause: BaseException) -> None:
        # The messages of our own errors carry no stored value; those of others might.
        why = f"{type(cause).__name__}: {cause.detail}" if isinstance(cause, LedgerError) else type(cause).__name__
        super().__init__(
            f"View {view} cannot apply the event at position {position} ({why}).",
            help="Mend the cause; the view goes on from there, or run `ledger rebuild` for it.",
        )
        self.view = view
        self.position = position


class ViewStore:
    """Reads and writes one view in one schema (the live one or a shadow)."""

    def __init__(
        self, database: Database, view: View, reader: EventReader, keyring: Keyring, *, schema: str | None = None
    ) -> None:
        self.view = view
        self.schema = schema or view.schema(database.schema)
        self._database = database
        self._reader = reader
        self._keyring = keyring
        self.tables = {table.name: TableStore(view, table, self.schema) for table in view.tables}

    def create(self, connection: psycopg.Connection[DbRow]) -> None:
        """Makes the schema and its tables (in the caller's transaction); readers may read them."""
        schema = sql.Identifier(self.schema)
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(schema))
        connection.execute(sql.SQL(self.view.ddl()))
        connection.execute(self._database.bind("SET LOCAL search_path TO {schema}"))
        readers = sql.Identifier(f"{self._database.schema}_reader")
        for grant in ("USAGE ON SCHEMA {0}", "SELECT ON ALL TABLES IN SCHEMA {0}"):
            connection.execute(sql.SQL(f"GRANT {grant} TO {{1}}").format(schema, readers))

    def drop(self, connection: psycopg.Connection[DbRow]) -> None:
        """Removes the schema with all its rows; they can be computed again.

        The tables are locked by name first, in the order in which readers lock them (see `disclose/opening.py`), so
        that the two never wait for each other.
        """
        found = connection.execute(
            'SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename COLLATE "C"', (self.schema,)
        ).fetchall()
        if found:
            names = sql.SQL(", ").join(sql.Identifier(self.schema, name) for (name,) in found)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.schema)))

    def apply(self, connection: psycopg.Connection[DbRow], facts: list[Fact]) -> None:
        """Applies facts in order (in the caller's transaction).

        Raises:
            ViewFailed: with the position of the event that stopped it.
        """
        concerned = [fact for fact in facts if type(fact.event) in self.view.rules]
        if not concerned:
            return
        rows = Rows(lambda table, key: self._find(connection, table, key))
        self._prefetch(connection, concerned, rows)
        for fact in concerned:
            try:
                self.view.apply(fact, rows)
            except Exception as error:
                raise ViewFailed(self.view.name, fact.entry.position, error) from error
        try:
            self._write(connection, rows)
        except LedgerError as error:
            raise ViewFailed(self.view.name, concerned[0].entry.position, error) from error

    def _prefetch(self, connection: psycopg.Connection[DbRow], facts: list[Fact], rows: Rows) -> None:
        wanted: dict[str, dict[Key, None]] = {}
        for fact in facts:
            reads = self.view.rules[type(fact.event)].reads
            if reads is not None:
                for table, key in reads(fact):
                    wanted.setdefault(table, {})[key] = None
        for table, keys in wanted.items():
            for key in keys:
                rows.load(table, key, None)
            for key, row in self._select(connection, table, list(keys)):
                rows.load(table, key, row)

    def _find(self, connection: psycopg.Connection[DbRow], table: str, key: Key) -> Row | None:
        return next((row for _, row in self._select(connection, table, [key])), None)

    def _select(self, connection: psycopg.Connection[DbRow], table: str, keys: list[Key]) -> list[tuple[Key, Row]]:
        store = self.tables[table]
        cursor = connection.execute(sql.SQL(store.select_keys), store.key_parameters(keys), prepare=True, binary=True)
        stored = cursor.fetchall()
        self._reader.load_keys(connection, {store.subject(row) for row in stored})
        found = []
        for row in stored:
            try:
                found.append(store.open(row, self._keyring))
            except Erased:
                continue
        return found

    def _write(self, connection: psycopg.Connection[DbRow], rows: Rows) -> None:
        by_table: dict[str, list[tuple[Key, Row]]] = {}
        for table, key in rows.changed:
            row = rows.get(table, key)
            if row is not None:
                by_table.setdefault(table, []).append((key, row))
        for table, changed in by_table.items():
            store = self.tables[table]
            connection.execute(
                sql.SQL(store.upsert), store.parameters(changed, self._keyring), prepare=True, binary=True
            )
