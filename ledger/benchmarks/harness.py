"""Interleaved rounds of ours and stock on one database; medians, spread and ratios."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from psycopg import sql

from ledger.application.record.oneroster.package import import_package
from ledger.benchmarks import ours
from ledger.benchmarks.stock import StockBench
from ledger.bootstrap import Foundation, open_ledger
from ledger.ids import new_id
from ledger.interchange.oneroster import open_package
from ledger.policy.offices import Actor, Office
from ledger.store.database import Database, translated
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets, ledger_id, load_hasher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

LESSON = 30


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: medians of the rounds, and how far they spread (smallest to largest)."""

    name: str
    value: float
    unit: str
    stock: float | None
    ratio: float | None
    spread: tuple[float, float]
    stock_spread: tuple[float, float] | None
    rounds: int

    def plain(self) -> dict[str, object]:
        """Returns the figure as a line of `--json`."""
        return {
            "name": self.name,
            "value": round(self.value, 1),
            "unit": self.unit,
            "stock": round(self.stock, 1) if self.stock is not None else None,
            "ratio": round(self.ratio, 2) if self.ratio is not None else None,
            "spread": [round(bound, 1) for bound in self.spread],
            "stock_spread": [round(bound, 1) for bound in self.stock_spread] if self.stock_spread else None,
            "rounds": self.rounds,
        }


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


def measure(base: Foundation, *, rounds: int, seconds: float, package: Path | None) -> Iterator[Measurement]:
    """Yields each measurement as soon as it is made; what was made for it in the database is removed again.

    Args:
        rounds: of ours and stock in turn.
        seconds: of each side in each round.
        package: OneRoster package for `import_full`; None to leave it out.
    """
    ledger = fresh(base)
    stock_schema = f"{ledger.database.schema}_stock"
    with translated(), ledger.database.connect("owner") as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(stock_schema)))
    stock = StockBench(ledger.database.url, stock_schema)
    try:
        yield from asyncio.run(_compare(ledger, stock, rounds, seconds))
    finally:
        stock.close()
        drop(ledger.database)
    if package is not None:
        yield _import(base, package)


async def _compare(base: Foundation, stock: StockBench, rounds: int, seconds: float) -> list[Measurement]:
    async with open_ledger(base) as ledger:
        world = await ours.build(ledger)
        course_id, work_id = world.courses[0]
        await ours.single_marks(ledger, world, 64, seconds / 2)  # warms caches and plans

        single = await _rounds(
            "single_mark_64",
            rounds,
            lambda: ours.single_marks(ledger, world, 64, seconds),
            [lambda: stock.single_marks(64, seconds, course_id, work_id)],
        )
        lesson = await _rounds(
            "lesson_30",
            rounds,
            lambda: ours.lessons(ledger, world, 8, seconds, LESSON),
            [
                lambda: stock.lessons(1, seconds, course_id, work_id, LESSON),
                lambda: stock.lessons(8, seconds, course_id, work_id, LESSON),
            ],
        )
    return [single, lesson]


async def _rounds(
    name: str, rounds: int, mine: Callable[[], Awaitable[float]], stocks: list[Callable[[], float]]
) -> Measurement:
    """Runs ours and every way of stock in turn; compares with the stock way whose median is best."""
    own: list[float] = []
    theirs: list[list[float]] = [[] for _ in stocks]
    for _ in range(rounds):
        own.append(await mine())
        for figures, stock in zip(theirs, stocks, strict=True):
            figures.append(await asyncio.to_thread(stock))
    best = max(theirs, key=statistics.median)
    value, other = statistics.median(own), statistics.median(best)
    return Measurement(
        name, value, "events/s", other, value / other, (min(own), max(own)), (min(best), max(best)), rounds
    )


def _import(base: Foundation, path: Path) -> Measurement:
    ledger = fresh(base)
    try:
        began = time.perf_counter()
        events = asyncio.run(_import_package(ledger, path))
        ledger.runner().catch_up()
        value = events / (time.perf_counter() - began)
    finally:
        drop(ledger.database)
    return Measurement("import_full", value, "events/s", None, None, (value, value), None, 1)


async def _import_package(base: Foundation, path: Path) -> int:
    async with open_ledger(base) as ledger:
        with open_package(path) as package:
            report = await import_package(ledger, package, Actor(new_id(), Office.SYSTEM))
    return report.events_added
