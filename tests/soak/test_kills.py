"""A served ledger whose processes and database are killed again and again, and clients who want their answers.

`ledger serve` with two API workers, projector, sealer, dispatcher and the embedded PostgreSQL. Clients send commands
under keys until each is answered; meanwhile somebody kills (SIGKILL) a worker, or PostgreSQL: one backend, its
postmaster, or all of it at once. Afterwards history and log agree, nothing was recorded that nobody was told of, every
key is answered as before, views equal a replay, the log verifies.

LEDGER_SOAK_KILLS     how often something is killed (300)
LEDGER_SOAK_SEED      chooses what is killed and when, and who records what (1)
LEDGER_SOAK_CLIENTS   clients at once (16)
LEDGER_SOAK_SECONDS   kills end after so long at the latest (3,600)
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import httpx
import psutil
import pytest

from ledger.bootstrap import foundation
from ledger.errors import StoreUnavailable
from ledger.policy.offices import Office
from ledger.settings import Settings
from ledger.store.embedded import EmbeddedPostgres
from tests.support.api import AClass, Api, found, make_class
from tests.support.cli import Cli, Running, a_home
from tests.support.cluster import Server
from tests.support.insisting import Insisting, Person, a_person
from tests.support.waiting import until

if TYPE_CHECKING:
    from ledger.bootstrap import Foundation

KILLS = int(os.environ.get("LEDGER_SOAK_KILLS", "300"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
CLIENTS = int(os.environ.get("LEDGER_SOAK_CLIENTS", "16"))
SECONDS = float(os.environ.get("LEDGER_SOAK_SECONDS", "3600"))
STUDENTS = 40
CHILDREN = ("api-1", "api-2", "projector", "sealer", "dispatcher")
WEIGHTS = (3, 3, 2, 1, 1)
DEATHS = 3
"""Deaths of one child within a minute; at five the supervisor gives up, and one may be none of ours."""


@dataclass
class Killer:
    """Somebody who kills what belongs to a service."""

    cli: Cli
    running: Running
    dice: random.Random
    killed: Counter[str] = field(default_factory=Counter)

    def mortal(self) -> list[str]:
        """Returns the children whose death the supervisor would still bear: its log has how often each has died."""
        now, deaths = datetime.now(UTC), Counter[str]()
        for line in (self.cli.home / "service.log").read_text(encoding="utf-8").splitlines():
            if '"A process died;' in line:
                said = json.loads(line)
                deaths[said["child"]] += (now - datetime.fromisoformat(said["timestamp"])).total_seconds() < 60
        return [child for child in CHILDREN if deaths[child] < DEATHS and self.running.children(child)]

    async def kills(self) -> None:
        """Kills a child, or the database, or a part of it."""
        mortal = self.mortal()
        if mortal and self.dice.random() < 0.65:
            [name] = self.dice.choices(mortal, [WEIGHTS[CHILDREN.index(child)] for child in mortal])
            for process in self.running.children(name):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        else:
            name = self.dice.choice(("backend", "backend", "postmaster", "PostgreSQL"))
            await asyncio.to_thread(self.kills_in_database, name)
        self.killed[name] += 1

    def kills_in_database(self, what: str) -> None:
        """Kills a connection's process, whereupon PostgreSQL starts anew by itself; or what then must be started."""
        postmaster = self.cli.postmaster()
        assert postmaster is not None
        if what == "backend":
            deadline = time.monotonic() + 60
            while not (backends := [child for child in postmaster.children() if _is_backend(child)]):
                assert self.running.process.poll() is None, "The supervisor has ended."
                assert time.monotonic() < deadline, "Nobody uses the database."
                time.sleep(0.05)  # all have just lost their connections
            with suppress(psutil.NoSuchProcess):
                self.dice.choice(backends).kill()
            return
        if what == "postmaster":
            postmaster.kill()
        else:
            Server(self.cli.home, "postgres").kill()
        postmaster.wait(60)  # a worker that has just begun may start the database as well
        deadline = time.monotonic() + 60
        while True:  # its orphans may hold the shared memory for a moment
            try:
                with EmbeddedPostgres(self.cli.home):
                    return
            except StoreUnavailable:
                assert time.monotonic() < deadline, "The database does not come back."


def _is_backend(process: psutil.Process) -> bool:
    try:
        return "[local]" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def a_school(url: str, director: Person) -> AClass:
    """Returns a class in a school that was founded for it."""
    headers = {"Authorization": f"Bearer {director.token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as http:
        api = Api(http)
        found(api)
        return make_class(api, students=STUDENTS)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def sealed(base: Foundation) -> bool:
    """Whether the sealer has signed a checkpoint over everything, and every view is that far."""
    with base.database.connect("owner") as connection:
        row = connection.execute(
            "SELECT (SELECT max(size) FROM log_checkpoints) = last AND (SELECT min(position) FROM tracking) = last"
            " FROM (SELECT max(position) AS last FROM events) e"
        ).fetchone()
    return row == (True,)


def verify(cli: Cli) -> dict[str, Any]:
    """Returns what `ledger verify` says of the log, and of the views, which it replays as `ledger audit` does."""
    command = [sys.executable, "-m", "ledger", "verify", "--json"]
    done = subprocess.run(command, env=cli.environment(), stdout=subprocess.PIPE, timeout=1200, check=False)
    return cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 1800)
async def test_killed_processes_and_databases_lose_and_double_nothing() -> None:
    dice = random.Random(SEED)  # noqa: S311 - a drill, not a secret
    with a_home() as cli:
        with cli.started("serve", "--port", "0", "--workers", "2", LEDGER_LOG_LEVEL="warning") as running:
            address = re.search(r"http://127\.0\.0\.1:\d+", running.line("Serving"))
            assert address is not None
            url = address.group()
            await until(lambda: is_ready(url), seconds=60)
            with foundation(Settings(home=cli.home), migrating=False) as base:
                director = a_person(base, Office.DIRECTOR)
                a_class = await asyncio.to_thread(a_school, url, director)
                clients = Insisting(
                    url, base.hasher, a_class, a_person(base, Office.TEACHER, a_class.teacher), director
                )
                killer = Killer(cli, running, dice)
                began = time.monotonic()
                clients.begin(CLIENTS, SEED)
                try:
                    while killer.killed.total() < KILLS and time.monotonic() - began < SECONDS:
                        await asyncio.sleep(dice.random() * 3)
                        await killer.kills()
                        if dice.random() < 0.7:  # in the midst of its work, and else while it comes back
                            await clients.acknowledged(5)
                        assert running.process.poll() is None, "The supervisor has ended."
                    await clients.acknowledged(2 * CLIENTS)
                    await clients.ends()
                finally:
                    for producer in clients.producers:
                        producer.cancel()
                seconds = time.monotonic() - began
                await until(lambda: is_ready(url), seconds=60)
                amiss = clients.amiss(base.database, a_class.position)
                differing = await clients.asks_again(url)
                await until(lambda: asyncio.to_thread(sealed, base), seconds=300)
            figures = {"seed": SEED, "seconds": round(seconds), "killed": dict(killer.killed)} | clients.figures()
            sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")
        assert running.process.returncode == 0
        assert amiss == []
        assert differing == []
        assert killer.killed.total() > 0
        verified = verify(cli)
        assert verified["sound"], verified
        assert verified["views_equal"], verified
        assert verified["sealed"] == verified["events"], verified
