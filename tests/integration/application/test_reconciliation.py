"""What was opened against what was disclosed: everything agrees, and what went around the gate is named."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from ledger.application.disclose.history import read_history
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.opening import load_keys, table
from ledger.application.disclose.register import EVERYTHING, export_register, read_register
from ledger.application.disclose.students import read_student
from ledger.application.reconciliation import Reconciler, Reconciliation
from ledger.bootstrap import open_ledger
from ledger.clock import utc_now
from ledger.errors import StoreUnavailable
from ledger.projections.query import rows_where, select
from ledger.store import openings
from ledger.store.openings import acting
from tests.support.desk import DIRECTOR, TEACHER, Desk, reads
from tests.support.proxy import Proxy
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from uuid import UUID

    from ledger.bootstrap import Foundation
    from ledger.store.database import Row

CLASSES = ("personal_file", "marks")


def reconciled(base: Foundation) -> Reconciliation:
    return Reconciler(base.database, base.mapper, base.keks, settle=timedelta()).reconcile()


@asynccontextmanager
async def at_school(base: Foundation) -> AsyncIterator[tuple[Desk, UUID, UUID]]:
    """Yields a desk in a process of its own and two students with a mark each; what it opens is stored at its end."""
    async with open_ledger(base) as ledger:
        desk = Desk(base, ledger)
        await desk.founds()
        student, other = await desk.enrols(2)
        await desk.marks(student, other)
        await desk.catches_up()
        yield desk, student, other


@contextmanager
def nothing_stored(owner: psycopg.Connection[Row]) -> Iterator[None]:
    """Keeps counts from being stored during the block."""
    owner.execute("ALTER TABLE openings RENAME TO away")
    yield
    owner.execute("ALTER TABLE away RENAME TO openings")


async def open_behind_the_gate(desk: Desk, student: UUID) -> None:
    """Opens a card as somebody would who forgot the gate."""
    store = table(desk.ledger, "rosters", "students")
    async with desk.ledger.pool.connection() as connection:
        [rows] = await select(connection, rows_where(store, "student_id = %s", (student,)))
    await load_keys(desk.ledger, store.names(rows))
    for row in rows:
        store.open(row, desk.ledger.keyring)


async def test_everything_that_is_shown_was_disclosed_and_counted(base: Foundation) -> None:
    async with at_school(base) as (desk, student, _):
        acting.set(DIRECTOR.id)
        await read_student(desk.ledger, reads(), student)
        await read_history(desk.ledger, reads(), student, after=0, limit=50)
        await desk.catches_up()
        await read_register(desk.ledger, reads(), EVERYTHING, before=None, limit=50)
        await desk.catches_up()
        made = await export_register(desk.ledger, reads(), EVERYTHING)
        assert [line async for batch in made.batches for line in batch]
        acting.set(TEACHER.id)
        await read_journal(desk.ledger, reads(TEACHER), desk.course, after=None, limit=50)
    report = await asyncio.to_thread(reconciled, base)
    assert report.equal, report.differences
    assert (report.coverage, report.unknown, report.lost, report.unopened) == (1.0, 0, 0, 0)
    assert report.covered >= 6
    assert report.disclosures >= 6


@pytest.mark.parametrize("who", [DIRECTOR.id, None])
async def test_what_was_opened_around_the_gate_is_named(base: Foundation, who: UUID | None) -> None:
    async with at_school(base) as (desk, student, other):
        acting.set(DIRECTOR.id)
        await read_student(desk.ledger, reads(), other)
        acting.set(who)
        await open_behind_the_gate(desk, student)
    report = await asyncio.to_thread(reconciled, base)
    (found,) = report.differences
    assert (found.actor, found.student_id, found.record_class, found.opened) == (who, student, "personal_file", 1)
    assert found.began_at < found.ended_at
    assert report.covered == 1
    assert report.coverage == 0.5


async def test_disclosure_of_another_class_or_to_somebody_else_covers_nothing(base: Foundation) -> None:
    async with at_school(base) as (desk, student, _):
        acting.set(uuid4())
        await read_student(desk.ledger, reads(), student)  # disclosed to the director, opened by somebody else
    report = await asyncio.to_thread(reconciled, base)
    assert [found.student_id for found in report.differences] == [student]


async def test_what_a_killed_process_had_not_stored_is_unknown(
    base: Foundation, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(self: openings.OpeningsLog) -> None:
        """Ends as a process does that is killed: nothing more is stored."""
        task = self._task
        assert task is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    monkeypatch.setattr(openings.OpeningsLog, "stop", killed)
    async with at_school(base) as (desk, student, _):
        acting.set(DIRECTOR.id)
        await read_student(desk.ledger, reads(), student)
    report = await asyncio.to_thread(reconciled, base)
    assert (report.equal, report.lost, report.unknown, report.coverage) == (True, 1, 1, 0.0)
    kept = owner.execute("SELECT covered, uncovered, disclosures, unknown FROM reconciliations").fetchall()
    assert kept == [(0, 0, 1, 1)]


async def test_counts_that_cannot_be_stored_are_kept_for_the_next_time(
    base: Foundation, owner: psycopg.Connection[Row]
) -> None:
    async with at_school(base) as (desk, student, _):
        acting.set(DIRECTOR.id)
        log = openings.OpeningsLog(base.database, desk.ledger.keys, desk.ledger.keyring.openings)
        with nothing_stored(owner):
            await read_student(desk.ledger, reads(), student)
            with pytest.raises(psycopg.errors.UndefinedTable, match="openings"):
                await log.flush()
        await log.flush(last=True)
    (row,) = owner.execute("SELECT actor, record_class, subject_ids, counts FROM openings").fetchall()
    assert row == (DIRECTOR.id, "personal_file", [student], [1])


@pytest.mark.parametrize("committed", [True, False])
async def test_flush_whose_commit_was_not_heard_of_is_stored_once_and_the_next_ones_too(
    base: Foundation, owner: psycopg.Connection[Row], *, committed: bool
) -> None:
    student, counter = uuid4(), openings.Openings(base.id)
    query = "SELECT i.number, i.last, o.counts FROM opening_intervals i LEFT JOIN openings o USING (process, number)"

    def stored() -> list[tuple[int, bool, list[int] | None]]:
        return owner.execute(query + " ORDER BY i.number").fetchall()

    async with Proxy(base.database) as wire, replace(wire.database, pool_s=1).pool("writer", 1) as pool:
        log = openings.OpeningsLog(wire.database, pool, counter)
        await log.flush()
        counter.count(student, "marks")
        if committed:
            wire.swallow_commit = True
            flushing = asyncio.create_task(log.flush())
            await until(lambda: len(stored()) == 2)
            wire.cut()
        else:
            await wire.refuse()
            flushing = asyncio.create_task(log.flush())
        with pytest.raises(StoreUnavailable):
            await flushing
        counter.count(student, "marks")
        counter.count(student, "marks")
        if not committed:
            await wire.accept()

        async def stores() -> bool:
            try:
                await log.flush()
            except StoreUnavailable:
                return False  # the pool has not noticed yet that the server is back
            return True

        await until(stores)
        counter.count(student, "marks")
        await log.flush(last=True)
    assert stored() == [(1, False, None), (2, False, [1]), (3, False, [2]), (4, True, [1])]


async def test_interval_that_is_stored_late_ended_when_it_was_counted(
    base: Foundation, owner: psycopg.Connection[Row]
) -> None:
    counter = openings.Openings(base.id)
    async with base.database.pool("writer", 1) as pool:
        log = openings.OpeningsLog(base.database, pool, counter)
        await log.flush()
        counter.count(uuid4(), "marks")
        with nothing_stored(owner):
            with pytest.raises(psycopg.errors.UndefinedTable):
                await log.flush()
            (failed_at,) = owner.execute("SELECT clock_timestamp()").fetchone() or (None,)
        await log.flush()
    ended = [row[0] for row in owner.execute("SELECT ended_at FROM opening_intervals ORDER BY number").fetchall()]
    assert ended == sorted(ended)
    assert failed_at is not None
    assert ended[1] < failed_at < ended[2]


async def test_process_that_cannot_store_what_it_opens_opens_nothing_after_its_lease(
    base: Foundation,
) -> None:
    async with at_school(base) as (desk, student, _):
        acting.set(DIRECTOR.id)
        await read_student(desk.ledger, reads(), student)
        desk.ledger.keyring.openings.vouch(time.monotonic() - openings.LEASE_S - 1)
        with pytest.raises(StoreUnavailable, match="accounted for"):
            await read_student(desk.ledger, reads(), student)
        with pytest.raises(StoreUnavailable, match="accounted for"):
            desk.ledger.keyring.find(student, "personal_file")
        desk.ledger.keyring.openings.vouch(time.monotonic())
        await read_student(desk.ledger, reads(), student)


def test_process_that_never_said_that_it_counts_opens_nothing(base: Foundation) -> None:
    counter = openings.Openings(base.id)
    with pytest.raises(StoreUnavailable):
        counter.count(uuid4(), "marks")
    counter.count(base.id, "school")  # about no student


async def test_key_that_is_handed_out_is_counted_however_it_is_asked_for(base: Foundation) -> None:
    async with at_school(base) as (desk, student, _):
        await load_keys(desk.ledger, [(student.int, "personal_file")])
        assert desk.ledger.keyring.holds(student, "personal_file")
        assert not desk.ledger.keyring.openings.counted()
        assert desk.ledger.keyring.find(student, "personal_file") is not None
        assert desk.ledger.keyring.openings.counted() == [(acting.get(), "personal_file")]
        assert desk.ledger.keyring.find(uuid4(), "personal_file") is None
        desk.ledger.keyring.openings.take()
        names = {(student.int, "personal_file"): 3, (uuid4().int, "personal_file"): 5}
        assert desk.ledger.keyring.several(names).keys() == {(student.int, "personal_file")}
        assert desk.ledger.keyring.openings.take().counts == {(acting.get(), "personal_file"): {student: 3}}


def test_comparison_goes_on_where_the_newest_one_ended(base: Foundation, owner: psycopg.Connection[Row]) -> None:
    process = uuid4()
    owner.execute(
        "INSERT INTO opening_intervals SELECT %s, 1, now() - interval '9 days', true, 'host, pid 1'", (process,)
    )
    assert (utc_now() - reconciled(base).since) < timedelta(days=1, hours=1, minutes=1)
    owner.execute(
        "INSERT INTO reconciliations (covered, uncovered, unknown, since, until, disclosures)"
        " SELECT 0, 0, 0, now() - interval '5 days', now() - interval '4 days', 0"
    )
    assert (utc_now() - reconciled(base).since) > timedelta(days=4)


@pytest.mark.parametrize("role", ["writer", "reader", "projector", "sealer", "eraser"])
def test_nobody_changes_a_count(base: Foundation, role: str) -> None:
    for table_ in ("openings", "opening_intervals", "reconciliations"):
        for statement in (f"DELETE FROM {table_}", f"TRUNCATE {table_}"):
            with base.database.connect(role) as connection, pytest.raises(Exception, match="permission denied"):
                connection.execute(statement)
