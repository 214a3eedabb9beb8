"""Forms of the register of the school's people: offices, mandates, logins."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from ledger.aggregates.class_group import LEVELS
from ledger.aggregates.staff import CAPACITIES, MANDATES, MAX_SCOPE, OFFICES, SCOPES
from ledger.api.schemas.base import Day, Document, Form, Text, Word, one_of, said

Level = Annotated[Word, Field(json_schema_extra=one_of(LEVELS))]


class NewOffice(Form):
    """Вступление в должность / Somebody takes up an office."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"office": "deputy_head", "level": "basic", "starts_on": "2025-09-01", "document": "Приказ 12-к"}
            ]
        }
    )

    office: Annotated[Word, said("Должность", "Office", json_schema_extra=one_of(OFFICES))]
    level: Annotated[Level | None, said("Уровень образования завуча", "A deputy head's level of education")] = None
    starts_on: Annotated[Day, said("Первый день", "First day")]
    ends_on: Annotated[Day | None, said("Последний день", "Last day")] = None
    document: Annotated[Document, said("Приказ", "The order that it rests on")]


class OfficeLeaving(Form):
    """Уход с должности; прошедший день прекращает её сразу / The end of an office; a past day ends it at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"last_day": "2025-11-14", "document": "Приказ 31-к"}]})

    last_day: Annotated[Day, said("Последний день", "Last day")]
    document: Annotated[Document, said("Приказ", "The order that it rests on")]


class NewMandate(Form):
    """Предписание проверяющему или допуск программы / The mandate of an auditor, an inspector or a program."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "inspector",
                    "document": "Распоряжение 77 от 01.10.2025",
                    "scope": "everything",
                    "starts_on": "2025-10-06",
                    "ends_on": "2025-10-17",
                }
            ]
        }
    )

    kind: Annotated[Word, said("Вид", "Kind", json_schema_extra=one_of(MANDATES))]
    document: Annotated[Document, said("Документ", "The document that it rests on")]
    scope: Annotated[Word, said("Охват", "Scope", json_schema_extra=one_of(SCOPES))]
    named: Annotated[
        tuple[UUID, ...], said("Классы или ученики", "Class groups or students of the scope", max_length=MAX_SCOPE)
    ] = ()
    starts_on: Annotated[Day, said("Первый день", "First day")]
    ends_on: Annotated[Day | None, said("Последний день", "Last day; only a program's may be open")] = None


class MandateWithdrawal(Form):
    """Отзыв предписания, сразу / The withdrawal of a mandate, at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Проверка закончена"}]})

    reason: Annotated[Text, said("Причина", "Reason")]


Capacity = Annotated[Word, Field(json_schema_extra=one_of(CAPACITIES))]


class NewLogin(Form):
    """Чей это вход / Whose login it is; `GET /v1/me` tells everybody the id of their own."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"person_id": "019a0000-0000-7000-8000-000000000001", "capacities": ["staff"]}]}
    )

    person_id: Annotated[UUID, said("Кто это", "The person")]
    capacities: Annotated[
        tuple[Capacity, ...], said("В каком качестве", "As what they log in", max_length=len(CAPACITIES))
    ]


class LoginRemoval(Form):
    """Этот вход больше ничей, сразу / The login is nobody's any more, at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Уволен"}]})

    reason: Annotated[Text, said("Причина", "Reason")]
