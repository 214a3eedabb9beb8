"""What became of a student between two moments: added, changed (old and new, with the reason), declared void; by whom.

Both moments are folded from the same events, and the rows compared. Each change names the events that made it, so that
it can be told who recorded it, when, and why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from ledger.application import words
from ledger.application.disclose.gate import Reader
from ledger.application.disclose.moment import NOW, AsOf, MomentShown, find_moment, had_happened, show_moment
from ledger.application.disclose.states import arranged, disclose_state, erased_classes
from ledger.errors import InvalidInput
from ledger.projections.view import VERSION, Rows
from ledger.store.header import decode_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.application.disclose.past import Past
    from ledger.application.ledger import Ledger
    from ledger.projections.view import Fact, Key, Moment, Row, Table

COMPARED = (
    ("rosters", "students"),
    ("rosters", "memberships"),
    ("journals", "entries"),
    ("journals", "results"),
    ("portfolios", "items"),
)
_NAMED = {"students": "card", "memberships": "membership", "results": "result"}
"""What a row of a table is; one of the others says its kind itself."""

_HIDDEN = frozenset({"student_id", "since", VERSION.name, "changes", "memberships", "recorded_by"})
_IDS = ("entry_id", "begun_by", "item_id")
_PLACE = ("course_id", "work_id", "group_id", "period", "effective_on", "happened_on")
"""What says where a thing stands; told before what it is."""

Name = tuple[str, "Key"]
Values = dict[str, object]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field: what stood there (null: nothing) and what stands there."""

    field: str
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class Cause:
    """An event that made a change: its place in the history, who recorded it in which office, and why."""

    position: int
    event_id: UUID
    topic: str
    recorded_at: datetime
    actor: UUID
    office: str
    local_act: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one thing: `kind` is added, changed or voided; `what` says what it is (mark, award …).

    `id` is that of the event that made it, where it has one; `place` says where it stands, with titles; `text` tells
    all of it in words, Russian first.
    """

    kind: str
    what: str
    id: UUID | None
    place: list[str]
    fields: list[FieldChange]
    causes: list[Cause]
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of a student from one moment to another, in the order of recording.

    `erased` names the record classes that cannot be read any more: what became of them is not told.
    """

    student_id: UUID
    before: MomentShown
    after: MomentShown
    changes: list[Change]
    erased: list[str]
    access_id: UUID


@dataclass(slots=True)
class _Folded:
    """Rows by table and key, as plain values, and the events that changed what they say."""

    values: dict[Name, Values] = field(default_factory=dict)
    causes: dict[Name, list[Fact]] = field(default_factory=dict)


async def read_difference(
    ledger: Ledger, reader: Reader, student_id: UUID, *, since: AsOf, until: AsOf = NOW
) -> Difference:
    """Returns what became of the student from `since` to `until` (now, where it names nothing).

    Raises:
        InvalidInput: the first moment lies after the second on one of the axes, or one of them has not come yet.
        Forbidden: the policy refused (recorded). NotFound: no such student, or none by then.
    """
    before, after = await find_moment(ledger, since), await find_moment(ledger, until)
    if before.position > after.position or (before.effective_on or date.max) > (after.effective_on or date.max):
        raise InvalidInput(
            "The first moment lies after the second.",
            help="Exchange them. A side that names no position or time is now; one that names no day has every day.",
        )
    async with ledger.folding:
        receipt, past = await disclose_state(ledger, reader, student_id, after.position)
        old, new = await past.aside(lambda: (_fold(ledger, past, before), _fold(ledger, past, after)))
        titles = await _titles(ledger, new, after)
        changes = await past.aside(lambda: _changes(old, new, titles))
    return Difference(
        student_id,
        await show_moment(ledger, before),
        await show_moment(ledger, after),
        changes,
        erased_classes(past),
        receipt.access_id,
    )


def _changes(old: _Folded, new: _Folded, titles: Mapping[str, str]) -> list[Change]:
    changes = [
        _change(name, old.values.get(name), values, _causes(old, new, name), titles)
        for name, values in new.values.items()
        if values != old.values.get(name)
    ]
    return sorted(changes, key=lambda change: change.causes[0].position)


def _fold(ledger: Ledger, past: Past, moment: Moment) -> _Folded:
    folded = _Folded()
    facts = [
        fact
        for fact in past.facts
        if fact.entry.position <= moment.position and had_happened(fact.event, moment.effective_on)
    ]
    for view_name in dict(COMPARED):
        view, rows = ledger.view(view_name), Rows()
        tables = {name: view.table(name) for of, name in COMPARED if of == view_name}
        for fact in facts:
            view.apply(fact, rows)
            for name, row in rows.take_changed():
                if name[0] in tables:
                    _note(folded, name, _values(tables[name[0]], name[1], row), fact)
    return folded


def _note(folded: _Folded, name: Name, values: Values, fact: Fact) -> None:
    """Keeps what a row says now; an event that changed nothing of it is no cause."""
    if values.get("kind") != "credited" and values != folded.values.get(name):  # the portfolio shows it whole
        folded.values[name] = values
        folded.causes.setdefault(name, []).append(fact)


def _values(table: Table, key: Key, row: Row) -> Values:
    columns = (column.name for column in (*table.key, *table.clear))
    values: Values = dict(zip(columns, (*key, *row.clear), strict=True))
    if row.body is not None:
        values |= msgspec.structs.asdict(row.body)
    plain: Values = msgspec.to_builtins({name: value for name, value in values.items() if name not in _HIDDEN})
    return plain


def _causes(old: _Folded, new: _Folded, name: Name) -> list[Cause]:
    known = {fact.entry.position for fact in old.causes.get(name, [])}
    return [_cause(fact) for fact in new.causes[name] if fact.entry.position not in known]


def _cause(fact: Fact) -> Cause:
    entry, header = fact.entry, decode_header(fact.entry.header)
    return Cause(
        entry.position,
        entry.event_id,
        entry.topic,
        entry.recorded_at,
        header.actor,
        header.office,
        header.local_act,
        getattr(fact.event, "reason", None),
    )


async def _titles(ledger: Ledger, new: _Folded, moment: Moment) -> dict[str, str]:
    """Returns what courses, works and groups are called, by id as the values have it."""

    def named(column: str) -> set[UUID]:
        return {UUID(str(values[column])) for values in new.values.values() if values.get(column) is not None}

    school = await arranged(ledger, named("course_id"), named("group_id"), moment.position)
    return {str(one): title for one, title in school.titles().items()}


def _change(name: Name, old: Values | None, new: Values, causes: list[Cause], titles: Mapping[str, str]) -> Change:
    table, what = name[0], str(new.get("kind"))
    what = _NAMED.get(table, what)
    kind = "added" if old is None else "voided" if new.get("voided") and not old.get("voided") else "changed"
    place = [_placed(new[column], titles) for column in _PLACE if new.get(column) is not None]
    fields = [
        FieldChange(column, old.get(column) if old else None, value)
        for column, value in new.items()
        if column not in _IDS and (value not in (None, "", [], False) if old is None else value != old.get(column))
    ]
    made_by = next((new[column] for column in _IDS if column in new), None)
    text = _text(kind, what, place, fields, causes)
    return Change(kind, what, UUID(str(made_by)) if made_by else None, place, fields, causes, text)


def _placed(value: object, titles: Mapping[str, str]) -> str:
    return titles.get(str(value), str(value))


def _text(kind: str, what: str, place: list[str], fields: list[FieldChange], causes: list[Cause]) -> str:
    told = []
    for one in fields:
        if one.field in _PLACE or one.field in {"kind", "scale"} or (one.field == "voided" and kind == "voided"):
            continue
        value = words.plain(one.new)
        told.append(f"{words.field(one.field)} {value if kind == 'added' else f'{words.plain(one.old)} → {value}'}")
    reasons = dict.fromkeys(cause.reason for cause in causes if cause.reason)
    if reasons:
        told.append(f"{words.field('reason')}: {'; '.join(map(words.plain, reasons))}")
    head = f"{words.ITEMS.get(what, what)}, {words.CHANGES[kind]}"
    return ": ".join(part for part in (head, ", ".join(place), "; ".join(told)) if part)
