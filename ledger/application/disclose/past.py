"""Events opened for reading, and what views make of them in memory: rows as they were, written nowhere.

A view is a pure function from events to rows, so rows as of a position are the fold of the events up to it. Nothing is
kept for time travel but the events themselves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from ledger.application.disclose.moment import had_happened
from ledger.application.disclose.opening import BREATH, open_events
from ledger.projections.view import Fact, Key, Moment, Row, Rows
from ledger.seal.entry import Entry
from ledger.store.database import translated
from ledger.store.lanes import ENTRY_COLUMNS
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ledger.application.ledger import Ledger
    from ledger.projections.view import View
    from ledger.receipt import Disclosure

# ruff: noqa: S608 - the queries are put together from our own constants
_OF_STREAMS = (
    f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events WHERE stream_id = ANY(%b::uuid[]) AND subject_id = ANY(%b::uuid[])"
    " AND record_class = ANY(%b::text[]) AND position <= %b ORDER BY position"
)
_AT = f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events WHERE position = %b"
_OF_STUDENT = (
    f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events WHERE subject_id = %b AND record_class = ANY(%b::text[])"
    " AND position <= %b ORDER BY position"
)


T = TypeVar("T")


@dataclass(slots=True)
class Past:
    """Events up to a position, opened, in order; and of what nobody can open any more, whose and which class."""

    facts: list[Fact] = field(default_factory=list)
    erased: set[tuple[UUID, str]] = field(default_factory=set)

    def fold(self, view: View, moment: Moment) -> Rows:
        """Returns the rows that the view makes of what had happened."""
        rows = Rows()
        for fact in self.facts:
            if fact.entry.position <= moment.position and had_happened(fact.event, moment.effective_on):
                view.apply(fact, rows)
        return rows

    async def aside(self, work: Callable[[], T]) -> T:
        """Returns what `work` makes of the events; of many, from a thread, so that others are answered meanwhile."""
        return await in_thread(work) if len(self.facts) > BREATH else work()


async def in_thread(work: Callable[[], T]) -> T:
    """Returns what a thread makes. Who gives up waits for it all the same: `Ledger.folding` counts those who work.

    A thread cannot be stopped; were its place given away, requests that are given up would fill all threads there are.
    """
    made = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(made)
    except asyncio.CancelledError:
        await asyncio.gather(made, return_exceptions=True)
        raise


def rows_of(rows: Rows, table: str) -> list[tuple[Key, Row]]:
    """Returns the rows of one table, in the order of their keys."""
    return sorted(((key, row) for (name, key), row in rows.items() if name == table), key=lambda item: item[0])


async def past_of_student(
    ledger: Ledger, receipt: Disclosure, student_id: UUID, position: int, *, classes: Sequence[str] | None = None
) -> Past:
    """Returns everything about a student up to a position, of the classes that the receipt names, or of some of them.

    Raises:
        UndisclosedAccess: the receipt does not cover it; nothing is opened then.
    """
    parameters = (student_id, sorted(classes or receipt.categories), position)
    return await _open(ledger, await _select(ledger, _OF_STUDENT, parameters), receipt)


async def past_of_streams(
    ledger: Ledger, receipt: Disclosure, students: Sequence[UUID], streams: Sequence[UUID], position: int
) -> Past:
    """Returns what stands in streams of students up to a position, of the classes that the receipt names.

    Raises:
        UndisclosedAccess: the receipt does not cover it; nothing is opened then.
    """
    parameters = (list(streams), list(students), sorted(receipt.categories), position)
    return await _open(ledger, await _select(ledger, _OF_STREAMS, parameters), receipt)


async def past_of_school(ledger: Ledger, streams: Iterable[UUID], position: int) -> Rows:
    """Returns the roster of streams of the school itself (groups, courses) as of a position; it is about no student."""
    past = await events_of_school(ledger, streams, position)
    return past.fold(ledger.view("rosters"), Moment(position))


async def events_of_school(ledger: Ledger, streams: Iterable[UUID], position: int) -> Past:
    """Returns the events of streams of the school itself up to a position; they are about no student."""
    parameters = (list(streams), [ledger.id], [RecordClass.ORGANISATION], position)
    return await _open(ledger, await _select(ledger, _OF_STREAMS, parameters), None)


async def past_of_course(
    ledger: Ledger, course_id: UUID, position: int
) -> tuple[list[tuple[Key, Row]], list[tuple[Key, Row]]]:
    """Returns the row of a course (none: there was none yet) and those of its works, as of a position."""
    rows = await past_of_school(ledger, [course_id], position)
    return rows_of(rows, "courses"), rows_of(rows, "works")


async def entry_at(ledger: Ledger, position: int) -> Entry | None:
    """Returns the stored event at a position, unopened."""
    return next(iter(await _select(ledger, _AT, (position,))), None)


async def _select(ledger: Ledger, query: str, parameters: tuple[object, ...]) -> list[Entry]:
    with translated():
        async with ledger.keys.connection() as connection:
            cursor = await connection.execute(ledger.database.bind(query), parameters, prepare=True, binary=True)
            return [Entry._make(row) for row in await cursor.fetchall()]


async def _open(ledger: Ledger, entries: list[Entry], receipt: Disclosure | None) -> Past:
    """Opens entries: a student's with a receipt that covers all of them, the school's own without."""
    past = Past()
    for entry, event in await open_events(ledger, receipt, entries):
        if event is None:
            past.erased.add((entry.subject_id, entry.record_class))
        else:
            past.facts.append(Fact(entry, event))
    return past
