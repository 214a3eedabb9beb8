"""Forms about who speaks for a student."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from ledger.aggregates.student.representation import DOCUMENT_KINDS, END_REASONS, KINDS
from ledger.aggregates.student.standing import POWERS
from ledger.api.schemas.base import Day, Document, Form, Word, one_of, said

Power = Annotated[Word, Field(json_schema_extra=one_of(POWERS))]


class NewRepresentative(Form):
    """Законный представитель / A legal representative."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "person": "019a0000-0000-7000-8000-000000000007",
                    "kind": "parent",
                    "document_kind": "birth_certificate",
                    "document": "I-АБ № 000000",
                    "document_on": "2014-06-02",
                    "effective_on": "2025-09-01",
                }
            ]
        }
    )

    person: Annotated[UUID, said("Кто: непрозрачный идентификатор", "Who: the opaque id that their tokens bear")]
    kind: Annotated[Word, said("Вид", "Kind", json_schema_extra=one_of(KINDS))]
    document_kind: Annotated[
        Word, said("Вид документа", "Kind of the document that proves it", json_schema_extra=one_of(DOCUMENT_KINDS))
    ]
    document: Annotated[Document, said("Номер документа", "Number of the document")]
    document_on: Annotated[Day, said("Дата документа", "Date of the document")]
    effective_on: Annotated[Day, said("С какого дня", "First day")]
    until: Annotated[Day | None, said("По какой день", "Last day; without it up to 18")] = None
    contact: Annotated[Document, said("Как связаться, если нужно", "How to reach them, if needed")] = ""


class NewRestriction(Form):
    """Ограничение по решению суда / A restriction by a court's decision."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "powers": ["information", "decisions"],
                    "document": "Решение № 2-1/2025",
                    "document_on": "2025-10-01",
                    "effective_on": "2025-11-05",
                }
            ]
        }
    )

    powers: Annotated[tuple[Power, ...], said("Что ограничено", "What is restricted", max_length=len(POWERS))]
    document: Annotated[Document, said("Номер решения", "Number of the decision")]
    document_on: Annotated[Day, said("Дата решения", "Date of the decision")]
    effective_on: Annotated[Day, said("С какого дня", "First day")]
    until: Annotated[Day | None, said("По какой день", "Last day; without it until further notice")] = None


class RepresentationEnding(Form):
    """Прекращение представительства / The end of a representation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reason": "relieved", "document": "Акт № 12 от 01.11.2025", "effective_on": "2025-11-05"}]
        }
    )

    reason: Annotated[Word, said("Причина", "Reason", json_schema_extra=one_of(END_REASONS))]
    document: Annotated[Document, said("Основание: документ", "Document on which it ends")]
    effective_on: Annotated[Day, said("С какого дня не действует", "First day on which it does not hold")]
