"""A snapshot is stored only under a key that is stored: one that nobody can open would keep its lane from everybody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ledger.aggregates.student import marks_lane
from ledger.aggregates.student.marks import MarkRecorded, MarksOpened
from ledger.ids import new_id
from ledger.store.executor import WORTH_HALVING
from ledger.streams.base import Proposal
from tests.support.commands import CLIENT, CONTEXT, YEAR, Enrol, Mark, Scripted, envelope
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    import psycopg

    from ledger.store.database import Database, Row
    from ledger.store.executor import CommandExecutor
    from ledger.streams.base import Lanes
    from tests.conftest import MakeExecutor

LAST_YEAR = "2024-2025"
VALUES = {
    "course_id": CLIENT, "work_id": CLIENT, "scale": "five", "scale_version": 1, "value": "5",
    "effective_on": CONTEXT.today, "entered_on": CONTEXT.today, "comment": "", "permit_id": None, "flags": (),
}  # fmt: skip


def _marks(student: UUID, year: str, count: int, *, opens: bool = False) -> Callable[[Lanes], Sequence[Proposal]]:
    ref = marks_lane(student, year)

    def decide(lanes: Lanes) -> Sequence[Proposal]:
        lanes.get(ref)
        opened = [Proposal(ref, MarksOpened, {"year": year}, new_id())] if opens else []
        return [*opened, *(Proposal(ref, MarkRecorded, VALUES, new_id()) for _ in range(count))]

    return decide


def _waits(owner: psycopg.Connection[Row], executor: CommandExecutor, event: str) -> bool:
    pids = [one.info.backend_pid for one in (executor._writer.connection, executor._loading) if one is not None]
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event = %s"
    return owner.execute(query, (pids, event)).fetchone() != (0,)


async def test_snapshot_that_was_sealed_with_the_key_of_a_batch_that_failed_is_not_stored(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], ledger_db: Database
) -> None:
    """Two processes make a student's key for snapshots; the slower one loads a long lane while its batch is flushed."""
    student, other = new_id(), new_id()
    slower, faster = await make_executor(snapshot_every=4), await make_executor(snapshot_every=4)
    third = await make_executor()
    for command in (Enrol(student), Enrol(other), Mark(other), Mark(student)):
        await slower.execute(envelope(command))
    with ledger_db.connect("owner") as locker, locker.transaction():
        locker.execute("LOCK TABLE snapshots IN SHARE MODE")  # nobody's snapshot is stored yet
        await faster.execute(envelope(Scripted(_marks(student, YEAR, 9))))
        await third.execute(envelope(Mark(student)))
        await slower.execute(envelope(Enrol(new_id())))  # hears what moved
        with owner.transaction():
            owner.execute("SELECT lock_appends()")
            futures = [slower.submit(envelope(Scripted(_marks(student, LAST_YEAR, 4, opens=True))))]
            futures += [slower.submit(envelope(Mark(other))) for _ in range(WORTH_HALVING - 1)]
            futures += [slower.submit(envelope(Mark(student))) for _ in range(WORTH_HALVING)]
            await until(lambda: _waits(owner, slower, "advisory") and slower.waiting == 0)
            await until(lambda: bool(slower._writer.loader._sealed))
        await until(lambda: futures[0].done() or _waits(owner, slower, "relation"))
    await asyncio.gather(*futures)
    fresh = await make_executor()
    await fresh.execute(envelope(Mark(student)))
