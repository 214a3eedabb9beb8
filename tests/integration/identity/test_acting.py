"""Offices by the register: what was let in is decided again, and what another process recorded counts at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.application.acting import Caller, confirm, look_at_register
from ledger.application.disclose.feed import FeedQuery, read_feed
from ledger.application.disclose.history import read_history
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.marks import read_period_marks
from ledger.application.disclose.staff import list_staff
from ledger.application.disclose.students import read_student
from ledger.application.record.courses import AddWork, AppointClassTeacher, FormClassGroup, OpenCourse
from ledger.application.record.marks import LessonEntry, RecordLesson
from ledger.application.record.school import DefineMarkScale, PermitLateEntry
from ledger.application.record.staff import AssumeOffice, LeaveOffice, LinkLogin, RecordMandate, UnlinkLogin
from ledger.application.record.students import EnrolStudent, LeaveGroup, LeaveSchool, MoveToGroup
from ledger.bootstrap import open_ledger
from ledger.errors import Forbidden, NotFound
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from tests.support.desk import DIRECTOR, reads
from tests.support.school import YEAR
from tests.support.world import TODAY

if TYPE_CHECKING:
    from ledger.bootstrap import Foundation
    from tests.support.desk import Desk

YESTERDAY = TODAY - timedelta(days=1)


@dataclass
class Deputy:
    """A deputy head who came through a provider."""

    person: UUID
    login: UUID
    tenure: UUID

    @property
    def actor(self) -> Actor:
        return Actor(self.person, Office.DEPUTY_HEAD, login=self.login)

    def leaves(self, school: UUID) -> LeaveOffice:
        return LeaveOffice(
            school=school, person_id=self.person, tenure_id=self.tenure, last_day=YESTERDAY, document="Приказ 8-к"
        )


@pytest.fixture
async def deputy(desk: Desk) -> Deputy:
    person, login = new_id(), desk.base.hasher.login("https://id.school.example", "deputy")
    link = LinkLogin(school=desk.school, login_id=login, person_id=person, capacities=("staff",))
    await desk.does(link)
    return Deputy(person, login, await desk.appoints(person))


async def test_office_that_went_after_the_request_was_let_in_stops_what_is_decided(desk: Desk, deputy: Deputy) -> None:
    [student] = await desk.enrols(1)
    await desk.catches_up()
    await desk.does(desk.mark(student), deputy.actor)
    await read_student(desk.ledger, reads(deputy.actor), student)
    await read_feed(desk.ledger, reads(deputy.actor), FeedQuery(limit=1))
    before = (await desk.does(deputy.leaves(desk.school))).position
    with pytest.raises(Forbidden, match="not yours any more"):
        await desk.does(desk.mark(student, "4"), deputy.actor)
    with pytest.raises(Forbidden, match="not yours any more"):
        await read_student(desk.ledger, reads(deputy.actor), student)
    with pytest.raises(Forbidden, match="not yours any more"):
        await read_feed(desk.ledger, reads(deputy.actor), FeedQuery(limit=1))
    page = await read_feed(desk.ledger, reads(), FeedQuery(after=before))
    assert page.items == []


async def test_command_that_was_queued_behind_the_withdrawal_is_refused(desk: Desk, deputy: Deputy) -> None:
    [student] = await desk.enrols(1)
    leaving = desk.does(deputy.leaves(desk.school))
    marking = desk.does(desk.mark(student), deputy.actor)
    left, refused = await asyncio.gather(leaving, marking, return_exceptions=True)
    assert not isinstance(left, BaseException)
    assert isinstance(refused, Forbidden)


async def test_what_another_process_withdrew_is_seen_by_the_next_look(
    base: Foundation, desk: Desk, deputy: Deputy
) -> None:
    caller = Caller(deputy.login, Office.DEPUTY_HEAD, None, program=False)
    async with open_ledger(base) as other:
        other.today = lambda: TODAY
        for _ in range(2):  # its lane is in this process's memory by now
            assert (await look_at_register(other, caller)).acts() == deputy.actor
        await desk.does(deputy.leaves(desk.school))
        with pytest.raises(Forbidden, match="not yours today"):
            (await look_at_register(other, caller)).acts()
        with pytest.raises(Forbidden, match="not yours any more"):
            await confirm(other, deputy.actor)
        await desk.does(UnlinkLogin(school=desk.school, login_id=deputy.login, reason="Уволен"))
        assert (await look_at_register(other, caller)).person is None


async def test_looking_records_nothing_and_shares_a_batch_with_commands(desk: Desk, deputy: Deputy) -> None:
    [student] = await desk.enrols(1)
    last = (await desk.does(desk.mark(student))).position
    caller = Caller(deputy.login, None, None, program=False)
    found = await asyncio.gather(*(look_at_register(desk.ledger, caller) for _ in range(20)))
    assert {known.acts().office for known in found} == {Office.DEPUTY_HEAD}
    marking = asyncio.ensure_future(desk.does(desk.mark(student, "4")))
    found = await asyncio.gather(*(look_at_register(desk.ledger, caller) for _ in range(5)))
    assert {known.person for known in found} == {deputy.person}
    assert (await marking).first_position == last + 1


async def test_same_subject_of_another_provider_is_another_login(base: Foundation) -> None:
    hasher = base.hasher
    logins = {hasher.login("https://a.example", "1"), hasher.login("https://b.example", "1")}
    logins |= {hasher.login("https://a.example", "2"), hasher.login("https://a.exampl", "e1")}
    assert len(logins) == 4
    assert hasher.login("https://a.example", "1") in logins
    assert {login.version for login in logins} == {8}


# --- how far an office reaches ----------------------------------------------------------------------------------------


async def comes(desk: Desk, subject: str, capacity: str = "staff") -> tuple[UUID, UUID]:
    """Links a login to a new person and returns both."""
    person, login = new_id(), desk.base.hasher.login("https://id.school.example", subject)
    await desk.does(LinkLogin(school=desk.school, login_id=login, person_id=person, capacities=(capacity,)))
    return person, login


async def mandated(desk: Desk, kind: Office, scope: str, *named: UUID) -> Actor:
    """Returns somebody from outside with a mandate."""
    person, login = await comes(desk, f"{kind}-{new_id()}", "external")
    mandate = RecordMandate(
        school=desk.school,
        person_id=person,
        kind=kind.value,
        document="Распоряжение 5",
        scope=scope,
        named=named,
        starts_on=TODAY,
        ends_on=TODAY,
    )
    await desk.does(mandate)
    return Actor(person, kind, login=login)


async def two_classes(desk: Desk) -> tuple[UUID, UUID, UUID]:
    """Returns a student of the desk's class, another class group, and a student of that."""
    other = new_id()
    await desk.forms("6А", other)
    [inside] = await desk.enrols(1)
    [outside] = await desk.enrols(1, into=other, family="Чужой")
    await desk.catches_up()
    return inside, other, outside


async def reads_it(desk: Desk, actor: Actor, student: UUID) -> bool:
    """Tells whether somebody may read a student's history; a refusal must have been recorded."""
    try:
        await read_history(desk.ledger, reads(actor), student, after=0, limit=5)
    except (Forbidden, NotFound):  # who may not know of a student is told that there is none
        return False
    return True


@pytest.mark.parametrize("scope", ["students", "class_groups", "everything"])
async def test_mandate_reaches_what_it_names_and_no_further(desk: Desk, scope: str) -> None:
    inside, _, outside = await two_classes(desk)
    named = {"students": (inside,), "class_groups": (desk.group,), "everything": ()}[scope]
    actor = await mandated(desk, Office.AUDITOR, scope, *named)
    assert await reads_it(desk, actor, inside)
    assert await reads_it(desk, actor, outside) == (scope == "everything")
    for who, student in ((actor, inside), (Actor(new_id(), Office.AUDITOR), outside)):
        assert await reads_it(desk, who, student)
    if scope == "everything":
        await read_feed(desk.ledger, reads(actor), FeedQuery(limit=1))
    else:
        with pytest.raises(Forbidden, match="mandate"):
            await read_feed(desk.ledger, reads(actor), FeedQuery(limit=1))


async def test_mandate_for_a_class_reaches_its_journal_and_who_was_in_it(desk: Desk) -> None:
    inside, other, _ = await two_classes(desk)
    await desk.marks(inside)
    await desk.catches_up()
    mine = await mandated(desk, Office.AUDITOR, "class_groups", desk.group)
    others = await mandated(desk, Office.AUDITOR, "class_groups", other)
    assert (await read_journal(desk.ledger, reads(mine), desk.course, after=None, limit=50)).lines
    with pytest.raises(Forbidden, match="mandate"):
        await read_journal(desk.ledger, reads(others), desk.course, after=None, limit=50)
    await desk.does(MoveToGroup(school=desk.school, student_id=inside, group_id=other, effective_on=TODAY))
    assert await reads_it(desk, mine, inside)


async def test_course_within_a_mandate_tells_nothing_of_who_does_not_stand_in_it(desk: Desk) -> None:
    inside, _, outside = await two_classes(desk)
    actor = await mandated(desk, Office.AUDITOR, "class_groups", desk.group)
    assert (await read_period_marks(desk.ledger, reads(actor), inside, desk.course)).items == []
    for stranger in (outside, new_id()):
        with pytest.raises(NotFound):
            await read_period_marks(desk.ledger, reads(actor), stranger, desk.course)


async def test_deputy_head_of_a_level_reads_of_that_level(desk: Desk) -> None:
    inside, *_ = await two_classes(desk)
    for level, reaches in (("basic", True), ("primary", False)):
        person, login = await comes(desk, f"deputy-{level}")
        await desk.does(
            AssumeOffice(
                school=desk.school,
                person_id=person,
                office="deputy_head",
                level=level,
                starts_on=TODAY,
                document="Приказ 9-к",
            )
        )
        actor = Actor(person, Office.DEPUTY_HEAD, login=login)
        assert await reads_it(desk, actor, inside) == reaches


async def may_mark(desk: Desk, actor: Actor, course: UUID, work: UUID, student: UUID) -> bool:
    command = replace(desk.mark(student), course_id=course, work_id=work)
    try:
        await desk.does(command, actor)
    except (Forbidden, NotFound):  # to a mandate there is nobody beyond it
        return False
    return True


async def test_program_records_within_its_mandate_and_nowhere_else(desk: Desk) -> None:
    inside, other, outside = await two_classes(desk)
    course = new_id()
    work = await desk.opens(course, other)
    here, there = (desk.course, desk.work, inside), (course, work, outside)
    limited = await mandated(desk, Office.SYSTEM, "class_groups", desk.group)
    named = await mandated(desk, Office.SYSTEM, "students", inside)
    whole = await mandated(desk, Office.SYSTEM, "everything")
    for actor, far in ((limited, False), (named, False), (whole, True)):
        assert await may_mark(desk, actor, *here)
        assert await may_mark(desk, actor, *there) == far
    add = AddWork(school=desk.school, course_id=desk.course, title="Диктант", kind="test")
    await desk.does(add, limited)
    for refused in (replace(add, course_id=course), a_scale(desk.school)):
        with pytest.raises(Forbidden, match="beyond"):
            await desk.does(refused, limited)
    with pytest.raises(Forbidden, match="beyond"):
        await desk.does(add, named)


def a_scale(school: UUID) -> DefineMarkScale:
    """Returns a command about the school as a whole."""
    return DefineMarkScale(school=school, scale="letters", title="Буквы", symbols=("A", "B"), passing=("A",))


async def test_deputy_head_of_a_level_records_for_that_level_and_for_the_school(desk: Desk) -> None:
    inside, *_ = await two_classes(desk)
    for level, reaches in (("basic", True), ("primary", False)):
        person, login = await comes(desk, f"records-{level}")
        office = AssumeOffice(
            school=desk.school, person_id=person, office="deputy_head", level=level, starts_on=TODAY, document="Приказ"
        )
        await desk.does(office)
        actor = Actor(person, Office.DEPUTY_HEAD, login=login)
        assert await may_mark(desk, actor, desk.course, desk.work, inside) == reaches
        await desk.does(replace(a_scale(desk.school), scale=f"letters-{level}"), actor)
        await desk.does(
            EnrolStudent(school=desk.school, family_name="Новый", given_name="Ученик", enrolled_on=TODAY), actor
        )


async def a_deputy(desk: Desk, level: str) -> Actor:
    """Returns a deputy head of a level, who is logged in."""
    person, login = await comes(desk, f"of-{level}-{new_id()}")
    office = AssumeOffice(
        school=desk.school, person_id=person, office="deputy_head", level=level, starts_on=TODAY, document="Приказ"
    )
    await desk.does(office)
    return Actor(person, Office.DEPUTY_HEAD, login=login)


async def test_deputy_head_of_a_level_makes_nobody_a_teacher_of_another(desk: Desk) -> None:
    """Not themself either: as class teacher, or in a course of their own, they would read of the other level."""
    actor = await a_deputy(desk, "primary")
    appoint = AppointClassTeacher(school=desk.school, group_id=desk.group, class_teacher=actor.id, effective_on=TODAY)
    opening = OpenCourse(
        school=desk.school, title="Кружок", group_id=desk.group, journal="class", scale="five", teachers=(actor.id,)
    )
    forming = FormClassGroup(school=desk.school, title="7Я", year=YEAR, level="basic", class_teacher=actor.id)
    for command in (appoint, opening, forming):
        with pytest.raises(Forbidden, match="beyond"):
            await desk.does(command, actor)
        await desk.does(command, await a_deputy(desk, "basic"))
    first = replace(forming, title="1А", level="primary", group_id=new_id())
    await desk.does(first, actor)
    await desk.does(replace(opening, group_id=first.group_id, course_id=new_id()), actor)
    await desk.does(replace(appoint, group_id=first.group_id, class_teacher=new_id()), actor)


async def test_rules_tell_nothing_of_a_student_beyond_a_mandate_or_a_level(desk: Desk) -> None:
    """Whether they exist, where they belong, whether they have left: a refusal by the rules would say each of it."""
    _, other, outside = await two_classes(desk)
    program = await mandated(desk, Office.SYSTEM, "class_groups", desk.group)
    told = set()
    for student in (outside, new_id()):
        wrong = (
            LeaveGroup(school=desk.school, student_id=student, group_id=desk.group, effective_on=TODAY),
            LeaveSchool(school=desk.school, student_id=student, effective_on=TODAY, reason="no reason"),
            MoveToGroup(school=desk.school, student_id=student, group_id=other, effective_on=TODAY),
            RecordLesson(
                school=desk.school,
                course_id=desk.course,
                work_id=desk.work,
                held_on=TODAY,
                entries=(LessonEntry(student, ("5",)),),
            ),
        )
        for command in wrong:
            with pytest.raises(NotFound) as caught:
                await desk.does(command, program)
            told.add(str(caught.value))
    assert len(told) == 1
    deputy = await a_deputy(desk, "primary")
    with pytest.raises(Forbidden, match="beyond"):
        await desk.does(
            LeaveSchool(school=desk.school, student_id=outside, effective_on=TODAY, reason="no reason"), deputy
        )


async def test_deputy_head_of_a_level_permits_late_entries_in_its_courses_alone(desk: Desk) -> None:
    permission = PermitLateEntry(school=desk.school, year=YEAR, course_id=desk.course, until=TODAY, reason="Болезнь")
    await desk.does(permission, await a_deputy(desk, "basic"))
    for beyond in (permission, replace(permission, course_id=None)):
        with pytest.raises(Forbidden, match="beyond"):
            await desk.does(beyond, await a_deputy(desk, "primary"))


async def test_secretary_appoints_others_and_not_themself(desk: Desk) -> None:
    """They keep personal files; who leads a class reads its journals and all that is known of its students."""
    secretary, other = Actor(new_id(), Office.SECRETARY), new_id()
    appoint = AppointClassTeacher(
        school=desk.school, group_id=desk.group, class_teacher=secretary.id, effective_on=TODAY
    )
    forming = FormClassGroup(school=desk.school, title="7Я", year=YEAR, level="basic", class_teacher=secretary.id)
    for command in (appoint, forming):
        with pytest.raises(Forbidden, match="themself"):
            await desk.does(command, secretary)
        await desk.does(replace(command, class_teacher=other), secretary)


async def test_register_of_staff_names_students_of_mandates_to_those_who_know_of_all(desk: Desk) -> None:
    [one, other] = await desk.enrols(2)
    mine = await mandated(desk, Office.INSPECTOR, "students", one)
    await mandated(desk, Office.AUDITOR, "students", other)
    whole = await mandated(desk, Office.AUDITOR, "everything")
    await desk.catches_up()

    async def named(by: Actor) -> set[UUID]:
        page = await list_staff(desk.ledger, by, person=None, kind="mandate", on=None, after=None, limit=50)
        assert len(page.items) == 3
        return {student for entry in page.items for student in entry.named}

    assert await named(mine) == {one}
    assert await named(whole) == await named(DIRECTOR) == {one, other}
