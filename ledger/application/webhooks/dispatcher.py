"""The dispatcher: tells every webhook of every event that it wants, in order, one event a message, until it is taken.

One dispatcher per ledger (an advisory lock makes the others wait), one task for each webhook, so that a slow one holds
up nobody else. A message is sent until the other side takes it, and only then is the position stored: a crash between
the two sends it once more under the same `webhook-id` (the event's own id), and a receiver that keeps the ids has every
event exactly once. Messages are headers: nothing in them names anybody.

A webhook that fails is tried again after growing pauses and given up after some days, where `GET /v1/webhooks` says so.
It goes on exactly where it stopped when somebody resumes it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.application.disclose.cloudevents import source_of
from ledger.application.webhooks.follower import Follower
from ledger.application.webhooks.progress import Overtaken, Progress
from ledger.application.webhooks.registered import Registry
from ledger.application.webhooks.sending import Sender
from ledger.errors import StoreUnavailable, trace
from ledger.store.database import translated
from ledger.store.keyring import Keyring
from ledger.store.tail import Tail
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from uuid import UUID

    import psycopg

    from ledger.application.webhooks.registered import RegisteredWebhook
    from ledger.settings import Network
    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper
    from ledger.telemetry.metrics import WebhookMetrics

logger = get_logger(__name__)

LOOK_S = 5.0
"""How often the dispatcher looks for webhooks, and whether it still leads, where no event comes."""
FAULT_PAUSE_S = 10.0
FOLLOWER_PAUSE_S = 1.0

_LEADER = "SELECT pg_try_advisory_lock(hashtextextended('{schema} dispatcher', 1279543122))"


@dataclass(frozen=True, slots=True)
class _Followed:
    """A webhook's task, and up to which of the webhook's own events the task knows it."""

    changed: int
    task: asyncio.Task[None]


class Dispatcher:
    """Tells the webhooks of one ledger; see the module."""

    def __init__(
        self,
        school: UUID,
        database: Database,
        mapper: EventMapper,
        keks: KeyEncryptionKeys,
        networks: Sequence[Network],
        metrics: WebhookMetrics,
        today: Callable[[], date],
    ) -> None:
        self._school = school
        self._database = database
        self._mapper = mapper
        self._keks = keks
        self._networks = networks
        self._metrics = metrics
        self._today = today

    async def run(self) -> None:
        """Follows the history until it is cancelled; connects again when the database goes away."""
        while True:
            try:
                async with AsyncExitStack() as stack:
                    with translated():
                        leader = await stack.enter_async_context(await self._database.connect_async("projector"))
                        row = await (await leader.execute(self._database.bind(_LEADER))).fetchone()
                    if row and row[0]:
                        await self._lead(leader, stack)
            except StoreUnavailable as error:
                logger.warning("The dispatcher lost the database.", code=error.code)
            except Overtaken:
                logger.warning("Another dispatcher has taken over.")
            await asyncio.sleep(FOLLOWER_PAUSE_S)

    async def _lead(self, leader: psycopg.AsyncConnection[Row], stack: AsyncExitStack) -> None:
        """Keeps a task for each webhook; looking for new ones also proves that the leader's connection lives."""
        pool = await stack.enter_async_context(self._database.pool("projector", 4))
        tail = Tail(self._database)
        stack.push_async_callback(tail.close)
        progress = Progress(self._database, pool)
        registry = Registry(self._school, self._database, self._mapper, Keyring(self._keks))
        followed: dict[UUID, _Followed] = {}
        self._metrics.leads.set(1)
        try:
            while True:
                await registry.refresh(leader)
                webhooks = registry.told(self._today())
                await _drop_changed(followed, webhooks)
                if registry.removed:
                    await progress.forget(list(registry.removed))
                    registry.removed.clear()
                for webhook in webhooks.values():
                    if webhook.id not in followed:
                        task = asyncio.create_task(self._keep(webhook, progress, tail), name=f"webhook {webhook.id}")
                        followed[webhook.id] = _Followed(webhook.changed, task)
                await tail.wait(registry.position, LOOK_S)
        finally:
            self._metrics.leads.set(0)
            await _cancel([known.task for known in followed.values()])

    async def _keep(self, webhook: RegisteredWebhook, progress: Progress, tail: Tail) -> None:
        """Follows the history for one webhook, through faults that are nobody else's."""
        source = source_of(self._school)
        following = True
        while following:
            try:
                async with Sender(webhook.url, self._networks) as sender:
                    await Follower(webhook, source, progress, self._keks, tail, sender, self._metrics).follow()
                following = False
            except Overtaken:
                raise
            except Exception as error:  # noqa: BLE001 - one webhook's fault must not stop the others; it is logged
                _tell_fault(webhook, error)
                await asyncio.sleep(FAULT_PAUSE_S)


def _tell_fault(webhook: RegisteredWebhook, error: Exception) -> None:
    logger.error("A webhook stands still.", webhook_id=str(webhook.id), exception=trace(error))


async def _drop_changed(followed: dict[UUID, _Followed], webhooks: dict[UUID, RegisteredWebhook]) -> None:
    """Ends the tasks of webhooks that were removed, have changed, or are told no more.

    Raises:
        Overtaken: one of the tasks has found that another dispatcher leads.
    """
    for webhook_id, known in list(followed.items()):
        if known.task.done():
            known.task.result()
        if webhook_id not in webhooks or webhooks[webhook_id].changed != known.changed:
            await _cancel([followed.pop(webhook_id).task])


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
