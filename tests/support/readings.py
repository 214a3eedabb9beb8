"""Every kind of reading a student's data, to be tried on whomever by whomever; and a class to read of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.disclose.differences import read_difference
from ledger.application.disclose.history import read_history
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.register import read_disclosures
from ledger.application.disclose.retention import read_retention
from ledger.application.disclose.states import read_state
from ledger.application.disclose.students import list_students, read_student
from ledger.policy.offices import Actor
from tests.support.desk import Desk, reads
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    from ledger.store.database import Row as DbRow

    Read = Callable[[Desk, UUID, Actor], Awaitable[object]]

THEN = AsOf(effective_on=TODAY)
"""A moment whose rows are folded from the events, whatever the views have reached."""

READS: dict[str, Read] = {
    "student": lambda desk, student, by: read_student(desk.ledger, reads(by), student),
    "students": lambda desk, _, by: list_students(desk.ledger, reads(by), desk.group, after=None, limit=50),
    "journal": lambda desk, _, by: read_journal(desk.ledger, reads(by), desk.course, after=None, limit=50),
    "portfolio": lambda desk, student, by: read_portfolio(desk.ledger, reads(by), student, after=None, limit=50),
    "retention": lambda desk, student, by: read_retention(desk.ledger, reads(by), student),
    "disclosures": lambda desk, student, by: read_disclosures(desk.ledger, reads(by), student, before=None, limit=50),
    "history": lambda desk, student, by: read_history(desk.ledger, reads(by), student, after=0, limit=50),
    "student then": lambda desk, student, by: read_student(desk.ledger, reads(by), student, as_of=THEN),
    "students then": lambda desk, _, by: list_students(
        desk.ledger, reads(by), desk.group, after=None, limit=50, as_of=THEN
    ),
    "journal then": lambda desk, _, by: read_journal(
        desk.ledger, reads(by), desk.course, after=None, limit=50, as_of=THEN
    ),
    "portfolio then": lambda desk, student, by: read_portfolio(
        desk.ledger, reads(by), student, after=None, limit=50, as_of=THEN
    ),
    "state": lambda desk, student, by: read_state(desk.ledger, reads(by), student),
    "difference": lambda desk, student, by: read_difference(desk.ledger, reads(by), student, since=THEN),
}

OF_A_CLASS = {"students", "journal", "students then", "journal then"}
"""Reads that are about everybody in the class, not about one student."""

DISCLOSED = "SELECT count(*) FROM events WHERE topic = %s AND subject_id = %s"


async def a_class(desk: Desk, count: int = 2) -> list[UUID]:
    """Returns students of a class group, each with a mark and an achievement, and read once."""
    students = await desk.enrols(count)
    await desk.marks(*students)
    for student in students:
        await desk.does(desk.achievement(student))
    await desk.catches_up()
    await asyncio.gather(*(read_student(desk.ledger, reads(), student) for student in students))
    await desk.catches_up()
    return students


def disclosed(owner: psycopg.Connection[DbRow], student: UUID, topic: str = "disclosure.made") -> int:
    """Returns how many such events stand on a student's lanes."""
    row = owner.execute(DISCLOSED, (topic, student)).fetchone()
    assert row is not None
    return int(row[0])
