"""What readers are shown: pages that miss nobody, reads that wait for their own writes, history on two axes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.application.commands import find_command
from ledger.application.disclose.history import read_history
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.register import read_disclosures
from ledger.application.disclose.retention import read_retention
from ledger.application.disclose.school import (
    list_courses,
    list_groups,
    list_works,
    read_course,
    read_group,
    read_school,
)
from ledger.application.disclose.students import find_student, list_students, read_student
from ledger.application.readiness import read_readiness
from ledger.application.record.achievements import GrantAward
from ledger.application.record.command import Request
from ledger.application.record.courses import AddWork
from ledger.application.record.marks import CorrectMark, SetPeriodMark
from ledger.application.record.students import LeaveGroup, LeaveSchool, TransferOut
from ledger.errors import Busy, InvalidInput, KeyReused, NotFound, Refused, StoreUnavailable
from ledger.ids import new_id
from tests.support.desk import DIRECTOR, TEACHER, Desk, at_desk, reads
from tests.support.school import YEAR_BEGINS
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.application.disclose.shown import HistoryLine, JournalPage
    from ledger.bootstrap import Foundation
    from ledger.store.database import Row

EARLY = date(2025, 9, 20)


async def journal_pages(desk: Desk, limit: int) -> list[JournalPage]:
    pages: list[JournalPage] = []
    after: UUID | None = None
    while True:
        page = await read_journal(desk.ledger, reads(TEACHER), desk.course, after=after, limit=limit)
        pages.append(page)
        if page.next is None:
            return pages
        after = UUID(page.next)


@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_journal_pages_cover_everybody_once_also_who_left_and_who_is_outside(desk: Desk, limit: int) -> None:
    """Members, one who left the group, one who left the school, and two imported marks of non-members."""
    members = await desk.enrols(6)
    desk.ledger.today = lambda: TODAY
    left_group, left_school = members[0], members[1]
    await desk.does(LeaveGroup(school=desk.school, student_id=left_group, group_id=desk.group, effective_on=EARLY))
    await desk.does(LeaveSchool(school=desk.school, student_id=left_school, effective_on=EARLY, reason="moved_away"))
    elsewhere = new_id()
    await desk.forms("5Б", elsewhere)
    outside, attested, unconcerned = await desk.enrols(3, into=elsewhere, family="Другой")
    await desk.does(desk.mark(outside), imported=True)
    await desk.does(
        SetPeriodMark(school=desk.school, course_id=desk.course, student_id=attested, period="2025-2026/1", value="4"),
        imported=True,
    )
    await desk.catches_up()
    pages = await journal_pages(desk, limit)
    assert all(0 < len(page.lines) <= limit for page in pages)
    seen = [line.student_id for page in pages for line in page.lines]
    assert sorted(seen) == sorted([*members, outside, attested])
    assert unconcerned not in seen
    assert len({page.access_id for page in pages}) == len(pages)


async def test_journal_of_more_than_a_page_of_students_has_a_next_page(desk: Desk) -> None:
    students = await desk.enrols(61)
    await desk.catches_up()
    pages = await journal_pages(desk, 50)
    assert [len(page.lines) for page in pages] == [50, 11]
    assert sorted(line.student_id for page in pages for line in page.lines) == sorted(students)
    cards: list[UUID] = []
    after: UUID | None = None
    while True:
        listed = await list_students(desk.ledger, reads(), desk.group, after=after, limit=50)
        cards += [card.student_id for card in listed.items]
        if listed.next is None:
            break
        after = UUID(listed.next)
    assert sorted(cards) == sorted(students)


async def test_journal_shows_marks_corrections_and_period_marks_by_name(desk: Desk) -> None:
    first, second = await desk.enrols(2)
    (mark, _) = await desk.marks(first, second, value="3")
    await desk.does(
        CorrectMark(
            school=desk.school, course_id=desk.course, student_id=first, mark_id=mark, value="4", reason="Описка"
        ),
        TEACHER,
    )
    await desk.does(
        SetPeriodMark(school=desk.school, course_id=desk.course, student_id=first, period="2025-2026/1", value="н/а"),
        TEACHER,
    )
    last = await desk.catches_up()
    (page,) = await journal_pages(desk, 50)
    assert [line.family_name for line in page.lines] == ["Синтетический0000", "Синтетический0001"]
    (cell,) = page.lines[0].cells
    assert (cell.entry_id, cell.value, cell.work_id, cell.changes[0].reason) == (mark, "4", desk.work, "Описка")
    assert [(one.value, one.kind) for one in page.lines[0].results] == [("н/а", "quarter")]
    assert (page.course.course_id, [work.work_id for work in page.works], page.position) == (
        desk.course,
        [desk.work],
        last,
    )


def hurries(desk: Desk) -> None:
    """Lets reads wait for next to nothing."""
    desk.ledger.settings = desk.ledger.settings.model_copy(update={"wait_seconds": 0.02})


async def test_read_waits_for_its_own_write_and_says_so_when_it_takes_too_long(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    await desk.catches_up()
    written = (await desk.does(desk.mark(student), TEACHER)).position
    waiting = asyncio.create_task(
        read_journal(desk.ledger, reads(), desk.course, after=None, limit=50, min_position=written)
    )
    await asyncio.wait({waiting}, timeout=0.1)
    assert not waiting.done()
    hurries(desk)
    with pytest.raises(Busy, match=f"has not reached position {written}"):
        await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50, min_position=written)
    for read in (
        lambda: read_portfolio(desk.ledger, reads(), student, after=None, limit=5, min_position=written),
        lambda: read_retention(desk.ledger, reads(), student, min_position=written),
        lambda: read_disclosures(desk.ledger, reads(), student, before=None, limit=5, min_position=written),
        lambda: list_students(desk.ledger, reads(), desk.group, after=None, limit=5, min_position=written),
        lambda: read_student(desk.ledger, reads(), student, min_position=written),
        lambda: find_student(desk.ledger, reads(), "register", "x", min_position=written),
    ):
        with pytest.raises(Busy):
            await read()
    await desk.catches_up()
    page = await waiting
    assert len(page.lines[0].cells) == 1
    assert page.position >= written


async def test_wait_that_is_vain_names_the_view_that_has_stopped(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await desk.enrols(1)
    last = await desk.catches_up()
    await desk.enrols(1)
    owner.execute("UPDATE tracking SET failed_position = %s, failure = 'x' WHERE view = 'journals'", (last + 1,))
    hurries(desk)
    with pytest.raises(Busy) as busy:
        await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50, min_position=last + 1)
    assert "journals" in f"{busy.value.detail} {busy.value.help}"


async def test_wait_for_what_nobody_has_recorded_is_refused_at_once(desk: Desk) -> None:
    await desk.enrols(1)
    last = await desk.catches_up()
    with pytest.raises(InvalidInput, match=f"position {last + 1} yet. The last position is {last}"):
        await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50, min_position=last + 1)


@pytest.mark.no_views
async def test_reads_before_the_first_projector_are_told_to_wait(desk: Desk) -> None:
    with pytest.raises(Busy, match="has not been made yet"):
        await read_school(desk.ledger)
    with pytest.raises(Busy, match="has not been made yet"):
        await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)


# --- history ----------------------------------------------------------------------------------------------------------


def topics(lines: list[HistoryLine]) -> list[str]:
    return [line.topic for line in lines if not line.topic.startswith("disclosure.")]


async def test_history_by_day_shows_what_had_happened_in_every_kind(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    early = await desk.does(desk.achievement(student, title="Ранняя", on=EARLY))
    await desk.does(desk.achievement(student, title="Поздняя", on=TODAY))
    await desk.does(
        GrantAward(
            school=desk.school,
            student_id=student,
            form="diploma",
            sphere="study",
            title="Диплом",
            basis=(early.events[0].event_id,),
            order="Приказ 1",
            granted_on=TODAY,
        )
    )
    await desk.does(desk.mark(student, on=EARLY), TEACHER)
    mark = (await desk.does(desk.mark(student, on=TODAY), TEACHER)).events[-1].event_id
    await desk.does(
        CorrectMark(
            school=desk.school, course_id=desk.course, student_id=student, mark_id=mark, value="4", reason="Описка"
        ),
        TEACHER,
    )
    whole = await read_history(desk.ledger, reads(), student, after=0, limit=50)
    assert topics(whole.items) == [
        "student.enrolled",
        "student.moved_to_group",
        "student.achievement_recorded",
        "student.achievement_recorded",
        "student.award_granted",
        "marks.opened",
        "marks.recorded",
        "marks.recorded",
        "marks.corrected",
    ]
    assert [line.position for line in whole.items] == sorted(line.position for line in whole.items)
    then = await read_history(desk.ledger, reads(), student, after=0, limit=50, as_of=AsOf(effective_on=EARLY))
    assert topics(then.items) == [
        "student.enrolled",
        "student.moved_to_group",
        "student.achievement_recorded",
        "marks.opened",
        "marks.recorded",
    ]
    before = await read_history(
        desk.ledger, reads(), student, after=0, limit=50, as_of=AsOf(effective_on=YEAR_BEGINS - timedelta(days=1))
    )
    assert topics(before.items) == ["marks.opened"]


async def test_history_by_knowledge_shows_what_the_ledger_had_learned(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    first = await desk.does(desk.mark(student, on=EARLY), TEACHER)
    second = await desk.does(desk.mark(student, "4", on=EARLY), TEACHER)
    assert second.recorded_at > first.recorded_at
    known = await read_history(desk.ledger, reads(), student, after=0, limit=50, as_of=AsOf(known_at=first.recorded_at))
    assert topics(known.items)[-1] == "marks.recorded"
    assert known.items[-1].position == first.position
    nothing = await read_history(
        desk.ledger, reads(), student, after=0, limit=50, as_of=AsOf(known_at=datetime(2020, 1, 1, tzinfo=UTC))
    )
    assert nothing.items == []


async def test_history_comes_in_pages_that_follow_each_other(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    for value in ("5", "4", "3"):
        await desk.does(desk.mark(student, value), TEACHER)
    whole = await read_history(desk.ledger, reads(), student, after=0, limit=50)
    seen: list[HistoryLine] = []
    after, pages = 0, 0
    while True:
        page = await read_history(
            desk.ledger, reads(), student, after=after, limit=2, as_of=AsOf(known_at=whole.items[-1].recorded_at)
        )
        seen += page.items
        pages += 1
        if page.next is None:
            break
        after = int(page.next)
    assert [line.event_id for line in seen][: len(whole.items) - 1] == [line.event_id for line in whole.items][:-1]
    assert pages >= 3
    assert whole.items[0].state is not None
    assert whole.items[0].state["family_name"] == "Синтетический0000"
    assert (whole.items[0].office, whole.items[0].actor) == ("director", DIRECTOR.id)


# --- portfolio, retention, register -----------------------------------------------------------------------------------


async def test_portfolio_comes_in_pages(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    titles = [f"Олимпиада {number}" for number in range(5)]
    for title in titles:
        await desk.does(desk.achievement(student, title=title))
    await desk.catches_up()
    seen: list[str] = []
    after: UUID | None = None
    while True:
        page = await read_portfolio(desk.ledger, reads(), student, after=after, limit=2)
        assert 0 < len(page.items) <= 2
        seen += [item.title for item in page.items]
        if page.next is None:
            break
        after = UUID(page.next)
    assert seen == titles


async def test_retention_shows_carriers_clocks_and_terms(desk: Desk) -> None:
    completed, transferred = await desk.enrols(2)
    await desk.marks(completed, transferred)
    await desk.does(desk.achievement(transferred))
    await desk.does(LeaveSchool(school=desk.school, student_id=completed, effective_on=TODAY, reason="completed"))
    await desk.does(
        TransferOut(
            school=desk.school,
            student_id=transferred,
            to_organisation="Другая школа",
            application="Заявление 1",
            order="Приказ 1",
            effective_on=TODAY,
            released=("personal_file", "portfolio"),
        )
    )
    await desk.catches_up()
    shown = await read_retention(desk.ledger, reads(), completed)
    lines = {line.record_class: line for line in shown.lines}
    assert shown.completed_on == TODAY
    assert (lines["personal_file"].status, lines["personal_file"].due_on) == ("running", date(2030, 10, 15))
    assert lines["personal_file"].destroy_by == date(2030, 10, 15)
    assert (lines["marks"].status, lines["marks"].last_on, lines["marks"].eligible) == ("no_term", TODAY, False)
    shown = await read_retention(desk.ledger, reads(), transferred)
    assert {line.record_class: line.status for line in shown.lines} == {
        "personal_file": "released",
        "marks": "no_term",
        "achievements": "released",
    }
    desk.ledger.today = lambda: date(2030, 10, 16)
    later = await read_retention(desk.ledger, reads(), completed)
    assert {line.record_class: line.eligible for line in later.lines}["personal_file"]


async def test_register_comes_in_pages_newest_first(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    await desk.catches_up()
    for _ in range(5):
        await read_student(desk.ledger, reads(), student)
    await desk.catches_up()
    seen: list[int] = []
    before: int | None = None
    while True:
        page = await read_disclosures(desk.ledger, reads(), student, before=before, limit=2)
        seen += [line.position for line in page.items]
        if page.next is None:
            break
        before = int(page.next)
    assert len(seen) == 5
    assert seen == sorted(set(seen), reverse=True)


# --- the school's own -------------------------------------------------------------------------------------------------


async def test_groups_courses_and_works_come_in_pages_without_any_disclosure(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    for number in range(3):
        group = new_id()
        await desk.forms(f"6{number}", group)
        await desk.opens(new_id(), group)
        await desk.does(AddWork(school=desk.school, course_id=desk.course, title=f"Работа {number}", kind="test"))
    last = await desk.catches_up()
    first = await list_groups(desk.ledger, after=None, limit=3)
    rest = await list_groups(desk.ledger, after=UUID(str(first.next)), limit=3)
    assert [len(first.items), len(rest.items), rest.next] == [3, 1, None]
    assert {group.title for group in (*first.items, *rest.items)} == {"5А", "60", "61", "62"}
    assert len((await list_courses(desk.ledger, group_id=None, after=None, limit=50)).items) == 4
    assert len((await list_courses(desk.ledger, group_id=desk.group, after=None, limit=50)).items) == 1
    works = await list_works(desk.ledger, desk.course, after=None, limit=3)
    more = await list_works(desk.ledger, desk.course, after=UUID(str(works.next)), limit=3)
    assert [work.title for work in (*works.items, *more.items)] == ["Контрольная", "Работа 0", "Работа 1", "Работа 2"]
    assert (await read_course(desk.ledger, desk.course)).group_id == desk.group
    assert (await read_group(desk.ledger, desk.group)).title == "5А"
    for read in (read_course, read_group):
        with pytest.raises(NotFound):
            await read(desk.ledger, new_id())
    assert owner.execute("SELECT max(position) FROM events").fetchone() == (last,)


@pytest.mark.no_views
async def test_readiness_names_each_view_with_its_lag(desk: Desk) -> None:
    parts = {part.name: part for part in await read_readiness(desk.ledger)}
    assert not parts["view journals"].ready
    last = await desk.catches_up()
    await desk.enrols(1)
    parts = {part.name: part for part in await read_readiness(desk.ledger)}
    assert all(part.ready for part in parts.values())
    assert (parts["view journals"].position, parts["view journals"].lag) == (last, 2)


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_command_is_found_by_its_key_and_client_only(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    recorded = await desk.does(desk.mark(student), TEACHER, key="lesson-1", content=b"body")
    found = await find_command(desk.ledger, Request(TEACHER), "lesson-1")
    assert found == recorded
    assert found.repeated
    again = await desk.does(desk.mark(student), TEACHER, key="lesson-1", content=b"body")
    assert again == recorded
    with pytest.raises(KeyReused):
        await desk.does(desk.mark(student, "2"), TEACHER, key="lesson-1", content=b"another")
    for request, key in ((Request(DIRECTOR), "lesson-1"), (Request(TEACHER), "lesson-2")):
        with pytest.raises(NotFound):
            await find_command(desk.ledger, request, key)


async def test_refused_command_is_not_found_and_its_key_is_free(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    with pytest.raises(Refused):
        await desk.does(desk.mark(student, "9"), TEACHER, key="k")
    with pytest.raises(NotFound):
        await find_command(desk.ledger, Request(TEACHER), "k")
    await desk.does(desk.mark(student, "4"), TEACHER, key="k")


@pytest.mark.parametrize("key", ["", "x" * 201, "line\nbreak", "\x00"])
async def test_unusable_key_is_refused(desk: Desk, key: str) -> None:
    with pytest.raises(InvalidInput, match="key"):
        await find_command(desk.ledger, Request(TEACHER), key)


async def test_read_for_which_no_connection_is_free_says_so_and_the_next_finds_one(base: Foundation) -> None:
    hurried = replace(base, database=replace(base.database, pool_s=0.1))
    async with at_desk(hurried) as desk:
        await desk.founds()
        await desk.catches_up()
        async with AsyncExitStack() as stack:
            for _ in range(desk.ledger.pool.max_size):
                await stack.enter_async_context(desk.ledger.pool.connection())
            with pytest.raises(StoreUnavailable, match="No connection to the database came free"):
                await read_school(desk.ledger)
            await desk.forms("5Б", new_id())  # who records has a connection of their own
        assert (await read_school(desk.ledger)).name
