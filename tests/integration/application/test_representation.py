"""Who speaks for a student, at the gate: what the school recorded wins over tokens, at once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from ledger.application.disclose.history import read_history
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.representation import read_representatives
from ledger.application.record.representation import EndRepresentation, RestrictRepresentation
from ledger.application.record.students import RecordBirthDate
from ledger.errors import NotFound
from ledger.policy.offices import Actor, Office
from tests.support.desk import CLASS_TEACHER, TEACHER, reads
from tests.support.people import BORN, FATHER, MOTHER, a_parent
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row
    from tests.support.desk import Desk

YESTERDAY = TODAY - timedelta(days=1)


def parent(person: UUID, *students: UUID) -> Actor:
    return Actor(person, Office.REPRESENTATIVE, frozenset(students))


async def named(desk: Desk, student: UUID, person: UUID, *, contact: str = "") -> UUID:
    recorded = await desk.does(a_parent(desk.school, student, person, contact=contact))
    return recorded.events[0].event_id


async def reads_portfolio(desk: Desk, student: UUID, by: Actor) -> bool:
    try:
        await read_portfolio(desk.ledger, reads(by), student, after=None, limit=50)
    except NotFound:  # to who does not speak for the student there is none
        return False
    return True


async def ended(desk: Desk, student: UUID, representation: UUID) -> None:
    await desk.does(
        EndRepresentation(
            school=desk.school,
            student_id=student,
            representation_id=representation,
            reason="rights_taken",
            document="Решение 2-7/2025",
            effective_on=TODAY,
        )
    )


async def test_claim_of_a_token_counts_until_the_school_has_recorded_anybody(desk: Desk) -> None:
    student, other = await desk.enrols(2)
    await desk.catches_up()
    mother, stranger = parent(MOTHER, student), parent(uuid4(), student)
    assert await reads_portfolio(desk, student, stranger)
    await named(desk, student, MOTHER)
    assert await reads_portfolio(desk, student, mother)
    assert not await reads_portfolio(desk, student, stranger)
    assert not await reads_portfolio(desk, other, mother)
    assert await reads_portfolio(desk, student, Actor(student, Office.STUDENT, frozenset({student})))


async def test_restriction_and_end_take_effect_at_once_and_the_refusals_are_recorded(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    (student,) = await desk.enrols()
    await desk.catches_up()
    mother, father = parent(MOTHER, student), parent(FATHER, student)
    of_mother, of_father = await named(desk, student, MOTHER), await named(desk, student, FATHER)
    assert await reads_portfolio(desk, student, father)
    restriction = RestrictRepresentation(
        school=desk.school,
        student_id=student,
        representation_id=of_father,
        powers=("information",),
        document="Решение 2-1/2025",
        document_on=YESTERDAY,
        effective_on=TODAY,
    )
    await desk.does(restriction)
    assert not await reads_portfolio(desk, student, father)
    assert await reads_portfolio(desk, student, mother)
    await ended(desk, student, of_mother)
    assert not await reads_portfolio(desk, student, mother)
    refused = owner.execute("SELECT count(*) FROM events WHERE topic = 'disclosure.refused'").fetchone()
    assert refused == (2,)


async def test_nobody_speaks_for_a_student_of_18_whatever_tokens_say(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await desk.catches_up()
    await named(desk, student, MOTHER)
    await desk.does(RecordBirthDate(school=desk.school, student_id=student, birth_date=BORN, reason="Свидетельство"))
    mother = parent(MOTHER, student)
    assert await reads_portfolio(desk, student, mother)
    desk.ledger.today = lambda: date(2030, 5, 1)
    assert not await reads_portfolio(desk, student, mother)
    (shown,) = (await read_representatives(desk.ledger, reads(), student)).items
    assert (shown.status, shown.powers, shown.until) == ("majority", [], date(2030, 4, 30))


async def test_list_tells_the_state_of_each_on_the_day_asked_about(desk: Desk) -> None:
    (student,) = await desk.enrols()
    of_mother = await named(desk, student, MOTHER, contact="mother@example.org")
    before = (await read_representatives(desk.ledger, reads(), student)).position
    await named(desk, student, FATHER, contact="father@example.org")
    await ended(desk, student, of_mother)
    now = await read_representatives(desk.ledger, reads(), student)
    assert [(one.person, one.status, one.end_reason) for one in now.items] == [
        (MOTHER, "ended", "rights_taken"),
        (FATHER, "in_force", ""),
    ]
    then = await read_representatives(desk.ledger, reads(), student, as_of=AsOf(position=before))
    assert [(one.person, one.status) for one in then.items] == [(MOTHER, "in_force")]
    yesterday = await read_representatives(desk.ledger, reads(), student, as_of=AsOf(effective_on=YESTERDAY))
    assert [one.status for one in yesterday.items] == ["in_force", "in_force"]
    assert now.etag != then.etag


async def test_birth_date_counts_for_every_day_and_changes_the_tag_of_what_it_ends(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await named(desk, student, MOTHER)
    before = await read_representatives(desk.ledger, reads(), student)
    adult = RecordBirthDate(school=desk.school, student_id=student, birth_date=date(2007, 9, 10), reason="Паспорт")
    await desk.does(adult)
    after = await read_representatives(desk.ledger, reads(), student)
    assert ([one.status for one in before.items], [one.status for one in after.items]) == (["in_force"], ["majority"])
    assert before.etag != after.etag
    then = await read_representatives(desk.ledger, reads(), student, as_of=AsOf(effective_on=YESTERDAY))
    assert [(one.status, one.until) for one in then.items] == [("majority", date(2025, 9, 9))]


async def test_representative_sees_no_papers_or_address_of_the_other_in_any_list(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await named(desk, student, MOTHER, contact="mother@example.org")
    await named(desk, student, FATHER, contact="father@example.org")
    mother = reads(parent(MOTHER, student))
    shown = await read_representatives(desk.ledger, mother, student)
    assert [(one.contact, one.document, one.withheld) for one in shown.items] == [
        ("mother@example.org", "I-АБ 000000", False),
        ("", "", True),
    ]
    history = await read_history(desk.ledger, mother, student, after=0, limit=50)
    states = {line.topic: line.state for line in history.items}
    assert states["representation.named"] is None
    assert states["student.enrolled"] is not None
    assert "father@example.org" not in str(history)
    whole = await read_history(desk.ledger, reads(), student, after=0, limit=50)
    assert "father@example.org" in str(whole)


async def test_class_teacher_reads_who_speaks_for_the_class_and_other_teachers_do_not(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await named(desk, student, MOTHER)
    assert (await read_representatives(desk.ledger, reads(CLASS_TEACHER), student)).items
    with pytest.raises(NotFound):
        await read_representatives(desk.ledger, reads(TEACHER), student)
