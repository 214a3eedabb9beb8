"""Forms of a student's time at the school: enrolment, groups, leaving, transfers."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from ledger.aggregates.student.record import LEAVING_REASONS, MAX_NAME, RELEASABLE
from ledger.api.schemas.base import Day, Document, Form, Word, one_of, said

Name = Annotated[str, Field(max_length=MAX_NAME)]


class ForeignId(Form):
    """Идентификатор в другой системе / An id in another system."""

    source: Annotated[str, said("Система", "The system", min_length=1, max_length=100)]
    id: Annotated[str, said("Идентификатор в ней", "The id there", min_length=1, max_length=200)]


class NewStudent(Form):
    """Зачисление ученика / The enrolment of a student."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "family_name": "Фамилия",
                    "given_name": "Имя",
                    "patronymic": "Отчество",
                    "birth_date": "2014-05-17",
                    "enrolled_on": "2025-09-01",
                    "foreign_ids": [{"source": "sis", "id": "4711"}],
                }
            ]
        }
    )

    family_name: Annotated[Name, said("Фамилия", "Family name")]
    given_name: Annotated[Name, said("Имя", "Given name")]
    patronymic: Annotated[Name, said("Отчество", "Patronymic")] = ""
    birth_date: Annotated[Day | None, said("Дата рождения", "Birth date")] = None
    enrolled_on: Annotated[Day | None, said("Дата зачисления", "Enrolled on")] = None
    foreign_ids: Annotated[
        tuple[ForeignId, ...], said("Идентификаторы в других системах", "Ids in other systems", max_length=20)
    ] = ()


class NewBirthDate(Form):
    """Дата рождения по документу / A birth date, as a document says it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"birth_date": "2014-05-17", "reason": "Свидетельство о рождении I-АБ № 000000"}]
        }
    )

    birth_date: Annotated[Day, said("Дата рождения", "Birth date")]
    reason: Annotated[Document, said("Документ", "The document that says so")]


class NewMove(Form):
    """Зачисление или перевод в класс / A move into a class group, out of another one where it is named."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"group_id": "019a0000-0000-7000-8000-000000000002", "effective_on": "2025-09-01"}]
        }
    )

    group_id: Annotated[UUID, said("Класс", "Class group")]
    effective_on: Annotated[Day, said("Первый день в классе", "First day in the group")]
    from_group: Annotated[UUID | None, said("Из какого класса", "Out of which group")] = None


class GroupLeaving(Form):
    """Выбытие из класса без ухода из школы / The leaving of a group by one who stays at the school."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"group_id": "019a0000-0000-7000-8000-000000000002", "effective_on": "2025-12-28"}]
        }
    )

    group_id: Annotated[UUID, said("Класс", "Class group")]
    effective_on: Annotated[Day, said("Последний день", "Last day")]


class Leaving(Form):
    """Уход из школы / The leaving of the school."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"effective_on": "2026-06-25", "reason": "completed"}]})

    effective_on: Annotated[Day, said("Последний день", "Last day")]
    reason: Annotated[Word, said("Причина", "Reason", json_schema_extra=one_of(LEAVING_REASONS))]


class TransferOutForm(Form):
    """Перевод в другую организацию / A transfer to another organisation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "to_organisation": "Школа № 2",
                    "application": "Заявление от 10.11.2025",
                    "order": "Приказ № 12 от 12.11.2025",
                    "effective_on": "2025-11-14",
                    "released": ["personal_file", "portfolio"],
                }
            ]
        }
    )

    to_organisation: Annotated[Document, said("Куда", "Where to")]
    application: Annotated[Document, said("Заявление", "Application to the director")]
    order: Annotated[Document, said("Приказ", "Order")]
    effective_on: Annotated[Day, said("Последний день в школе", "Last day at the school")]
    released: Annotated[
        tuple[Annotated[Word, Field(json_schema_extra=one_of(RELEASABLE))], ...],
        said("Что выдано", "What was handed over", max_length=10),
    ] = ()


class TransferInForm(Form):
    """Прибытие из другой организации / The coming from another organisation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "from_organisation": "Школа № 3",
                    "order": "Приказ № 9 от 01.09.2025",
                    "effective_on": "2025-09-01",
                }
            ]
        }
    )

    from_organisation: Annotated[Document, said("Откуда", "Where from")]
    order: Annotated[Document, said("Приказ", "Order")]
    effective_on: Annotated[Day, said("Первый день в школе", "First day at the school")]
