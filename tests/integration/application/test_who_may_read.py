"""Who may read whose data: the teachers and class teachers of that day, the family; and what the register tells."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.marks import read_period_marks
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.register import read_disclosures
from ledger.application.disclose.students import list_students, read_student
from ledger.application.record.courses import AssignTeacher
from ledger.application.record.students import LeaveGroup, MoveToGroup
from ledger.errors import InvalidInput, NotFound
from ledger.policy.offices import Actor, Office
from tests.support.desk import CLASS_TEACHER, DIRECTOR, TEACHER, reads
from tests.support.readings import OF_A_CLASS, READS, THEN, a_class, disclosed
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row as DbRow
    from tests.support.desk import Desk


async def test_class_teacher_reads_the_class_and_a_former_one_does_not(desk: Desk) -> None:
    student, _ = await a_class(desk)
    assert (await read_student(desk.ledger, reads(CLASS_TEACHER), student)).student_id == student
    with pytest.raises(NotFound):
        await read_student(desk.ledger, reads(Actor(uuid4(), Office.CLASS_TEACHER)), student)


async def test_teacher_reads_the_journal_of_the_course_and_no_card(desk: Desk) -> None:
    student, _ = await a_class(desk)
    page = await read_journal(desk.ledger, reads(TEACHER), desk.course, after=None, limit=50)
    assert len(page.lines) == 2
    with pytest.raises(NotFound):
        await read_student(desk.ledger, reads(TEACHER), student)


async def test_teacher_of_a_course_reads_of_those_alone_who_stand_in_its_journal(
    desk: Desk, owner: psycopg.Connection[DbRow]
) -> None:
    left, _ = await a_class(desk)
    group = uuid4()
    await desk.forms("5Б", group)
    stranger, guest = await desk.enrols(2, into=group)
    await desk.does(LeaveGroup(school=desk.school, student_id=left, group_id=desk.group, effective_on=TODAY))
    await desk.does(desk.mark(guest), imported=True)
    await desk.catches_up()
    for by, asked in product((TEACHER, CLASS_TEACHER), (stranger, uuid4(), desk.ledger.id, desk.group)):
        with pytest.raises(NotFound):
            await read_period_marks(desk.ledger, reads(by), asked, desk.course)
    assert disclosed(owner, stranger) == 0
    assert disclosed(owner, stranger, "disclosure.refused") == 2
    for asked in (left, guest):
        assert (await read_period_marks(desk.ledger, reads(TEACHER), asked, desk.course)).student_id == asked


async def test_class_teacher_sees_no_card_of_who_left_but_that_of_a_day_in_the_class(desk: Desk) -> None:
    left, stays = await a_class(desk)
    yesterday = TODAY - timedelta(days=1)
    await desk.does(LeaveGroup(school=desk.school, student_id=left, group_id=desk.group, effective_on=yesterday))
    group = uuid4()
    await desk.forms("5Б", group)
    await desk.does(MoveToGroup(school=desk.school, student_id=left, group_id=group, effective_on=TODAY))
    await desk.catches_up()

    async def listed(by: Actor, as_of: AsOf) -> dict[UUID, int]:
        page = await list_students(desk.ledger, reads(by), desk.group, after=None, limit=50, as_of=as_of)
        return {card.student_id: len(card.memberships) for card in page.items}

    for as_of in (AsOf(), THEN, AsOf(position=await desk.catches_up())):
        assert (await listed(CLASS_TEACHER, as_of)).keys() == {stays}
        assert (await listed(DIRECTOR, as_of)).keys() == {left, stays}
    then = await listed(CLASS_TEACHER, AsOf(effective_on=yesterday))
    assert then == {left: 1, stays: 1}, "Where the student went is not on it."


async def test_class_teacher_sees_no_card_of_who_has_left_although_the_views_do_not_know_it_yet(
    desk: Desk, owner: psycopg.Connection[DbRow]
) -> None:
    left, stays = await a_class(desk)
    yesterday = TODAY - timedelta(days=1)
    await desk.does(LeaveGroup(school=desk.school, student_id=left, group_id=desk.group, effective_on=yesterday))
    before = disclosed(owner, left)
    for as_of in (AsOf(), THEN):
        page = await list_students(desk.ledger, reads(CLASS_TEACHER), desk.group, after=None, limit=50, as_of=as_of)
        assert [card.student_id for card in page.items] == [stays]
    assert disclosed(owner, left) == before
    then = await list_students(
        desk.ledger, reads(CLASS_TEACHER), desk.group, after=None, limit=50, as_of=AsOf(effective_on=yesterday)
    )
    assert {card.student_id for card in then.items} == {left, stays}


async def test_register_says_that_somebody_read_as_a_substitute(desk: Desk) -> None:
    student, _ = await a_class(desk)
    substitute = Actor(uuid4(), Office.TEACHER)
    await desk.does(
        AssignTeacher(
            school=desk.school,
            course_id=desk.course,
            teacher=substitute.id,
            starts_on=TODAY,
            ends_on=TODAY,
            substitute=True,
        )
    )
    for by in (substitute, TEACHER):
        await read_journal(desk.ledger, reads(by), desk.course, after=None, limit=50)
    await desk.catches_up()
    seen = (await read_disclosures(desk.ledger, reads(), student, before=None, limit=2)).items
    assert [line.policy for line in seen] == ["teacher-own-course", "substitute-own-course"]


async def test_representative_reads_their_child_only(desk: Desk) -> None:
    mine, other = await a_class(desk)
    parent = Actor(uuid4(), Office.REPRESENTATIVE, frozenset({mine}))
    assert (await read_portfolio(desk.ledger, reads(parent), mine, after=None, limit=50)).student_id == mine
    for what in READS.keys() - OF_A_CLASS:
        with pytest.raises(NotFound):
            await READS[what](desk, other, parent)


async def test_student_sees_who_read_what_and_why(desk: Desk) -> None:
    student, _ = await a_class(desk)
    await read_journal(desk.ledger, reads(TEACHER), desk.course, after=None, limit=50)
    await desk.catches_up()
    own = Actor(student, Office.STUDENT, frozenset({student}))
    register = await read_disclosures(desk.ledger, reads(own), student, before=None, limit=50)
    newest = register.items[0]
    assert (newest.actor, newest.office, newest.resource, newest.purpose) == (
        TEACHER.id,
        "teacher",
        "journal",
        "trajectory",
    )
    assert (newest.granted, newest.channel, newest.students) == (True, "api", 2)
    assert set(newest.categories) == {"personal_file", "marks", "final_results", "credits"}
    await desk.catches_up()
    after = await read_disclosures(desk.ledger, reads(own), student, before=None, limit=50)
    assert (after.items[0].actor, after.items[0].resource) == (student, "disclosures")
    assert len(after.items) == len(register.items) + 1


@pytest.mark.parametrize("limit", [0, -1, 51, 1000])
async def test_page_of_no_or_too_many_students_is_refused_before_anything_is_read(
    desk: Desk, owner: psycopg.Connection[DbRow], limit: int
) -> None:
    await a_class(desk)
    before = owner.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(InvalidInput):
        await read_journal(desk.ledger, reads(), desk.course, after=None, limit=limit)
    with pytest.raises(InvalidInput):
        await list_students(desk.ledger, reads(), desk.group, after=None, limit=limit)
    assert owner.execute("SELECT count(*) FROM events").fetchone() == before
