"""Measurements over HTTP: our service and the rivals', each of several processes, in turn on one database."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from ledger.benchmarks import ours
from ledger.benchmarks.figures import Goal, Measurement
from ledger.benchmarks.load import Load, Result, get, post, put
from ledger.benchmarks.processes import Place, our_service, rival, settle
from ledger.benchmarks.rivals import TABLES
from ledger.benchmarks.stock import StockBench
from ledger.bootstrap import Foundation, open_ledger
from ledger.store.database import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from uuid import UUID

LESSON = 30
PAGES = {"journal_page": 20, "journal_page_30_rows": 1}
"""Works of the course whose page is read, each with a mark of every student."""
FIGURES = ("http_mark_64", "http_lesson_30", *PAGES)


GOALS = {"stock": 5.0, "table": 1.8}
"""What ours should be to each rival."""
LESSON_GOAL, P95_GOAL_MS, PAGES_GOAL = 20_000, 10, 400


class _Field(NamedTuple):
    """What the served measurements share."""

    base: Foundation
    ours: Place
    world: ours.World
    rounds: int
    seconds: float

    def measure(self, place: Place, connections: int, requests: list[bytes], expected: int) -> Result:
        """Returns what came of a load; ours has caught up afterwards."""
        load = Load(place.port, connections, self.seconds, requests, warm=self.seconds / 4)
        result = put(load, expected)
        if place is self.ours:
            settle(self.base)
        return result


def measure_served(base: Foundation, *, rounds: int, seconds: float, wanted: Collection[str]) -> Iterator[Measurement]:
    """Yields those of FIGURES that are wanted; `base` is a fresh ledger, which whoever made it drops."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ledger-bench-")))
        world, courses = asyncio.run(_world(base))
        place = stack.enter_context(our_service(base, folder))
        settle(base)
        field = _Field(base, place, world, rounds, seconds)
        if "http_mark_64" in wanted:
            yield from _marks(field, stack)
        if "http_lesson_30" in wanted:
            yield _lessons(field)
        for name in PAGES:
            if name in wanted:
                yield from _pages(field, name, courses[name])


async def _world(base: Foundation) -> tuple[ours.World, dict[str, UUID]]:
    async with open_ledger(base) as ledger:
        world = await ours.build(ledger)
        return world, {name: await ours.add_journal(ledger, world, LESSON, works) for name, works in PAGES.items()}


def _mark(world: ours.World, student: UUID) -> dict[str, object]:
    course, work = world.courses[0]
    return {
        "course_id": course,
        "student_id": student,
        "work_id": work,
        "value": "5",
        "effective_on": world.day,
    }


def _marks(field: _Field, stack: ExitStack) -> Iterator[Measurement]:
    """The same route on ours, on the stock library and on a plain table with an audit trigger."""
    database = field.base.database
    schemas = {kind: f"{database.schema}_{kind}" for kind in ("stock", "table")}
    with translated(), database.connect("owner") as connection:
        for schema in schemas.values():
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schemas["table"])))
        connection.execute(TABLES)
    bench = StockBench(database.url, schemas["stock"])
    bench.close()
    students = {"ours": field.world.students, "stock": bench.students, "table": field.world.students}
    places = {"ours": field.ours}
    places |= {kind: stack.enter_context(rival(kind, database.url, schema)) for kind, schema in schemas.items()}
    sides = {
        kind: _side(field, place, [post("/v1/marks", place.token, _mark(field.world, one)) for one in students[kind]])
        for kind, place in places.items()
    }
    figures: dict[str, list[float]] = {kind: [] for kind in sides}
    for _ in range(field.rounds):
        for kind, side in sides.items():
            figures[kind].append(side())
    for kind, goal in GOALS.items():
        name = "http_mark_64" if kind == "stock" else f"http_mark_64_{kind}"
        found = Measurement.of(name, "events/s", figures["ours"], figures[kind], beside=kind)
        yield replace(found, goal=Goal(f"≥ {goal}× {kind}", (found.ratio or 0) >= goal))


def _side(field: _Field, place: Place, requests: list[bytes]) -> Callable[[], float]:
    return lambda: field.measure(place, 64, requests, 201).per_second


def _lessons(field: _Field) -> Measurement:
    course, work = field.world.courses[0]
    students = field.world.students
    lessons = [
        {
            "course_id": course,
            "work_id": work,
            "held_on": field.world.day,
            "entries": [{"student_id": one, "marks": ["5"]} for one in students[first : first + LESSON]],
        }
        for first in range(0, len(students) - LESSON + 1, LESSON)
    ]
    requests = [post("/v1/lessons", field.ours.token, lesson) for lesson in lessons]
    found = [field.measure(field.ours, 32, requests, 201).per_second * LESSON for _ in range(field.rounds)]
    figure = Measurement.of("http_lesson_30", "events/s", found)
    return replace(figure, goal=Goal(f"≥ {LESSON_GOAL:,} events/s", figure.value >= LESSON_GOAL))


def _pages(field: _Field, name: str, course: UUID) -> Iterator[Measurement]:
    """A page of a journal for one client (95th percentile), and for 16 clients."""
    requests = [get(f"/v1/journals/{course}", field.ours.token)]
    alone = [field.measure(field.ours, 1, requests, 200) for _ in range(field.rounds)]
    p50 = statistics.median(result.p50_ms for result in alone)
    first = Measurement.of(f"{name}_p95", "ms", [result.p95_ms for result in alone], more={"p50": p50})
    yield replace(first, goal=Goal(f"≤ {P95_GOAL_MS} ms", first.value <= P95_GOAL_MS))
    many = [field.measure(field.ours, 16, requests, 200).per_second for _ in range(field.rounds)]
    second = Measurement.of(f"{name}_16", "pages/s", many)
    yield replace(second, goal=Goal(f"≥ {PAGES_GOAL} pages/s", second.value >= PAGES_GOAL))
