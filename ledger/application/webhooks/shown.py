"""What is shown of webhooks: the list with how far each one is and what stops it, and a secret to who may have it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.disclose.feed import admit
from ledger.application.webhooks.progress import StoredProgress, read_progress
from ledger.application.webhooks.registered import Registry
from ledger.application.webhooks.secrets import secret_of
from ledger.errors import NotFound
from ledger.policy.offices import Office, check_recording
from ledger.store.database import translated

if TYPE_CHECKING:
    from ledger.application.disclose.gate import Reader
    from ledger.application.ledger import Ledger
    from ledger.application.webhooks.registered import RegisteredWebhook


@dataclass(frozen=True, slots=True)
class WebhookShown:
    """A webhook: `state` is working, failing, given_up, or suspended while its program has no mandate to follow events.

    `lag` is how many events it has not been told of yet.
    """

    webhook_id: UUID
    url: str
    topics: list[str]
    registered_at: datetime
    registered_by: UUID
    secret_since: datetime
    state: str
    position: int
    lag: int
    failures: int
    failure: str | None
    failing_since: datetime | None
    next_attempt_at: datetime | None
    given_up_at: datetime | None


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Every webhook that there is; `position` is that of the newest event."""

    items: list[WebhookShown]
    position: int


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """What a webhook signs with: `whsec_` and base64, as libraries of Standard Webhooks take it."""

    webhook_id: UUID
    secret: str
    since: datetime


async def list_webhooks(ledger: Ledger, reader: Reader) -> Webhooks:
    """Returns the webhooks, for whoever may follow the feed that they tell of.

    Raises:
        Forbidden: the policy refused (recorded).
    """
    await admit(ledger, reader)
    return await look_at_webhooks(ledger)


async def look_at_webhooks(ledger: Ledger) -> Webhooks:
    """Returns the webhooks; nobody is asked, so it is for the ledger's own purposes."""
    registry = Registry(ledger.id, ledger.database, ledger.mapper, ledger.keyring)
    with translated():
        async with ledger.keys.connection() as connection:
            progress = await read_progress(connection, ledger.database)
            webhooks = await registry.refresh(connection)
    told = registry.told(ledger.today())
    shown = [
        _shown(webhook, progress.get(webhook.id), registry.position, told=webhook.id in told)
        for webhook in webhooks.values()
    ]
    return Webhooks(shown, registry.position)


def _shown(webhook: RegisteredWebhook, row: StoredProgress | None, last: int, *, told: bool) -> WebhookShown:
    resumed = row is None or row.resumed < webhook.resumed
    position = webhook.after if row is None else row.position
    failing = row if row is not None and not resumed and row.failures else None
    state = "working" if failing is None else "given_up" if failing.given_up_at else "failing"
    return WebhookShown(
        webhook.id,
        webhook.url,
        list(webhook.topics),
        webhook.registered_at,
        webhook.registered_by,
        webhook.secret.since,
        state if told else "suspended",
        position,
        max(last - position, 0),
        failing.failures if failing else 0,
        failing.failure if failing else None,
        failing.failing_since if failing else None,
        failing.next_attempt_at if failing and not failing.given_up_at else None,
        failing.given_up_at if failing else None,
    )


async def read_webhook_secret(ledger: Ledger, reader: Reader, webhook_id: UUID) -> WebhookSecret:
    """Returns what the webhook signs with now: to the director, and to the program that registered it.

    Who has the secret can tell the receiver whatever they like, in the ledger's name.

    Raises:
        Forbidden: the office may not register webhooks. NotFound: there is no such webhook, or it is another program's.
    """
    check_recording(reader.actor, "webhooks")
    registry = Registry(ledger.id, ledger.database, ledger.mapper, ledger.keyring)
    with translated():
        async with ledger.keys.connection() as connection:
            webhook = (await registry.refresh(connection)).get(webhook_id)
            if webhook is None or (reader.actor.office is Office.SYSTEM and webhook.registered_by != reader.actor.id):
                raise NotFound("There is no such webhook.", help="GET /v1/webhooks lists them; a removed one is gone.")
            secret = await secret_of(connection, ledger.database, ledger.keks, webhook_id, webhook.secret)
    return WebhookSecret(webhook_id, secret, webhook.secret.since)
