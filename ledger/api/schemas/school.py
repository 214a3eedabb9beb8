"""Forms of the school: founding, years, periods, scales, local acts, closing, permissions."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from ledger.aggregates.school import PERIOD_KINDS
from ledger.api.schemas.base import Code, Day, Document, Form, Text, Title, Word, one_of, said

Bound = Annotated[Decimal, Field(max_digits=12, decimal_places=2)]


class NewSchool(Form):
    """Школа, для которой открывается реестр / The school that the ledger is opened for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Школа № 1"}]})

    name: Annotated[Title, said("Наименование школы", "Name of the school")]


class NewYear(Form):
    """Учебный год / A school year."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"year": "2025-2026", "title": "2025/26", "starts_on": "2025-09-01", "ends_on": "2026-08-31"}]
        }
    )

    year: Annotated[Code, said("Код учебного года", "Code of the school year")]
    title: Annotated[Title, said("Название", "Title")]
    starts_on: Annotated[Day, said("Первый день", "First day")]
    ends_on: Annotated[Day, said("Последний день", "Last day")]


class NewPeriod(Form):
    """Учебный период: четверть, полугодие, экзамен / A period of a year, or an attestation in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "period": "2025-2026/1",
                    "year": "2025-2026",
                    "kind": "quarter",
                    "title": "I четверть",
                    "starts_on": "2025-09-01",
                    "ends_on": "2025-10-26",
                }
            ]
        }
    )

    period: Annotated[Code, said("Код периода", "Code of the period")]
    year: Annotated[Code, said("Код учебного года", "Code of the school year")]
    kind: Annotated[Word, said("Вид периода", "Kind of the period", json_schema_extra=one_of(PERIOD_KINDS))]
    title: Annotated[Title, said("Название", "Title")]
    starts_on: Annotated[Day, said("Первый день", "First day")]
    ends_on: Annotated[Day, said("Последний день", "Last day")]


class NewScale(Form):
    """Шкала отметок: символы или числа от и до / A mark scale: symbols, or numbers from and to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"scale": "five", "title": "Пятибалльная", "symbols": ["5", "4", "3", "2"], "passing": ["5", "4", "3"]}
            ]
        }
    )

    scale: Annotated[Code, said("Код шкалы", "Code of the scale")]
    title: Annotated[Title, said("Название", "Title")]
    symbols: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=20)], ...],
        said("Символы, лучший первым", "Symbols, the best first", max_length=100),
    ] = ()
    minimum: Annotated[Bound | None, said("Наименьшее число", "Least number")] = None
    maximum: Annotated[Bound | None, said("Наибольшее число", "Greatest number")] = None
    passing: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=20)], ...],
        said("Положительные символы", "Symbols that pass", max_length=100),
    ] = ()


class NewLocalAct(Form):
    """Локальный акт школы, следующая редакция / The next version of a local act of the school."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "act": "assessment",
                    "title": "Положение об оценивании",
                    "consulted": ["Педагогический совет", "Совет обучающихся", "Совет родителей"],
                    "approved_by": "Приказ № 1 от 01.09.2025",
                    "in_force_from": "2025-09-01",
                    "correction_window_days": 14,
                }
            ]
        }
    )

    act: Annotated[Code, said("Код акта; assessment — об оценивании", "Code of the act; assessment is on marking")]
    title: Annotated[Title, said("Название", "Title")]
    consulted: Annotated[
        tuple[Document, ...], said("Чьё мнение учтено", "Bodies whose opinion was heard", max_length=20)
    ]
    approved_by: Annotated[Document, said("Приказ об утверждении", "Order that approved it")]
    in_force_from: Annotated[Day, said("Действует с", "In force from")]
    correction_window_days: Annotated[
        int | None, said("Дней на исправление отметки", "Days in which a mark may be corrected", ge=0, le=3660)
    ] = None


class NewPermission(Form):
    """Разрешение завуча на запись после закрытия / The deputy head's permission to enter after closing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"year": "2025-2026", "until": "2025-11-15", "reason": "Болезнь учителя"}]}
    )

    year: Annotated[Code, said("Код учебного года", "Code of the school year")]
    course_id: Annotated[UUID | None, said("Курс; без него — все", "The course; all without it")] = None
    until: Annotated[Day, said("Действует по", "Holds up to")]
    reason: Annotated[Text, said("Причина", "Reason")]


class NewWorkingDay(Form):
    """Рабочий или нерабочий день школы / A working day of the school, or a day off."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"day": "2026-01-09", "working": False, "reason": "Приказ № 30 от 25.12.2025"}]}
    )

    day: Annotated[Day, said("День", "Day")]
    working: Annotated[bool, said("Рабочий ли", "Whether the school works")]
    reason: Annotated[Document, said("Решение, приказ", "The decision or order that says so")]


class YearClosing(Form):
    """Закрытие учебного года / The closing of a school year."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"year": "2025-2026"}]})

    year: Annotated[Code, said("Код учебного года", "Code of the school year")]


class PeriodClosing(Form):
    """Закрытие периода / The closing of a period."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"period": "2025-2026/1"}]})

    period: Annotated[Code, said("Код периода", "Code of the period")]
