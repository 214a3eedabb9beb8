"""Requests in a ledger: what is overdue, page by page, behind the gate; and what each of a family sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from ledger.application.disclose.history import read_history
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.requests import list_requests, read_requests
from ledger.application.disclose.retention import read_retention
from ledger.application.record.requests import AnswerRequest, ExtendRequest, RegisterRequest
from ledger.application.record.school import DeclareWorkingDay
from ledger.application.standing import read_standing
from ledger.errors import Busy, Forbidden, InvalidInput, NotFound, Refused
from ledger.policy.offices import Actor, Office
from tests.support.desk import TEACHER, reads
from tests.support.people import MOTHER, SEPTEMBER
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row
    from tests.support.desk import Desk

SECRETARY = Actor(UUID(int=0x5E), Office.SECRETARY)


async def asks(desk: Desk, student: UUID, by: UUID = MOTHER, *, on: date = TODAY, text: str = "Сведения") -> UUID:
    recorded = await desk.does(
        RegisterRequest(
            school=desk.school, student_id=student, kind="information", form="oral", text=text, received_on=on, by=by
        ),
        SECRETARY,
    )
    return recorded.events[0].event_id


async def test_overdue_requests_are_listed_by_the_day_they_were_due_page_by_page(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    students = await desk.enrols(3)
    late = [await asks(desk, student, on=SEPTEMBER + timedelta(days=number)) for number, student in enumerate(students)]
    fresh = await asks(desk, students[0])
    extended = await asks(desk, students[1])
    await desk.does(ExtendRequest(school=desk.school, student_id=students[1], request_id=extended, reason="Архив"))
    done = await asks(desk, students[2], by=students[2], on=SEPTEMBER)
    await desk.does(
        AnswerRequest(school=desk.school, student_id=students[2], request_id=done, how="letter", text="Ответ")
    )
    await desk.catches_up()
    assert read_standing(desk.base.database, desk.base.views).overdue == 5, (
        "By now all of them; the desk's day is past."
    )
    page = await list_requests(desk.ledger, reads(SECRETARY), "overdue", after=None, limit=2)
    rest = await list_requests(desk.ledger, reads(SECRETARY), "overdue", after=page.next, limit=2)
    assert [one.request_id for one in (*page.items, *rest.items)] == late
    assert {one.status for one in (*page.items, *rest.items)} == {"overdue"}
    assert rest.next is None
    open_ones = await list_requests(desk.ledger, reads(SECRETARY), "open", after=None, limit=50)
    assert [one.request_id for one in open_ones.items] == [*late, fresh, extended]
    answered = await list_requests(desk.ledger, reads(SECRETARY), "answered", after=None, limit=50)
    assert [(one.request_id, one.late, one.answer) for one in answered.items] == [(done, True, "Ответ")]
    disclosed = owner.execute("SELECT count(*) FROM events WHERE topic = 'disclosure.made'").fetchone()
    assert disclosed == (2 + 1 + 3 + 1,)
    with pytest.raises(InvalidInput):
        await list_requests(desk.ledger, reads(SECRETARY), "forgotten", after=None, limit=50)
    with pytest.raises(InvalidInput):
        await list_requests(desk.ledger, reads(SECRETARY), "open", after="tomorrow", limit=50)
    before = owner.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(Forbidden):
        await list_requests(desk.ledger, reads(TEACHER), "open", after=None, limit=50)
    assert before is not None
    assert owner.execute("SELECT count(*) FROM events").fetchone() == (before[0] + 1,), "Nobody's but the refusal."


async def test_each_of_a_family_sees_what_they_asked_themselves(desk: Desk) -> None:
    (student,) = await desk.enrols()
    father = uuid4()
    mine = await asks(desk, student, text="Спрашивает мать")
    own = await asks(desk, student, by=student, text="Спрашивает ученик")
    of_father = await asks(desk, student, by=father, text="Спрашивает отец")
    await desk.catches_up()

    async def sees(actor: Actor) -> list[UUID]:
        page = await read_requests(desk.ledger, reads(actor), student, after=None, limit=50)
        return [one.request_id for one in page.items]

    assert await sees(Actor(MOTHER, Office.REPRESENTATIVE, frozenset({student}))) == [mine]
    assert await sees(Actor(student, Office.STUDENT, frozenset({student}))) == [own]
    assert await sees(SECRETARY) == [mine, own, of_father]
    first = await read_requests(desk.ledger, reads(SECRETARY), student, after=None, limit=2)
    second = await read_requests(desk.ledger, reads(SECRETARY), student, after=UUID(str(first.next)), limit=2)
    assert [one.request_id for one in (*first.items, *second.items)] == [mine, own, of_father]


async def test_nothing_tells_one_of_a_family_that_another_one_asked(desk: Desk) -> None:
    """No item, no length of a page, no cursor, and no header in the history: it may be about them."""
    (student,) = await desk.enrols()
    father = uuid4()
    mine = [await asks(desk, student, by=MOTHER), await asks(desk, student, by=MOTHER)]
    theirs = [await asks(desk, student, by=father, text="О матери") for _ in range(3)]
    mine.append(await asks(desk, student, by=MOTHER))
    await desk.catches_up()
    mother = reads(Actor(MOTHER, Office.REPRESENTATIVE, frozenset({student})))
    pages: list[list[UUID]] = []
    after: UUID | None = None
    while not pages or after is not None:
        page = await read_requests(desk.ledger, mother, student, after=after, limit=1)
        pages.append([one.request_id for one in page.items])
        after = UUID(page.next) if page.next else None
        assert after not in theirs
    assert pages == [[one] for one in mine]
    history = await read_history(desk.ledger, mother, student, after=0, limit=50)
    assert not {str(one) for one in theirs} & {str(line.event_id) for line in history.items}
    positions: list[int] = []
    cursor: int | None = 0
    while cursor is not None:
        part = await read_history(desk.ledger, mother, student, after=cursor, limit=1)
        assert len(part.items) == 1
        positions += [line.position for line in part.items]
        cursor = int(part.next) if part.next else None
        assert cursor in (None, positions[-1])
        if len(positions) > len(history.items):  # each look is one more event
            break
    assert positions[: len(history.items)] == [line.position for line in history.items]
    whole = await read_history(desk.ledger, reads(), student, after=0, limit=50)
    assert {str(one) for one in theirs} <= {str(line.event_id) for line in whole.items}
    kept = await read_retention(desk.ledger, mother, student)
    assert "requests" not in {line.record_class for line in kept.lines}  # how many, and when the last one came
    kept = await read_retention(desk.ledger, reads(), student)
    assert "requests" in {line.record_class for line in kept.lines}


async def test_request_is_about_an_access_to_that_student_or_refused_as_if_there_were_none(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    student, other = await desk.enrols(2)
    await desk.catches_up()
    access = (await read_portfolio(desk.ledger, reads(), student, after=None, limit=50)).access_id
    question = RegisterRequest(
        school=desk.school, student_id=student, kind="information", text="Почему?", about_access=access, by=MOTHER
    )
    with pytest.raises(Busy):  # the register does not have it yet, and nobody says that there is none
        await desk.does(question, SECRETARY)
    with pytest.raises(Forbidden):  # who may not ask is told that at once
        await desk.does(question, TEACHER)
    await desk.catches_up()
    recorded = await desk.does(question, SECRETARY, key="k", content=b"1")
    told = []
    for of, about in ((other, access), (student, uuid4()), (other, recorded.events[0].event_id)):
        await desk.catches_up()
        with pytest.raises(Refused) as refused:
            await desk.does(replace(question, student_id=of, about_access=about, request_id=uuid4()), SECRETARY)
        told.append([(one.code, one.message) for one in refused.value.violations])
    assert told == [told[0]] * 3
    assert told[0][0][0] == "access_unknown"
    stranger = Actor(uuid4(), Office.STUDENT, frozenset({uuid4()}))
    for about in (access, uuid4()):
        with pytest.raises(NotFound):
            await desk.does(replace(question, about_access=about, by=None), stranger)
    query = "SELECT count(*) FROM events WHERE topic = 'request.registered'"
    assert owner.execute(query).fetchone() == (1,)
    again = replace(question, about_access=uuid4())
    assert (await desk.does(again, SECRETARY, key="k", content=b"1")).events == recorded.events, "By its key alone."


async def test_declared_day_moves_deadlines_and_other_ids_are_no_requests(desk: Desk) -> None:
    student, other = await desk.enrols(2)
    await desk.does(DeclareWorkingDay(school=desk.school, day=date(2025, 10, 16), working=False, reason="Приказ 30"))
    request = await asks(desk, student)
    await desk.catches_up()
    shown = (await read_requests(desk.ledger, reads(), student, after=None, limit=50)).items[0]
    assert (shown.due_on, shown.status) == (date(2025, 10, 30), "open")
    with pytest.raises(NotFound):
        await desk.does(ExtendRequest(school=desk.school, student_id=other, request_id=request, reason="Чужое"))
    assert not desk.audits().findings
