"""The portfolio view: one row an item, each under its own record class."""

from __future__ import annotations

from datetime import date
from typing import cast
from uuid import UUID

import msgspec

from ledger.aggregates.student import achievements
from ledger.projections.view import Column, Fact, Row, Rows, Rule, Table, View


class ItemBody(msgspec.Struct):
    """An item: `kind` is achievement, award or credit; the other fields are those of its event."""

    kind: str
    title: str
    form: str = ""
    level: str = ""
    outcome: str = ""
    sphere: str = ""
    evidence: str = ""
    order: str = ""
    value: str | None = None
    organisation: str = ""
    basis: list[UUID] = msgspec.field(default_factory=list)
    flags: list[str] = msgspec.field(default_factory=list)


TABLES = (
    Table(
        "items",
        (Column("student_id", "uuid"), Column("item_id", "uuid")),
        (Column("happened_on", "date"),),
        ItemBody,
    ),
)


def _put(fact: Fact, rows: Rows, day: date, body: ItemBody) -> None:
    entry = fact.entry
    row = Row(entry.subject_id, entry.record_class, entry.position, (day,), body)
    rows.put("items", (entry.subject_id, entry.event_id), row)


def _achieved(fact: Fact, rows: Rows) -> None:
    event = cast("achievements.AchievementRecorded", fact.event)
    body = ItemBody(
        "achievement",
        event.title,
        form=event.kind,
        level=event.level,
        outcome=event.outcome,
        evidence=event.evidence,
    )
    _put(fact, rows, event.achieved_on, body)


def _awarded(fact: Fact, rows: Rows) -> None:
    event = cast("achievements.AwardGranted", fact.event)
    body = ItemBody(
        "award", event.title, form=event.form, sphere=event.sphere, order=event.order, basis=list(event.basis)
    )
    _put(fact, rows, event.granted_on, body)


def _credited(fact: Fact, rows: Rows) -> None:
    event = cast("achievements.ResultCredited", fact.event)
    body = ItemBody(
        "credit",
        event.subject,
        order=event.order or "",
        value=event.value,
        organisation=event.from_organisation,
        flags=list(event.flags),
    )
    _put(fact, rows, event.effective_on, body)


PORTFOLIOS = View(
    "portfolios",
    1,
    TABLES,
    {
        achievements.AchievementRecorded: Rule(_achieved),
        achievements.AwardGranted: Rule(_awarded),
        achievements.ResultCredited: Rule(_credited),
    },
)
