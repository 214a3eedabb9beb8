"""The retention view: the last day of each record class, and the days from which terms run or end early."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from functools import cache
from typing import cast

from ledger.aggregates.registry import EVENTS
from ledger.aggregates.student import marks, record
from ledger.projections.view import Column, Fact, Key, Row, Rows, Rule, Table, View
from ledger.streams.base import LedgerEvent
from ledger.streams.record_classes import STUDENT_CLASSES

TABLES = (
    Table(
        "classes",
        (Column("student_id", "uuid"), Column("of_class", "text")),
        (Column("last_on", "date"), Column("events", "bigint")),
    ),
    Table(
        "clocks",
        (Column("student_id", "uuid"),),
        (
            Column("completed_on", "date"),
            Column("file_released_on", "date"),
            Column("portfolio_released_on", "date"),
        ),
    ),
)

_DAYS = ("effective_on", "granted_on", "achieved_on", "corrected_on", "voided_on", "enrolled_on", "received_on")


@cache
def _day_fields(event: type[LedgerEvent]) -> tuple[str, ...]:
    """Returns which of _DAYS the events of a class have: most have one."""
    names = {field.name for field in fields(event)}
    return tuple(name for name in _DAYS if name in names)


def happened_on(event: LedgerEvent) -> date | None:
    """Returns the day on which the event happened, as it says itself; None where it says none."""
    for name in _day_fields(type(event)):
        day = getattr(event, name)
        if isinstance(day, date):
            return day
    return None


def _class_key(fact: Fact) -> Key:
    return (fact.entry.subject_id, fact.entry.record_class)


def _counted(fact: Fact, rows: Rows) -> None:
    entry = fact.entry
    key = _class_key(fact)
    row = rows.get("classes", key)
    day = happened_on(fact.event) or entry.recorded_at.date()
    last, count = (row.clear[0], row.clear[1]) if row else (day, 0)
    clear = (max(cast("date", last), day), cast("int", count) + 1)
    rows.put("classes", key, Row(entry.subject_id, entry.record_class, entry.position, clear))


def _clock(fact: Fact, rows: Rows) -> None:
    _counted(fact, rows)
    event = fact.event
    key = (fact.entry.subject_id,)
    row = rows.get("clocks", key)
    completed, file_released, portfolio_released = row.clear if row else (None, None, None)
    if isinstance(event, record.StudentLeft) and event.reason == "completed":
        completed = event.effective_on
    if isinstance(event, record.StudentTransferredOut):
        file_released = event.effective_on if "personal_file" in event.released else None
        portfolio_released = event.effective_on if "portfolio" in event.released else None
    if isinstance(event, record.StudentTransferredIn):
        # A student who came back brings the file and the portfolio along, and has not completed yet.
        completed = file_released = portfolio_released = None
    clear = (completed, file_released, portfolio_released)
    rows.put("clocks", key, Row(fact.entry.subject_id, fact.entry.record_class, fact.entry.position, clear))


def _rules() -> dict[type[LedgerEvent], Rule]:
    clocks = (record.StudentLeft, record.StudentTransferredOut, record.StudentTransferredIn)
    rules: dict[type[LedgerEvent], Rule] = {}
    for topic, event in EVENTS.items():
        if event.RECORD_CLASS not in STUDENT_CLASSES or topic.startswith("access."):
            continue  # accesses are kept with the person who looked, not with a student
        if event is marks.MarksOpened:
            continue  # it says no day and is never alone; the day of an import would start the clock of old marks anew
        if event in clocks:
            rules[event] = Rule(
                _clock, lambda fact: (("classes", _class_key(fact)), ("clocks", (fact.entry.subject_id,)))
            )
        else:
            rules[event] = Rule(_counted, lambda fact: (("classes", _class_key(fact)),))
    return rules


RETENTION = View("retention", 1, TABLES, _rules())
