"""Form of a hand-over."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from ledger.aggregates.disclosures import DOCUMENT_KINDS, HAND_OVER_CHANNELS, MAX_HANDED_OVER
from ledger.api.schemas.base import Day, Form, Title, Word, one_of, said
from ledger.policy.engine import Purpose
from ledger.streams.record_classes import STUDENT_CLASSES

Category = Annotated[Word, Field(json_schema_extra=one_of(STUDENT_CLASSES))]


class NewHandOver(Form):
    """Выдача документа об учениках / A document about students was handed over."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "students": ["019a0000-0000-7000-8000-000000000001"],
                    "categories": ["personal_file"],
                    "document_kind": "extract",
                    "document_number": "17",
                    "channel": "paper",
                    "purpose": "own_request",
                    "effective_on": "2025-11-12",
                    "received_by": "019a0000-0000-7000-8000-000000000007",
                }
            ]
        }
    )

    students: Annotated[
        tuple[UUID, ...], said("О ком документ", "Whom it is about", min_length=1, max_length=MAX_HANDED_OVER)
    ]
    categories: Annotated[
        tuple[Category, ...],
        said("Какие сведения в нём", "What it tells of", min_length=1, max_length=len(STUDENT_CLASSES)),
    ]
    document_kind: Annotated[Word, said("Вид документа", "Kind of document", json_schema_extra=one_of(DOCUMENT_KINDS))]
    document_number: Annotated[Title, said("Его номер; `б/н`, если номера нет", "Its number; `б/н` if it has none")]
    channel: Annotated[
        Word,
        said(
            "На руки, письмом или по электронной почте",
            "From hand to hand, by letter or by e-mail",
            json_schema_extra=one_of(HAND_OVER_CHANNELS),
        ),
    ]
    purpose: Annotated[
        Word, said("Цель", "The purpose", json_schema_extra=one_of(tuple(purpose.value for purpose in Purpose)))
    ]
    effective_on: Annotated[Day | None, said("Когда выдан; без этого сегодня", "On which day; else today")] = None
    received_by: Annotated[
        UUID | None, said("Ученик или представитель, получивший его", "The student or representative who received it")
    ] = None
    recipient: Annotated[
        Title | None, said("Кому ещё, если не семье", "To whom else it went, if not to the family")
    ] = None
    asked_by: Annotated[
        Title | None, said("Документ, которым он запрошен", "The document that asked for it, such as a court's request")
    ] = None
    handed_by: Annotated[
        UUID | None, said("Кто выдал; без этого тот, кто записывает", "Who handed it over; else whoever records it")
    ] = None
