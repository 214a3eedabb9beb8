"""What is explained of others: within one's own reach, recorded, and as the gate would answer them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from ledger.application.disclose.explaining import Question, explain_access
from ledger.application.record.staff import AssumeOffice, LinkLogin, RecordMandate
from ledger.errors import Forbidden, InvalidInput, NotFound
from ledger.policy.engine import Purpose
from ledger.policy.offices import Actor, Office
from ledger.policy.reading import Resource
from tests.integration.application.test_consents import COMMITTEE, agrees
from tests.integration.application.test_representation import named
from tests.support.desk import CLASS_TEACHER, DIRECTOR, TEACHER, reads
from tests.support.people import MOTHER, SEPTEMBER
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row
    from tests.support.desk import Desk

READINGS = (
    "SELECT topic, subject_id FROM events WHERE topic LIKE 'access.%' OR topic LIKE 'disclosure.%' ORDER BY position"
)


def readings(owner: psycopg.Connection[Row]) -> list[tuple[str, UUID]]:
    return [(row[0], row[1]) for row in owner.execute(READINGS).fetchall()]


async def inspects(desk: Desk, *students: UUID) -> Actor:
    """Returns an inspector who is logged in, and whose mandate names students."""
    person, login = uuid4(), uuid4()
    await desk.does(
        RecordMandate(
            school=desk.school,
            person_id=person,
            kind="inspector",
            document="Приказ 1",
            scope="students",
            named=students,
            starts_on=SEPTEMBER,
            ends_on=TODAY,
        )
    )
    await desk.does(LinkLogin(school=desk.school, login_id=login, person_id=person, capacities=("external",)))
    return Actor(person, Office.INSPECTOR, login=login)


async def test_what_others_are_to_a_student_is_told_within_the_mandate_and_recorded(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    student, other = await desk.enrols(2)
    for one in (student, other):
        await named(desk, one, MOTHER)
    inspector = await inspects(desk, student)
    of_mother = Question(Resource.PORTFOLIO, student, office=Office.REPRESENTATIVE, person=MOTHER)
    told = await explain_access(desk.ledger, reads(inspector), of_mother)
    assert (told.answer, told.facts) == (200, ["represents", "within_office", "within_mandate"])
    assert readings(owner) == [("access.opened", inspector.id), ("disclosure.made", student)]
    for beyond in (other, uuid4()):
        with pytest.raises(NotFound, match="no such student"):
            await explain_access(desk.ledger, reads(inspector), replace(of_mother, student_id=beyond))
    recorded = [
        *(("access.refused", inspector.id), ("disclosure.refused", other)),
        *(("access.refused", inspector.id), ("access.nobody_found", inspector.id)),
    ]
    assert readings(owner)[2:] == recorded
    with pytest.raises(NotFound, match="no such student"):
        await explain_access(desk.ledger, reads(), replace(of_mother, student_id=uuid4()))
    for may_not in (TEACHER, Actor(uuid4(), Office.SECRETARY)):
        with pytest.raises(Forbidden, match="may not ask about others"):
            await explain_access(desk.ledger, reads(may_not), of_mother)


async def test_others_have_the_offices_and_the_reach_that_the_register_gives_them(desk: Desk) -> None:
    [student] = await desk.enrols(1)
    person = uuid4()
    await desk.does(
        AssumeOffice(
            school=desk.school,
            person_id=person,
            office="deputy_head",
            level="primary",
            starts_on=SEPTEMBER,
            document="Приказ 2",
        )
    )

    async def told(person: UUID | None, office: Office) -> tuple[int, str]:
        question = Question(Resource.STUDENT, student, office=office, person=person)
        said = await explain_access(desk.ledger, reads(), question)
        return said.answer, said.policy

    assert await told(person, Office.DEPUTY_HEAD) == (403, "deputy-head")
    assert await told(None, Office.DEPUTY_HEAD) == (200, "deputy-head")
    for office in (Office.DIRECTOR, Office.SECRETARY, Office.AUDITOR, Office.SYSTEM):
        assert await told(person, office) == (403, "nobody-allowed-it")
    assert await told(CLASS_TEACHER.id, Office.CLASS_TEACHER) == (200, "class-teacher-own-class")
    assert (await told(uuid4(), Office.CLASS_TEACHER))[0] == 404


@pytest.mark.parametrize("office", [Office.SECRETARY, Office.DIRECTOR, Office.INSPECTOR])
async def test_that_consents_are_looked_at_is_recorded_or_they_do_not_count(
    desk: Desk, owner: psycopg.Connection[Row], office: Office
) -> None:
    [student] = await desk.enrols(1)
    await named(desk, student, MOTHER)
    await agrees(desk, student, "achievements")
    told = []
    for recipient in (COMMITTEE, "Лагерь"):
        reader = replace(reads(Actor(uuid4(), office)), purpose=Purpose.CONSENT, recipient=recipient)
        question = Question(Resource.PORTFOLIO, student, categories=("achievements",))
        told.append(await explain_access(desk.ledger, reader, question))
    if office is Office.INSPECTOR:
        assert told[0] == told[1]
    else:
        assert [one.answer for one in told] == [200, 403]
        assert ["consented" in one.facts for one in told] == [True, False]
    noted = [topic for topic, _ in readings(owner)]
    assert noted == ([] if office is Office.INSPECTOR else ["access.opened", "disclosure.made"] * 2)


async def test_emergency_tells_nobody_who_there_is_before_it_is_used(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    """Asking whether exceptional access would be had leaves no record, so it must tell nothing of who exists."""
    [student] = await desk.enrols(1)
    stranger = replace(reads(Actor(uuid4(), Office.TEACHER)), reason="Без сознания после падения")
    told = [await explain_access(desk.ledger, stranger, Question(Resource.STUDENT, one)) for one in (student, uuid4())]
    assert told[0] == told[1]
    assert told[0].allowed
    assert readings(owner) == []
    secretary = replace(stranger, actor=Actor(uuid4(), Office.SECRETARY))
    with pytest.raises(NotFound, match="no such student"):
        await explain_access(desk.ledger, secretary, Question(Resource.STUDENT, uuid4()))


async def test_course_tells_nobody_who_there_is_and_nothing_is_recorded_of_asking_for_oneself(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    mine, elsewhere = await desk.enrols(1), uuid4()
    await desk.forms("6Б", elsewhere)
    other = await desk.enrols(1, into=elsewhere, family="Другой")
    for resource in (Resource.JOURNAL, Resource.STUDENT):
        told = [
            await explain_access(desk.ledger, reads(TEACHER), Question(resource, one, course_id=desk.course))
            for one in (*other, uuid4())
        ]
        assert told[0] == told[1], resource
    assert (await explain_access(desk.ledger, reads(TEACHER), Question(Resource.STUDENT, mine[0]))).answer == 404
    with pytest.raises(NotFound):
        await explain_access(desk.ledger, reads(DIRECTOR), Question(Resource.JOURNAL, uuid4(), course_id=desk.course))
    with pytest.raises(InvalidInput, match="asked for whole"):
        await explain_access(desk.ledger, reads(TEACHER), Question(Resource.STUDENTS, mine[0], group_id=desk.group))
    assert readings(owner) == []
