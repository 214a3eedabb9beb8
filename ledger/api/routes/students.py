"""Students: enrolment, groups, leaving; cards by id, by foreign id and in lists. Each card shown is a disclosure."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, cursor_id, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import (
    AtPosition,
    Cursor,
    EffectiveOn,
    ForeignIdText,
    GroupFilter,
    KnownAt,
    Limit,
    MinPosition,
    Source,
    StudentId,
)
from ledger.api.problems import FieldError, InvalidFields
from ledger.api.schemas.students import GroupLeaving, Leaving, NewBirthDate, NewMove, NewStudent
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.shown import MAX_PAGE
from ledger.application.disclose.students import find_student, list_students, read_student
from ledger.application.record.students import EnrolStudent, LeaveGroup, LeaveSchool, MoveToGroup, RecordBirthDate

router = a_router("students")


@router.post("/v1/students", **recording("enrolStudent", "Зачислить ученика / Enrol a student", NewStudent))
async def enrol_student(request: Request) -> Response:
    """Зачисляет ученика под новым случайным `id` / Enrols a student under a new random `id`."""
    return await perform(request, EnrolStudent)


@router.get("/v1/students", **reading("listStudents", "Ученики / Students", "StudentPage", "Student", tagged=True))
async def get_students(
    request: Request,
    group_id: GroupFilter = None,
    source: Source = None,
    foreign_id: ForeignIdText = None,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
    at_position: AtPosition = None,
    known_at: KnownAt = None,
    effective_on: EffectiveOn = None,
) -> Response:
    """Страница учеников класса, или один по внешнему идентификатору / A page of a group's students, or one.

    With `group_id` a page, of now or as of a moment; with `source` and `foreign_id` the one student who has this id in
    another system.
    """
    call = ask(request)
    after = cursor_id(cursor)
    as_of = AsOf(at_position, known_at, effective_on)
    if group_id is not None and source is None and foreign_id is None:
        return call.show(
            await list_students(
                call.ledger, call.reader, group_id, after=after, limit=limit, min_position=min_position, as_of=as_of
            )
        )
    if group_id is None and source is not None and foreign_id is not None and as_of.is_now:
        return call.show(await find_student(call.ledger, call.reader, source, foreign_id, min_position=min_position))
    message = "name either group_id (and a moment, if not now), or source and foreign_id together."
    raise InvalidFields([FieldError("query", "alternatives", message)])


@router.get(
    "/v1/students/{student_id}", **reading("readStudent", "Карточка ученика / A student's card", "Student", tagged=True)
)
async def get_student(
    request: Request,
    student_id: StudentId,
    min_position: MinPosition = 0,
    at_position: AtPosition = None,
    known_at: KnownAt = None,
    effective_on: EffectiveOn = None,
) -> Response:
    """Карточка ученика: имя, классы, состояние / A student's card: names, groups, state."""
    call = ask(request)
    as_of = AsOf(at_position, known_at, effective_on)
    return call.show(await read_student(call.ledger, call.reader, student_id, min_position=min_position, as_of=as_of))


@router.post(
    "/v1/students/{student_id}/birth-date",
    **recording("recordBirthDate", "Записать дату рождения / Record the birth date", NewBirthDate, changes=True),
)
async def record_birth_date(request: Request, student_id: StudentId) -> Response:
    """Записывает или исправляет дату рождения / Records or corrects the birth date; representation ends at 18."""
    return await perform(request, RecordBirthDate, student_id)


@router.post(
    "/v1/students/{student_id}/moves",
    **recording("moveStudent", "Перевести в класс / Move to a group", NewMove, changes=True),
)
async def move(request: Request, student_id: StudentId) -> Response:
    """Определяет ученика в класс / Puts a student into a class group, out of another one where it is named."""
    return await perform(request, MoveToGroup, student_id)


@router.post(
    "/v1/students/{student_id}/group-leavings",
    **recording("leaveGroup", "Выбытие из класса / Leave a group", GroupLeaving, changes=True),
)
async def leave_group(request: Request, student_id: StudentId) -> Response:
    """Завершает пребывание в классе / Ends a student's membership of a group."""
    return await perform(request, LeaveGroup, student_id)


@router.post(
    "/v1/students/{student_id}/leavings",
    **recording("leaveSchool", "Уход из школы / Leave the school", Leaving, changes=True),
)
async def leave_school(request: Request, student_id: StudentId) -> Response:
    """Завершает обучение в школе / Ends a student's time at the school."""
    return await perform(request, LeaveSchool, student_id)
