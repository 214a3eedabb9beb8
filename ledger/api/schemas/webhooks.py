"""Forms about webhooks."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from ledger.aggregates.webhooks import MAX_URL
from ledger.api.schemas.base import Form, Text, said

TopicPrefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,99}$")]


class NewWebhook(Form):
    """Адрес, которому сообщать о событиях / An address to tell of events."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://diary.school.example/ledger", "topics": ["marks."]}]}
    )

    url: Annotated[str, said("Адрес https", "The https URL that takes the messages", min_length=1, max_length=MAX_URL)]
    topics: Annotated[
        tuple[TopicPrefix, ...], said("Начала тем; без них — все", "Beginnings of topics; all without", max_length=20)
    ] = ()
    after: Annotated[
        int | None,
        said(
            "С какой позиции начать; без неё — с новых событий",
            "Position after which to begin, 0 for everything; new events only without it",
            ge=0,
            le=2**63 - 1,
        ),
    ] = None


class SecretRotation(Form):
    """Новый секрет подписи / A new secret; the old one serves beside it for a day."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Плановая замена"}]})

    reason: Annotated[Text, said("Причина", "Reason")]


class WebhookResumption(Form):
    """Попробовать снова сейчас же / Try again at once, also where the webhook was given up."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Сервер получателя исправлен"}]})

    reason: Annotated[Text, said("Причина", "Reason")]


class WebhookRemoval(Form):
    """Больше не сообщать / Tell nobody through this webhook any more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Договор закончился"}]})

    reason: Annotated[Text, said("Причина", "Reason")]
