"""Interleaved rounds of ours and stock on one database; medians, spread and ratios."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from psycopg import sql

from ledger.application.record.oneroster.package import import_package
from ledger.benchmarks import bare, growing, ours, sealing, served
from ledger.benchmarks.figures import Goal, Measurement
from ledger.benchmarks.stock import StockBench
from ledger.bootstrap import Foundation, open_ledger
from ledger.ids import new_id
from ledger.interchange.oneroster import open_package
from ledger.policy.offices import Actor, Office
from ledger.store.database import Database, translated
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets, ledger_id, load_hasher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
    from pathlib import Path

    Way = Callable[[], Awaitable[float]]

LESSON = 30

THOUSAND = 1_000
SLOW_FLUSH_US = 1_000

SINGLE = "single_mark_64"
BARE = "single_mark_64_bare"
SLOW = "single_mark_64_1ms"
LESSONS = "lesson_30"
BULK = "bulk_1000"
RECORDING = (SINGLE, BARE, LESSONS, BULK, SLOW)
IMPORT = "import_full"
FIGURES = (*RECORDING, IMPORT, *growing.FIGURES, sealing.COST, sealing.RECEIPTS, *served.FIGURES)
"""Names of all figures, in the order in which they are measured."""


def busy() -> float:
    """Returns the machine's load average per processor: above 0.5 before a run, figures are noise."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def fresh(base: Foundation) -> Foundation:
    """Returns a new ledger in a schema of its own on the same database."""
    database = Database(base.database.url, f"bench_{uuid4().hex[:12]}")
    migrate(database)
    ensure_secrets(database, base.keks)
    settings = base.settings.model_copy(update={"db_schema": database.schema})
    hasher = load_hasher(database, base.keks)
    return replace(base, id=ledger_id(database), database=database, settings=settings, hasher=hasher)


def drop(database: Database) -> None:
    """Removes a measured ledger: its schemas and its roles."""
    with translated(), database.connect("owner") as connection:
        names = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname = %s OR nspname LIKE %s",
            (database.schema, database.schema + "\\_%"),
        ).fetchall()
        for (name,) in names:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
        for role in ("writer", "reader", "projector", "eraser", "sealer"):
            name = sql.Identifier(f"{database.schema}_{role}")
            connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


def measure(
    base: Foundation,
    *,
    rounds: int,
    seconds: float,
    package: Path | None,
    sealer: Sequence[str],
    only: Collection[str] = FIGURES,
) -> Iterator[Measurement]:
    """Yields each measurement as soon as it is made; what was made for it in the database is removed again.

    Args:
        rounds: of ours and what it is compared with in turn.
        seconds: of each side in each round.
        package: OneRoster package for `import_full`; None to leave it out.
        sealer: the command of a sealer process (see `sealing.measure_sealing`).
        only: names of the figures to measure.
    """
    if wanted := set(RECORDING) & set(only):
        yield from _beside_stock(base, rounds, seconds, wanted)
    if package is not None and IMPORT in only:
        yield _import(base, package)
    if wanted := set(growing.FIGURES) & set(only):
        ledger = fresh(base)
        try:
            yield from growing.measure_growing(ledger, rounds=rounds, wanted=wanted)
        finally:
            drop(ledger.database)
    if wanted := {sealing.COST, sealing.RECEIPTS} & set(only):
        ledger = fresh(base)
        try:
            yield from sealing.measure_sealing(ledger, sealer, rounds=rounds, seconds=seconds, wanted=wanted)
        finally:
            drop(ledger.database)
    if wanted := set(served.FIGURES) & set(only):
        ledger = fresh(base)
        try:
            yield from served.measure_served(ledger, rounds=rounds, seconds=seconds, wanted=wanted)
        finally:
            drop(ledger.database)


def _beside_stock(base: Foundation, rounds: int, seconds: float, wanted: Collection[str]) -> list[Measurement]:
    ledger = fresh(base)
    stock_schema = f"{ledger.database.schema}_stock"
    with translated(), ledger.database.connect("owner") as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(stock_schema)))
    stock = StockBench(ledger.database.url, stock_schema)
    try:
        return asyncio.run(_compare(ledger, stock, rounds, seconds, wanted))
    finally:
        stock.close()
        drop(ledger.database)


async def _compare(
    base: Foundation, stock: StockBench, rounds: int, seconds: float, wanted: Collection[str]
) -> list[Measurement]:
    found = []
    bare_schema = f"{base.database.schema}_bare"
    await bare.make(base.database.url, bare_schema)
    async with open_ledger(base) as ledger:
        world = await ours.build(ledger)
        course_id, work_id = world.courses[0]
        await ours.single_marks(ledger, world, 64, seconds / 2)  # warms caches and plans

        async def single() -> float:
            return await ours.single_marks(ledger, world, 64, seconds)

        async def stock_single() -> float:
            return await asyncio.to_thread(stock.single_marks, 64, seconds, course_id, work_id)

        async def stock_lessons(producers: int) -> float:
            return await asyncio.to_thread(stock.lessons, producers, seconds, course_id, work_id, LESSON)

        lessons: list[Way] = [lambda: stock_lessons(1), lambda: stock_lessons(8)]
        ways: dict[str, tuple[str, float, Way, Sequence[Way]]] = {
            SINGLE: ("stock", 20.0, single, [stock_single]),
            BARE: (
                "bare",
                0.6,
                single,
                [lambda: bare.group_commits(base.database.url, bare_schema, 64, seconds)],
            ),
            LESSONS: ("stock", 5.0, lambda: ours.lessons(ledger, world, 8, seconds, LESSON), lessons),
            BULK: ("stock", 8.0, lambda: ours.bulk(ledger, world, 2, seconds, THOUSAND), lessons),
        }
        for name, (beside, goal, mine, others) in ways.items():
            if name in wanted:
                found.append(await _rounds(name, beside, goal, rounds, mine, others))
        if SLOW in wanted:
            with _slow_flushes(base.database):
                found.append(await _rounds(SLOW, "stock", 30, rounds, single, [stock_single]))
    return found


@contextmanager
def _slow_flushes(database: Database) -> Iterator[None]:
    """Makes every flush of the server's log a millisecond slower, as on a slower disk, for as long as the block runs.

    The server waits so long before it flushes (`commit_delay`), whoever else commits meanwhile (`commit_siblings`).
    """
    settings = {"commit_delay": str(SLOW_FLUSH_US), "commit_siblings": "0"}
    with translated(), database.connect("owner") as connection:
        try:
            for name, value in settings.items():
                connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            connection.execute("SELECT pg_reload_conf()")
            yield
        finally:
            for name in settings:
                connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
            connection.execute("SELECT pg_reload_conf()")


async def _rounds(name: str, beside: str, goal: float, rounds: int, mine: Way, others: Sequence[Way]) -> Measurement:
    """Runs ours and every other way in turn; compares with the other way whose median is best."""
    own: list[float] = []
    theirs: list[list[float]] = [[] for _ in others]
    for _ in range(rounds):
        own.append(await mine())
        for figures, other in zip(theirs, others, strict=True):
            figures.append(await other())
    best = max(theirs, key=statistics.median)
    measured = Measurement.of(name, "events/s", own, best, beside=beside)
    return replace(measured, goal=Goal(f"ratio ≥ {goal:g}", (measured.ratio or 0.0) >= goal))


def _import(base: Foundation, path: Path) -> Measurement:
    ledger = fresh(base)
    try:
        began = time.perf_counter()
        events = asyncio.run(_import_package(ledger, path))
        ledger.runner().catch_up()
        value = events / (time.perf_counter() - began)
    finally:
        drop(ledger.database)
    return Measurement(IMPORT, value, "events/s", (value, value), 1)


async def _import_package(base: Foundation, path: Path) -> int:
    async with open_ledger(base) as ledger:
        with open_package(path) as package:
            report = await import_package(ledger, package, Actor(new_id(), Office.SYSTEM))
    return report.events_added
