"""Forms of class groups, courses and works."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict

from ledger.aggregates.class_group import LEVELS
from ledger.aggregates.course import JOURNAL_KINDS, WORK_KINDS
from ledger.api.schemas.base import Code, Day, Form, Title, Word, one_of, said


class NewClassGroup(Form):
    """Класс / A class group."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "5А", "year": "2025-2026", "level": "basic"}]})

    title: Annotated[Title, said("Название, например 5А", "Title, such as 5А")]
    year: Annotated[Code, said("Код учебного года", "Code of the school year")]
    level: Annotated[Word, said("Уровень образования", "Level of education", json_schema_extra=one_of(LEVELS))]
    class_teacher: Annotated[UUID | None, said("Классный руководитель", "Class teacher")] = None


class NewClassTeacher(Form):
    """Назначение классного руководителя / The appointment of a class teacher."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"class_teacher": "019a0000-0000-7000-8000-000000000001", "effective_on": "2025-10-01"}]
        }
    )

    class_teacher: Annotated[UUID, said("Классный руководитель", "Class teacher")]
    effective_on: Annotated[Day, said("С какого дня", "From which day")]


class NewCourse(Form):
    """Учебный курс класса или кружок / A course or club of a class group."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Математика",
                    "group_id": "019a0000-0000-7000-8000-000000000002",
                    "journal": "class",
                    "scale": "five",
                    "teachers": ["019a0000-0000-7000-8000-000000000001"],
                }
            ]
        }
    )

    title: Annotated[Title, said("Предмет", "Subject")]
    group_id: Annotated[UUID, said("Класс", "Class group")]
    journal: Annotated[Word, said("Вид журнала", "Kind of the journal", json_schema_extra=one_of(JOURNAL_KINDS))]
    scale: Annotated[Code, said("Шкала отметок", "Mark scale")]
    teachers: Annotated[tuple[UUID, ...], said("Учителя", "Teachers", max_length=20)] = ()
    starts_on: Annotated[Day | None, said("С какого дня ведут", "From which day they teach")] = None


class NewTeacher(Form):
    """Назначение учителя или замещение по датам / The assignment of a teacher, or of a substitute by dates."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "teacher": "019a0000-0000-7000-8000-000000000001",
                    "starts_on": "2025-10-06",
                    "ends_on": "2025-10-10",
                    "substitute": True,
                }
            ]
        }
    )

    teacher: Annotated[UUID, said("Учитель", "Teacher")]
    starts_on: Annotated[Day, said("Первый день", "First day")]
    ends_on: Annotated[Day | None, said("Последний день", "Last day")] = None
    substitute: Annotated[bool, said("Замещение", "Whether it is a substitute")] = False


class NewWork(Form):
    """Работа, за которую ставят отметку / A work that is marked."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"title": "Контрольная работа № 1", "kind": "control", "weight": "2", "set_on": "2025-09-22"}]
        }
    )

    title: Annotated[Title, said("Название", "Title")]
    kind: Annotated[Word, said("Вид работы", "Kind of the work", json_schema_extra=one_of(WORK_KINDS))]
    weight: Annotated[Decimal, said("Вес", "Weight", max_digits=10, decimal_places=4)] = Decimal(1)
    scale: Annotated[Code | None, said("Своя шкала", "A scale of its own")] = None
    set_on: Annotated[Day | None, said("Когда задана", "Set on")] = None
    due_on: Annotated[Day | None, said("Срок сдачи", "Due on")] = None
