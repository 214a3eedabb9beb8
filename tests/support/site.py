"""Where one ledger after another is tried: a database of its own for each, copied from one with a school in it.

Copying takes some 20 ms, migrating and founding anew would take ten times as much. The clock of each database jumps at
a test's word (`tests.support.jumping_clock`); all else is the server's.
"""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from ledger.ids import new_id
from ledger.store.database import Database
from ledger.store.keyring import KeyEncryptionKeys
from ledger.store.log_keys import make_log_key
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets
from tests.support.crew import Place
from tests.support.desk import at_desk
from tests.support.errands import Town
from tests.support.jumping_clock import take_over
from tests.support.postgres import ROLES, copied, named, on_server, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Server

STUDENTS = 5


@dataclass
class Site:
    """A server on which ledgers are tried; `server` is there if it may be killed."""

    url: str
    template: str
    kek_text: str
    town: Town
    server: Server | None = None

    @contextmanager
    def fresh(self, fault: str | None = None) -> Iterator[Place]:
        """Yields a ledger with a school in it, five students, and nothing else; it is dropped afterwards."""
        if self.server is not None and not self.server.running:
            self.server.start()  # a run has failed while it was down
        with (
            copied(Database(named(self.url, self.template), self.template)) as database,
            tempfile.TemporaryDirectory(prefix="ledger-") as folder,
        ):
            place = Place(database, self.kek_text, Path(folder), fault)
            make_log_key(place.base().settings.log_key_path, "log.example/site")
            yield place


@contextmanager
def a_site(url: str, server: Server | None = None) -> Iterator[Site]:
    """Yields a site on a server, of which `url` names any database; what it makes there is dropped afterwards."""
    name = f"m{uuid4().hex[:8]}"
    kek_text = f"1 {base64.b64encode(os.urandom(32)).decode()}"
    with on_server(url) as connection:
        connection.execute(words("CREATE DATABASE {}", name))
    try:
        database = Database(named(url, name), name)
        with database.connect("owner") as owner:
            take_over(owner)
        migrate(database)
        ensure_secrets(database, KeyEncryptionKeys.parse(kek_text))
        with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
            town = asyncio.run(_found(Place(database, kek_text, Path(folder))))
        yield Site(url, name, kek_text, town, server)
    finally:
        with on_server(url) as connection:
            connection.execute(words("DROP DATABASE {} WITH (FORCE)", name))
            for role in ROLES:
                connection.execute(words("DROP ROLE IF EXISTS {}", f"{name}_{role}"))


async def _found(place: Place) -> Town:
    base = place.base()
    async with at_desk(base) as desk:
        await desk.founds()
        second_group, second_course = new_id(), new_id()
        await desk.forms("5Б", second_group)
        second_work = await desk.opens(second_course, second_group)
        await desk.enrols(STUDENTS)
        await desk.catches_up()
        return Town(desk.school, (desk.group, second_group), (desk.course, second_course), (desk.work, second_work))
