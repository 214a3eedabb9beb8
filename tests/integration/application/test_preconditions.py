"""Two who saw the same state change it at once: exactly one succeeds, through whichever processes they do it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.school import read_course, read_group, read_school
from ledger.application.disclose.students import read_student
from ledger.application.record.command import Request, record
from ledger.application.record.courses import AddWork, AppointClassTeacher
from ledger.application.record.marks import CorrectMark, VoidMark
from ledger.application.record.precondition import Precondition
from ledger.application.record.school import OpenSchoolYear
from ledger.application.record.students import LeaveGroup
from ledger.application.tags import Tags, tag_after
from ledger.errors import KeyReused, PreconditionFailed
from ledger.ids import new_id
from tests.support.desk import TEACHER, at_desk, reads
from tests.support.school import YEAR_ENDS
from tests.support.world import TODAY

if TYPE_CHECKING:
    from ledger.application.record.command import RecordingCommand
    from ledger.bootstrap import Foundation
    from ledger.store.commands import Recorded
    from tests.support.desk import Desk


def correction(desk: Desk, student: UUID, mark: UUID, value: str) -> CorrectMark:
    return CorrectMark(
        school=desk.school,
        course_id=desk.course,
        student_id=student,
        mark_id=mark,
        value=value,
        reason="Ошибка при проверке",
    )


def seen(tag: str | None) -> Precondition:
    assert tag is not None
    return Precondition(match=Tags((tag,)))


async def outcomes(*attempts: asyncio.Future[Recorded] | asyncio.Task[Recorded]) -> tuple[list[Recorded], int]:
    """Returns what was recorded, and how many were told that it has changed; nothing else may have become of any."""
    found = await asyncio.gather(*attempts, return_exceptions=True)
    failed = [one for one in found if isinstance(one, PreconditionFailed)]
    recorded = [one for one in found if not isinstance(one, BaseException)]
    assert len(failed) + len(recorded) == len(attempts), found
    return recorded, len(failed)


async def test_of_many_with_one_tag_exactly_one_succeeds_through_two_processes(desk: Desk, base: Foundation) -> None:
    """Each process has its own memory of the lanes; only the append function sees both."""
    (student,) = await desk.enrols()
    (mark,) = await desk.marks(student, value="5")
    async with at_desk(base) as other:
        ledgers = (desk.ledger, other.ledger)
        tag: str | None = '"m2"'
        for number in range(12):
            value = "43"[number % 2]
            requests = [Request(TEACHER, key=f"{number}/{who}", precondition=seen(tag)) for who in range(4)]
            recorded, failed = await outcomes(
                *(
                    asyncio.create_task(record(ledgers[who % 2], correction(desk, student, mark, value), request))
                    for who, request in enumerate(requests)
                )
            )
            assert (len(recorded), failed) == (1, 3)
            assert tag_after(recorded[0]) != tag
            tag = tag_after(recorded[0])
    await desk.catches_up()
    page = await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
    (cell,) = page.lines[0].cells
    assert (cell.etag, len(cell.changes)) == (tag, 12)
    assert desk.audits().equal


async def test_change_that_the_other_process_made_meanwhile_is_met_on_fresh_lanes(desk: Desk, base: Foundation) -> None:
    (student,) = await desk.enrols()
    (mark,) = await desk.marks(student, value="5")
    async with at_desk(base) as other:
        await other.does(correction(desk, student, mark, "4"), TEACHER, key="a", precondition=seen('"m2"'))
        # The first process holds the lane as it was, and would take the tag by its own memory.
        with pytest.raises(PreconditionFailed):
            await desk.does(correction(desk, student, mark, "3"), TEACHER, key="b", precondition=seen('"m2"'))
        await desk.does(correction(desk, student, mark, "3"), TEACHER, key="b", precondition=seen('"m3"'))


async def test_repetition_is_answered_with_what_was_recorded_though_the_tag_has_moved(desk: Desk) -> None:
    (student,) = await desk.enrols()
    (mark,) = await desk.marks(student, value="5")
    command, content = correction(desk, student, mark, "4"), b"the same"
    request = {"key": "once", "content": content}
    first = await desk.does(command, TEACHER, **request, precondition=seen('"m2"'))
    await desk.does(correction(desk, student, mark, "3"), TEACHER, key="later")
    for precondition in (seen('"m2"'), seen('"m99"'), None, Precondition(required=True)):
        again = await desk.does(command, TEACHER, **request, precondition=precondition)
        assert (again, again.repeated, tag_after(again)) == (first, True, tag_after(first))
    with pytest.raises(KeyReused):
        await desk.does(command, TEACHER, key="once", content=b"another", precondition=seen('"m2"'))


async def test_refused_precondition_records_nothing_and_leaves_the_key_free(desk: Desk) -> None:
    (student,) = await desk.enrols()
    (mark,) = await desk.marks(student, value="5")
    before = await desk.catches_up()
    for _ in range(2):
        with pytest.raises(PreconditionFailed):
            await desk.does(correction(desk, student, mark, "4"), TEACHER, key="k", precondition=seen('"m9"'))
    assert await desk.catches_up() == before
    recorded = await desk.does(correction(desk, student, mark, "4"), TEACHER, key="k", precondition=seen('"m2"'))
    assert recorded.first_position == before + 1


async def test_commands_of_one_batch_see_each_other(desk: Desk) -> None:
    (student,) = await desk.enrols()
    one, two = await desk.marks(student, value="5") + await desk.marks(student, value="5")
    voiding = VoidMark(school=desk.school, course_id=desk.course, student_id=student, mark_id=one, reason="Ошибка")
    recorded, failed = await outcomes(
        *(
            asyncio.create_task(desk.does(command, TEACHER, precondition=precondition))
            for command, precondition in (
                (correction(desk, student, one, "4"), seen('"m2"')),
                (voiding, seen('"m2"')),
                (correction(desk, student, two, "4"), seen('"m3"')),  # another mark on the same lane
            )
        )
    )
    assert (len(recorded), failed) == (2, 1)
    assert [event.topic for one in recorded for event in one.events] == ["marks.corrected"] * 2


async def test_what_a_reader_is_shown_has_the_tag_that_a_change_needs(desk: Desk) -> None:
    """For each kind of thing: read it, change it with its tag, and find the tag of the answer at the next reading."""
    (student,) = await desk.enrols()
    school, ledger = desk.school, desk.ledger
    changes: list[tuple[str, RecordingCommand]] = [
        (
            "school",
            OpenSchoolYear(
                school=school, year="2027-2028", title="x", starts_on=YEAR_ENDS, ends_on=YEAR_ENDS.replace(year=2027)
            ),
        ),
        (
            "group",
            AppointClassTeacher(school=school, group_id=desk.group, class_teacher=new_id(), effective_on=TODAY),
        ),
        ("course", AddWork(school=school, course_id=desk.course, title="Диктант", kind="test")),
        ("card", LeaveGroup(school=school, student_id=student, group_id=desk.group, effective_on=TODAY)),
    ]

    async def tag(thing: str) -> str:
        await desk.catches_up()
        if thing == "school":
            return (await read_school(ledger)).etag
        if thing == "group":
            return (await read_group(ledger, desk.group)).etag
        if thing == "course":
            return (await read_course(ledger, desk.course)).etag
        return (await read_student(ledger, reads(), student)).etag

    for thing, command in changes:
        before = await tag(thing)
        recorded = await desk.does(command, precondition=seen(before))
        assert await tag(thing) == tag_after(recorded) != before, thing
        with pytest.raises(PreconditionFailed):
            await desk.does(command, precondition=seen(before))
