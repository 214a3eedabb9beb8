"""Following the history for one webhook: what it wants is sent in order, and nothing overtakes what was not taken."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from ledger.application.disclose.cloudevents import EVENT, cloud_event
from ledger.application.disclose.feed import header_of
from ledger.application.webhooks.secrets import FORGET, secret_of
from ledger.clock import utc_now
from ledger.store.database import translated
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from ledger.application.webhooks.progress import Progress
    from ledger.application.webhooks.registered import RegisteredWebhook
    from ledger.application.webhooks.sending import Outcome, Sender
    from ledger.seal.entry import Entry
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.tail import Tail
    from ledger.telemetry.metrics import WebhookMetrics

logger = get_logger(__name__)

BOTH_SECRETS_FOR = timedelta(days=1)
LOOK_S = 30.0


class Follower:
    """One webhook and its sender."""

    def __init__(
        self,
        webhook: RegisteredWebhook,
        source: str,
        progress: Progress,
        keks: KeyEncryptionKeys,
        tail: Tail,
        sender: Sender,
        metrics: WebhookMetrics,
    ) -> None:
        self._webhook = webhook
        self._source = source
        self._progress = progress
        self._keks = keks
        self._tail = tail
        self._sender = sender
        self._metrics = metrics
        self._secret = ""
        self._previous = ""

    async def follow(self) -> None:
        """Sends what comes; returns only when the webhook is given up.

        Raises:
            Overtaken: another dispatcher leads.
        """
        await self._load_secrets()
        while True:
            standing = await self._progress.begin(self._webhook)
            if standing.given_up:
                return
            if standing.pause > 0:
                await asyncio.sleep(standing.pause)
            entries, last = await self._progress.entries(standing.position)
            if entries:
                await self._send_all(entries, standing.position)
            elif standing.position > last:
                failure = f"It was told up to position {standing.position}, but the history ends at {last}: restored?"
                await self._fail(standing.position, failure, final=True)
            else:
                await self._tail.wait(standing.position, LOOK_S)

    async def _load_secrets(self) -> None:
        """Reads the secrets that are signed with, and forgets older ones."""
        database, webhook = self._progress.database, self._webhook
        generations = [webhook.secret, *([webhook.previous] if webhook.previous else [])]
        async with self._progress.pool.connection() as connection:
            secrets = [await secret_of(connection, database, self._keks, webhook.id, one) for one in generations]
            with translated():
                await connection.execute(database.bind(FORGET), (webhook.id, list(webhook.former)))
        self._secret, self._previous = secrets[0], secrets[1] if len(secrets) > 1 else ""

    def _secrets(self) -> list[str]:
        """Returns what to sign with: the secret before the last rotation serves for a day longer."""
        both = self._previous and utc_now() - self._webhook.secret.since < BOTH_SECRETS_FOR
        return [self._secret, self._previous] if both else [self._secret]

    async def _send_all(self, entries: list[Entry], position: int) -> None:
        """Sends what is wanted of the entries, up to the first that is not taken."""
        for entry in entries:
            if not self._webhook.wants(entry.topic):
                continue
            body = msgspec.json.encode(cloud_event(self._source, header_of(entry)))
            began = time.perf_counter()
            outcome = await self._sender.send(str(entry.event_id), body, EVENT, self._secrets())
            self._metrics.sent(time.perf_counter() - began, taken=not outcome.failure)
            if outcome.failure:
                if entry.position - 1 > position:
                    await self._progress.advance(self._webhook.id, position, entry.position - 1)
                await self._fail(entry.position - 1, outcome.failure, outcome=outcome, final=outcome.gone)
                return
            await self._progress.advance(self._webhook.id, position, entry.position)
            position = entry.position
        if entries[-1].position > position:
            await self._progress.advance(self._webhook.id, position, entries[-1].position)

    async def _fail(self, position: int, failure: str, *, final: bool, outcome: Outcome | None = None) -> None:
        failures, given_up = await self._progress.fail(
            self._webhook.id,
            position,
            failure,
            jitter=random.uniform(0.5, 1.0),  # noqa: S311 - so that endpoints that failed together do not return together
            retry_after=outcome.retry_after if outcome else 0.0,
            final=final,
        )
        said = "A webhook was given up." if given_up else "A webhook did not take an event."
        logger.warning(said, webhook_id=str(self._webhook.id), position=position, failures=failures, failure=failure)
