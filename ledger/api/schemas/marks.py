"""Forms of marks: one mark, a whole lesson, corrections, voiding, submissions, marks of periods."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from ledger.aggregates.scales import ATTENDANCE_CODES
from ledger.aggregates.school import PERIOD_KINDS
from ledger.api.schemas.base import Code, Day, Form, MarkValue, Text, Word, one_of, said
from ledger.application.record.marks import MAX_LESSON

_COURSE, _STUDENT = "019a0000-0000-7000-8000-000000000004", "019a0000-0000-7000-8000-000000000005"
_WORK = "019a0000-0000-7000-8000-000000000006"

ResultKind = Annotated[Word, Field(json_schema_extra=one_of(PERIOD_KINDS))]
Attendance = Annotated[Word, Field(json_schema_extra=one_of(ATTENDANCE_CODES))]
Permit = Annotated[UUID | None, said("Разрешение на запись после закрытия", "Permission to enter after closing")]


class NewMark(Form):
    """Отметка за работу / A mark for a work."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "course_id": _COURSE,
                    "student_id": _STUDENT,
                    "work_id": _WORK,
                    "value": "5",
                    "effective_on": "2025-09-22",
                    "comment": "Аккуратное решение",
                }
            ]
        }
    )

    course_id: Annotated[UUID, said("Курс", "Course")]
    student_id: Annotated[UUID, said("Ученик", "Student")]
    work_id: Annotated[UUID, said("Работа", "Work")]
    value: Annotated[MarkValue, said("Отметка", "Mark")]
    effective_on: Annotated[Day, said("Дата", "Day")]
    comment: Annotated[Text, said("Замечание", "Comment")] = ""
    permit_id: Permit = None


class LessonLine(Form):
    """Строка урока: отметки, посещаемость или то и другое / A student's line of a lesson."""

    student_id: Annotated[UUID, said("Ученик", "Student")]
    marks: Annotated[tuple[MarkValue, ...], said("Отметки, «4» и «5» для 4/5", "Marks", max_length=5)] = ()
    attendance: Annotated[Attendance | None, said("Код посещаемости", "Attendance code")] = None
    comment: Annotated[Text, said("Замечание", "Comment")] = ""


class NewLesson(Form):
    """Урок целиком: всё или ничего / A whole lesson: all of it or nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "course_id": _COURSE,
                    "work_id": _WORK,
                    "held_on": "2025-09-22",
                    "entries": [
                        {"student_id": _STUDENT, "marks": ["4", "5"]},
                        {"student_id": "019a0000-0000-7000-8000-000000000007", "attendance": "н"},
                    ],
                }
            ]
        }
    )

    course_id: Annotated[UUID, said("Курс", "Course")]
    work_id: Annotated[UUID, said("Работа", "Work")]
    held_on: Annotated[Day, said("Дата урока", "Day of the lesson")]
    entries: Annotated[tuple[LessonLine, ...], said("Ученики", "Students", min_length=1, max_length=MAX_LESSON)]
    permit_id: Permit = None


class NewSubmission(Form):
    """Сданная работа без отметки / A work that was handed in and is not marked yet."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"course_id": _COURSE, "student_id": _STUDENT, "work_id": _WORK, "effective_on": "2025-09-22"}]
        }
    )

    course_id: Annotated[UUID, said("Курс", "Course")]
    student_id: Annotated[UUID, said("Ученик", "Student")]
    work_id: Annotated[UUID, said("Работа", "Work")]
    effective_on: Annotated[Day, said("Дата сдачи", "Handed in on")]


class MarkCorrection(Form):
    """Исправление отметки с причиной; прежняя остаётся видна / A correction with its reason; the old mark stays."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"course_id": _COURSE, "value": "4", "reason": "Ошибка при проверке задания 3"}]
        }
    )

    course_id: Annotated[UUID, said("Курс", "Course")]
    value: Annotated[MarkValue, said("Новая отметка", "New mark")]
    reason: Annotated[Text, said("Причина", "Reason")]
    permit_id: Permit = None


class MarkVoiding(Form):
    """Признание отметки недействительной / The declaration that a mark is void."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"course_id": _COURSE, "reason": "Поставлена не тому ученику"}]}
    )

    course_id: Annotated[UUID, said("Курс", "Course")]
    reason: Annotated[Text, said("Причина", "Reason")]
    permit_id: Permit = None


class NewPeriodMark(Form):
    """Отметка за период, год, экзамен или итоговая / The mark of a period, a year or an exam, or the final mark."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"course_id": _COURSE, "student_id": _STUDENT, "period": "2025-2026/1", "value": "4"}]
        }
    )

    course_id: Annotated[UUID, said("Курс", "Course")]
    student_id: Annotated[UUID, said("Ученик", "Student")]
    period: Annotated[Code, said("Код периода", "Code of the period")]
    value: Annotated[MarkValue, said("Отметка или н/а", "Mark, or н/а for not attested")]
    kind: Annotated[ResultKind | None, said("Вид результата", "Kind of result")] = None
    scale: Annotated[Code | None, said("Своя шкала", "A scale of its own")] = None
    effective_on: Annotated[Day | None, said("Дата", "Day")] = None
    permit_id: Permit = None


class PeriodMarkCorrection(Form):
    """Исправление отметки за период с причиной / A correction of the mark of a period, with its reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "course_id": _COURSE,
                    "student_id": _STUDENT,
                    "period": "2025-2026/1",
                    "value": "5",
                    "reason": "Учтена пересдача",
                }
            ]
        }
    )

    course_id: Annotated[UUID, said("Курс", "Course")]
    student_id: Annotated[UUID, said("Ученик", "Student")]
    period: Annotated[Code, said("Код периода", "Code of the period")]
    value: Annotated[MarkValue, said("Новая отметка", "New mark")]
    reason: Annotated[Text, said("Причина", "Reason")]
    kind: Annotated[ResultKind | None, said("Вид результата", "Kind of result")] = None
    scale: Annotated[Code | None, said("Своя шкала", "A scale of its own")] = None
    permit_id: Permit = None
