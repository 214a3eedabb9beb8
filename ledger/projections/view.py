"""What a view is: tables, and a pure function from events to rows, the same live, in a rebuild and in an audit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from ledger.seal.entry import Entry
from ledger.streams.base import LedgerEvent

Key = tuple[object, ...]
Name = tuple[str, Key]
"""A row's table and key."""


class Column(NamedTuple):
    """A column that stands in clear: an opaque id, a date, a position or a code."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a view: its key, further clear columns, and the shape of what is sealed (None: nothing is)."""

    name: str
    key: tuple[Column, ...]
    clear: tuple[Column, ...] = ()
    body: type[msgspec.Struct] | None = None


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row, opened, under one record class of one subject; `position` is of the last event that changed it."""

    subject_id: UUID
    record_class: str
    position: int
    clear: Key = ()
    body: Any = None


class Moment(NamedTuple):
    """A point on both axes: what was recorded up to a position, and of that what had happened by a day.

    `effective_on` None: all of it, whatever day it speaks of.
    """

    position: int
    effective_on: date | None = None


class Fact(msgspec.Struct, frozen=True, gc=False):
    """An event with its stored columns."""

    entry: Entry
    event: LedgerEvent


VERSION = Column("version", "integer")
"""Last clear column of what can be changed: the version, in its own lane, of the event that changed it last.

What a precondition is checked against: the lane itself remembers the same number, so a decision knows it.
"""


def changed(row: Row, fact: Fact) -> Row:
    """Returns a row with VERSION as an event leaves it: at its position, and its version in the lane."""
    return replace(row, position=fact.entry.position, clear=(*row.clear[:-1], fact.entry.version))


class _Slot(msgspec.Struct, gc=False):
    """Where a row stands while events are applied; `changed` says that it was put and not taken since."""

    name: Name
    row: Row | None = None
    changed: bool = False


class Rows:
    """The rows of a view while events are applied: what was loaded, what was put.

    Each row is looked up by its name as seldom as can be: hashing and comparing ids runs in Python.
    """

    def __init__(self, find: Callable[[str, Key], Row | None] | None = None) -> None:
        self._find = find
        self._slots: dict[Name, _Slot] = {}
        self._changed: list[_Slot] = []

    def expect(self, table: str, key: Key) -> bool:
        """Says that a row will be needed, and is not there unless it is loaded; returns False if that is known."""
        name = (table, key)
        slot = _Slot(name)
        return self._slots.setdefault(name, slot) is slot

    def load(self, table: str, key: Key, row: Row | None) -> None:
        """Adds a row as it is stored."""
        name = (table, key)
        self._slots.setdefault(name, _Slot(name)).row = row

    def get(self, table: str, key: Key) -> Row | None:
        """Returns the row as it stands now; one that no rule announced is fetched alone."""
        name = (table, key)
        slot = self._slots.get(name)
        if slot is not None:
            return slot.row
        if self._find is None:
            return None
        row = self._find(table, key)
        self._slots[name] = _Slot(name, row)
        return row

    def put(self, table: str, key: Key, row: Row) -> None:
        """Stores the row."""
        name = (table, key)
        slot = self._slots.setdefault(name, _Slot(name))
        slot.row = row
        if not slot.changed:
            slot.changed = True
            self._changed.append(slot)

    def take_changed(self) -> list[tuple[Name, Row]]:
        """Returns the rows that were put since this was asked last, as they stand now, in order."""
        taken = []
        for slot in self._changed:
            slot.changed = False
            if slot.row is not None:
                taken.append((slot.name, slot.row))
        self._changed.clear()
        return taken

    def items(self) -> Iterable[tuple[Name, Row]]:
        """Yields every row that exists."""
        return ((name, slot.row) for name, slot in self._slots.items() if slot.row is not None)


Reads = Callable[[Fact], Iterable[tuple[str, Key]]]
Apply = Callable[[Fact, Rows], None]


class Rule(NamedTuple):
    """What an event does to a view; `reads` names the stored rows it needs, so that a batch loads them together."""

    apply: Apply
    reads: Reads | None = None


def schema_of(ledger_schema: str, view: str, version: int, *, shadow: bool = False) -> str:
    """Returns the schema of a version of a view, or of its shadow: what is being made and not served yet."""
    return f"{ledger_schema}_{view}_v{version}{'_shadow' if shadow else ''}"


@dataclass(frozen=True, slots=True)
class View:
    """A view.

    Args:
        name: its package, and a part of its schema's name.
        version: raised whenever tables or rules change: the view is made anew then, beside that of the old version.
        rules: by event class; an event without a rule leaves the view as it is.
    """

    name: str
    version: int
    tables: tuple[Table, ...]
    rules: Mapping[type[LedgerEvent], Rule]

    def table(self, name: str) -> Table:
        """Returns one of the tables."""
        return next(table for table in self.tables if table.name == name)

    def schema(self, ledger_schema: str) -> str:
        """Returns the schema of this version of the view in the database."""
        return schema_of(ledger_schema, self.name, self.version)

    def ddl(self) -> str:
        """Returns the statements that create the tables (in the schema that is first on the search path)."""
        return files("ledger.projections").joinpath(self.name, "tables.sql").read_text(encoding="utf-8")

    def apply(self, fact: Fact, rows: Rows) -> None:
        """Applies one event."""
        rule = self.rules.get(type(fact.event))
        if rule is not None:
            rule.apply(fact, rows)
