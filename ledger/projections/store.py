"""A view in the database: its schema and tables, its tracking row, and one batch of facts in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from ledger.errors import Erased, LedgerError
from ledger.projections.tables import TableStore
from ledger.projections.view import Fact, Key, Row, Rows, Rule, View, schema_of

if TYPE_CHECKING:
    import psycopg

    from ledger.projections.reader import EventReader
    from ledger.seal.entry import Entry
    from ledger.store.database import Database
    from ledger.store.database import Row as DbRow
    from ledger.store.keyring import Keyring


class ViewFailed(LedgerError):
    """A view could not apply an event; the others go on without it.

    Args:
        entry: the event, where it is known which one it was; its position is told in any case.
    """

    code = "view-failed"

    def __init__(self, view: str, position: int, cause: BaseException, entry: Entry | None = None) -> None:
        # The messages of our own errors carry no stored value; those of others might.
        kind = type(cause).__name__
        self.error = f"{kind}: {cause.detail}" if isinstance(cause, LedgerError) else kind
        super().__init__(
            f"View {view} cannot apply the event at position {position} ({self.error}).",
            help="Mend the cause; the view goes on from there by itself.",
        )
        self.view = view
        self.position = position
        self.entry = entry


def lock_tables(connection: psycopg.Connection[DbRow], schema: str) -> bool:
    """Locks every table of a schema against readers (in the caller's transaction); returns whether it exists.

    They are locked by name, in the order in which readers lock them (see `disclose/opening.py`), so that the two never
    wait for each other.
    """
    found = connection.execute(
        'SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename COLLATE "C"', (schema,)
    ).fetchall()
    if found:
        names = sql.SQL(", ").join(sql.Identifier(schema, name) for (name,) in found)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
    row = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", (schema,)).fetchone()
    return bool(row and row[0])


def drop_schema(connection: psycopg.Connection[DbRow], schema: str) -> None:
    """Removes a view's schema with all its rows (in the caller's transaction); they can be computed again."""
    if lock_tables(connection, schema):
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


class ViewStore:
    """Reads and writes one version of a view in its schema, or in that of its shadow."""

    def __init__(
        self, database: Database, view: View, reader: EventReader, keyring: Keyring, *, shadow: bool = False
    ) -> None:
        self.view = view
        self.schema = schema_of(database.schema, view.name, view.version, shadow=shadow)
        self.key = (view.name, view.version, shadow)
        self._database = database
        self._reader = reader
        self._keyring = keyring
        self.tables = {table.name: TableStore(view, table, self.schema) for table in view.tables}

    def exists(self, connection: psycopg.Connection[DbRow]) -> bool:
        """Tells whether every table is there with the columns of this version, no more and no fewer."""
        rows = connection.execute(
            "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE n.nspname = %s AND c.relkind = 'r' GROUP BY c.relname",
            (self.schema,),
        ).fetchall()
        wanted = {name: set(store.columns.split(", ")) for name, store in self.tables.items()}
        return {name: set(columns) for name, columns in rows} == wanted

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

    def apply(self, connection: psycopg.Connection[DbRow], facts: list[Fact]) -> None:
        """Applies facts in order (in the caller's transaction).

        Raises:
            ViewFailed: with the position of the event that stopped it.
        """
        rules = self.view.rules
        concerned = [(fact, rule) for fact in facts if (rule := rules.get(type(fact.event))) is not None]
        if not concerned:
            return
        rows = Rows(lambda table, key: self._find(connection, table, key))
        self._prefetch(connection, concerned, rows)
        for fact, rule in concerned:
            try:
                rule.apply(fact, rows)
            except Exception as error:
                raise ViewFailed(self.view.name, fact.entry.position, error, fact.entry) from error
        try:
            self._write(connection, rows)
        except LedgerError as error:
            first = concerned[0][0].entry
            raise ViewFailed(self.view.name, first.position, error, first) from error

    def _prefetch(self, connection: psycopg.Connection[DbRow], concerned: list[tuple[Fact, Rule]], rows: Rows) -> None:
        wanted: dict[str, list[Key]] = {}
        for fact, rule in concerned:
            if rule.reads is not None:
                for table, key in rule.reads(fact):
                    if rows.expect(table, key):
                        wanted.setdefault(table, []).append(key)
        for table, keys in wanted.items():
            for key, row in self._select(connection, table, keys):
                rows.load(table, key, row)

    def _find(self, connection: psycopg.Connection[DbRow], table: str, key: Key) -> Row | None:
        return next((row for _, row in self._select(connection, table, [key])), None)

    def _select(self, connection: psycopg.Connection[DbRow], table: str, keys: list[Key]) -> list[tuple[Key, Row]]:
        store = self.tables[table]
        cursor = connection.execute(sql.SQL(store.select_keys), store.key_parameters(keys), prepare=True, binary=True)
        stored = cursor.fetchall()
        self._reader.load_keys(connection, [store.subject(row) for row in stored])
        found = []
        for row in stored:
            try:
                found.append(store.open(row, self._keyring))
            except Erased:
                continue
        return found

    def _write(self, connection: psycopg.Connection[DbRow], rows: Rows) -> None:
        by_table: dict[str, list[tuple[Key, Row]]] = {}
        for (table, key), row in rows.take_changed():
            by_table.setdefault(table, []).append((key, row))
        for table, changed in by_table.items():
            store = self.tables[table]
            connection.execute(
                sql.SQL(store.upsert), store.parameters(changed, self._keyring), prepare=True, binary=True
            )
