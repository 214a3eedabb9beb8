"""The database's disk fills up under load, again and again, and gets space again: clear errors, and nothing is lost.

The disk is a small one in memory, which takes the right to mount; without it the test is skipped. Filled up, PostgreSQL
refuses what would make a table grow, or ends itself when its own log cannot grow; both happen.

LEDGER_SOAK_FILLS   how often the disk fills up (20)
LEDGER_SOAK_SEED    chooses who records what, and when the disk is full (1)
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.errors import LedgerError, OutcomeUnknown, StoreUnavailable
from ledger.store import embedded_folders as folders
from ledger.store.database import Database
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets
from tests.support.api import projecting, sealing
from tests.support.cluster import Server, a_folder
from tests.support.desk import TEACHER, Desk, a_base, at_desk
from tests.support.failover import STUDENTS, Drill

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

FILLS = int(os.environ.get("LEDGER_SOAK_FILLS", "20"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
MEGABYTES = 512
PATIENCE_S = 60
SMALL = "min_wal_size = 32MB\nmax_wal_size = 64MB\n"


@contextmanager
def a_small_disk() -> Iterator[Path]:
    """Yields a folder that is a disk of its own; what runs on it is killed and it is gone afterwards."""
    with a_folder() as folder:
        disk = folder / "disk"
        disk.mkdir()
        options = f"size={MEGABYTES}m,mode=0700"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)],
            capture_output=True,
            check=False,
        )
        if mounted.returncode:
            pytest.skip("A disk of its own takes the right to mount one.")
        try:
            user = folders.server_user()
            if user:
                os.chown(disk, user["user"], user["group"])
            yield disk
        finally:
            Server(disk, "a").kill()
            subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Fills a disk to the last byte."""
    with (disk / "ballast").open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:  # full: smaller pieces may still fit
                continue


def use_up_log(server: Server) -> None:
    """Lets the server need a new file for its own log, which it cannot make: it ends itself, and starts, if it can."""
    for _ in range(16):  # the files that it has in store come first
        try:
            server.run_sql("SELECT pg_logical_emit_message(true, 'ledger', 'full'), pg_switch_wal()")
        except psycopg.Error:
            return


def revive(server: Server) -> bool:
    """Returns when the server answers, and whether it had ended and was started."""
    deadline, started = time.monotonic() + PATIENCE_S, False
    while True:
        assert time.monotonic() < deadline, "The server does not come back."
        if not server.running:
            server.start()
            started = True
        try:
            server.run_sql("SELECT 1")
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return started


async def what_is_said(desk: Desk, drill: Drill) -> LedgerError:
    """Returns the error with which somebody is told that there is no space: it says what to do."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            await desk.does(desk.mark(drill.dice.choice(drill.students), comment="а" * 2_000), TEACHER)
        except (StoreUnavailable, OutcomeUnknown) as error:
            return error
    message = "Everything is recorded on a full disk."
    raise AssertionError(message)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_full_disk_is_told_and_recording_goes_on_when_there_is_space_again(
    keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - a drill, not a secret
    said: Counter[str] = Counter()
    ended = 0
    with a_small_disk() as disk:
        server = Server(disk, "a")
        server.create()
        server.configure(SMALL)
        server.start()
        server.run_sql("CREATE DATABASE ledger")
        database = Database(server.url, "ledger")
        migrate(database)
        ensure_secrets(database, keks)
        base = a_base(database, keks, mapper, tmp_path)
        async with at_desk(base) as desk:
            writer = desk.ledger.executor._writer
            writer._settings = replace(writer._settings, patience_s=0.5)
            await desk.founds()
            drill = Drill(base, [desk], server, server, dice, await desk.enrols(STUDENTS))
            with projecting(base), sealing(base):
                drill.begin()
                try:
                    for _ in range(FILLS):
                        await drill.acknowledged(dice.randrange(20, 100))
                        await asyncio.to_thread(fill, disk)
                        if dice.random() < 0.3:
                            await asyncio.to_thread(use_up_log, server)
                        error = await what_is_said(desk, drill)
                        assert error.help
                        said[error.detail] += 1
                        await asyncio.sleep(dice.random())
                        (disk / "ballast").unlink()
                        ended += await asyncio.to_thread(revive, server)
                    await drill.acknowledged(100)
                    await drill.ends()
                    assert drill.contradictions() == []
                    assert await drill.answers_again() == []
                    assert drill.contradictions() == []
                    assert await drill.views_equal_a_replay()
                    await drill.is_sealed()
                finally:
                    drill.over = True
                    for producer in drill.producers:
                        producer.cancel()
                    await asyncio.gather(*drill.producers, return_exceptions=True)
    sys.stdout.write(
        f"seed {SEED}: {FILLS} times full, {ended} times the server ended; {drill.summary()}; {dict(said)}\n"
    )
    assert any("disk of the database is full" in detail for detail in said), said
