"""A student whole as of a moment, and what became of them between two: who recorded it, and why."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ledger.application.disclose import past as pasts
from ledger.application.disclose.differences import read_difference
from ledger.application.disclose.moment import NOW, AsOf
from ledger.application.disclose.past import Past
from ledger.application.disclose.states import read_state
from ledger.application.ledger import AT_ONCE
from ledger.application.record.marks import CorrectMark, SetPeriodMark, VoidMark
from ledger.application.record.students import LeaveSchool
from ledger.errors import InvalidInput, NotFound
from ledger.store.keyring import Keyring
from ledger.store.openings import CountedKeyring
from tests.support.desk import CLASS_TEACHER, TEACHER, reads
from tests.support.tampering import erase
from tests.support.world import TODAY

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.application.disclose.differences import Change, Difference
    from ledger.projections.view import Moment, Rows, View
    from tests.support.desk import Desk

EARLIER, LATER = TODAY - timedelta(days=7), TODAY - timedelta(days=2)


async def difference(desk: Desk, student: UUID, since: AsOf, until: AsOf = NOW) -> Difference:
    return await read_difference(desk.ledger, reads(), student, since=since, until=until)


async def corrects(desk: Desk, student: UUID, mark: UUID, value: str, reason: str = "Описка") -> int:
    command = CorrectMark(
        school=desk.school, course_id=desk.course, student_id=student, mark_id=mark, value=value, reason=reason
    )
    return (await desk.does(command, TEACHER)).position


async def voids(desk: Desk, student: UUID, mark: UUID) -> int:
    command = VoidMark(
        school=desk.school, course_id=desk.course, student_id=student, mark_id=mark, reason="Не та работа"
    )
    return (await desk.does(command, TEACHER)).position


def fields(change: Change) -> dict[str, tuple[object, object]]:
    return {one.field: (one.old, one.new) for one in change.fields}


async def test_correction_is_told_with_old_value_new_value_reason_and_who(desk: Desk) -> None:
    (student,) = await desk.enrols()
    marked = await desk.does(desk.mark(student, "3"), TEACHER)
    mark = marked.events[-1].event_id
    first = await corrects(desk, student, mark, "4")
    second = await corrects(desk, student, mark, "5", "Апелляция")
    (change,) = (await difference(desk, student, AsOf(marked.position))).changes
    assert (change.kind, change.what, change.id) == ("changed", "mark", mark)
    assert fields(change) == {"value": ("3", "5")}
    assert [(cause.position, cause.actor, cause.office, cause.reason) for cause in change.causes] == [
        (first, TEACHER.id, "teacher", "Описка"),
        (second, TEACHER.id, "teacher", "Апелляция"),
    ]
    assert change.text == (
        f"Отметка / mark, изменено / changed: Математика, Контрольная, {TODAY}:"
        " значение / value 3 → 5; причина / reason: Описка; Апелляция"
    )


async def test_what_was_added_and_what_was_declared_void_is_told(desk: Desk) -> None:
    (student,) = await desk.enrols()
    (mark,) = await desk.marks(student, value="2")
    start = AsOf(await find_last(desk, student))
    voided = await voids(desk, student, mark)
    await desk.does(desk.achievement(student, title="Турнир городов"))
    await desk.does(
        SetPeriodMark(school=desk.school, course_id=desk.course, student_id=student, period="2025-2026/1", value="4"),
        TEACHER,
    )
    await desk.does(LeaveSchool(school=desk.school, student_id=student, effective_on=TODAY, reason="own_wish"))
    found = await difference(desk, student, start)
    told = {(change.kind, change.what): change for change in found.changes}
    assert set(told) == {
        ("voided", "mark"),
        ("added", "achievement"),
        ("added", "result"),
        ("changed", "card"),
        ("changed", "membership"),
    }
    assert fields(told["voided", "mark"]) == {"voided": (False, True)}
    assert told["voided", "mark"].text.endswith("причина / reason: Не та работа")
    assert fields(told["added", "achievement"])["title"] == (None, "Турнир городов")
    assert "Турнир городов" in told["added", "achievement"].text
    assert told["added", "result"].place[:2] == ["Математика", "2025-2026/1"]
    assert fields(told["changed", "card"]) == {
        "status": ("enrolled", "left:own_wish"),
        "left_on": (None, TODAY.isoformat()),
    }
    assert told["changed", "membership"].place == ["5А"]
    assert [change.causes[0].position for change in found.changes] == sorted(
        change.causes[0].position for change in found.changes
    )
    assert found.changes[0].causes[0].position == voided
    assert found.before.position == start.position
    assert found.before.recorded_at is not None


async def find_last(desk: Desk, student: UUID) -> int:
    return (await read_state(desk.ledger, reads(), student)).as_of.position


async def test_nothing_recorded_in_between_is_no_difference(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await desk.marks(student)
    last = await find_last(desk, student)
    assert (await difference(desk, student, AsOf(last))).changes == []


async def test_two_days_differ_by_what_happened_between_them(desk: Desk) -> None:
    """A correction, recorded today, belongs to the day of its mark."""
    (student,) = await desk.enrols()
    early = (await desk.does(desk.mark(student, "3", on=EARLIER), TEACHER)).events[-1].event_id
    await desk.does(desk.mark(student, "5", on=LATER), TEACHER)
    await corrects(desk, student, early, "4")
    found = await difference(desk, student, AsOf(effective_on=EARLIER), AsOf(effective_on=LATER))
    assert [(change.kind, fields(change)["value"]) for change in found.changes] == [("added", (None, "5"))]
    before = await difference(desk, student, AsOf(effective_on=EARLIER - timedelta(days=1)), AsOf(effective_on=EARLIER))
    assert [(change.kind, fields(change)["value"]) for change in before.changes] == [("added", (None, "4"))]
    assert [cause.reason for cause in before.changes[0].causes] == [None, "Описка"]


async def test_moments_in_the_wrong_order_are_refused(desk: Desk) -> None:
    (student,) = await desk.enrols()
    last = await find_last(desk, student)
    for since, until in (
        (AsOf(last), AsOf(last - 1)),
        (AsOf(effective_on=LATER), AsOf(effective_on=EARLIER)),
        (AsOf(last), AsOf(effective_on=EARLIER)),
    ):
        with pytest.raises(InvalidInput, match="lies after"):
            await difference(desk, student, since, until)


async def test_state_has_card_groups_courses_and_portfolio_of_its_moment(desk: Desk) -> None:
    (student,) = await desk.enrols()
    (mark,) = await desk.marks(student)
    await desk.does(desk.achievement(student))
    state = await read_state(desk.ledger, reads(CLASS_TEACHER), student)
    assert state.card is not None
    assert state.card.family_name == "Синтетический0000"
    assert [group.title for group in state.groups] == ["5А"]
    (course,) = state.courses
    assert (course.course.title, [work.title for work in course.works]) == ("Математика", ["Контрольная"])
    assert [cell.entry_id for cell in course.cells] == [mark]
    assert [item.kind for item in state.portfolio] == ["achievement"]
    assert state.erased == []
    before = await read_state(desk.ledger, reads(), student, as_of=AsOf(course.cells[0].position - 1))
    assert (before.courses, before.portfolio) == ([], [])
    with pytest.raises(NotFound, match="by then"):
        await read_state(desk.ledger, reads(), student, as_of=AsOf(1))


async def test_erased_class_is_named_and_the_rest_is_shown(desk: Desk) -> None:
    gone, stays = await desk.enrols(2)
    await desk.marks(gone, stays)
    await desk.does(desk.achievement(gone))
    last = await find_last(desk, gone)
    for record_class, erased in (("marks", ["marks"]), ("personal_file", ["personal_file", "marks"])):
        erase(desk.base.database, gone, record_class)
        # As a process that has not read the key before.
        desk.ledger.keyring = CountedKeyring(Keyring(desk.base.keks), desk.ledger.keyring.openings)
        state = await read_state(desk.ledger, reads(), gone, as_of=AsOf(last))
        assert (state.erased, state.courses, len(state.portfolio)) == (erased, [], 1)
        assert (state.card is None) == ("personal_file" in erased)
        found = await difference(desk, gone, AsOf(0), AsOf(last))
        assert found.erased == erased
        assert "mark" not in {change.what for change in found.changes}
        assert "achievement" in {change.what for change in found.changes}
    assert (await read_state(desk.ledger, reads(), stays, as_of=AsOf(last))).erased == []


async def test_long_past_is_looked_through_beside_the_event_loop_and_by_so_many_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven years of marks take seconds: one parent who asks for them again and again must not stop everybody."""
    (student,) = await desk.enrols()
    await desk.marks(*[student] * 20)
    short = await difference(desk, student, AsOf(position=1)), await read_state(desk.ledger, reads(), student)
    threads: set[int] = set()
    fold = Past.fold

    def folding(past: Past, view: View, moment: Moment) -> Rows:
        if past.facts and view.name == "journals":
            threads.add(threading.get_ident())
        return fold(past, view, moment)

    monkeypatch.setattr(pasts, "BREATH", 10)
    monkeypatch.setattr(Past, "fold", folding)
    long = await difference(desk, student, AsOf(position=1)), await read_state(desk.ledger, reads(), student)
    assert long[0].changes == short[0].changes
    assert long[1].courses == short[1].courses
    assert threading.get_ident() not in threads
    assert threads
    for _ in range(AT_ONCE):
        await desk.ledger.folding.acquire()
    waiting = asyncio.ensure_future(read_state(desk.ledger, reads(), student))
    await asyncio.wait({waiting}, timeout=0.1)
    assert not waiting.done()
    desk.ledger.folding.release()
    assert (await waiting).courses == short[1].courses
