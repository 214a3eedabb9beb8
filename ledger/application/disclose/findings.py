"""What in the register deserves an inspector's look: `policy/watching.py` over what the register has in clear.

Nothing sealed is opened for it: who looked, when, in which office and at whom stand in clear columns. A finding names
events and numbers, no student; who reads on does so in the register, which discloses it. Looking at findings is an
access as well, of nobody's data.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.aggregates.class_group import ClassGroupFormed, ClassTeacherAppointed
from ledger.application.disclose.gate import open_access
from ledger.application.disclose.moment import AsOf, find_moment
from ledger.application.disclose.opening import look, open_school_rows, snapshot, table
from ledger.application.disclose.past import events_of_school, in_thread
from ledger.application.disclose.register import INSTANT, VIEW
from ledger.clock import utc_now
from ledger.errors import InvalidInput
from ledger.policy.reading import Resource
from ledger.policy.watching import Finding, Kind, Seen, find
from ledger.projections.disclosures import queries
from ledger.projections.query import lowest
from ledger.projections.rosters import queries as rosters
from ledger.projections.rosters.projection import CourseBody
from ledger.projections.staff import queries as staff
from ledger.projections.staff.projection import MANDATE, OFFICE, EntryBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from ledger.application.disclose.gate import Reader
    from ledger.application.ledger import Ledger
    from ledger.projections.query import Stored

PERIOD = timedelta(days=30)
"""Looked at where nothing else is asked for."""
MOST = 500_000
"""Accesses that are looked at together; a school has some thousands a day."""
MOST_LINES = 5_000_000
"""Lines (students of accesses) that are held for it, each as a reference to an id that is held once: some 40 MB."""
BATCH = 1_000
"""Accesses of a look into the database: more at once would keep everybody else's requests waiting."""
SHOWN = 200


@dataclass(frozen=True, slots=True)
class FindingShown:
    """A finding in words, with the positions of the accesses that it rests on (the first of many)."""

    kind: str
    actor: UUID
    office: str
    first_at: datetime
    last_at: datetime
    accesses: int
    refused: int
    students: int
    positions: list[int]
    text: str
    text_en: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of the accesses of a period, newest first; `total` counts those that are not shown as well."""

    since: datetime
    until: datetime
    accesses: int
    total: int
    items: list[FindingShown]
    position: int
    access_id: UUID


async def read_findings(
    ledger: Ledger,
    reader: Reader,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    kind: Kind | None = None,
    min_position: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """Returns the findings of a period, the newest first; of the last month where none is asked for.

    Args:
        progress: called with (positions done, positions in all).

    Raises:
        Forbidden: the policy refused (recorded).
        InvalidInput: the period has too many accesses, or ends before it begins.
    """
    end = until or utc_now()
    begin = since or end - PERIOD
    if begin >= end:
        raise InvalidInput("The period ends before it begins.", help="Give `from` before `to`.")
    receipt = await open_access(ledger, reader, Resource.REGISTER, students=(), categories=())
    low, high = [(await find_moment(ledger, AsOf(known_at=at - INSTANT))).position for at in (begin, end)]
    async with snapshot(ledger, (VIEW,), min_position) as connection:
        position = await lowest(connection, ledger.database, [ledger.view(VIEW)])
    async with ledger.folding:
        seen = await _seen(ledger, low, min(high, position), progress)
        belongs, held = await _belongs(ledger, position), await _held(ledger)
        # Some hundred thousand accesses take a second or two; others are answered meanwhile.
        found = await in_thread(lambda: find(seen, ledger.settings.timezone, belongs, held))
    if kind is not None:
        found = [one for one in found if one.kind is kind]
    items = [_shown(one) for one in found[:SHOWN]]
    return Findings(begin, end, len(seen), len(found), items, position, receipt.access_id)


def _shown(found: Finding) -> FindingShown:
    return FindingShown(
        found.kind.value,
        found.actor,
        found.office,
        found.first_at,
        found.last_at,
        len(found.positions),
        found.refused,
        found.students,
        list(found.positions[:SHOWN]),
        found.words.ru,
        found.words.en,
    )


async def _seen(ledger: Ledger, low: int, high: int, progress: Callable[[int, int], None] | None) -> list[Seen]:
    accesses, disclosed = table(ledger, VIEW, "accesses"), table(ledger, VIEW, "disclosed")
    seen: list[Seen] = []
    known: dict[UUID, UUID] = {}
    after, lines = low, 0
    while after < high:
        async with snapshot(ledger, (VIEW,)) as connection:
            rows = await queries.accesses_between(connection, accesses, disclosed, after, high, BATCH)
        seen += await in_thread(partial(_as_seen, rows, known))
        lines += sum(len(row[-1]) for row in rows)
        if len(seen) > MOST or lines > MOST_LINES:
            raise InvalidInput(
                f"The period has more than {MOST:,} accesses, or {MOST_LINES:,} of single students.",
                help="Ask for a shorter one.",
            )
        after = rows[-1][1] if len(rows) == BATCH else high
        if progress is not None:
            progress(after - low, high - low)
    return seen


def _as_seen(rows: Sequence[Stored], known: dict[UUID, UUID]) -> list[Seen]:
    """Returns rows as the rules see them; `known` are the ids of students that are held already."""
    return [
        Seen(
            position,
            at,
            access_id,
            actor,
            office,
            granted,
            exceptional,
            tuple(known.setdefault(one, one) for one in who),
        )
        for access_id, position, at, granted, exceptional, actor, office, who in rows
    ]


async def _belongs(ledger: Ledger, position: int) -> Callable[[UUID, UUID, date], bool]:
    """Returns who taught or led whom on which day, by courses, class groups and memberships as they were recorded.

    Who has left a class stands in its journal for good, so their teachers go on being theirs.
    """
    stores = [table(ledger, "rosters", name) for name in ("courses", "groups", "memberships")]
    courses, led, memberships = await look(ledger, ("rosters",), *map(rosters.all_of, stores))
    terms: dict[tuple[UUID, UUID], list[tuple[date, date]]] = defaultdict(list)
    """By (person, group): from when to when they taught it or led it."""
    for _, row in await open_school_rows(ledger, stores[0], courses):
        for teacher in cast("CourseBody", row.body).teachers:
            terms[teacher.teacher, cast("UUID", row.clear[0])].append((teacher.starts_on, teacher.ends_on or date.max))
    async for person, group, begins, ends in _led(ledger, [row[0] for row in led], position):
        terms[person, group].append((begins, ends))
    groups: dict[UUID, list[tuple[UUID, date]]] = defaultdict(list)
    for group, student, _, starts_on, *_ in memberships:
        groups[student].append((group, starts_on or date.min))

    def belongs(actor: UUID, student: UUID, day: date) -> bool:
        return any(
            first <= day and any(begin <= day <= end for begin, end in terms.get((actor, group), ()))
            for group, first in groups.get(student, ())
        )

    return belongs


async def _led(ledger: Ledger, groups: Sequence[UUID], position: int) -> AsyncIterator[tuple[UUID, UUID, date, date]]:
    """Yields who led which class group, from when to when; the day of a change is of both.

    By the days of the appointments, as the gate takes them: who was recorded later may have begun earlier.
    """
    appointed: dict[UUID, list[tuple[date, UUID | None]]] = defaultdict(list)
    for fact in (await events_of_school(ledger, groups, position)).facts:
        if isinstance(fact.event, ClassGroupFormed):
            appointed[fact.entry.stream_id].append((date.min, fact.event.class_teacher))
        elif isinstance(fact.event, ClassTeacherAppointed):
            appointed[fact.entry.stream_id].append((fact.event.effective_on, fact.event.class_teacher))
    for group, found in appointed.items():
        in_order = sorted(found, key=lambda appointment: appointment[0])
        ends = [*(begins for begins, _ in in_order[1:]), date.max]
        for (begins, person), end in zip(in_order, ends, strict=True):
            if person is not None:
                yield person, group, begins, end


async def _held(ledger: Ledger) -> Callable[[Seen, date], bool | None]:
    """Returns who held which office when, by the register of staff; None of whom it does not have in it.

    By the days of the entry, and a mandate that was withdrawn up to the position at which it was.
    """
    store = table(ledger, "staff", "entries")
    [stored] = await look(ledger, ("staff",), staff.offices(store, (OFFICE, MANDATE)))
    terms: dict[tuple[UUID, str], list[tuple[date, date, int]]] = defaultdict(list)
    """By (person, office): first and last day, and below which position."""
    for _, row in await open_school_rows(ledger, store, stored):
        person, _, starts_on, ends_on = cast("tuple[UUID, str, date, date | None]", row.clear)
        body = cast("EntryBody", row.body)
        below = row.position if body.withdrawn else queries.NEWEST
        terms[person, body.of].append((starts_on, ends_on or date.max, below))

    def held(one: Seen, day: date) -> bool | None:
        found = terms.get((one.actor, one.office))
        if found is None:
            return None
        return any(first <= day <= last and one.position < below for first, last, below in found)

    return held
