"""The view of requests: one row a request; the days stand in clear, so that what is overdue is found by an index."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import cast
from uuid import UUID

import msgspec
from msgspec.structs import replace

from ledger.aggregates.student import requests
from ledger.projections.view import Column, Fact, Key, Row, Rows, Rule, Table, View


class RequestBody(msgspec.Struct):
    """A request and its answer."""

    by: UUID
    by_kind: str
    kind: str
    form: str
    text: str
    about_access: UUID | None
    extended_on: date | None = None
    extension: str = ""
    how: str = ""
    answer: str = ""
    legal_basis: str = ""


TABLES = (
    Table(
        "requests",
        (Column("student_id", "uuid"), Column("request_id", "uuid")),
        (Column("received_on", "date"), Column("due_on", "date"), Column("answered_on", "date")),
        RequestBody,
    ),
)


def _key(fact: Fact) -> Key:
    event = cast("requests.RequestExtended | requests.RequestAnswered", fact.event)
    return (fact.entry.subject_id, event.request_id)


def _reads(fact: Fact) -> Iterable[tuple[str, Key]]:
    return (("requests", _key(fact)),)


def _registered(fact: Fact, rows: Rows) -> None:
    event = cast("requests.RequestRegistered", fact.event)
    entry = fact.entry
    body = RequestBody(event.by, event.by_kind, event.kind, event.form, event.text, event.about_access)
    clear = (event.received_on, event.due_on, None)
    row = Row(entry.subject_id, entry.record_class, entry.position, clear, body)
    rows.put("requests", (entry.subject_id, entry.event_id), row)


def _extended(fact: Fact, rows: Rows) -> None:
    event = cast("requests.RequestExtended", fact.event)
    row = rows.get("requests", _key(fact))
    if row is not None:
        row.body.extended_on, row.body.extension = event.effective_on, event.reason
        clear = (row.clear[0], event.due_on, row.clear[2])
        rows.put("requests", _key(fact), replace(row, position=fact.entry.position, clear=clear))


def _answered(fact: Fact, rows: Rows) -> None:
    event = cast("requests.RequestAnswered", fact.event)
    row = rows.get("requests", _key(fact))
    if row is not None:
        row.body.how, row.body.answer, row.body.legal_basis = event.how, event.text, event.legal_basis
        clear = (*row.clear[:2], event.effective_on)
        rows.put("requests", _key(fact), replace(row, position=fact.entry.position, clear=clear))


REQUESTS = View(
    "requests",
    1,
    TABLES,
    {
        requests.RequestRegistered: Rule(_registered),
        requests.RequestExtended: Rule(_extended, _reads),
        requests.RequestAnswered: Rule(_answered, _reads),
    },
)
