"""One embedded PostgreSQL for a whole test run, and a fresh ledger in it for every test.

The run's main process chooses a folder and says it to its workers through the environment; whoever needs the server
first starts it, and the main process removes it when all workers are done, also those that crashed.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from ledger.aggregates.registry import EVENTS
from ledger.projections.runner import ProjectionRunner
from ledger.projections.views import all_views
from ledger.store import migrate as migrations
from ledger.store.database import Database
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.keyring import KeyEncryptionKeys, Keyring
from ledger.store.mapper import EventMapper
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store.database import Row

HOME_VARIABLE = "LEDGER_TESTS_HOME"
MEMORY = "/dev/shm"  # noqa: S108 - folders of our own in it, with random names
MEMORY_BYTES = 2 * 1024**3
ROLES = ("writer", "reader", "projector", "eraser", "sealer")


def roomy_folder() -> Path:
    """Returns where homes are best made: in memory where there is room, else in the temporary folder.

    Hundreds of schemas and servers are made and dropped, each with its flushes, and none is to stay.
    """
    memory = Path(MEMORY)
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_BYTES
    return memory if roomy else Path(tempfile.gettempdir())


def choose_home() -> None:
    """Chooses the folder of this run's server; its name is short, so that the socket fits."""
    os.environ[HOME_VARIABLE] = str(roomy_folder() / f"ledger-tests-{uuid4().hex[:8]}")


@cache
def _made_home() -> Path:
    """A home whose server was made and stopped, once a process; it goes with the run's own home."""
    home = Path(os.environ[HOME_VARIABLE]) / f"made-{os.getpid()}"
    with EmbeddedPostgres(home):
        return home


def furnish(home: Path) -> None:
    """Puts a server's data into an empty home as a first start does, without the time that this takes."""
    subprocess.run(["cp", "-a", str(_made_home() / "postgres"), str(home)], check=True)  # with their owner


def remove_home() -> None:
    """Stops a server that a crashed worker left behind, and deletes everything."""
    home = Path(os.environ.pop(HOME_VARIABLE))
    if home.exists():
        EmbeddedPostgres(home).remove()
        shutil.rmtree(home)


@contextmanager
def running_postgres() -> Iterator[str]:
    """Yields the URL of the run's server; processes that hold it at the same time share it."""
    with EmbeddedPostgres(Path(os.environ[HOME_VARIABLE])) as server:
        yield server.url


@contextmanager
def fresh_schema(url: str) -> Iterator[Database]:
    """Yields a name for a ledger that does not exist yet; what is made under it is dropped afterwards.

    That is the schema, every schema `<name>_*` (views and their shadows), and the roles.
    """
    database = Database(url, f"t{uuid4().hex[:12]}")
    try:
        yield database
    finally:
        drop_ledger(database)


@contextmanager
def own_ledger(url: str, keks: KeyEncryptionKeys) -> Iterator[Database]:
    """Yields an empty ledger as `fresh_ledger` does, but with roles of its own that a test may change."""
    with fresh_schema(url) as database:
        migrate(database)
        ensure_secrets(database, keks)
        yield database


@cache
def _to_copy(url: str, *, views: bool) -> Database:
    """An empty ledger of this process in a database of its own; it goes with the server."""
    name = f"t{uuid4().hex[:12]}"
    with on_server(url) as server:
        server.execute(words("CREATE DATABASE {}", name))
    database = Database(named(url, name), name)
    migrate(database)
    if views:
        keks = KeyEncryptionKeys.parse(f"1 {base64.b64encode(os.urandom(32)).decode()}")  # there is nothing to open
        ProjectionRunner(database, EventMapper(EVENTS), Keyring(keks), all_views(lambda _field, _value: b"")).catch_up()
    return database


@contextmanager
def fresh_ledger(url: str, keks: KeyEncryptionKeys, *, views: bool = True) -> Iterator[Database]:
    """Yields an empty ledger in a database of its own: migrated, with its secrets, and nothing recorded.

    It is a copy of one that this process has made before, with all `views` in place and empty, or with none: that takes
    a fraction of the time. Ledgers of one process have the same schema name and share their roles.
    """
    with copied(_to_copy(url, views=views)) as database:
        with database.connect("owner") as connection:
            connection.execute("UPDATE meta SET ledger_id = gen_random_uuid()")
        ensure_secrets(database, keks)
        yield database


@contextmanager
def copied(source: Database) -> Iterator[Database]:
    """Yields a copy of the whole database of a ledger to which nobody is connected; it is dropped afterwards."""
    name = f"{source.schema}_{uuid4().hex[:8]}"
    from_ = urlsplit(source.url).path.removeprefix("/")
    # Files are copied faster than written through the log, unless each has to be flushed to a disk.
    strategy: LiteralString = "FILE_COPY" if os.environ[HOME_VARIABLE].startswith(MEMORY) else "WAL_LOG"
    with on_server(source.url) as server:
        server.execute(words("CREATE DATABASE {} TEMPLATE {} STRATEGY " + strategy, name, from_))
        # What a database itself grants is not copied with it.
        server.execute(words("GRANT CREATE ON DATABASE {} TO {}", name, f"{source.schema}_projector"))
    try:
        yield Database(named(source.url, name), source.schema)
    finally:
        with on_server(source.url) as server:
            server.execute(words("DROP DATABASE {} WITH (FORCE)", name))


def named(url: str, name: str) -> str:
    """Returns the URL of another database of a server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def on_server(url: str) -> psycopg.Connection[Row]:
    """Returns a connection outside of the databases that are made and dropped."""
    return Database(named(url, "postgres"), "postgres").connect("owner")


def words(statement: LiteralString, *names: str) -> sql.Composed:
    """Returns a statement with names in it."""
    return sql.SQL(statement).format(*map(sql.Identifier, names))


def drop_ledger(database: Database) -> None:
    """Drops a ledger with its views and roles.

    Under the lock of the migrations: both change the rights of the database, and PostgreSQL refuses two at once. A
    connection that a test forgot and that holds a lock makes this fail after some seconds instead of hanging.
    """
    with database.connect("owner") as connection, connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '20s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (migrations._LOCK,))
        schemas = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname = %s OR starts_with(nspname, %s)",
            (database.schema, database.schema + "_"),
        ).fetchall()
        for (schema,) in schemas:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
        for role in _roles(connection, database):
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def _roles(connection: psycopg.Connection[tuple[object, ...]], database: Database) -> list[str]:
    wanted = [f"{database.schema}_{role}" for role in ROLES]
    rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (wanted,)).fetchall()
    return [str(row[0]) for row in rows]
