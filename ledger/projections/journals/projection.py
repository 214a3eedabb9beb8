"""The journal view: one row a mark (or submission, attendance code, credited result), one row a mark of a period."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import cast
from uuid import UUID

import msgspec

from ledger.aggregates.student import achievements, marks
from ledger.projections.view import VERSION, Column, Fact, Key, Row, Rows, Rule, Table, View, changed
from ledger.store.header import actor_of


class Change(msgspec.Struct):
    """A correction, or the voiding, of a mark: what stood before, what stands now, why, when, by whom."""

    old_value: str
    value: str | None
    reason: str
    changed_on: date
    actor: UUID
    position: int


class EntryBody(msgspec.Struct):
    """What stands in a cell: `kind` is mark, submitted, attendance or credited."""

    kind: str
    value: str | None
    scale: str | None
    comment: str
    flags: list[str]
    recorded_by: UUID
    changes: list[Change] = msgspec.field(default_factory=list)
    voided: bool = False


class ResultBody(msgspec.Struct):
    """The mark of a period."""

    value: str
    scale: str
    flags: list[str]
    recorded_by: UUID
    changes: list[Change] = msgspec.field(default_factory=list)


TABLES = (
    Table(
        "entries",
        (Column("entry_id", "uuid"),),
        (
            Column("course_id", "uuid"),
            Column("student_id", "uuid"),
            Column("work_id", "uuid"),
            Column("effective_on", "date"),
            Column("since", "bigint"),
            VERSION,
        ),
        EntryBody,
    ),
    Table(
        "results",
        (
            Column("student_id", "uuid"),
            Column("course_id", "uuid"),
            Column("period", "text"),
            Column("kind", "text"),
        ),
        (Column("effective_on", "date"), Column("since", "bigint"), VERSION),
        ResultBody,
    ),
)


def _actor(fact: Fact) -> UUID:
    return actor_of(fact.entry.header)


def _entry(fact: Fact, rows: Rows, course_id: UUID, work_id: UUID | None, day: date, body: EntryBody) -> None:
    entry = fact.entry
    clear = (course_id, entry.subject_id, work_id, day, entry.position, entry.version)
    rows.put("entries", (entry.event_id,), Row(entry.subject_id, entry.record_class, entry.position, clear, body))


def _recorded(fact: Fact, rows: Rows) -> None:
    event = cast("marks.MarkRecorded", fact.event)
    body = EntryBody("mark", event.value, event.scale, event.comment, list(event.flags), _actor(fact))
    _entry(fact, rows, event.course_id, event.work_id, event.effective_on, body)


def _submitted(fact: Fact, rows: Rows) -> None:
    event = cast("marks.WorkSubmitted", fact.event)
    body = EntryBody("submitted", None, None, "", list(event.flags), _actor(fact))
    _entry(fact, rows, event.course_id, event.work_id, event.effective_on, body)


def _attended(fact: Fact, rows: Rows) -> None:
    event = cast("marks.AttendanceNoted", fact.event)
    body = EntryBody("attendance", event.code, None, "", [], _actor(fact))
    _entry(fact, rows, event.course_id, None, event.effective_on, body)


def _credited(fact: Fact, rows: Rows) -> None:
    event = cast("achievements.ResultCredited", fact.event)
    if event.course_id is not None:
        body = EntryBody("credited", event.value, event.scale, event.subject, list(event.flags), _actor(fact))
        _entry(fact, rows, event.course_id, event.work_id, event.effective_on, body)


def _changed_mark(fact: Fact) -> Iterable[tuple[str, Key]]:
    event = cast("marks.MarkCorrected | marks.MarkVoided", fact.event)
    return (("entries", (event.mark_id,)),)


def _corrected(fact: Fact, rows: Rows) -> None:
    event = cast("marks.MarkCorrected", fact.event)
    row = rows.get("entries", (event.mark_id,))
    if row is not None:
        position = fact.entry.position
        body = cast("EntryBody", row.body)
        change = Change(event.old_value, event.value, event.reason, event.corrected_on, _actor(fact), position)
        body.changes.append(change)
        body.value = event.value
        rows.put("entries", (event.mark_id,), changed(row, fact))


def _voided(fact: Fact, rows: Rows) -> None:
    event = cast("marks.MarkVoided", fact.event)
    row = rows.get("entries", (event.mark_id,))
    if row is not None:
        position = fact.entry.position
        body = cast("EntryBody", row.body)
        body.changes.append(Change(event.old_value, None, event.reason, event.voided_on, _actor(fact), position))
        body.voided = True
        rows.put("entries", (event.mark_id,), changed(row, fact))


def _result_key(fact: Fact) -> Key:
    event = cast("marks.PeriodMarkSet | marks.PeriodMarkCorrected", fact.event)
    return (fact.entry.subject_id, event.course_id, event.period, event.kind)


def _result_set(fact: Fact, rows: Rows) -> None:
    event = cast("marks.PeriodMarkSet", fact.event)
    entry = fact.entry
    body = ResultBody(event.value, event.scale, list(event.flags), _actor(fact))
    clear = (event.effective_on, entry.position, entry.version)
    row = Row(entry.subject_id, entry.record_class, entry.position, clear, body)
    rows.put("results", _result_key(fact), row)


def _result_corrected(fact: Fact, rows: Rows) -> None:
    event = cast("marks.PeriodMarkCorrected", fact.event)
    row = rows.get("results", _result_key(fact))
    if row is not None:
        position = fact.entry.position
        body = cast("ResultBody", row.body)
        change = Change(event.old_value, event.value, event.reason, event.corrected_on, _actor(fact), position)
        body.changes.append(change)
        body.value, body.scale = event.value, event.scale
        rows.put("results", _result_key(fact), changed(row, fact))


JOURNALS = View(
    "journals",
    3,
    TABLES,
    {
        marks.MarkRecorded: Rule(_recorded),
        marks.WorkSubmitted: Rule(_submitted),
        marks.AttendanceNoted: Rule(_attended),
        achievements.ResultCredited: Rule(_credited),
        marks.MarkCorrected: Rule(_corrected, _changed_mark),
        marks.MarkVoided: Rule(_voided, _changed_mark),
        marks.PeriodMarkSet: Rule(_result_set),
        marks.PeriodMarkCorrected: Rule(_result_corrected, lambda fact: (("results", _result_key(fact)),)),
    },
)
