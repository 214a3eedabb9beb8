"""Findings over a real register: what deserves a question is found with its events, and looking at them is recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ledger.application.disclose import findings
from ledger.application.disclose.findings import read_findings
from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.register import RegisterQuery, read_register
from ledger.application.disclose.who_saw import who_saw
from ledger.application.record.courses import AppointClassTeacher
from ledger.application.record.staff import AssumeOffice, RecordMandate, WithdrawMandate
from ledger.clock import utc_now
from ledger.errors import Forbidden, InvalidInput, NotFound
from ledger.policy.offices import Actor, Office
from ledger.policy.reading import Resource
from ledger.policy.watching import Kind
from tests.support.desk import CLASS_TEACHER, DIRECTOR, TEACHER, Desk, reads
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row

AUDITOR = Actor(uuid4(), Office.AUDITOR)


async def test_teachers_who_ask_for_others_classes_are_found_and_those_of_the_class_are_not(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    students = await desk.enrols(3)
    await desk.catches_up()
    await read_journal(desk.ledger, reads(TEACHER), desk.course, after=None, limit=50)
    await read_portfolio(desk.ledger, reads(CLASS_TEACHER), students[0], after=None, limit=50)
    stranger = Actor(uuid4(), Office.TEACHER)
    for student in students[:2]:
        with pytest.raises(NotFound):  # to them there is no such student
            await read_portfolio(desk.ledger, reads(stranger), student, after=None, limit=50)
    await desk.catches_up()
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.OUTSIDE_CLASSES)
    (one,) = found.items
    assert (one.actor, one.office, one.accesses, one.refused, one.students) == (stranger.id, "teacher", 2, 2, 2)
    rows = owner.execute("SELECT topic, subject_id FROM events WHERE position = ANY(%s)", (one.positions,)).fetchall()
    assert rows == [("access.refused", stranger.id)] * 2
    assert one.text == "Не ученики своих классов: обращений 2, из них отказано 2, учеников 2."
    last = owner.execute("SELECT topic, subject_id FROM events WHERE stream_id = %s", (found.access_id,)).fetchone()
    assert last == ("access.opened", AUDITOR.id)


async def test_former_class_teacher_is_found_after_another_was_appointed(desk: Desk) -> None:
    student, *_ = await desk.enrols(1)
    another = uuid4()
    await desk.does(
        AppointClassTeacher(school=desk.school, group_id=desk.group, class_teacher=another, effective_on=TODAY)
    )
    for actor in (CLASS_TEACHER, Actor(another, Office.CLASS_TEACHER)):
        try:
            await open_access(desk.ledger, reads(actor), Resource.PORTFOLIO, students=[student], categories=("awards",))
        except NotFound:
            assert actor is CLASS_TEACHER
    await desk.catches_up()
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.OUTSIDE_CLASSES)
    assert [one.actor for one in found.items] == [CLASS_TEACHER.id]


async def test_class_teachers_are_known_by_their_days_whichever_was_recorded_first(desk: Desk) -> None:
    student, *_ = await desk.enrols(1)
    present, former = (Actor(uuid4(), Office.CLASS_TEACHER) for _ in range(2))
    for who, day in ((present, TODAY), (former, TODAY - timedelta(days=10))):
        command = AppointClassTeacher(school=desk.school, group_id=desk.group, class_teacher=who.id, effective_on=day)
        await desk.does(command)
    await open_access(desk.ledger, reads(present), Resource.PORTFOLIO, students=[student], categories=("awards",))
    with pytest.raises(NotFound):
        await open_access(desk.ledger, reads(former), Resource.PORTFOLIO, students=[student], categories=("awards",))
    await desk.catches_up()
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.OUTSIDE_CLASSES)
    assert [one.actor for one in found.items] == [former.id]


async def test_bursts_are_found_over_the_whole_period_and_batch_by_batch(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "BATCH", 3)
    monkeypatch.setattr("ledger.policy.watching.BURST_STUDENTS", 5)
    students = await desk.enrols(7)
    for student in students:
        await open_access(desk.ledger, reads(), Resource.STUDENT, students=[student], categories=("personal_file",))
    await desk.catches_up()
    moved: list[tuple[int, int]] = []
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.BURST, progress=lambda *step: moved.append(step))
    (one,) = found.items
    assert (one.actor, one.accesses, one.students) == (DIRECTOR.id, 7, 7)
    assert moved[-1][0] == moved[-1][1]
    assert len(moved) > 2
    earlier = await read_findings(desk.ledger, reads(AUDITOR), until=utc_now() - timedelta(days=1))
    assert (earlier.accesses, earlier.items) == (0, [])


@pytest.mark.parametrize("bound", ["MOST", "MOST_LINES"])
async def test_period_with_more_than_fits_into_memory_is_refused_and_a_shorter_one_is_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    for student in await desk.enrols(3):
        await open_access(desk.ledger, reads(), Resource.STUDENT, students=[student], categories=("personal_file",))
    await desk.catches_up()
    monkeypatch.setattr(findings, bound, 2)
    with pytest.raises(InvalidInput, match="accesses"):
        await read_findings(desk.ledger, reads(AUDITOR))
    earlier = await read_findings(desk.ledger, reads(AUDITOR), until=utc_now() - timedelta(days=1))
    assert earlier.accesses == 0


async def test_findings_are_for_those_who_watch_over_the_register(desk: Desk) -> None:
    await desk.catches_up()
    for office in (Office.TEACHER, Office.SECRETARY, Office.REPRESENTATIVE):
        with pytest.raises(Forbidden):
            await read_findings(desk.ledger, reads(Actor(uuid4(), office)))
    with pytest.raises(InvalidInput):
        await read_findings(desk.ledger, reads(AUDITOR), since=utc_now(), until=utc_now() - timedelta(days=1))


async def test_access_in_an_office_that_was_left_is_found_and_in_one_that_is_held_is_not(desk: Desk) -> None:
    student, *_ = await desk.enrols(1)
    former, present = Actor(uuid4(), Office.SECRETARY), Actor(uuid4(), Office.SECRETARY)
    day = utc_now().date()
    for who, ends_on in ((former, day - timedelta(days=2)), (present, None)):
        tenure = {"starts_on": day - timedelta(days=90), "ends_on": ends_on, "document": "Приказ 1"}
        await desk.does(AssumeOffice(school=desk.school, person_id=who.id, office="secretary", **tenure))  # type: ignore[arg-type]  # fields of its own
    for who in (former, present):
        await open_access(desk.ledger, reads(who), Resource.PORTFOLIO, students=[student], categories=("awards",))
    await desk.catches_up()
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.LEFT_OFFICE)
    assert [(one.actor, one.office, one.accesses) for one in found.items] == [(former.id, "secretary", 1)]


async def test_access_under_a_mandate_that_was_withdrawn_is_found_and_what_came_before_is_not(desk: Desk) -> None:
    student, *_ = await desk.enrols(1)
    inspector = Actor(uuid4(), Office.INSPECTOR)
    day = utc_now().date()
    recorded = await desk.does(
        RecordMandate(
            school=desk.school,
            person_id=inspector.id,
            kind="inspector",
            document="Распоряжение 77",
            scope="everything",
            starts_on=day - timedelta(days=1),
            ends_on=day + timedelta(days=30),
        )
    )
    looks = [
        await open_access(
            desk.ledger, reads(inspector), Resource.CONSENTS, students=[student], categories=("consents",)
        )
    ]
    withdrawal = WithdrawMandate(
        school=desk.school, person_id=inspector.id, mandate_id=recorded.events[-1].event_id, reason="Закончена"
    )
    await desk.does(withdrawal)
    looks.append(
        await open_access(
            desk.ledger, reads(inspector), Resource.CONSENTS, students=[student], categories=("consents",)
        )
    )
    await desk.catches_up()
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.LEFT_OFFICE)
    assert [one.positions for one in found.items] == [[looks[1].first]]


async def test_exceptional_access_stands_out_in_register_findings_and_what_parents_read(desk: Desk) -> None:
    student, *_ = await desk.enrols(1)
    stranger = Actor(uuid4(), Office.TEACHER)
    reader = Reader(stranger, "api", reason="Приступ на уроке, нужен телефон родителей")
    await open_access(desk.ledger, reader, Resource.STUDENT, students=[student], categories=("personal_file",))
    await open_access(desk.ledger, reads(), Resource.STUDENT, students=[student], categories=("personal_file",))
    await desk.catches_up()
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.EXCEPTIONAL)
    assert [(one.actor, one.accesses, one.students) for one in found.items] == [(stranger.id, 1, 1)]
    query = RegisterQuery(exceptional=True)
    page = await read_register(desk.ledger, reads(AUDITOR), query, before=None, limit=50)
    assert [(line.actor, line.exceptional, line.reason) for line in page.items] == [(stranger.id, True, reader.reason)]
    others = replace(query, exceptional=False)
    rest = await read_register(desk.ledger, reads(AUDITOR), others, before=None, limit=50)
    assert stranger.id not in {line.actor for line in rest.items}
    told = await who_saw(desk.ledger, reads(), student, before=None, limit=50)
    assert [one.exceptional for one in told.items] == [True]
    assert "в исключительном порядке учитель смотрел личную карточку" in told.items[0].text
    assert "Причина: Приступ на уроке" in told.items[0].text
