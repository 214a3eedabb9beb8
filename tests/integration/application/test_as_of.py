"""Reading as of a moment: what was known at a position or time, and what of it had happened by a day."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.application.disclose import past
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.moment import AsOf, find_moment
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.students import read_student
from ledger.application.record.courses import AddWork
from ledger.application.record.marks import CorrectMark, VoidMark
from ledger.application.record.students import LeaveSchool, MoveToGroup
from ledger.errors import Busy, InvalidInput, NotFound, StoreUnavailable
from ledger.ids import new_id
from ledger.store.keyring import Keyring
from ledger.store.openings import CountedKeyring
from tests.support.api import projecting
from tests.support.desk import TEACHER, reads
from tests.support.school import YEAR_BEGINS
from tests.support.tampering import erase, in_events
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.application.disclose.shown import CellShown, JournalPage
    from ledger.store.database import Row
    from tests.support.desk import Desk

EARLIER, LATER = TODAY - timedelta(days=7), TODAY - timedelta(days=2)


async def page(desk: Desk, as_of: AsOf, course: UUID | None = None) -> JournalPage:
    return await read_journal(desk.ledger, reads(), course or desk.course, after=None, limit=50, as_of=as_of)


async def cells(desk: Desk, as_of: AsOf, student: UUID) -> list[CellShown]:
    shown = await page(desk, as_of)
    return next(line.cells for line in shown.lines if line.student_id == student)


async def corrects(desk: Desk, student: UUID, mark: UUID, value: str) -> int:
    command = CorrectMark(
        school=desk.school, course_id=desk.course, student_id=student, mark_id=mark, value=value, reason="Описка"
    )
    return (await desk.does(command, TEACHER)).position


# --- known ------------------------------------------------------------------------------------------------------------


async def test_mark_is_shown_as_it_stood_before_its_correction_and_after_it(desk: Desk) -> None:
    (student,) = await desk.enrols()
    marked = await desk.does(desk.mark(student, "3"), TEACHER)
    mark = marked.events[-1].event_id
    corrected = await corrects(desk, student, mark, "4")
    void = VoidMark(school=desk.school, course_id=desk.course, student_id=student, mark_id=mark, reason="Не та работа")
    voided = (await desk.does(void, TEACHER)).position
    await desk.catches_up()
    (then,) = await cells(desk, AsOf(marked.position), student)
    assert (then.value, then.changes, then.position) == ("3", [], marked.position)
    (then,) = await cells(desk, AsOf(corrected), student)
    assert [(change.old_value, change.value, change.position) for change in then.changes] == [("3", "4", corrected)]
    assert not then.voided
    (then,) = await cells(desk, AsOf(voided), student)
    assert then.voided
    assert await cells(desk, AsOf(marked.position - 2), student) == []


async def test_who_came_later_and_works_that_were_added_later_stand_on_no_earlier_page(desk: Desk) -> None:
    (first,) = await desk.enrols()
    before = (await desk.does(desk.mark(first), TEACHER)).position
    await desk.enrols(family="Другой")
    await desk.does(AddWork(school=desk.school, course_id=desk.course, title="Вторая", kind="control"))
    await desk.catches_up()
    then = await page(desk, AsOf(before))
    assert [line.student_id for line in then.lines] == [first]
    assert [work.title for work in then.works] == ["Контрольная"]
    assert len((await page(desk, AsOf(effective_on=TODAY))).lines) == 2


async def test_time_is_the_last_position_recorded_by_then(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    """Every instant at, just before and just after an event finds what a plain count finds."""
    await desk.enrols(3)
    in_events(
        desk.base.database,
        "UPDATE events SET recorded_at = timestamptz '2025-10-01' + (position / 3) * interval '1 second'",
    )
    times = [row[0] for row in owner.execute("SELECT DISTINCT recorded_at FROM events").fetchall()]
    far = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
    for time in [moment + timedelta(microseconds=by) for moment in times for by in (-1, 0, 1)] + far:
        wanted = owner.execute("SELECT count(*) FROM events WHERE recorded_at <= %s", (time,)).fetchone()
        assert wanted is not None
        assert (await find_moment(desk.ledger, AsOf(known_at=time))).position == wanted[0]


async def test_moment_that_has_not_come_or_is_named_twice_is_refused(desk: Desk) -> None:
    (student,) = await desk.enrols()
    last = await desk.catches_up()
    for refused in (last + 1, 2**63 - 1):
        for read in (
            lambda position: page(desk, AsOf(position)),
            lambda position: read_student(desk.ledger, reads(), student, as_of=AsOf(position)),
            lambda position: read_portfolio(desk.ledger, reads(), student, after=None, limit=5, as_of=AsOf(position)),
        ):
            with pytest.raises(InvalidInput, match=f"The last position is {last}"):
                await read(refused)
    with pytest.raises(InvalidInput, match="together"):
        AsOf(1, datetime.now(UTC))
    with pytest.raises(InvalidInput, match="no zone"):
        AsOf(known_at=datetime(2025, 9, 1))  # noqa: DTZ001 - that is the point


async def test_moment_for_which_no_database_answers_is_said_to_be_unavailable(desk: Desk) -> None:
    await desk.ledger.pool.close()
    with pytest.raises(StoreUnavailable):
        await find_moment(desk.ledger, AsOf(effective_on=TODAY), ("rosters",))


async def test_view_that_has_not_reached_the_position_is_waited_for(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await desk.catches_up()
    marked = (await desk.does(desk.mark(student), TEACHER)).position
    with pytest.raises(Busy):
        await page(desk, AsOf(marked))
    await desk.catches_up()
    assert len(await cells(desk, AsOf(marked), student)) == 1


async def test_what_was_not_there_yet_is_not_found(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await desk.catches_up()
    with pytest.raises(NotFound):
        await page(desk, AsOf(0))
    with pytest.raises(NotFound):
        await read_student(desk.ledger, reads(), student, as_of=AsOf(1))
    assert (await read_portfolio(desk.ledger, reads(), student, after=None, limit=5, as_of=AsOf(1))).items == []
    for stranger in (student, new_id()):
        with pytest.raises(NotFound):
            await page(desk, AsOf(1), stranger)


# --- happened ---------------------------------------------------------------------------------------------------------


async def test_what_happened_later_is_left_out_and_a_correction_counts_with_its_mark(desk: Desk) -> None:
    (student,) = await desk.enrols()
    early = (await desk.does(desk.mark(student, "3", on=EARLIER), TEACHER)).events[-1].event_id
    await desk.does(desk.mark(student, "5", on=LATER), TEACHER)
    await corrects(desk, student, early, "4")  # today
    await desk.does(desk.achievement(student, on=LATER))
    await desk.catches_up()
    (then,) = await cells(desk, AsOf(effective_on=EARLIER), student)
    assert (then.effective_on, then.value, len(then.changes)) == (EARLIER, "4", 1)
    assert len(await cells(desk, AsOf(effective_on=LATER), student)) == 2
    assert await cells(desk, AsOf(effective_on=EARLIER - timedelta(days=1)), student) == []
    shown = await page(desk, AsOf(effective_on=EARLIER))
    assert (shown.effective_on, shown.next) == (EARLIER, None)

    async def items(day: date) -> int:
        as_of = AsOf(effective_on=day)
        return len((await read_portfolio(desk.ledger, reads(), student, after=None, limit=5, as_of=as_of)).items)

    assert [await items(EARLIER), await items(LATER)] == [0, 1]


async def test_card_of_a_day_knows_the_groups_of_that_day(desk: Desk) -> None:
    (student,) = await desk.enrols()
    other = new_id()
    await desk.forms("5Б", other)
    await desk.does(
        MoveToGroup(school=desk.school, student_id=student, group_id=other, from_group=desk.group, effective_on=EARLIER)
    )
    await desk.does(LeaveSchool(school=desk.school, student_id=student, effective_on=LATER, reason="moved_away"))

    async def card(day: date) -> tuple[str, list[tuple[UUID, date | None]]]:
        shown = await read_student(desk.ledger, reads(), student, as_of=AsOf(effective_on=day))
        return shown.status, [(one.group_id, one.ends_on) for one in shown.memberships]

    before, moved = EARLIER - timedelta(days=1), EARLIER
    assert await card(YEAR_BEGINS - timedelta(days=1)) == ("not_yet", [])
    assert await card(before) == ("enrolled", [(desk.group, None)])
    assert await card(moved) == ("enrolled", [(desk.group, before), (other, None)])
    assert await card(LATER) == ("left:moved_away", [(desk.group, before), (other, LATER)])


# --- erased -----------------------------------------------------------------------------------------------------------


async def test_erased_class_is_missing_from_every_earlier_page_and_breaks_none(desk: Desk) -> None:
    gone, stays = await desk.enrols(2)
    await desk.marks(gone, stays)
    last = await desk.catches_up()
    for record_class, named in (("marks", True), ("personal_file", False)):
        erase(desk.base.database, gone, record_class)
        # As a process that has not read the key before.
        desk.ledger.keyring = CountedKeyring(Keyring(desk.base.keks), desk.ledger.keyring.openings)
        then = {line.student_id: line for line in (await page(desk, AsOf(last))).lines}
        assert (len(then[gone].cells), bool(then[gone].family_name)) == (0, named)
        assert (len(then[stays].cells), bool(then[stays].family_name)) == (1, True)
    with pytest.raises(NotFound, match="erased"):
        await read_student(desk.ledger, reads(), gone, as_of=AsOf(last))


# --- while the views move ---------------------------------------------------------------------------------------------


async def test_page_of_now_is_read_from_the_views_where_nothing_moves(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folding is for the past; a page of now costs its rows, however long the history."""
    (student,) = await desk.enrols()
    await desk.marks(student)
    last = await desk.catches_up()
    monkeypatch.setattr(past, "open_events", lambda *_: pytest.fail("An event was opened."))
    for _ in range(2):  # its own disclosure, which the views have not reached, is no change
        shown = await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
        assert (shown.position, len(shown.lines[0].cells)) == (last, 1)


async def test_page_served_while_the_views_move_is_the_page_of_its_position(desk: Desk) -> None:
    """Somebody records without a pause until pages of several positions have been read; the views follow meanwhile."""
    students = await desk.enrols(4)
    await desk.catches_up()
    served: list[JournalPage] = []
    recording = True

    async def records() -> None:
        for number in count():
            if number >= 120 and len({page.position for page in served}) > 5:
                return
            student = students[number % 4]
            recorded = await desk.does(desk.mark(student, "432"[number % 3]), TEACHER)
            if number % 3 == 0:
                await corrects(desk, student, recorded.events[-1].event_id, "5")
            if number % 10 == 5:
                await desk.enrols(family=f"Новый{number}")
                await desk.does(AddWork(school=desk.school, course_id=desk.course, title=f"{number}", kind="control"))

    async def reads_pages() -> None:
        while recording:
            served.append(await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50))

    with projecting(desk.base):
        readers = [asyncio.ensure_future(reads_pages()) for _ in range(3)]
        await records()
        recording = False
        await asyncio.gather(*readers)
    await desk.catches_up()
    for shown in served:
        then = await page(desk, AsOf(shown.position))
        assert replace(then, access_id=shown.access_id) == shown
