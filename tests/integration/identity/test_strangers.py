"""Whatever somebody records about a student who is not theirs, they are told what is said of one who does not exist."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from ledger.api.recordings import RECORDINGS
from ledger.application.record.command import Request, record
from ledger.application.record.marks import LessonEntry, RecordLesson
from ledger.application.record.precondition import Precondition
from ledger.application.record.staff import LinkLogin, RecordMandate
from ledger.application.record.students import EnrolStudent
from ledger.application.tags import Tags
from ledger.errors import LedgerError, Refused
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from tests.support.desk import TEACHER
from tests.support.world import TODAY

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.api.recordings import Recording
    from ledger.application.record.command import RecordingCommand
    from tests.support.desk import Desk

ABOUT_STUDENTS = [
    recording
    for command, recording in RECORDINGS.items()
    if command is RecordLesson
    or (command is not EnrolStudent and "student_id" in {field.name for field in fields(command)})
]
DEMANDS = (None, Precondition(match=Tags(('"m1"',))), Precondition(none_match=Tags(any=True)))


async def a_program(desk: Desk, group: UUID) -> Actor:
    """Returns a program whose mandate names a class group."""
    person, login = new_id(), new_id()
    mandate = RecordMandate(
        school=desk.school,
        person_id=person,
        kind="system",
        document="Договор 2",
        scope="class_groups",
        named=(group,),
        starts_on=TODAY,
    )
    await desk.does(mandate)
    await desk.does(LinkLogin(school=desk.school, login_id=login, person_id=person, capacities=("external",)))
    return Actor(person, Office.SYSTEM, login=login)


def about(desk: Desk, recording: Recording, student: UUID, named: UUID) -> RecordingCommand:
    """Returns the command of the form's example, about a student; `named` is a mark, consent or request of theirs."""
    example = cast("Any", recording.form.model_config["json_schema_extra"])["examples"][0]
    form = recording.form.model_validate_json(json.dumps(example))
    command = recording.make(desk.school, [student if name == "student_id" else named for name in recording.ids], form)
    if isinstance(command, RecordLesson):
        return replace(command, course_id=desk.course, work_id=desk.work, entries=(LessonEntry(student, ("5",)),))
    changes = {"student_id": student, "course_id": desk.course, "work_id": desk.work, "group_id": desk.group}
    known = {field.name for field in fields(command)}
    return replace(command, **{name: value for name, value in changes.items() if name in known})


async def told(desk: Desk, command: RecordingCommand, by: Actor, demand: Precondition | None) -> tuple[object, ...]:
    """Returns everything that a refusal says."""
    with pytest.raises(LedgerError) as caught:
        await record(desk.ledger, command, Request(by, precondition=demand))
    error = caught.value
    found = [(one.code, one.message) for one in error.violations] if isinstance(error, Refused) else [error.detail]
    return (type(error), error.help, *found)


async def test_refusal_says_the_same_of_a_stranger_and_of_nobody(desk: Desk) -> None:
    """Of every command about a student, whoever sends it, whatever it demands of the thing that it would change."""
    far, elsewhere = new_id(), new_id()
    await desk.forms("6А", far)
    await desk.forms("7А", elsewhere)
    [near], [distant] = await desk.enrols(1), await desk.enrols(1, into=far, family="Дальний")
    [mark] = await desk.marks(near)
    nothing_to_them = (
        Actor(new_id(), Office.TEACHER),
        Actor(new_id(), Office.CLASS_TEACHER),
        Actor(new_id(), Office.STUDENT, frozenset({new_id()})),
        Actor(new_id(), Office.REPRESENTATIVE, frozenset({new_id()})),
        await a_program(desk, elsewhere),
    )
    asked = [(actor, near, mark) for actor in nothing_to_them]
    asked.append((TEACHER, distant, new_id()))  # they teach the course that the command names
    for recording in ABOUT_STUDENTS:
        for actor, student, named in asked:
            for demand in DEMANDS:
                of = [
                    await told(desk, about(desk, recording, one, thing), actor, demand)
                    for one, thing in ((student, named), (student, new_id()), (new_id(), new_id()))
                ]
                assert of[0] == of[1] == of[2], (recording.name, actor.office)
