"""Marks: one, a whole lesson, submissions, corrections, voiding, marks of periods."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import CourseId, MarkId, MinPosition, StudentId
from ledger.api.schemas.marks import (
    MarkCorrection,
    MarkVoiding,
    NewLesson,
    NewMark,
    NewPeriodMark,
    NewSubmission,
    PeriodMarkCorrection,
)
from ledger.application.disclose.marks import read_mark, read_period_marks
from ledger.application.record.marks import (
    CorrectMark,
    CorrectPeriodMark,
    RecordLesson,
    RecordMark,
    SetPeriodMark,
    SubmitWork,
    VoidMark,
)

router = a_router("marks")


@router.post("/v1/marks", **recording("recordMark", "Поставить отметку / Set a mark", NewMark))
async def record_mark(request: Request) -> Response:
    """Ставит отметку за работу; её `id` нужен для исправления / Sets a mark; corrections name its `id`."""
    return await perform(request, RecordMark)


@router.post("/v1/lessons", **recording("recordLesson", "Записать урок целиком / Record a whole lesson", NewLesson))
async def record_lesson(request: Request) -> Response:
    """Записывает отметки и посещаемость урока: всё или ничего / Records a lesson: all of it or nothing.

    A refusal lists every refused student in `violations` and records nothing.
    """
    return await perform(request, RecordLesson)


@router.post("/v1/submissions", **recording("submitWork", "Работа сдана / A work was handed in", NewSubmission))
async def submit_work(request: Request) -> Response:
    """Записывает, что работа сдана и не оценена / Records that a work was handed in and is not marked yet."""
    return await perform(request, SubmitWork)


@router.post(
    "/v1/students/{student_id}/marks/{mark_id}/corrections",
    **recording("correctMark", "Исправить отметку / Correct a mark", MarkCorrection, amends=True),
)
async def correct_mark(request: Request, student_id: StudentId, mark_id: MarkId) -> Response:
    """Исправляет отметку с причиной; прежняя остаётся / Corrects a mark, for a reason; the old value stays visible."""
    return await perform(request, CorrectMark, student_id, mark_id)


@router.post(
    "/v1/students/{student_id}/marks/{mark_id}/voidings",
    **recording("voidMark", "Признать отметку недействительной / Declare a mark void", MarkVoiding, amends=True),
)
async def void_mark(request: Request, student_id: StudentId, mark_id: MarkId) -> Response:
    """Признаёт отметку недействительной / Declares a mark void, for a reason; the old value stays visible."""
    return await perform(request, VoidMark, student_id, mark_id)


@router.post(
    "/v1/period-marks",
    **recording("setPeriodMark", "Отметка за период / Set the mark of a period", NewPeriodMark, changes=True),
)
async def set_period_mark(request: Request) -> Response:
    """Выставляет отметку за период, год, экзамен / Sets the mark of a period, a year or an exam, or the final mark."""
    return await perform(request, SetPeriodMark)


@router.post(
    "/v1/period-marks/corrections",
    **recording(
        "correctPeriodMark",
        "Исправить отметку за период / Correct the mark of a period",
        PeriodMarkCorrection,
        amends=True,
    ),
)
async def correct_period_mark(request: Request) -> Response:
    """Исправляет отметку за период с причиной / Corrects the mark of a period, for a reason."""
    return await perform(request, CorrectPeriodMark)


@router.get(
    "/v1/students/{student_id}/marks/{mark_id}",
    **reading("readMark", "Отметка / A mark", "Mark", tagged=True),
)
async def get_mark(request: Request, student_id: StudentId, mark_id: MarkId, min_position: MinPosition = 0) -> Response:
    """Отметка с исправлениями / A mark with its corrections; its ETag is what a correction names in If-Match."""
    call = ask(request)
    return call.show(await read_mark(call.ledger, call.reader, student_id, mark_id, min_position=min_position))


@router.get(
    "/v1/students/{student_id}/courses/{course_id}/period-marks",
    **reading("readPeriodMarks", "Отметки за периоды / Marks of periods", "PeriodMarks", tagged=True),
)
async def get_period_marks(
    request: Request, student_id: StudentId, course_id: CourseId, min_position: MinPosition = 0
) -> Response:
    """Отметки ученика за периоды курса / A student's marks of periods in a course; each has the `etag` to change it."""
    call = ask(request)
    return call.show(
        await read_period_marks(call.ledger, call.reader, student_id, course_id, min_position=min_position)
    )
