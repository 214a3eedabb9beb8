"""Forms of requests and their answers."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict

from ledger.aggregates.student.requests import ANSWERS, ELECTRONIC, FORMS, KINDS
from ledger.api.schemas.base import Day, Document, Form, Text, Word, one_of, said


class NewRequest(Form):
    """Обращение ученика или представителя / A request of a student or representative."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "by": "019a0000-0000-7000-8000-000000000007",
                    "kind": "copies",
                    "form": "oral",
                    "received_on": "2025-11-05",
                    "text": "Просит копии грамот за прошлый год",
                }
            ]
        }
    )

    kind: Annotated[Word, said("О чём", "What is asked for", json_schema_extra=one_of(KINDS))]
    text: Annotated[Text, said("Суть обращения", "What was asked, in words")]
    form: Annotated[Word, said("Форма", "Form", json_schema_extra=one_of(FORMS))] = ELECTRONIC
    received_on: Annotated[Day | None, said("Когда поступило; без этого сегодня", "Received on; else today")] = None
    by: Annotated[UUID | None, said("Кто обратился; о себе не нужно", "Who asked; left out with their own token")] = (
        None
    )
    about_access: Annotated[
        UUID | None, said("О каком доступе к данным вопрос", "The access to the data that it asks about")
    ] = None


class RequestExtension(Form):
    """Продление срока с уведомлением / More time, with a notice that says why."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "Документы в архиве; уведомление № 3 от 14.11.2025"}]}
    )

    reason: Annotated[Text, said("Причина, о которой уведомлён заявитель", "The reason that whoever asked was told")]


class RequestAnswer(Form):
    """Ответ на обращение / The answer to a request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"how": "copy", "text": "Копии выданы под подпись", "answered_on": "2025-11-12"}]
        }
    )

    how: Annotated[Word, said("Как дан ответ", "How it was answered", json_schema_extra=one_of(ANSWERS))]
    text: Annotated[Text, said("Ответ", "The answer")]
    legal_basis: Annotated[Document, said("Основание отказа", "The law that a refusal rests on")] = ""
    answered_on: Annotated[Day | None, said("Когда; без этого сегодня", "Answered on; else today")] = None
