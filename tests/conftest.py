"""Fixtures of every test; those of the database are lazy, so that a test without one starts no server.

`postgres_url`   URL of the one embedded PostgreSQL of the run (as its superuser), shared by all workers
`kek_text`       key-encryption keys as `LEDGER_KEK` takes them, and `keks` as the store does
`ledger_db`      `Database`: a fresh ledger in a database of its own, migrated, with its secrets and empty views (or
                 without, with the marker `no_views`); dropped afterwards
`empty_db`       `Database`: the name of a ledger that has not been migrated yet; dropped afterwards
`owner`          a connection to `ledger_db` as its owner (autocommit), for looking behind the curtain
`hasher`         the keyed hashes of `ledger_db`
`mapper`         the mapper of all events
`make_executor`  factory of started command executors: `await make_executor(queue=5)`; stopped afterwards
`executor`       one started command executor on `ledger_db`
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Protocol

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from ledger.aggregates.registry import EVENTS
from ledger.collector import collect_seldom
from ledger.store.executor import CommandExecutor, ExecutorSettings
from ledger.store.keyring import KeyEncryptionKeys, Keyring
from ledger.store.mapper import EventMapper
from ledger.store.secrets import load_hasher
from tests.support import postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import psycopg

    from ledger.store.database import Database, Row
    from ledger.store.secrets import Hasher


# A property is false or it is not; how long an example took says how busy the machine was.
settings.register_profile("ledger", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ledger")


class MakeExecutor(Protocol):
    """What the fixture `make_executor` is."""

    async def __call__(
        self,
        *,
        database: Database | None = None,
        keyring: Keyring | None = None,
        mapper: EventMapper | None = None,
        **settings: float,
    ) -> CommandExecutor:
        """Returns a started executor; `settings` are those of ExecutorSettings."""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        postgres.choose_home()
        # Tests start many processes: compiling anew what each of them imports would take a third of their time.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    collect_seldom()  # thousands of tests are in memory now, and stay there


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        postgres.remove_home()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres.running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def kek_text() -> str:
    return f"1 {base64.b64encode(os.urandom(32)).decode()}"


@pytest.fixture(scope="session")
def keks(kek_text: str) -> KeyEncryptionKeys:
    return KeyEncryptionKeys.parse(kek_text)


@pytest.fixture
def ledger_db(request: pytest.FixtureRequest, postgres_url: str, keks: KeyEncryptionKeys) -> Iterator[Database]:
    views = request.node.get_closest_marker("no_views") is None
    with postgres.fresh_ledger(postgres_url, keks, views=views) as database:
        yield database


@pytest.fixture
def empty_db(postgres_url: str) -> Iterator[Database]:
    with postgres.fresh_schema(postgres_url) as database:
        yield database


@pytest.fixture
def owner(ledger_db: Database) -> Iterator[psycopg.Connection[Row]]:
    with ledger_db.connect("owner") as connection:
        yield connection


@pytest.fixture
def hasher(ledger_db: Database, keks: KeyEncryptionKeys) -> Hasher:
    return load_hasher(ledger_db, keks)


@pytest.fixture(scope="session")
def mapper() -> EventMapper:
    return EventMapper(EVENTS)


@pytest_asyncio.fixture
async def make_executor(
    ledger_db: Database, keks: KeyEncryptionKeys, mapper: EventMapper
) -> AsyncIterator[MakeExecutor]:
    made: list[CommandExecutor] = []
    standard = mapper

    async def make(
        *,
        database: Database | None = None,
        keyring: Keyring | None = None,
        mapper: EventMapper | None = None,
        **settings: float,
    ) -> CommandExecutor:
        executor = CommandExecutor(
            database or ledger_db,
            mapper or standard,
            keyring or Keyring(keks),
            ExecutorSettings(**settings),  # type: ignore[arg-type]  # whole numbers but for patience_s
        )
        await executor.start()
        made.append(executor)
        return executor

    yield make
    for executor in made:
        await executor.stop()


@pytest_asyncio.fixture
async def executor(make_executor: MakeExecutor) -> CommandExecutor:
    return await make_executor()
