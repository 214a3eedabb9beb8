"""A long history, recorded quickly: for tests of how fast things are when a ledger has grown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ledger.application.record.command import Request, record
from ledger.application.record.marks import LessonEntry, RecordLesson
from ledger.ids import new_id

if TYPE_CHECKING:
    import random

    from ledger.application.ledger import Ledger
    from ledger.benchmarks import ours

PRODUCERS = 64
LESSON = 30


async def a_history(ledger: Ledger, world: ours.World, rng: random.Random, events: int) -> None:
    """Records lessons until the history is as long as wanted."""

    async def lessons(count: int) -> None:
        for _ in range(count):
            course_id, work_id = rng.choice(world.courses)
            entries = tuple(LessonEntry(student, ("5",)) for student in rng.sample(world.students, LESSON))
            command = RecordLesson(
                school=ledger.id, course_id=course_id, work_id=work_id, held_on=world.day, entries=entries
            )
            await record(ledger, command, Request(world.actor, key=new_id().hex, content=b"lesson"))

    await asyncio.gather(*(lessons(max(events // LESSON // PRODUCERS, 1)) for _ in range(PRODUCERS)))
