"""Forms of consents."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from ledger.aggregates.student.consents import CATEGORIES, CONDITIONS, FORMS, KINDS, MAX_RECIPIENTS, PURPOSES
from ledger.api.schemas.base import Day, Document, Form, Title, Word, one_of, said

Category = Annotated[Word, Field(json_schema_extra=one_of(CATEGORIES))]
Condition = Annotated[Word, Field(json_schema_extra=one_of(CONDITIONS))]
Categories = Annotated[tuple[Category, ...], said("Какие данные", "Which data", max_length=len(CATEGORIES))]
Recipients = Annotated[
    tuple[Title, ...],
    said("Кому; для распространения: где", "To whom; for dissemination: where", max_length=MAX_RECIPIENTS),
]
Conditions = Annotated[
    tuple[Condition, ...],
    said("Условия и запреты (распространение)", "Conditions (dissemination)", max_length=len(CONDITIONS)),
]
Until = Annotated[Day | None, said("По какой день", "Last day; a consent to dissemination must say it")]
By = Annotated[
    UUID | None, said("Чьё согласие; своё можно не называть", "Whose word; with a token of their own it is left out")
]


class NewConsent(Form):
    """Согласие на обработку или на распространение / A consent to processing, or to dissemination."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "by": "019a0000-0000-7000-8000-000000000007",
                    "kind": "dissemination",
                    "purpose": "honours_board",
                    "categories": ["personal_file", "awards", "photo"],
                    "recipients": ["Доска почёта, 1 этаж"],
                    "conditions": ["no_transfer"],
                    "form": "written",
                    "document": "Согласие от 01.09.2025",
                    "effective_on": "2025-09-01",
                    "until": "2026-08-31",
                }
            ]
        }
    )

    kind: Annotated[Word, said("Вид", "Kind", json_schema_extra=one_of(KINDS))]
    purpose: Annotated[Word, said("Цель", "Purpose", json_schema_extra=one_of(PURPOSES))]
    categories: Categories
    form: Annotated[Word, said("Форма", "Form", json_schema_extra=one_of(FORMS))]
    document: Annotated[Document, said("Документ", "Document that holds it")]
    effective_on: Annotated[Day, said("С какого дня", "First day")]
    recipients: Recipients = ()
    conditions: Conditions = ()
    until: Until = None
    by: By = None


class ConsentLimitation(Form):
    """Сужение согласия: всё, что остаётся / The narrowing of a consent: all that it still covers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "categories": ["personal_file", "awards"],
                    "recipients": ["Доска почёта, 1 этаж"],
                    "conditions": ["no_transfer"],
                    "until": "2025-12-31",
                }
            ]
        }
    )

    categories: Categories
    recipients: Recipients = ()
    conditions: Conditions = ()
    until: Until = None
    by: By = None


class ConsentWithdrawal(Form):
    """Отзыв согласия / The withdrawal of a consent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"document": "Заявление от 10.11.2025"}]})

    document: Annotated[Document, said("Документ, если есть", "Document, if there is one")] = ""
    by: By = None
