"""What follows the history, and what must not get slower with it: projecting journals, loading a student.

`project_journal` compares the journal view (events decrypted, rows sealed, one for each mark) with the library's own
`ProjectionRunner` and one upsert for each event. `load_student` compares a student of eleven years with one of a single
year: a year's lane closes with the year, so a decision loads no more after eleven of them.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg import sql

from ledger.aggregates.student import deciding_lanes
from ledger.application.record.command import Request, record
from ledger.application.record.courses import AddWork, FormClassGroup, OpenCourse
from ledger.application.record.marks import RecordMark
from ledger.application.record.school import OpenSchoolYear
from ledger.application.record.students import EnrolStudent, MoveToGroup
from ledger.benchmarks import ours, stock_view
from ledger.benchmarks.figures import Goal, Measurement
from ledger.benchmarks.stock import StockBench, stock_environment
from ledger.bootstrap import open_ledger
from ledger.store.database import translated
from ledger.store.lanes import LaneLoader

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from ledger.application.ledger import Ledger
    from ledger.bootstrap import Foundation
    from ledger.projections.runner import ProjectionRunner

PROJECT = "project_journal"
LOAD = "load_student"
FIGURES = (PROJECT, LOAD)

OURS = 30_000
STOCK = 3_000
"""Marks of a round: so many that either side follows them for about a second or two."""
LESSON = 30
FASTER = 25.0

YEARS = 11
MARKS = 1_000
LOADS = 50
SLOWER = 1.5


def measure_growing(base: Foundation, *, rounds: int, wanted: Collection[str]) -> list[Measurement]:
    """Returns the wanted ones of FIGURES, measured on a ledger that was made for it."""
    return asyncio.run(_measure(base, rounds, wanted))


async def _measure(base: Foundation, rounds: int, wanted: Collection[str]) -> list[Measurement]:
    found = []
    async with open_ledger(base) as ledger:
        world = await ours.build(ledger)
        if PROJECT in wanted:
            found.append(await _project(base, ledger, world, rounds))
        if LOAD in wanted:
            found.append(await _load(base, ledger, world, rounds))
    return found


async def _project(base: Foundation, ledger: Ledger, world: ours.World, rounds: int) -> Measurement:
    """Measures events per second of either side, from a look at the history until it has the newest event.

    Our projector goes on with the data keys that it knows, as one of a service does; stock's has none.
    """
    schema = f"{base.database.schema}_stock"
    with translated(), base.database.connect("owner") as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    stock = StockBench(base.database.url, schema)
    environment = stock_environment(base.database.url, schema, 2)
    runner = replace(base, views=[ledger.view("journals")]).runner()
    course_id, work_id = world.courses[0]
    own, theirs = [], []
    try:
        await asyncio.to_thread(runner.catch_up)
        await asyncio.to_thread(stock_view.follow, environment)
        for number in range(rounds):
            await ours.some_lessons(ledger, world, OURS // LESSON, LESSON, seed=number)
            own.append(OURS / await asyncio.to_thread(_caught_up, runner))
            stock.some_lessons(STOCK // LESSON, LESSON, course_id, work_id)
            theirs.append(STOCK / await asyncio.to_thread(stock_view.follow, environment))
    finally:
        stock.close()
    measured = Measurement.of(PROJECT, "events/s", own, theirs)
    return replace(measured, goal=Goal(f"ratio ≥ {FASTER:.0f}", (measured.ratio or 0.0) >= FASTER))


def _caught_up(runner: ProjectionRunner) -> float:
    began = time.perf_counter()
    runner.catch_up()
    return time.perf_counter() - began


async def _load(base: Foundation, ledger: Ledger, world: ours.World, rounds: int) -> Measurement:
    """Measures the seconds that the lanes take which a decision about a mark needs, from the database."""
    long = await _a_student(ledger, world, YEARS)
    short = await _a_student(ledger, world, 1)
    loader = LaneLoader(base.database, ledger.mapper, ledger.keyring)
    own, theirs = [], []
    with translated():
        async with await base.database.connect_async("writer") as connection:

            async def seconds(student_id: UUID) -> float:
                refs = deciding_lanes(student_id, "bench")
                began = time.perf_counter()
                for _ in range(LOADS):
                    await loader.load(connection, refs)
                return (time.perf_counter() - began) / LOADS

            await seconds(long)  # warms plans and keys
            for _ in range(rounds):
                own.append(await seconds(long))
                theirs.append(await seconds(short))
    measured = Measurement.of(LOAD, "s", own, theirs, beside="one_year")
    ratios = [one / other for one, other in zip(own, theirs, strict=True)]
    measured = replace(measured, ratio=statistics.median(ratios), ratio_spread=(min(ratios), max(ratios)))
    return replace(measured, goal=Goal(f"ratio ≤ {SLOWER}", (measured.ratio or SLOWER + 1) <= SLOWER))


async def _a_student(ledger: Ledger, world: ours.World, years: int) -> UUID:
    """Enrols a student with so many marks in each of the last years, the current one included."""
    school, request = ledger.id, Request(world.actor)
    current = world.day - timedelta(days=100)
    begins = [current - timedelta(days=300 * ago) for ago in reversed(range(years))]
    student = EnrolStudent(school=school, family_name="Synthetic", given_name="pupil", enrolled_on=begins[0])
    await record(ledger, student, request)
    for first in begins:
        year = "bench" if first == current else f"bench-{first.isoformat()}"
        if first != current:
            last = first + timedelta(days=299)
            await record(
                ledger, OpenSchoolYear(school=school, year=year, title=year, starts_on=first, ends_on=last), request
            )
        group = FormClassGroup(school=school, title=year, year=year, level="basic")
        await record(ledger, group, request)
        course = OpenCourse(school=school, title=year, group_id=group.group_id, journal="class", scale="five")
        await record(ledger, course, request)
        work = AddWork(school=school, course_id=course.course_id, title="work", kind="test")
        work_id = (await record(ledger, work, request)).events[0].event_id
        move = MoveToGroup(school=school, student_id=student.student_id, group_id=group.group_id, effective_on=first)
        await record(ledger, move, request)
        chooser = random.Random(0)  # noqa: S311 - choosing days for a measurement
        await asyncio.gather(
            *(
                record(
                    ledger,
                    RecordMark(
                        school=school,
                        course_id=course.course_id,
                        student_id=student.student_id,
                        work_id=work_id,
                        value="5",
                        effective_on=first + timedelta(days=chooser.randrange(100)),
                    ),
                    request,
                )
                for _ in range(MARKS)
            )
        )
    return student.student_id
