"""What was opened against what was disclosed: everything agrees, and what went around the gate is named."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ledger.application.disclose.history import read_history
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.opening import load_keys, table
from ledger.application.disclose.register import EVERYTHING, export_register, read_register
from ledger.application.disclose.students import read_student
from ledger.application.reconciliation import Reconciler, Reconciliation
from ledger.bootstrap import open_ledger
from ledger.projections.query import select_rows
from ledger.store import openings
from ledger.store.openings import acting
from tests.support.desk import DIRECTOR, TEACHER, Desk, reads

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ledger.bootstrap import Foundation
    from ledger.store.database import Row

CLASSES = ("personal_file", "marks")


def reconciled(base: Foundation) -> Reconciliation:
    return Reconciler(base.database, base.mapper, base.keks, settle=timedelta()).reconcile()


async def a_class(desk: Desk) -> list[UUID]:
    students = await desk.enrols(2)
    await desk.marks(*students)
    await desk.catches_up()
    return students


async def open_behind_the_gate(desk: Desk, student: UUID) -> None:
    """Opens a card as somebody would who forgot the gate."""
    store = table(desk.ledger, "rosters", "students")
    async with desk.ledger.pool.connection() as connection:
        rows = await select_rows(connection, store, "student_id = %s", (student,))
    await load_keys(desk.ledger, store.subjects(rows))
    for row in rows:
        store.open(row, desk.ledger.keyring)


async def test_everything_that_is_shown_was_disclosed_and_counted(base: Foundation) -> None:
    async with open_ledger(base) as ledger:
        desk = Desk(base, ledger)
        await desk.founds()
        student, _ = await a_class(desk)
        acting.set(DIRECTOR.id)
        await read_student(ledger, reads(), student)
        await read_history(ledger, reads(), student, after=0, limit=50)
        await desk.catches_up()
        await read_register(ledger, reads(), EVERYTHING, before=None, limit=50)
        await desk.catches_up()
        made = await export_register(ledger, reads(), EVERYTHING)
        assert [line async for batch in made.batches for line in batch]
        acting.set(TEACHER.id)
        await read_journal(ledger, reads(TEACHER), desk.course, after=None, limit=50)
    report = await asyncio.to_thread(reconciled, base)
    assert report.equal, report.differences
    assert (report.coverage, report.unknown, report.lost, report.unopened) == (1.0, 0, 0, 0)
    assert report.covered >= 6
    assert report.disclosures >= 6


@pytest.mark.parametrize("who", [DIRECTOR.id, None])
async def test_what_was_opened_around_the_gate_is_named(base: Foundation, who: UUID | None) -> None:
    async with open_ledger(base) as ledger:
        desk = Desk(base, ledger)
        await desk.founds()
        student, other = await a_class(desk)
        acting.set(DIRECTOR.id)
        await read_student(ledger, reads(), other)
        acting.set(who)
        await open_behind_the_gate(desk, student)
    report = await asyncio.to_thread(reconciled, base)
    (found,) = report.differences
    assert (found.actor, found.student_id, found.record_class, found.opened) == (who, student, "personal_file", 1)
    assert found.began_at < found.ended_at
    assert report.covered == 1
    assert report.coverage == 0.5


async def test_disclosure_of_another_class_or_to_somebody_else_covers_nothing(base: Foundation) -> None:
    async with open_ledger(base) as ledger:
        desk = Desk(base, ledger)
        await desk.founds()
        (student, _) = await a_class(desk)
        acting.set(uuid4())
        await read_student(ledger, reads(), student)  # disclosed to the director, opened by somebody else
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
    async with open_ledger(base) as ledger:
        desk = Desk(base, ledger)
        await desk.founds()
        student, _ = await a_class(desk)
        acting.set(DIRECTOR.id)
        await read_student(ledger, reads(), student)
    report = await asyncio.to_thread(reconciled, base)
    assert (report.equal, report.lost, report.unknown, report.coverage) == (True, 1, 1, 0.0)
    kept = owner.execute("SELECT covered, uncovered, disclosures, unknown FROM reconciliations").fetchall()
    assert kept == [(0, 0, 1, 1)]


async def test_counts_that_cannot_be_stored_are_kept_for_the_next_time(
    base: Foundation, owner: psycopg.Connection[Row]
) -> None:
    async with open_ledger(base) as ledger:
        desk = Desk(base, ledger)
        await desk.founds()
        student, _ = await a_class(desk)
        acting.set(DIRECTOR.id)
        owner.execute("ALTER TABLE openings RENAME TO away")
        await read_student(ledger, reads(), student)
        assert isinstance(ledger.keyring, openings.CountedKeyring)
        log = openings.OpeningsLog(base.database, ledger.keys, ledger.keyring.openings)
        with pytest.raises(Exception, match="openings"):
            await log.flush()
        owner.execute("ALTER TABLE away RENAME TO openings")
        await log.flush(last=True)
    (row,) = owner.execute("SELECT actor, record_class, subject_ids, counts FROM openings").fetchall()
    assert row == (DIRECTOR.id, "personal_file", [student], [1])


@pytest.mark.parametrize("role", ["writer", "reader", "projector", "sealer", "eraser"])
def test_nobody_changes_a_count(base: Foundation, role: str) -> None:
    for table_ in ("openings", "opening_intervals", "reconciliations"):
        for statement in (f"DELETE FROM {table_}", f"TRUNCATE {table_}"):
            with base.database.connect(role) as connection, pytest.raises(Exception, match="permission denied"):
                connection.execute(statement)
