"""The disclosure view: one row an access, one lean row a student and access (`disclosed_at` is its position).

A document that was handed over is a row like an access, and says besides what it was, when and to whom it went.

What can be searched for stands in clear where the headers of the events have it in clear (who, in which office, when,
granted or not), and as a keyed token where it is sealed there: purpose, legal basis, channel, recipient. See ADR 0026.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import cast
from uuid import UUID

import msgspec
from msgspec.structs import replace

from ledger.aggregates import disclosures
from ledger.projections.view import Column, Fact, Row, Rows, Rule, Table, View
from ledger.store.header import actor_of

Token = Callable[[str, str], bytes]

TOKEN_BYTES = 16
"""Of a token: two values of one field meet by chance once in 2^64 of them, and what is opened is compared as well."""

TOKENS = ("purpose", "legal_basis", "channel", "recipient")
"""What is searched for by token; each is a clear column of `accesses`."""


class HandedBody(msgspec.Struct):
    """A document that was handed over: what, on which day, by whom, and to which of the family (None: an outsider)."""

    kind: str
    number: str
    effective_on: date
    handed_by: UUID
    received_by: UUID | None


class AccessBody(msgspec.Struct):
    """What is sealed of an access: on whose behalf, for whom, why, by which route, and on which grounds if it said any.

    `document` asked for it; `reason` is why exceptional access was needed; `handed_over` is a paper in place of a look.
    """

    on_behalf_of: UUID | None
    recipient: str | None
    purpose: str
    legal_basis: str
    policy: str
    channel: str
    resource: str
    document: str | None = None
    reason: str | None = None
    handed_over: HandedBody | None = None


class DisclosedBody(msgspec.Struct):
    """What was disclosed, or asked for in vain."""

    granted: bool
    categories: list[str]


TABLES = (
    Table(
        "accesses",
        (Column("access_id", "uuid"),),
        (
            Column("recorded_at", "timestamptz"),
            Column("granted", "boolean"),
            Column("exceptional", "boolean"),
            Column("actor", "uuid"),
            Column("office", "text"),
            Column("students", "integer"),
            *(Column(name, "bytea") for name in TOKENS),
        ),
        AccessBody,
    ),
    Table(
        "disclosed",
        (Column("student_id", "uuid"), Column("disclosed_at", "bigint")),
        (Column("access_id", "uuid"),),
        DisclosedBody,
    ),
)


def search_token(blind_index: Token, field: str, value: str) -> bytes:
    """Returns the token of a value of one of TOKENS."""
    return blind_index(f"access {field}", value)[:TOKEN_BYTES]


_Access = disclosures.AccessOpened | disclosures.AccessRefused | disclosures.DocumentHandedOver
REFUSED = "refused"
"""The purpose of what was refused; that of who was turned away, as well."""
DOOR = "door"
"""What is looked at by who is turned away at it."""


def _body(event: _Access) -> AccessBody:
    if isinstance(event, disclosures.AccessRefused):
        return AccessBody(None, None, event.purpose, "", event.policy, event.channel, event.resource)
    handed = None
    if isinstance(event, disclosures.DocumentHandedOver):
        handed = HandedBody(
            event.document_kind, event.document_number, event.effective_on, event.handed_by, event.received_by
        )
    return AccessBody(
        event.on_behalf_of if isinstance(event, disclosures.AccessOpened) else None,
        event.recipient,
        event.purpose,
        event.legal_basis,
        event.policy,
        event.channel,
        event.resource,
        handed_over=handed,
    )


def _accessed(token: Callable[[str, str], bytes]) -> Rule:
    def apply(fact: Fact, rows: Rows) -> None:
        entry = fact.entry
        event = cast("_Access", fact.event)
        body = _body(event)
        clear = (
            entry.recorded_at,
            not isinstance(event, disclosures.AccessRefused),
            False,
            actor_of(entry.header),
            event.office,
            event.students,
            token("purpose", body.purpose),
            token("legal_basis", body.legal_basis),
            token("channel", body.channel),
            token("recipient", body.recipient) if body.recipient is not None else None,
        )
        row = Row(entry.subject_id, entry.record_class, entry.position, clear, body)
        rows.put("accesses", (entry.stream_id,), row)

    return Rule(apply)


def _turned_away(token: Callable[[str, str], bytes]) -> Rule:
    """An access of nobody's data that was refused: findings see it, who reads a student's register does not."""

    def apply(fact: Fact, rows: Rows) -> None:
        entry = fact.entry
        event = cast("disclosures.AccessTurnedAway", fact.event)
        body = AccessBody(None, None, REFUSED, "", event.reason, event.channel, DOOR)
        sealed = (token("purpose", REFUSED), token("legal_basis", ""), token("channel", event.channel), None)
        clear = (entry.recorded_at, False, False, entry.subject_id, event.office, 0, *sealed)
        rows.put("accesses", (entry.stream_id,), Row(entry.subject_id, entry.record_class, entry.position, clear, body))

    return Rule(apply)


def _grounded(fact: Fact, rows: Rows) -> None:
    event = cast("disclosures.AccessGrounded", fact.event)
    key = (fact.entry.stream_id,)
    row = rows.get("accesses", key)
    if row is not None:  # one command records both, and they have one key
        body = replace(cast("AccessBody", row.body), document=event.document, reason=event.reason)
        recorded_at, granted, _, *rest = row.clear
        clear = (recorded_at, granted, event.reason is not None, *rest)
        rows.put("accesses", key, replace(row, clear=clear, body=body))


def _disclosed(fact: Fact, rows: Rows) -> None:
    event = cast("disclosures.DataDisclosed | disclosures.DisclosureRefused | disclosures.DataHandedOver", fact.event)
    entry = fact.entry
    granted = not isinstance(event, disclosures.DisclosureRefused)
    body = DisclosedBody(granted, list(event.categories))
    row = Row(entry.subject_id, entry.record_class, entry.position, (event.access_id,), body)
    rows.put("disclosed", (entry.subject_id, entry.position), row)


def disclosure_view(blind_index: Token) -> View:
    """Returns the view; `blind_index` makes the search tokens."""

    @lru_cache(maxsize=4_096)  # there are few purposes, bases and channels; a hash each would be a third of the work
    def token(field: str, value: str) -> bytes:
        return search_token(blind_index, field, value)

    return View(
        "disclosures",
        3,
        TABLES,
        {
            disclosures.AccessOpened: _accessed(token),
            disclosures.AccessRefused: _accessed(token),
            disclosures.DocumentHandedOver: _accessed(token),
            disclosures.AccessTurnedAway: _turned_away(token),
            disclosures.AccessGrounded: Rule(_grounded, lambda fact: (("accesses", (fact.entry.stream_id,)),)),
            disclosures.DataDisclosed: Rule(_disclosed),
            disclosures.DisclosureRefused: Rule(_disclosed),
            disclosures.DataHandedOver: Rule(_disclosed),
        },
    )
