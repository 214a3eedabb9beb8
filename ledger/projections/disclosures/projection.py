"""The disclosure view: one row an access, one lean row a student and access (`disclosed_at` is its position)."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import msgspec

from ledger.aggregates import disclosures
from ledger.projections.view import Column, Fact, Row, Rows, Rule, Table, View
from ledger.store.header import decode_header


class AccessBody(msgspec.Struct):
    """An access: who, in which office, for whom, why, by which route; `granted` or not."""

    granted: bool
    actor: UUID
    office: str
    on_behalf_of: UUID | None
    recipient: str | None
    purpose: str
    legal_basis: str
    policy: str
    channel: str
    resource: str
    students: int


class DisclosedBody(msgspec.Struct):
    """What was disclosed, or asked for in vain."""

    granted: bool
    categories: list[str]


TABLES = (
    Table("accesses", (Column("access_id", "uuid"),), (Column("recorded_at", "timestamptz"),), AccessBody),
    Table(
        "disclosed",
        (Column("student_id", "uuid"), Column("disclosed_at", "bigint")),
        (Column("access_id", "uuid"),),
        DisclosedBody,
    ),
)


def _access(fact: Fact, rows: Rows, body: AccessBody) -> None:
    entry = fact.entry
    row = Row(entry.subject_id, entry.record_class, entry.position, (entry.recorded_at,), body)
    rows.put("accesses", (entry.stream_id,), row)


def _opened(fact: Fact, rows: Rows) -> None:
    event = cast("disclosures.AccessOpened", fact.event)
    body = AccessBody(
        True,  # noqa: FBT003 - `granted`, the first field
        decode_header(fact.entry.header).actor,
        event.office,
        event.on_behalf_of,
        event.recipient,
        event.purpose,
        event.legal_basis,
        event.policy,
        event.channel,
        event.resource,
        event.students,
    )
    _access(fact, rows, body)


def _refused(fact: Fact, rows: Rows) -> None:
    event = cast("disclosures.AccessRefused", fact.event)
    body = AccessBody(
        False,  # noqa: FBT003 - `granted`, the first field
        decode_header(fact.entry.header).actor,
        event.office,
        None,
        None,
        event.purpose,
        "",
        event.policy,
        event.channel,
        event.resource,
        event.students,
    )
    _access(fact, rows, body)


def _disclosed(fact: Fact, rows: Rows) -> None:
    event = cast("disclosures.DataDisclosed | disclosures.DisclosureRefused", fact.event)
    entry = fact.entry
    granted = isinstance(event, disclosures.DataDisclosed)
    body = DisclosedBody(granted, list(event.categories))
    row = Row(entry.subject_id, entry.record_class, entry.position, (event.access_id,), body)
    rows.put("disclosed", (entry.subject_id, entry.position), row)


DISCLOSURES = View(
    "disclosures",
    1,
    TABLES,
    {
        disclosures.AccessOpened: Rule(_opened),
        disclosures.AccessRefused: Rule(_refused),
        disclosures.DataDisclosed: Rule(_disclosed),
        disclosures.DisclosureRefused: Rule(_disclosed),
    },
)
