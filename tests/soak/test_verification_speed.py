"""A long history is verified in the time that its goals allow, by one core.

LEDGER_SOAK_EVENTS   events of the history (1,000,000)
LEDGER_SOAK_SEED     chooses who records what (1)

It prints one line of JSON with what it measured. The clock runs from the start of a command to its end. The core is the
command's: where it needs the database, that works beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from ledger.application.evidence import EvidenceExport
from ledger.benchmarks import ours
from ledger.bootstrap import open_ledger
from ledger.store.log_keys import make_log_key
from tests.support.desk import a_base
from tests.support.filling import a_history
from tests.support.projector import environment

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.store.database import Database
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

EVENTS = int(os.environ.get("LEDGER_SOAK_EVENTS", "1000000"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
HASHES_S = 10.0
"""For a million events of a pack: sums, entries, tiles, signature."""
MEANING_S = 120.0
"""For a million events of a database: the same, every state opened, every view replayed."""
START_S = 5.0
"""What a command may take however short the history is."""


def on_one_core(settings: dict[str, str], *arguments: str) -> tuple[dict[str, Any], float]:
    """Runs `ledger` with arguments; returns its last line and how long it took."""
    command = [sys.executable, "-m", "tests.support.one_core", *arguments, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1]), seconds


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot hold a process to one core")
async def test_pack_and_database_are_verified_by_one_core_within_their_goals(
    ledger_db: Database, keks: KeyEncryptionKeys, kek_text: str, mapper: EventMapper, tmp_path: Path
) -> None:
    base = a_base(ledger_db, keks, mapper, tmp_path)
    settings = environment(ledger_db, kek_text) | {"LEDGER_HOME": str(tmp_path)}
    make_log_key(base.settings.log_key_path, "log.example/soak")
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal began
        seconds[name] = time.perf_counter() - began
        began = time.perf_counter()

    async with open_ledger(base) as ledger:
        await a_history(ledger, await ours.build(ledger), random.Random(SEED), EVENTS)  # noqa: S311 - the same again
    lap("record")
    sealed = await asyncio.to_thread(base.sealer().catch_up)
    lap("seal")
    await asyncio.to_thread(base.runner().catch_up)
    lap("views")
    pack = tmp_path / "pack"
    await asyncio.to_thread(EvidenceExport(ledger_db).export, pack)
    lap("export")
    hashes, seconds["hashes"] = on_one_core(settings, "evidence", "verify", str(pack))
    meaning, seconds["meaning"] = on_one_core(settings, "verify")
    figures = {
        name: {"seconds": round(taken, 2), "events_per_s": round(sealed / taken)} for name, taken in seconds.items()
    }
    sys.stdout.write(json.dumps({"events": sealed} | figures) + "\n")
    assert hashes["entries"] == meaning["events"] == meaning["sealed"] == sealed
    assert meaning["sound"]
    assert meaning["views_equal"]
    assert seconds["hashes"] <= allowed(HASHES_S, sealed), figures
    assert seconds["meaning"] <= allowed(MEANING_S, sealed), figures


def allowed(goal_s: float, events: int) -> float:
    """Returns the seconds allowed for so many events, where a million of them may take `goal_s`."""
    return max(goal_s * events / 1_000_000, START_S)
