"""Releases as they were: each folder of `tests/fixtures/released` has one (see `tests.migration.make_release`)."""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from psycopg import sql

from ledger.policy.offices import Office
from ledger.store import migrate as migrations
from tests.support.postgres import ROLES, fresh_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store.database import Database
    from tests.support.api import Api, Served

FOLDER = Path(__file__).parents[1] / "fixtures" / "released"
SCHEMA = "ledger_as_released"
Json = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """A released version: its package, a ledger that it made, and what was asked and answered then."""

    folder: Path

    @property
    def version(self) -> str:
        """Its number."""
        return self.folder.name

    @cached_property
    def kek(self) -> str:
        """The key-encryption key of its ledger, as LEDGER_KEK takes it."""
        return self.read("kek").splitlines()[-1]

    @cached_property
    def story(self) -> Json:
        """Who did what on which day: `today`, `people` and `calls`."""
        return cast("Json", json.loads(self.read("calls.json")))

    @cached_property
    def events(self) -> dict[str, Json]:
        """The recorded forms of events by file, as they were then."""
        return cast("dict[str, Json]", json.loads(self.read("events.json")))

    @property
    def today(self) -> date:
        """The day of its story."""
        return date.fromisoformat(self.story["today"])

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of its migrations by file name."""
        lines = self.read("migrations.sha256").splitlines()
        return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}

    def read(self, name: str) -> str:
        """Returns one of its files."""
        return (self.folder / name).read_text(encoding="utf-8")

    def calls(self, method: str) -> list[Json]:
        """Returns its commands (POST) or its reads (GET) with their answers."""
        return [call for call in self.story["calls"] if call["method"] == method]

    def client(self, served: Served, who: str) -> Api:
        """Returns a client that acts as one of the people of its story."""
        person = self.story["people"][who]
        students = self.students if person["office"] == "representative" else ()
        return served.acts(Office(person["office"]), person=UUID(person["id"]), students=students)

    @property
    def students(self) -> tuple[UUID, ...]:
        """Its students, in the order in which they came."""
        return tuple(
            UUID(json.loads(call["answer"])["id"]) for call in self.calls("POST") if call["path"] == "/v1/students"
        )

    def made(self, path: str) -> str:
        """Returns the id of what the first command to this address made."""
        return str(next(json.loads(call["answer"])["id"] for call in self.calls("POST") if call["path"] == path))

    def unpack(self, folder: Path) -> dict[str, str]:
        """Unpacks its package and returns the environment in which Python imports that one."""
        with zipfile.ZipFile(self.folder / "ledger.zip") as packed:
            packed.extractall(folder)
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("LEDGER_", "PG", "COVERAGE_"))}
        return kept | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


RELEASES = [Release(folder) for folder in sorted(FOLDER.iterdir())]


@contextmanager
def restored(url: str, release: Release) -> Iterator[Database]:
    """Yields the ledger of a release, restored under a fresh name and not migrated; dropped afterwards."""
    with fresh_schema(url) as database:
        with database.connect("owner") as connection, connection.transaction():
            # A dump of a schema has no roles and no rights of the database itself; the lock is that of all who change
            # these rights.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (migrations._LOCK,))
            for role in ROLES:
                name = sql.Identifier(f"{database.schema}_{role}")
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(name))
            connection.execute(
                sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(f"{database.schema}_projector")
                )
            )
            connection.execute(sql.SQL(release.read("dump.sql").replace(SCHEMA, database.schema)))
        yield database
