"""Every view is rebuilt, again and again, while 64 producers record and readers turn every kind of page.

LEDGER_SOAK_EVENTS   events of the history before it begins (1,000,000)
LEDGER_SOAK_ROUNDS   rebuilds, with a quiet time before the first and after each (3)
LEDGER_SOAK_SEED     chooses who records and reads what (1)

It prints one line of JSON with what it measured. Writers are compared with themselves in the same run: with a rebuild,
and in the quiet times right before and right after it. Both, as the history more than doubles meanwhile and that alone
slows everybody down: the journals that the readers turn have more marks on every page. `kept_of_before` compares with
the quiet times before alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ledger.application.audit import Auditor
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.register import read_disclosures
from ledger.application.disclose.retention import read_retention
from ledger.application.disclose.school import list_courses, list_groups, read_school
from ledger.application.disclose.students import list_students, read_student
from ledger.application.record.command import Request, record
from ledger.application.record.marks import RecordMark
from ledger.benchmarks import ours
from ledger.bootstrap import open_ledger
from ledger.ids import new_id
from tests.support.desk import a_base, positions_of, reads
from tests.support.filling import PRODUCERS, a_history
from tests.support.projector import environment
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from ledger.application.ledger import Ledger
    from ledger.store.database import Database
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

EVENTS = int(os.environ.get("LEDGER_SOAK_EVENTS", "1000000"))
ROUNDS = int(os.environ.get("LEDGER_SOAK_ROUNDS", "3"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
READERS = 4
QUIET_S = 10.0
KEPT = 0.7


@dataclass
class Load:
    """Who records and reads; what it came to."""

    ledger: Ledger
    world: ours.World
    group: UUID
    written: int = 0
    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    done: bool = False

    async def writes(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - choosing whom to write about
        while not self.done:
            course_id, work_id = rng.choice(self.world.courses)
            command = RecordMark(
                school=self.ledger.id,
                course_id=course_id,
                student_id=rng.choice(self.world.students),
                work_id=work_id,
                value=rng.choice("2345"),
                effective_on=self.world.day,
            )
            recorded = await record(self.ledger, command, Request(self.world.actor, key=new_id().hex, content=b"mark"))
            self.written += recorded.count

    async def reads(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - choosing whom to write about
        while not self.done:
            began = time.perf_counter()
            page = rng.choice(self.pages(rng))
            try:
                await page()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what this test looks for
                self.failures.append(repr(error))
            self.latencies.append(time.perf_counter() - began)

    def pages(self, rng: random.Random) -> list[Callable[[], Awaitable[object]]]:
        ledger, student, who = self.ledger, rng.choice(self.world.students), reads()
        course = rng.choice(self.world.courses)[0]
        return [
            lambda: read_school(ledger),
            lambda: list_groups(ledger, after=None, limit=50),
            lambda: list_courses(ledger, group_id=None, after=None, limit=50),
            lambda: read_student(ledger, who, student),
            lambda: list_students(ledger, who, self.group, after=student, limit=10),
            lambda: read_journal(ledger, who, course, after=student, limit=10),
            lambda: read_portfolio(ledger, who, student, after=None, limit=50),
            lambda: read_retention(ledger, who, student),
            lambda: read_disclosures(ledger, who, student, before=None, limit=50),
        ]


@dataclass
class Phase:
    """A stretch of the run: how fast writers were, and how long readers waited."""

    events_per_s: float
    seconds: float
    read_p50_ms: float
    read_p99_ms: float
    read_max_ms: float


def speed(phases: list[Phase]) -> float:
    return sum(phase.events_per_s for phase in phases)


async def measured(load: Load, during: Awaitable[Any]) -> tuple[Phase, Any]:
    written, began, seen = load.written, time.perf_counter(), len(load.latencies)
    outcome = await during
    seconds = time.perf_counter() - began
    waits = sorted(load.latencies[seen:]) or [0.0]
    p50, p99 = (waits[int(share * (len(waits) - 1))] * 1000 for share in (0.5, 0.99))
    phase = Phase((load.written - written) / seconds, seconds, p50, p99, waits[-1] * 1000)
    sys.stdout.write(json.dumps(vars(phase)) + "\n")  # a round takes minutes, and whoever watches wants to know
    return phase, outcome


@contextmanager
def a_projector(settings: dict[str, str]) -> Iterator[None]:
    """Runs the service's own projector beside the block; it ends when its standard input closes."""
    with subprocess.Popen([sys.executable, "-m", "ledger.cli.worker", "projector"], env=settings, stdin=-1) as process:
        yield
        process.terminate()
        process.communicate(timeout=30)


async def rebuilds(settings: dict[str, str]) -> list[dict[str, Any]]:
    """Runs `ledger rebuild` as an operator does and returns its lines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ledger", "rebuild", "--json", env=settings, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_no_read_fails_and_writers_keep_their_speed_while_every_view_is_rebuilt(
    ledger_db: Database, keks: KeyEncryptionKeys, kek_text: str, mapper: EventMapper, tmp_path: Path
) -> None:
    base = a_base(ledger_db, keks, mapper, tmp_path)
    settings = environment(ledger_db, kek_text) | {"LEDGER_HOME": str(tmp_path)}
    rng = random.Random(SEED)  # noqa: S311 - the same choices again
    async with open_ledger(base) as ledger:
        world = await ours.build(ledger)
        await a_history(ledger, world, rng, EVENTS)
        began = time.perf_counter()
        last = await asyncio.to_thread(base.runner().catch_up)
        first = {"events": last, "events_per_s": round(last / (time.perf_counter() - began))}
        began = time.perf_counter()
        await rebuilds(settings)
        alone = {"events": last, "events_per_s": round(last / (time.perf_counter() - began))}
        groups = await list_groups(ledger, after=None, limit=1)
        load = Load(ledger, world, groups.items[0].group_id)
        quiet: list[Phase] = []
        busy: list[Phase] = []
        swaps: list[dict[str, Any]] = []
        with a_projector(settings):
            workers = [asyncio.create_task(load.writes(rng.getrandbits(32))) for _ in range(PRODUCERS)]
            workers += [asyncio.create_task(load.reads(rng.getrandbits(32))) for _ in range(READERS)]
            await asyncio.sleep(QUIET_S / 2)
            quiet.append((await measured(load, asyncio.sleep(QUIET_S)))[0])
            for _ in range(ROUNDS):
                phase, lines = await measured(load, rebuilds(settings))
                busy.append(phase)
                swaps += lines
                quiet.append((await measured(load, asyncio.sleep(QUIET_S)))[0])
            load.done = True
            await asyncio.gather(*workers)
            last = (await record(ledger, a_mark(ledger, world), Request(world.actor))).position
            await until(lambda: min(positions_of(ledger_db).values()) >= last, seconds=600)
    report = await asyncio.to_thread(lambda: Auditor(ledger_db, mapper, keks, base.views).audit())
    before, after = quiet[:-1], quiet[1:]
    kept = speed(busy) / ((speed(before) + speed(after)) / 2)
    figures = {
        "history": EVENTS,
        "first_making": first,
        "rebuild_alone": alone,
        "kept": round(kept, 3),
        "kept_of_before": round(speed(busy) / speed(before), 3),
        "quiet": [vars(phase) for phase in quiet],
        "rebuilding": [vars(phase) for phase in busy],
        "held_ms": max(line["held_ms"] for line in swaps),
        "paused_ms": max(line["paused_ms"] for line in swaps),
        "reads": len(load.latencies),
        "written": load.written,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    assert load.failures == []
    assert len(load.latencies) > 0
    assert report.equal, report.findings[:3]
    assert kept >= KEPT, figures


def a_mark(ledger: Ledger, world: ours.World) -> RecordMark:
    course_id, work_id = world.courses[0]
    return RecordMark(
        school=ledger.id,
        course_id=course_id,
        student_id=world.students[0],
        work_id=work_id,
        value="5",
        effective_on=world.day,
    )
