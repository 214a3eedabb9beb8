"""Which webhooks there are, folded from their events; there are few, and no view is needed.

A program registers webhooks within its mandate, and they are told no longer than that is in force. So the register of
staff is folded beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.aggregates.staff import StaffRegister, StaffState, staff_ref
from ledger.aggregates.webhooks import WebhookRegistered, WebhookRemoved, WebhookResumed, WebhookSecretRotated
from ledger.clock import utc_now
from ledger.policy.offices import Office
from ledger.seal.entry import Entry
from ledger.store.database import translated
from ledger.store.header import decode_header
from ledger.store.keyring import SELECT_KEYS
from ledger.store.lanes import ENTRY_COLUMNS
from ledger.store.tail import LAST

if TYPE_CHECKING:
    import psycopg

    from ledger.application.ledger import Ledger
    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.store.mapper import EventMapper
    from ledger.streams.base import LedgerEvent

_SELECT = (
    f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events WHERE subject_id = %b AND position > %b"  # noqa: S608 - ours
    " AND position <= %b AND (starts_with(topic, 'webhook.') OR starts_with(topic, 'staff.')) ORDER BY position"
)


_REGISTERED = "SELECT header FROM {schema}.events WHERE stream_id = %b AND version = 1"


async def registered_by(ledger: Ledger, webhook_id: UUID) -> UUID | None:
    """Returns who registered a webhook, None where there never was one."""
    with translated():
        async with ledger.keys.connection() as connection:
            query = ledger.database.bind(_REGISTERED)
            row = await (await connection.execute(query, (webhook_id,), prepare=True, binary=True)).fetchone()
    return decode_header(bytes(row[0])).actor if row else None


@dataclass(frozen=True, slots=True)
class Generation:
    """A secret: the event that called for it, and when."""

    id: UUID
    since: datetime


@dataclass(frozen=True, slots=True)
class RegisteredWebhook:
    """A webhook as its events tell.

    Args:
        after: the position after which it begins.
        secret: what it signs with; `previous` is the secret before.
        changed: position of its last event.
        resumed: position of its last resumption, 0 where there was none.
        former: the secrets before those two. They are named one by one, since a newer one than these may be in use.
    """

    id: UUID
    url: str
    topics: tuple[str, ...]
    after: int
    registered_at: datetime
    registered_by: UUID
    office: str
    secret: Generation
    changed: int
    previous: Generation | None = None
    resumed: int = 0
    former: tuple[UUID, ...] = ()

    def wants(self, topic: str) -> bool:
        """Tells whether events of a topic are announced."""
        return not self.topics or topic.startswith(self.topics)


class Registry:
    """The webhooks of a ledger, brought up to date whenever somebody looks."""

    def __init__(self, school: UUID, database: Database, mapper: EventMapper, keyring: Keyring) -> None:
        self._school = school
        self._select = database.bind(_SELECT)
        self._select_keys = database.bind(SELECT_KEYS)
        self._mapper = mapper
        self._keyring = keyring
        self._last = database.bind(LAST)
        self.position = 0
        """Up to where the history was looked through."""
        self.webhooks: dict[UUID, RegisteredWebhook] = {}
        self.removed: set[UUID] = set()
        self._staff = StaffRegister.blank(staff_ref(school).stream_id, 0, utc_now(), StaffState())

    def told(self, day: date) -> dict[UUID, RegisteredWebhook]:
        """Returns the webhooks that are told of events on a day: a program's while its mandate lets it follow them."""
        return {one.id: one for one in self.webhooks.values() if self._may_follow(one, day)}

    def _may_follow(self, webhook: RegisteredWebhook, day: date) -> bool:
        mandates = self._staff.state.mandates.get(str(webhook.registered_by))
        if webhook.office != Office.SYSTEM or mandates is None:  # a development token's program has none
            return True
        return any(one.kind == "system" and one.scope == "everything" and one.covers(day) for one in mandates)

    async def refresh(self, connection: psycopg.AsyncConnection[Row]) -> dict[UUID, RegisteredWebhook]:
        """Returns the webhooks that there are now; removed ones are none of them.

        Raises:
            Unreadable: one of their events was altered.
        """
        with translated():
            row = await (await connection.execute(self._last, prepare=True)).fetchone()
            last = int(row[0]) if row else 0
            parameters = (self._school, self.position, last)
            cursor = await connection.execute(self._select, parameters, prepare=True, binary=True)
            entries = [Entry._make(found) for found in await cursor.fetchall()]
            if any(not self._keyring.holds(entry.subject_id, entry.record_class) for entry in entries):
                cursor = await connection.execute(self._select_keys, ([self._school],), prepare=True, binary=True)
                self._keyring.admit([self._school], await cursor.fetchall())
        for entry in entries:
            self._apply(entry, self._mapper.open(entry, self._keyring))
            self.position = entry.position
        self.position = max(self.position, last)
        return self.webhooks

    def _apply(self, entry: Entry, event: LedgerEvent) -> None:
        if entry.stream_id == self._staff.id:
            event.apply(self._staff)
            return
        if isinstance(event, WebhookRegistered):
            header = decode_header(entry.header)
            self.webhooks[entry.stream_id] = RegisteredWebhook(
                entry.stream_id,
                event.url,
                event.topics,
                entry.position if event.after is None else event.after,
                entry.recorded_at,
                header.actor,
                header.office,
                Generation(entry.event_id, entry.recorded_at),
                entry.position,
            )
            return
        known = replace(self.webhooks[entry.stream_id], changed=entry.position)
        if isinstance(event, WebhookSecretRotated):
            former = (*known.former, known.previous.id) if known.previous else ()
            secret = Generation(entry.event_id, entry.recorded_at)
            known = replace(known, secret=secret, previous=known.secret, former=former)
        elif isinstance(event, WebhookResumed):
            known = replace(known, resumed=entry.position)
        self.webhooks[entry.stream_id] = known
        if isinstance(event, WebhookRemoved):
            del self.webhooks[entry.stream_id]
            self.removed.add(entry.stream_id)
