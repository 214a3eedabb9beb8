"""Connections that are cut after the commit and before the answer, and clients who ask again with the same key.

Two wires are cut: the one from the database to the writer, when an append is committed and the writer has not heard of
it, and the one from the API to a client, before or in the midst of the answer; often both for the same command.
Afterwards history and log agree, nothing was recorded that nobody was told of, every key is answered as before, and
views equal a replay.

LEDGER_SOAK_CUTS      how often each of the two wires is cut (1,000)
LEDGER_SOAK_SEED      chooses who records what, and what is cut (1)
LEDGER_SOAK_SECONDS   cutting ends after so long at the latest (3,600)
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from ledger.policy.offices import Office
from ledger.store.database import Database
from tests.support.api import Api, a_foundation, found, make_class, serving
from tests.support.desk import an_audit
from tests.support.history import Outcome
from tests.support.insisting import Insisting, a_person
from tests.support.proxy import LossyDoor, Proxy
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    import psycopg

    from ledger.store.database import Row
    from tests.support.api import Served

CUTS = int(os.environ.get("LEDGER_SOAK_CUTS", "1000"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
SECONDS = float(os.environ.get("LEDGER_SOAK_SECONDS", "3600"))
STUDENTS = 100
CLIENTS = 8
LETTERS = 1_600
"""Of the text in each command, so that its append is long for the proxy."""


@dataclass
class Cutter:
    """Somebody who cuts the two wires while clients record."""

    clients: Insisting
    proxy: Proxy
    door: LossyDoor
    dice: random.Random
    owner: psycopg.Connection[Row]
    devices: list[httpx.AsyncClient]
    rounds: int = 0
    cut_in_database: int = 0

    def last(self) -> int:
        """Returns the last position that is committed."""
        row = self.owner.execute("SELECT max(position) FROM events").fetchone()
        assert row is not None
        return int(row[0])

    async def goes_round(self, *, database: bool, api: bool) -> None:
        """Lets some clients record at once, and cuts the wires that are named."""
        self.rounds += 1
        before, count = self.last(), self.dice.randrange(1, CLIENTS + 1)
        self.proxy.swallow_long = database
        self.door.losing = self.dice.randrange(1, count + 1) if api else 0
        asking = [
            asyncio.create_task(
                self.clients.insists(
                    http,
                    f"client {number}",
                    f"{number}/{self.rounds}",
                    self.clients.ask(self.dice, length=LETTERS),
                    self.dice,
                )
            )
            for number, http in enumerate(self.devices[:count])
        ]
        if database:
            await until(lambda: not self.proxy.swallow_long and self.last() > before)
            self.proxy.cut()
            self.cut_in_database += 1
        await asyncio.gather(*asking)
        self.door.losing = 0

    async def cuts(self) -> None:
        """Cuts each wire as often as is wanted, alone and with the other."""
        began = time.monotonic()
        while min(self.cut_in_database, self.door.lost) < CUTS and time.monotonic() - began < SECONDS:
            kind = self.dice.choice(("database", "api", "both"))
            await self.goes_round(database=kind != "api", api=kind != "database")


def a_school(served: Served) -> Insisting:
    """Returns clients of a school that was founded for them, with a class of its own."""
    director = a_person(served.base, Office.DIRECTOR)
    headers = {"Authorization": f"Bearer {director.token}"}
    with served.anonymous() as http:
        http.headers.update(headers)
        api = Api(http)
        found(api)
        a_class = make_class(api, students=STUDENTS)
    teacher = a_person(served.base, Office.TEACHER, a_class.teacher)
    return Insisting(served.url, served.base.hasher, a_class, teacher, director)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 1800)
async def test_commits_whose_answers_were_cut_off_are_recorded_once_and_answered(
    ledger_db: Database, kek_text: str, tmp_path: Path
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - a drill, not a secret
    async with AsyncExitStack() as stack:
        base = stack.enter_context(a_foundation(ledger_db.url, ledger_db.schema, kek_text, tmp_path))
        proxy = await stack.enter_async_context(Proxy(base.database))
        server = ExitStack()
        stack.push_async_callback(asyncio.to_thread, server.close)  # it takes leave of the database through the proxy
        served = server.enter_context(serving(replace(base, database=proxy.database)))
        clients = await asyncio.to_thread(a_school, served)
        door = await stack.enter_async_context(LossyDoor(served.url, dice))
        clients.url = door.url
        devices = [await stack.enter_async_context(clients.client()) for _ in range(CLIENTS)]
        owner = stack.enter_context(base.database.connect("owner"))
        cutter = Cutter(clients, proxy, door, dice, owner, devices)
        began = time.monotonic()
        await cutter.cuts()
        cut = {"database": cutter.cut_in_database, "api": door.lost}
        figures = {"seed": SEED, "seconds": round(time.monotonic() - began), "cut": cut} | clients.figures()
        sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")
        assert min(cut.values()) > 0
        assert proxy.connections > cut["database"]  # the writer has come anew after each
        assert clients.history.count(Outcome.UNKNOWN) >= door.lost
        assert clients.amiss(base.database, clients.a_class.position) == []
        assert await clients.asks_again(served.url) == []
        assert clients.amiss(base.database, clients.a_class.position) == []
        await asyncio.to_thread(base.runner().catch_up)
        report = await asyncio.to_thread(an_audit, base)
        assert report.equal, report.findings
        assert report.events == cutter.last()
