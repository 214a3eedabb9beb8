"""The staff view: a row a tenure, a mandate or a linked login, as it stands now."""

from __future__ import annotations

from datetime import date
from typing import cast
from uuid import UUID

import msgspec

from ledger.aggregates import staff
from ledger.projections.view import Column, Fact, Key, Row, Rows, Rule, Table, View

OFFICE, MANDATE, LOGIN = "office", "mandate", "login"


class EntryBody(msgspec.Struct):
    """What an entry says: `of` is the office or the mandate's kind; the other fields are those of its events."""

    of: str = ""
    level: str | None = None
    scope: str = ""
    named: list[UUID] = msgspec.field(default_factory=list)
    capacities: list[str] = msgspec.field(default_factory=list)
    document: str = ""
    ended_by: str = ""
    withdrawn: bool = False


TABLES = (
    Table(
        "entries",
        (Column("entry_id", "uuid"),),
        (
            Column("person_id", "uuid"),
            Column("kind", "text"),
            Column("starts_on", "date"),
            Column("ends_on", "date"),
        ),
        EntryBody,
    ),
)


def _put(fact: Fact, rows: Rows, key: UUID, clear: Key, body: EntryBody) -> None:
    entry = fact.entry
    rows.put("entries", (key,), Row(entry.subject_id, entry.record_class, entry.position, clear, body))


def _assumed(fact: Fact, rows: Rows) -> None:
    event = cast("staff.OfficeAssumed", fact.event)
    body = EntryBody(event.office, level=event.level, document=event.document)
    _put(fact, rows, event.event_id, (event.person, OFFICE, event.starts_on, event.ends_on), body)


def _mandated(fact: Fact, rows: Rows) -> None:
    event = cast("staff.MandateRecorded", fact.event)
    body = EntryBody(event.kind, scope=event.scope, named=list(event.named), document=event.document)
    _put(fact, rows, event.event_id, (event.person, MANDATE, event.starts_on, event.ends_on), body)


def _linked(fact: Fact, rows: Rows) -> None:
    event = cast("staff.LoginLinked", fact.event)
    body = EntryBody(capacities=list(event.capacities))
    _put(fact, rows, event.login, (event.person, LOGIN, fact.entry.recorded_at.date(), None), body)


def _end(fact: Fact, rows: Rows, key: UUID, ended_by: str, last_day: date | None) -> None:
    row = rows.get("entries", (key,))
    if row is None:
        return  # its beginning was erased
    person, kind, starts_on, ends_on = row.clear
    body = msgspec.structs.replace(cast("EntryBody", row.body), ended_by=ended_by, withdrawn=last_day is None)
    _put(fact, rows, key, (person, kind, starts_on, last_day or ends_on), body)


def _left(fact: Fact, rows: Rows) -> None:
    event = cast("staff.OfficeLeft", fact.event)
    _end(fact, rows, event.tenure_id, event.document, event.last_day)


def _withdrawn(fact: Fact, rows: Rows) -> None:
    event = cast("staff.MandateWithdrawn", fact.event)
    _end(fact, rows, event.mandate_id, event.reason, None)


def _unlinked(fact: Fact, rows: Rows) -> None:
    event = cast("staff.LoginUnlinked", fact.event)
    _end(fact, rows, event.login, event.reason, None)


STAFF = View(
    "staff",
    1,
    TABLES,
    {
        staff.OfficeAssumed: Rule(_assumed),
        staff.OfficeLeft: Rule(_left, lambda fact: (("entries", (cast("staff.OfficeLeft", fact.event).tenure_id,)),)),
        staff.MandateRecorded: Rule(_mandated),
        staff.MandateWithdrawn: Rule(
            _withdrawn, lambda fact: (("entries", (cast("staff.MandateWithdrawn", fact.event).mandate_id,)),)
        ),
        staff.LoginLinked: Rule(_linked),
        staff.LoginUnlinked: Rule(
            _unlinked, lambda fact: (("entries", (cast("staff.LoginUnlinked", fact.event).login,)),)
        ),
    },
)
