"""What runs short, and comes back: connections of the pool, slots of the server, and an hour without a projector.

LEDGER_SOAK_EVENTS   events that are recorded while no projector runs (300,000)
LEDGER_SOAK_ROUNDS   how often connections run short (10)
LEDGER_SOAK_SEED     chooses who records what (1)
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from ledger.application.disclose.journals import read_journal
from ledger.application.readiness import read_readiness
from ledger.benchmarks import ours
from ledger.bootstrap import open_ledger
from ledger.errors import Busy
from ledger.policy.offices import Office
from ledger.projections.journals.projection import JOURNALS
from ledger.store.database import Database
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets
from tests.support.api import Api, a_foundation, found, make_class, projecting, serving
from tests.support.cluster import Server, a_folder
from tests.support.desk import a_base, an_audit, positions_of, reads
from tests.support.filling import a_history
from tests.support.history import contradictions, read_log
from tests.support.insisting import Insisting, a_person
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.application.ledger import Ledger
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper
    from tests.support.api import Served

EVENTS = int(os.environ.get("LEDGER_SOAK_EVENTS", "300000"))
ROUNDS = int(os.environ.get("LEDGER_SOAK_ROUNDS", "10"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
CLIENTS = 8
POOLED = 8
"""Connections that the pool of the views has."""
READERS = 5 * POOLED
PAGE_TEXT = "No connection to the database came free in time."


def people(served: Served) -> Insisting:
    """Returns clients of a school that was founded for them, with a class of its own."""
    director = a_person(served.base, Office.DIRECTOR)
    with served.anonymous() as http:
        http.headers["Authorization"] = f"Bearer {director.token}"
        api = Api(http)
        found(api)
        a_class = make_class(api, students=20)
    teacher = a_person(served.base, Office.TEACHER, a_class.teacher)
    return Insisting(served.url, served.base.hasher, a_class, teacher, director)


async def journals(clients: Insisting, count: int) -> list[httpx.Response]:
    """Returns what so many readers of one journal are answered at once."""
    async with httpx.AsyncClient(base_url=clients.url, timeout=60) as http:
        headers = {"Authorization": f"Bearer {clients.director.token}"}
        path = f"/v1/journals/{clients.a_class.course_id}"
        return list(await asyncio.gather(*(http.get(path, headers=headers) for _ in range(count))))


async def are_answered(clients: Insisting) -> bool:
    """Whether as many readers as there are connections are all shown the journal."""
    return {answer.status_code for answer in await journals(clients, POOLED)} == {200}


async def is_ready(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url) as http:
        return (await http.get("/readyz")).status_code == 200


async def is_not_ready(url: str) -> bool:
    return not await is_ready(url)


async def recorded_on(clients: Insisting) -> None:
    """Passes if everybody's commands are acknowledged as before."""
    await clients.acknowledged(2 * CLIENTS)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_readers_without_a_connection_are_told_and_writers_go_on(
    ledger_db: Database, kek_text: str, tmp_path: Path
) -> None:
    """A lock on the table of a view holds up whoever reads it, until the pool has no connection left."""
    with ExitStack() as stack:
        base = stack.enter_context(
            a_foundation(ledger_db.url, ledger_db.schema, kek_text, tmp_path, pool_seconds=2, statement_seconds=5)
        )
        stack.enter_context(projecting(base))
        served = stack.enter_context(serving(base))
        clients = await asyncio.to_thread(people, served)
        clients.begin(CLIENTS, SEED)
        await until(lambda: is_ready(served.url), seconds=60)
        owner = stack.enter_context(base.database.connect("owner"))
        table = f"{JOURNALS.schema(base.database.schema)}.entries"
        told = 0
        for _ in range(ROUNDS):
            with owner.transaction():
                owner.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
                reading = asyncio.create_task(journals(clients, READERS))
                await until(lambda: is_not_ready(served.url))
                for answer in await reading:
                    assert answer.status_code == 503, answer.text
                    assert answer.json()["code"] == "store-unavailable"
                    assert int(answer.headers["retry-after"]) > 0
                    told += PAGE_TEXT in answer.json()["detail"]
                await recorded_on(clients)
            await until(lambda: is_ready(served.url), seconds=60)
            await until(lambda: are_answered(clients), seconds=30)
        await clients.ends()
        assert told > 0
        assert contradictions(clients.history, read_log(base.database)) == []
        assert await clients.asks_again(served.url) == []
        sys.stdout.write(json.dumps({"readers told": told} | clients.figures(), ensure_ascii=False) + "\n")
        await asyncio.to_thread(base.runner().catch_up)
        assert (await asyncio.to_thread(an_audit, base)).equal


@contextmanager
def without_slots(server: Server) -> Iterator[int]:
    """Takes every connection of a server while the block runs: all are cut, and others are quicker to come back.

    Yields how many it has taken. Who is cut comes back as well, so it goes on until it has them all: that nobody else
    is seen there means little, since who is just being let in has a slot and is not seen yet.
    """
    with ExitStack() as stack:
        first = stack.enter_context(psycopg.connect(server.url, autocommit=True))
        taken = {first.info.backend_pid}
        (most,) = first.execute("SHOW max_connections").fetchone() or ("0",)
        deadline = time.monotonic() + 60
        while len(taken) < int(most):
            try:
                one = stack.enter_context(psycopg.connect(server.url, autocommit=True))
            except psycopg.OperationalError as error:
                if "too many clients" not in str(error):
                    raise
                first.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND pid <> ALL (%s)",
                    (list(taken),),
                )
            else:
                taken.add(one.info.backend_pid)
            assert time.monotonic() < deadline, "Somebody is always quicker."
        yield len(taken)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_server_without_a_free_slot_is_told_and_what_was_asked_is_recorded_later(
    keks: KeyEncryptionKeys, kek_text: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        server = Server(stack.enter_context(a_folder()), "a")
        server.create()
        server.start()
        server.run_sql("CREATE DATABASE ledger")
        database = Database(server.url, "ledger")
        migrate(database)
        ensure_secrets(database, keks)
        base = stack.enter_context(
            a_foundation(server.url, "ledger", kek_text, tmp_path, pool_seconds=0.5, patience_seconds=0.3)
        )
        stack.enter_context(projecting(base))
        served = stack.enter_context(serving(base))
        clients = await asyncio.to_thread(people, served)
        clients.begin(CLIENTS, SEED)
        dice = random.Random(SEED)  # noqa: S311 - a drill, not a secret
        for _ in range(ROUNDS):
            await recorded_on(clients)
            before = sum(clients.codes.values())
            taking = without_slots(server)
            await asyncio.to_thread(taking.__enter__)
            try:
                await until(lambda before=before: sum(clients.codes.values()) >= before + CLIENTS)  # type: ignore[misc]  # bound to this turn
                assert not await is_ready(served.url)
                await asyncio.sleep(dice.random())
            finally:
                await asyncio.to_thread(taking.__exit__, None, None, None)
            await recorded_on(clients)
            await until(lambda: is_ready(served.url), seconds=60)
        await clients.ends()
        sys.stdout.write(json.dumps(clients.figures(), ensure_ascii=False) + "\n")
        assert clients.codes.keys() <= {"store-unavailable", "outcome-unknown"}
        assert clients.amiss(database, clients.a_class.position) == []
        assert await clients.asks_again(served.url) == []
        await until(lambda: are_answered(clients), seconds=30)
        await asyncio.to_thread(base.runner().catch_up)
        assert (await asyncio.to_thread(an_audit, base)).equal


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_hour_without_a_projector_is_told_and_made_up_for(
    ledger_db: Database, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path
) -> None:
    """An hour of a busy city: eighty events a second. What is recorded is safe, and what is shown is told to be old."""
    base = a_base(ledger_db, keks, mapper, tmp_path)
    async with open_ledger(base) as ledger:
        world = await ours.build(ledger)
        await asyncio.to_thread(base.runner().catch_up)
        seen = (await read_journal(ledger, reads(), world.courses[0][0], after=None, limit=10)).position
        began = time.monotonic()
        await a_history(ledger, world, random.Random(SEED), EVENTS)  # noqa: S311 - whom to write about
        recording = time.monotonic() - began
        last = ledger.executor._writer.seen
        assert last >= EVENTS
        parts = {part.name: part for part in await read_readiness(ledger)}
        views = [part for name, part in parts.items() if name.startswith("view ")]
        assert parts["recording"].ready
        assert all((part.lag or 0) >= EVENTS * 0.9 for part in views)
        assert all("events behind, more than LEDGER_LAG_LIMIT" in part.reason for part in views) or (
            base.settings.lag_limit > EVENTS
        )
        with pytest.raises(Busy):
            await read_journal(ledger, reads(), world.courses[0][0], after=None, limit=10, min_position=last)
        old = await read_journal(ledger, reads(), world.courses[0][0], after=None, limit=10)
        assert old.position < EVENTS
        assert old.position >= seen
        began = time.monotonic()
        with projecting(base):
            await until(lambda: min(positions_of(ledger_db).values()) >= last, seconds=1800)
            catching_up = time.monotonic() - began
            await until(lambda: _all_ready(ledger), seconds=60)
            page = await read_journal(ledger, reads(), world.courses[0][0], after=None, limit=10, min_position=last)
            assert page.position >= last
        await asyncio.to_thread(base.runner().catch_up)
        report = await asyncio.to_thread(an_audit, base)
        assert report.equal, report.findings[:5]
        figures = {"events": last, "recorded in s": round(recording, 1), "caught up in s": round(catching_up, 1)}
        sys.stdout.write(json.dumps(figures) + "\n")


async def _all_ready(ledger: Ledger) -> bool:
    return all(part.ready for part in await read_readiness(ledger))
