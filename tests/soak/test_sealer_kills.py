"""The sealer and PostgreSQL are killed again and again under load: no fork, and every receipt holds for ever.

LEDGER_SOAK_KILLS   how often something is killed (200)
LEDGER_SOAK_SEED    chooses what, when and who (1)
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ledger.application.log import read_receipt
from ledger.application.verification import LogVerifier, Outside
from ledger.errors import Busy, OutcomeUnknown, StoreUnavailable
from ledger.seal.check import check_continues
from ledger.seal.checkpoint import Checkpoint, open_checkpoint
from ledger.seal.entry import Entry, encode_entry
from ledger.seal.proof import Receipt, parse_receipt, verify_receipt
from ledger.store.database import Database
from ledger.store.lanes import SELECT_SPAN
from ledger.store.log_files import load_tiles, newest
from ledger.store.log_keys import make_log_key, read_log_keys
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets
from tests.support.cluster import Server, a_folder
from tests.support.desk import a_base, at_desk
from tests.support.failover import STUDENTS, Drill
from tests.support.projector import environment

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.seal.note import VerifierKey
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

KILLS = int(os.environ.get("LEDGER_SOAK_KILLS", "200"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))


@dataclass
class Collector:
    """Somebody who asks for the receipts of what was acknowledged, and keeps them."""

    drill: Drill
    receipts: list[Receipt] = field(default_factory=list)
    asked: int = 0

    async def collect(self) -> None:
        """Asks for the receipt of the last acknowledged event again and again, until the drill is over."""
        ledger = self.drill.desks[0].ledger
        while not self.drill.over:
            told = next((call.told for call in reversed(self.drill.history.calls) if call.told is not None), None)
            if told is None:
                await asyncio.sleep(0.01)
                continue
            self.asked += 1
            try:
                self.receipts.append(parse_receipt(await read_receipt(ledger, told.last_position, wait_s=5)))
            except (Busy, StoreUnavailable, OutcomeUnknown):
                await asyncio.sleep(0.05)


class Kept:
    """The service's own sealer process, started again where it ends, as the supervisor of the service does.

    It ends by itself when it starts while the database is down, and when its standard input closes.
    """

    def __init__(self, database: Database, kek_text: str, home: Path) -> None:
        self._settings = environment(database, kek_text) | {"LEDGER_HOME": str(home), "LEDGER_LOG_LEVEL": "error"}
        self._process = self._start()
        self.ended = 0

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ledger.cli.worker", "sealer"]
        return subprocess.Popen(command, env=self._settings, stdin=subprocess.PIPE)

    def look(self) -> None:
        """Starts it again if it has ended."""
        if self._process.poll() is not None:
            self.ended += 1
            self._process = self._start()

    def kill(self, *, again: bool = True) -> None:
        self._process.kill()
        self._process.wait()
        if again:
            self._process = self._start()


def a_ledger(server: Server, keks: KeyEncryptionKeys) -> Database:
    """Returns a ledger without events on a server that is started for it."""
    server.create()
    server.start()
    server.run_sql("CREATE DATABASE ledger")
    database = Database(server.url, "ledger")
    migrate(database)
    ensure_secrets(database, keks)
    return database


def wait_for_more(database: Database, sealer: Kept) -> None:
    """Returns when one more checkpoint has been published."""
    with database.connect("reader") as connection:
        before = newest(connection, database)
        deadline = time.monotonic() + 60
        while (now := newest(connection, database)) is None or (before is not None and now.size == before.size):
            assert time.monotonic() < deadline, "Nothing is sealed any more."
            sealer.look()
            time.sleep(0.02)


def entry_at(database: Database, position: int) -> bytes:
    with database.connect("sealer") as connection:
        row = connection.execute(database.bind(SELECT_SPAN), (position - 1, position), binary=True).fetchone()
    assert row is not None
    return encode_entry(Entry._make(row))


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_killed_sealer_and_database_leave_one_log_and_every_receipt_valid(
    keks: KeyEncryptionKeys, kek_text: str, mapper: EventMapper, tmp_path: Path
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - a drill, not a secret
    with a_folder() as folder:
        server = Server(folder, "a")
        database = a_ledger(server, keks)
        base = a_base(database, keks, mapper, tmp_path)
        make_log_key(base.settings.log_key_path, "log.example/soak")
        [signer] = read_log_keys(base.settings.log_key_path)
        async with at_desk(base) as desk:
            await desk.founds()
            drill = Drill(base, [desk], server, server, dice, await desk.enrols(STUDENTS))
            collector = Collector(drill)
            drill.begin()
            collecting = asyncio.create_task(collector.collect())
            sealer = Kept(database, kek_text, tmp_path)
            killed = {"sealer": 0, "database": 0}
            try:
                for _ in range(KILLS):
                    if dice.random() < 0.7:  # in the midst of its work, and else while it starts
                        await asyncio.to_thread(wait_for_more, database, sealer)
                    await asyncio.sleep(dice.random() * 0.6)
                    if dice.random() < 0.75:
                        sealer.kill()
                        killed["sealer"] += 1
                    else:
                        await asyncio.to_thread(server.kill)
                        await asyncio.to_thread(server.start)
                        killed["database"] += 1
                        await drill.acknowledged(5)
                await drill.acknowledged(20)
                await drill.ends()
                await collecting
                sealer.look()
                await drill.is_sealed()
            finally:
                drill.over = True
                sealer.kill(again=False)
                for producer in drill.producers:
                    producer.cancel()
            assert drill.contradictions() == []
            checkpoints = holding(database, collector.receipts, signer.verifier)
            kept = [
                Outside(f"receipt {number}", receipt.checkpoint) for number, receipt in enumerate(collector.receipts)
            ]
            report = LogVerifier(database, mapper, keks, [signer.verifier], kept[:: max(len(kept) // 50, 1)]).verify()
            assert report.findings == []
        sys.stdout.write(
            f"killed {killed}, ended {sealer.ended} times as there was no database; {report.sealed} events sealed;"
            f" {len(collector.receipts)} receipts of"
            f" {collector.asked} asked for, under {checkpoints} checkpoints; {drill.summary()}\n"
        )
        assert collector.receipts


def holding(database: Database, receipts: list[Receipt], key: VerifierKey) -> int:
    """Returns how many checkpoints the receipts name; each proves its entry and is continued by the newest."""
    with database.connect("sealer") as connection:
        stored = newest(connection, database)
        assert stored is not None
        last: Checkpoint = open_checkpoint(stored.note, key).checkpoint
        seen: dict[bytes, Checkpoint] = {}
        for receipt in receipts:
            signed = verify_receipt(receipt, entry_at(database, receipt.leaf + 1), key)
            seen[receipt.checkpoint] = signed.checkpoint
        for checkpoint in seen.values():
            check_continues(lambda tile: load_tiles(connection, database, [tile])(tile), checkpoint, last)
    return len(seen)
