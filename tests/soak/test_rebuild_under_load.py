"""Every view is rebuilt while 64 producers record and readers turn every kind of page.

LEDGER_SOAK_EVENTS   events of the history before it begins (1,000,000)
LEDGER_SOAK_ROUNDS   rebuilds, each with a control of the same length without one (3)
LEDGER_SOAK_SEED     chooses who records and reads what (1)

It prints a line of JSON for each phase and one for all. A round starts twice from a copy of the same history: once with
a rebuild under the load and once with the load alone for as many seconds; the first of the two changes from round to
round. `kept` compares the two. Seconds before and in a run can't be compared: the history doubles meanwhile, and that
slows everybody down, as the journals that the readers turn have more marks on every page. That comparison is printed
beside it nevertheless (`of_before`), for the rebuild and for the control. A control that comes first is as long as the
rebuild before; where the two differ, the seconds that both have count.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
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
from tests.support.postgres import copied
from tests.support.projector import environment
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from ledger.application.audit import AuditReport
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
    by_second: list[int] = field(default_factory=list)
    """Written by each second of the phase that is measured."""
    done: bool = False

    async def counts(self) -> None:
        """Notes each second what has been written since it began."""
        first, began = self.written, time.perf_counter()
        while True:
            await asyncio.sleep(began + len(self.by_second) + 1 - time.perf_counter())
            self.by_second.append(self.written - first)

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

    async def warms(self) -> None:
        """Records a mark of every student: what a service that has been running for a while has in memory."""
        waiting = iter(self.world.students)

        async def some() -> None:
            for student in waiting:
                await record(self.ledger, a_mark(self.ledger, self.world, student), Request(self.world.actor))

        await asyncio.gather(*(some() for _ in range(PRODUCERS)))

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


async def measured(load: Load, during: Awaitable[Any]) -> tuple[Phase, Any]:
    load.by_second.clear()
    counting = asyncio.create_task(load.counts())
    written, began, seen = load.written, time.perf_counter(), len(load.latencies)
    outcome = await during
    counting.cancel()
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


def idles(seconds: float) -> Callable[[dict[str, str]], Awaitable[None]]:
    """Returns what a control has in place of a rebuild."""
    return lambda _settings: asyncio.sleep(seconds)


@dataclass
class Run:
    """A load from the first second on: the quiet seconds before, and the phase that is compared."""

    before: Phase
    phase: Phase
    reads: int
    written: int
    by_second: list[int]
    swaps: list[dict[str, Any]]

    def of(self, control: Run) -> float:
        """Returns which share of a control was written in the seconds that both have."""
        last = min(len(self.by_second), len(control.by_second)) - 1
        return self.by_second[last] / control.by_second[last]


@dataclass
class School:
    """What every run starts from."""

    world: ours.World
    keks: KeyEncryptionKeys
    kek_text: str
    mapper: EventMapper
    folder: Path

    async def works(self, database: Database, during: Callable[[dict[str, str]], Awaitable[Any]], seed: int) -> Run:
        """Runs the load on a copy, until what happens meanwhile is over and every view has all that was recorded."""
        base = a_base(database, self.keks, self.mapper, self.folder)
        settings = environment(database, self.kek_text) | {"LEDGER_HOME": str(self.folder)}
        rng = random.Random(seed)  # noqa: S311 - the same choices again
        async with open_ledger(base) as ledger:
            groups = await list_groups(ledger, after=None, limit=1)
            load = Load(ledger, self.world, groups.items[0].group_id)
            await load.warms()
            with a_projector(settings):
                workers = [asyncio.create_task(load.writes(rng.getrandbits(32))) for _ in range(PRODUCERS)]
                workers += [asyncio.create_task(load.reads(rng.getrandbits(32))) for _ in range(READERS)]
                await asyncio.sleep(QUIET_S / 2)
                before, _ = await measured(load, asyncio.sleep(QUIET_S))
                phase, swaps = await measured(load, during(settings))
                load.done = True
                await asyncio.gather(*workers)
                mark = a_mark(ledger, self.world, self.world.students[0])
                last = (await record(ledger, mark, Request(self.world.actor))).position
                await until(lambda: min(positions_of(database).values()) >= last, seconds=600)
        assert load.failures == []
        assert len(load.latencies) > 0
        return Run(before, phase, len(load.latencies), load.written, load.by_second, swaps or [])

    def audit(self, database: Database) -> AuditReport:
        """Replays the whole history beside the views."""
        base = a_base(database, self.keks, self.mapper, self.folder)
        return Auditor(database, self.mapper, self.keks, base.views).audit()


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_no_read_fails_and_writers_keep_their_speed_while_every_view_is_rebuilt(
    ledger_db: Database, keks: KeyEncryptionKeys, kek_text: str, mapper: EventMapper, tmp_path: Path
) -> None:
    base = a_base(ledger_db, keks, mapper, tmp_path)
    async with open_ledger(base) as ledger:
        world = await ours.build(ledger)
        await a_history(ledger, world, random.Random(SEED), EVENTS)  # noqa: S311 - the same choices again
    began = time.perf_counter()
    last = await asyncio.to_thread(base.runner().catch_up)
    first = {"events": last, "events_per_s": round(last / (time.perf_counter() - began))}
    began = time.perf_counter()
    await rebuilds(environment(ledger_db, kek_text) | {"LEDGER_HOME": str(tmp_path)})
    alone = {"events": last, "events_per_s": round(last / (time.perf_counter() - began))}
    school = School(world, keks, kek_text, mapper, tmp_path)
    controls: list[Run] = []
    rebuilding: list[Run] = []
    seconds = 0.0  # the first of all is a rebuild
    for round_ in range(ROUNDS):
        for with_rebuild in (round_ % 2 == 0, round_ % 2 != 0):
            with copied(ledger_db) as copy:
                if with_rebuild:
                    rebuilding.append(await school.works(copy, rebuilds, SEED + round_))
                    seconds = rebuilding[-1].phase.seconds
                    report = await asyncio.to_thread(school.audit, copy)
                    assert report.equal, report.findings[:3]
                else:
                    controls.append(await school.works(copy, idles(seconds), SEED + round_))
    kept = [busy.of(control) for busy, control in zip(rebuilding, controls, strict=True)]
    swaps = [line for run in rebuilding for line in run.swaps]
    figures = {
        "history": EVENTS,
        "first_making": first,
        "rebuild_alone": alone,
        "kept": round(statistics.median(kept), 3),
        "kept_by_round": [round(share, 3) for share in kept],
        "of_before": {
            "rebuilding": [round(run.phase.events_per_s / run.before.events_per_s, 3) for run in rebuilding],
            "control": [round(run.phase.events_per_s / run.before.events_per_s, 3) for run in controls],
        },
        "rebuilding": [vars(run.phase) for run in rebuilding],
        "controls": [vars(run.phase) for run in controls],
        "held_ms": max(line["held_ms"] for line in swaps),
        "paused_ms": max(line["paused_ms"] for line in swaps),
        "reads": sum(run.reads for run in (*rebuilding, *controls)),
        "written": sum(run.written for run in (*rebuilding, *controls)),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    assert statistics.median(kept) >= KEPT, figures


def a_mark(ledger: Ledger, world: ours.World, student_id: UUID) -> RecordMark:
    course_id, work_id = world.courses[0]
    return RecordMark(
        school=ledger.id,
        course_id=course_id,
        student_id=student_id,
        work_id=work_id,
        value="5",
        effective_on=world.day,
    )
