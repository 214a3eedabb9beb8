"""Recording, a page and a load cost after five million events what they cost after fifty thousand.

LEDGER_SOAK_LONG     events of the long history (5,000,000); the short one has a hundredth of them
LEDGER_SOAK_ROUNDS   rounds in which both are measured in turn (7)
LEDGER_SOAK_SEED     chooses who has which marks (1)

It prints one line of JSON. Both ledgers are on one server, and the page and the student that are loaded are of the same
size in both, so that the length of the history is the only difference.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ledger.aggregates.student import deciding_lanes
from ledger.application.disclose.journals import read_journal
from ledger.benchmarks import ours
from ledger.bootstrap import open_ledger
from ledger.store.lanes import LaneLoader
from tests.support.desk import a_base, reads
from tests.support.filling import a_history
from tests.support.postgres import fresh_ledger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from ledger.application.ledger import Ledger
    from ledger.bootstrap import Foundation
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

LONG = int(os.environ.get("LEDGER_SOAK_LONG", "5000000"))
ROUNDS = int(os.environ.get("LEDGER_SOAK_ROUNDS", "7"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
STUDENTS, WORKS = 30, 20
TIMES = 40
SECONDS = 2.0
MUCH = 1.2


class Measured:
    """A ledger with a history of some length, and how long each thing takes there."""

    def __init__(
        self, base: Foundation, ledger: Ledger, world: ours.World, course_id: UUID, members: list[UUID]
    ) -> None:
        self._base, self._ledger, self._world = base, ledger, world
        self._course_id, self._members = course_id, members
        self._loader = LaneLoader(base.database, ledger.mapper, ledger.keyring)

    async def append(self) -> float:
        """Returns the seconds of one mark when 64 record at once."""
        return 1 / await ours.single_marks(self._ledger, self._world, 64, SECONDS)

    async def page(self) -> float:
        """Returns the seconds of a page with 30 students and 600 marks, its disclosures recorded."""
        began = time.perf_counter()
        for _ in range(TIMES):
            page = await read_journal(self._ledger, reads(), self._course_id, after=None, limit=STUDENTS)
            assert sum(len(line.cells) for line in page.lines) == STUDENTS * WORKS
        return (time.perf_counter() - began) / TIMES

    async def load(self) -> float:
        """Returns the seconds of loading what a decision about one student's mark needs, from the database."""
        async with await self._base.database.connect_async("writer") as connection:
            began = time.perf_counter()
            for number in range(TIMES):
                refs = deciding_lanes(self._members[number % STUDENTS], "bench")
                assert None not in (await self._loader.load(connection, refs)).values()
            return (time.perf_counter() - began) / TIMES


async def a_measured(base: Foundation, ledger: Ledger, events: int) -> Measured:
    """Fills a ledger, brings its views up to date, and warms what a service has warm."""
    world = await ours.build(ledger)
    await a_history(ledger, world, random.Random(SEED), events)  # noqa: S311 - the same again
    course_id = await ours.add_journal(ledger, world, STUDENTS, WORKS)
    await asyncio.to_thread(base.runner().catch_up)
    page = await read_journal(ledger, reads(), course_id, after=None, limit=STUDENTS)
    measured = Measured(base, ledger, world, course_id, [line.student_id for line in page.lines])
    for warm in (measured.append, measured.page, measured.load):
        await warm()
    return measured


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_append_page_and_load_cost_no_more_after_a_long_history(
    postgres_url: str, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path
) -> None:
    with fresh_ledger(postgres_url, keks) as one, fresh_ledger(postgres_url, keks) as other:
        bases = [a_base(database, keks, mapper, tmp_path) for database in (one, other)]
        async with open_ledger(bases[0]) as small, open_ledger(bases[1]) as large:
            short = await a_measured(bases[0], small, LONG // 100)
            long = await a_measured(bases[1], large, LONG)
            ways: dict[str, tuple[Callable[[], Awaitable[float]], Callable[[], Awaitable[float]]]] = {
                "append": (short.append, long.append),
                "page": (short.page, long.page),
                "load": (short.load, long.load),
            }
            figures = {}
            for name, (before, after) in ways.items():
                pairs = [(await before(), await after()) for _ in range(ROUNDS)]
                first, last = (statistics.median(times) for times in zip(*pairs, strict=True))
                ratios = [late / early for early, late in pairs]
                figures[name] = {
                    "short_ms": round(first * 1000, 3),
                    "long_ms": round(last * 1000, 3),
                    "ratio": round(statistics.median(ratios), 3),
                    "spread": [round(min(ratios), 3), round(max(ratios), 3)],
                }
    sys.stdout.write(json.dumps({"events": LONG, "rounds": ROUNDS} | figures) + "\n")
    assert all(figure["ratio"] <= MUCH for figure in figures.values()), figures
