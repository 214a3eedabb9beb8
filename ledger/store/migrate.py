"""Numbered migrations, each applied once, in order, by the owner; views have their own (`projections`).

Each runs in a transaction of its own, with its number: a crash leaves the schema after one of them and never between
two. A lock lets one process migrate at a time. A migration that waits for a table would make everybody behind it wait
as well, so it gives up after some seconds and is tried again; what it started is rolled back.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from ledger.errors import SettingsError, StoreUnavailable
from ledger.store.database import translated
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from ledger.store.database import Database, Row

logger = get_logger(__name__)

_LOCK = 0x4C45_4447_4D49_4752
OTHERS_TIMEOUT = "10min"
"""How long another process may migrate before this one gives up."""
LOCK_TIMEOUT = "3s"
"""How long a statement waits for a table that is in use; writers queue behind it for so long."""
ATTEMPTS = 10
STATEMENT_TIMEOUT = "15min"

_TABLE = """
CREATE TABLE IF NOT EXISTS {schema}.migrations (number integer PRIMARY KEY, name text NOT NULL,
    digest bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
"""


class Migration(NamedTuple):
    """A migration: its number, its name, and its SQL with `{schema}` in it."""

    number: int
    name: str
    text: str

    @property
    def digest(self) -> bytes:
        """The SHA-256 of its text: what was applied once is never reworded."""
        return hashlib.sha256(self.text.encode()).digest()


def migrations() -> list[Migration]:
    """Returns every migration in order."""
    found = []
    for entry in files("ledger.store").joinpath("migrations").iterdir():
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, entry.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(database: Database) -> list[int]:
    """Brings the ledger's schema up to date and returns the numbers that were applied.

    Raises:
        SettingsError: an applied migration is not the one of this version, or the database is ahead of it; nothing was
            changed.
        StoreUnavailable: a table stayed in use, or a migration took too long. Those before it are in place; run it
            again.
    """
    known = migrations()
    with translated(), database.connect("owner") as connection:
        _alone(connection)
        with connection.transaction():
            connection.execute(database.bind("CREATE SCHEMA IF NOT EXISTS {schema}"))
            connection.execute(database.bind(_TABLE))
        rows = connection.execute(database.bind("SELECT number, digest FROM {schema}.migrations")).fetchall()
        pending = _pending(known, {number: bytes(digest) for number, digest in rows})
        for migration in pending:
            _apply(database, connection, migration)
    return [migration.number for migration in pending]


def pending(database: Database, connection: psycopg.Connection[Row]) -> list[int]:
    """Returns the numbers of the migrations that are still to be applied; changes nothing.

    Raises:
        SettingsError: an applied migration is not the one of this version, or the database is ahead of it.
    """
    row = connection.execute("SELECT to_regclass(%s)", (f"{database.schema}.migrations",)).fetchone()
    rows: list[Row] = []
    if row is not None and row[0] is not None:
        rows = connection.execute(database.bind("SELECT number, digest FROM {schema}.migrations")).fetchall()
    done = {number: bytes(digest) for number, digest in rows}
    return [migration.number for migration in _pending(migrations(), done)]


def _alone(connection: psycopg.Connection[Row]) -> None:
    """Takes the lock of those who migrate; the connection holds it until it is closed."""
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (OTHERS_TIMEOUT,))
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    except psycopg.errors.LockNotAvailable as error:
        raise StoreUnavailable(
            f"Another process has been migrating this database for {OTHERS_TIMEOUT}.",
            help="Nothing was changed. See what it waits for (pg_stat_activity), then try again.",
        ) from error
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
    connection.execute("SELECT set_config('statement_timeout', %s, false)", (STATEMENT_TIMEOUT,))


def _pending(known: list[Migration], done: dict[int, bytes]) -> list[Migration]:
    """Returns what is still to be applied, after comparing what was."""
    unknown = done.keys() - {migration.number for migration in known}
    if unknown:
        raise SettingsError(
            "The database was migrated by a newer version of the ledger.",
            help=f"It has migration {max(unknown)}, unknown to this version: start that version or a newer one. During"
            " a rolling upgrade serve the older one with `--no-migrate`.",
        )
    for migration in known:
        if done.get(migration.number, migration.digest) != migration.digest:
            raise SettingsError(
                f"Migration {migration.number} was applied in another wording.",
                help="A released migration never changes: restore it, and add a new one.",
            )
    return [migration for migration in known if migration.number not in done]


def _apply(database: Database, connection: psycopg.Connection[Row], migration: Migration) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connection.transaction():
                connection.execute(database.bind(migration.text))
                connection.execute(
                    database.bind("INSERT INTO {schema}.migrations (number, name, digest) VALUES (%s, %s, %s)"),
                    (migration.number, migration.name, migration.digest),
                )
        except psycopg.errors.LockNotAvailable as error:
            if attempt == ATTEMPTS:
                raise StoreUnavailable(
                    f"Migration {migration.number} needs a table that stayed in use.",
                    help="It changed nothing. Look for a long transaction (pg_stat_activity), then try again.",
                ) from error
            logger.warning("Migration %d waits for a table that is in use (%d).", migration.number, attempt)
        except psycopg.errors.QueryCanceled as error:
            raise StoreUnavailable(
                f"Migration {migration.number} took longer than {STATEMENT_TIMEOUT}, or was cancelled.",
                help="It changed nothing. Try again when the database has less to do.",
            ) from error
        else:
            return
