"""Forms of achievements, awards and credited results."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from ledger.aggregates.student.achievements import (
    ACHIEVEMENT_KINDS,
    ACHIEVEMENT_LEVELS,
    AWARD_FORMS,
    OUTCOMES,
    SPHERES,
    WILLS,
)
from ledger.api.schemas.base import Code, Day, Document, Form, MarkValue, Title, Word, one_of, said

Will = Annotated[Word, Field(json_schema_extra=one_of(WILLS))]


class NewAchievement(Form):
    """Достижение с подтверждением / An achievement with its evidence."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "olympiad",
                    "level": "municipal",
                    "outcome": "winner",
                    "title": "Олимпиада по математике",
                    "achieved_on": "2025-11-08",
                    "evidence": "Диплом № 17",
                }
            ]
        }
    )

    kind: Annotated[Word, said("Вид", "Kind", json_schema_extra=one_of(ACHIEVEMENT_KINDS))]
    level: Annotated[Word, said("Уровень", "Level", json_schema_extra=one_of(ACHIEVEMENT_LEVELS))]
    outcome: Annotated[Word, said("Результат", "Outcome", json_schema_extra=one_of(OUTCOMES))]
    title: Annotated[Title, said("Название", "Title")]
    achieved_on: Annotated[Day, said("Дата", "Day")]
    evidence: Annotated[Document, said("Подтверждающий документ", "Document that confirms it")]
    course_id: Annotated[
        UUID | None, said("В каком курсе вы учите ученика", "In which course you teach the student; teachers name it")
    ] = None


class NewAward(Form):
    """Поощрение с основанием / An award with its basis."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "form": "diploma",
                    "sphere": "study",
                    "title": "Похвальная грамота",
                    "basis": ["019a0000-0000-7000-8000-000000000003"],
                    "order": "Приказ № 20 от 15.11.2025",
                    "granted_on": "2025-11-15",
                }
            ]
        }
    )

    form: Annotated[Word, said("Форма поощрения", "Form of the award", json_schema_extra=one_of(AWARD_FORMS))]
    sphere: Annotated[Word, said("Сфера деятельности", "Sphere of activity", json_schema_extra=one_of(SPHERES))]
    title: Annotated[Title, said("Название", "Title")]
    basis: Annotated[
        tuple[UUID, ...], said("Основание: достижения", "Basis: ids of achievements or credits", max_length=50)
    ]
    order: Annotated[Document, said("Приказ", "Order")]
    granted_on: Annotated[Day, said("Дата", "Day")]


class NewCredit(Form):
    """Зачёт результата из другой организации / The crediting of a result from another organisation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subject": "Музыка",
                    "from_organisation": "Детская музыкальная школа",
                    "effective_on": "2025-11-10",
                    "scale": "five",
                    "value": "5",
                    "will_of": "representative",
                    "will_on": "2025-11-01",
                    "order": "Приказ № 15 от 07.11.2025",
                }
            ]
        }
    )

    subject: Annotated[Title, said("Предмет", "Subject")]
    from_organisation: Annotated[Document, said("Организация", "Organisation")]
    effective_on: Annotated[Day, said("Дата зачёта", "Credited on")]
    course_id: Annotated[UUID | None, said("Наш курс", "Our course")] = None
    work_id: Annotated[UUID | None, said("Наша работа", "Our work")] = None
    scale: Annotated[Code | None, said("Шкала", "Scale")] = None
    value: Annotated[MarkValue | None, said("Отметка", "Mark")] = None
    will_of: Annotated[Will | None, said("Чьё волеизъявление", "Whose recorded will")] = None
    will_on: Annotated[Day | None, said("Дата заявления", "Day of the will")] = None
    order: Annotated[Document | None, said("Приказ", "Order")] = None
