"""What in the disclosure register deserves an inspector's look: pure rules over accesses, each finding with its events.

A finding accuses nobody. It names what is unlike the work of the office, so that somebody asks. The thresholds stand
here with their reasons; a test holds the documentation against them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ledger.policy.engine import Words
from ledger.policy.offices import COURSE_BOUND, GROUPS, Office

if TYPE_CHECKING:
    from uuid import UUID

DAY_BEGINS = time(6)
"""Lessons begin at 8:00; whoever prepares them looks up to two hours before."""
DAY_ENDS = time(22)
"""The second shift ends before 20:00, and notebooks are marked in the evening."""
BURST_STUDENTS = 200
"""More students than a teacher has: eight classes of twenty-five."""
BURST_WINDOW = timedelta(minutes=10)
"""In which nobody reads the data of two hundred students; whoever opens them collects."""

STAFF = GROUPS["staff"]
"""Whose working hours are the school's. Parents read in the evening, programs and auditors when they run."""
PROGRAMS = frozenset({Office.SYSTEM})
"""Who reads by the thousand as a matter of course."""


class Kind(StrEnum):
    """What was found."""

    EXCEPTIONAL = "exceptional"
    OUTSIDE_CLASSES = "outside_classes"
    LEFT_OFFICE = "left_office"
    BURST = "burst"
    UNUSUAL_HOURS = "unusual_hours"


ORDER = tuple(Kind)
"""The order in which findings of one time are shown: what weighs most first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An access as the rules see it; `position` is that of the access in the history."""

    position: int
    recorded_at: datetime
    access_id: UUID
    actor: UUID
    office: str
    granted: bool
    exceptional: bool
    students: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: whose accesses, in which office, from when to when, how many students, and the events."""

    kind: Kind
    actor: UUID
    office: str
    first_at: datetime
    last_at: datetime
    students: int
    refused: int
    positions: tuple[int, ...]

    @property
    def words(self) -> Words:
        """Says it in a sentence, in Russian and in English."""
        return _SENTENCES[self.kind](self)


Belongs = Callable[["UUID", "UUID", date], bool]
"""Whether a student was in a class that a person taught or led on a day."""
Held = Callable[["Seen", date], bool | None]
"""Whether who had an access held its office then, on that day; None where the register of staff says nothing of them in
it."""


def find(seen: Sequence[Seen], zone: str, belongs: Belongs, held: Held) -> list[Finding]:
    """Returns the findings of accesses that are in order of recording, the newest first.

    Args:
        zone: the time zone of the school's calendar.
    """
    local = ZoneInfo(zone)
    found = [
        *exceptional(seen),
        *outside_classes(seen, local, belongs),
        *left_office(seen, local, held),
        *bursts(seen),
        *unusual_hours(seen, local),
    ]
    return sorted(found, key=lambda one: (one.last_at, -ORDER.index(one.kind), one.positions), reverse=True)


def exceptional(seen: Iterable[Seen]) -> Iterator[Finding]:
    """Yields each exceptional access, granted or not."""
    for one in seen:
        if one.exceptional:
            yield _finding(Kind.EXCEPTIONAL, [one])


def outside_classes(seen: Iterable[Seen], zone: ZoneInfo, belongs: Belongs) -> Iterator[Finding]:
    """Yields, by teacher and day, accesses to students of classes that they neither taught nor led, or asked for."""
    found = _Grouped(Kind.OUTSIDE_CLASSES)
    for one in seen:
        if one.office in COURSE_BOUND and not one.exceptional:
            day = one.recorded_at.astimezone(zone).date()
            strangers = [student for student in one.students if not belongs(one.actor, student, day)]
            if strangers:
                found.add((one.actor, one.office, day), one, strangers)
    yield from found


def left_office(seen: Iterable[Seen], zone: ZoneInfo, held: Held) -> Iterator[Finding]:
    """Yields, by person, office and day, accesses in an office that the person did not hold."""
    found = _Grouped(Kind.LEFT_OFFICE)
    for one in seen:
        day = one.recorded_at.astimezone(zone).date()
        if held(one, day) is False:
            found.add((one.actor, one.office, day), one, one.students)
    yield from found


def bursts(seen: Iterable[Seen]) -> Iterator[Finding]:
    """Yields stretches in which somebody opened more students than BURST_STUDENTS within BURST_WINDOW."""
    by_actor: dict[tuple[UUID, str], list[Seen]] = defaultdict(list)
    for one in seen:
        if one.office not in PROGRAMS and one.students:
            by_actor[one.actor, one.office].append(one)
    for accesses in by_actor.values():
        yield from _bursts_of(accesses)


def _bursts_of(accesses: Sequence[Seen]) -> Iterator[Finding]:
    window: deque[Seen] = deque()
    counts: dict[UUID, int] = defaultdict(int)
    burst: list[Seen] = []
    for one in accesses:
        window.append(one)
        for student in one.students:
            counts[student] += 1
        while one.recorded_at - window[0].recorded_at > BURST_WINDOW:
            for student in window.popleft().students:
                counts[student] -= 1
                if not counts[student]:
                    del counts[student]
        if len(counts) > BURST_STUDENTS:
            if burst and window[0].position > burst[-1].position:
                yield _finding(Kind.BURST, burst)
                burst = []
            last = burst[-1].position if burst else 0
            new = takewhile(partial(_comes_after, last), reversed(window))  # and not the whole window for each access
            burst += reversed(list(new))
    if burst:
        yield _finding(Kind.BURST, burst)


def _comes_after(position: int, one: Seen) -> bool:
    return one.position > position


def unusual_hours(seen: Iterable[Seen], zone: ZoneInfo) -> Iterator[Finding]:
    """Yields, by person and night, accesses of staff before DAY_BEGINS or from DAY_ENDS on."""
    found = _Grouped(Kind.UNUSUAL_HOURS)
    for one in seen:
        at = one.recorded_at.astimezone(zone)
        if one.office in STAFF and not DAY_BEGINS <= at.time() < DAY_ENDS:
            night = at.date() if at.time() >= DAY_ENDS else at.date() - timedelta(days=1)
            found.add((one.actor, one.office, night), one, one.students)
    yield from found


class _Grouped:
    """Accesses that make one finding, and whom of their students it is about."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._found: dict[tuple[UUID, str, date], tuple[list[Seen], set[UUID]]] = {}

    def add(self, key: tuple[UUID, str, date], one: Seen, students: Iterable[UUID]) -> None:
        accesses, concerned = self._found.setdefault(key, ([], set()))
        accesses.append(one)
        concerned.update(students)

    def __iter__(self) -> Iterator[Finding]:
        for accesses, concerned in self._found.values():
            yield _finding(self._kind, accesses, len(concerned))


def _finding(kind: Kind, accesses: Sequence[Seen], students: int | None = None) -> Finding:
    first, last = accesses[0], accesses[-1]
    if students is None:
        students = len({student for one in accesses for student in one.students})
    return Finding(
        kind,
        first.actor,
        first.office,
        first.recorded_at,
        last.recorded_at,
        students,
        sum(not one.granted for one in accesses),
        tuple(one.position for one in accesses),
    )


def _counted(found: Finding) -> Words:
    refused_ru = f", из них отказано {found.refused}" if found.refused else ""
    refused_en = f", {found.refused} of them refused" if found.refused else ""
    return Words(
        f"обращений {len(found.positions)}{refused_ru}, учеников {found.students}",
        f"accesses {len(found.positions)}{refused_en}, students {found.students}",
    )


def _sentence(ru: str, en: str) -> Callable[[Finding], Words]:
    def told(found: Finding) -> Words:
        counted = _counted(found)
        return Words(f"{ru}: {counted.ru}.", f"{en}: {counted.en}.")

    return told


_SENTENCES: dict[Kind, Callable[[Finding], Words]] = {
    Kind.EXCEPTIONAL: _sentence("Исключительный доступ", "Exceptional access"),
    Kind.OUTSIDE_CLASSES: _sentence("Не ученики своих классов", "Students outside the own classes"),
    Kind.LEFT_OFFICE: _sentence("Доступ после оставления должности", "Access after leaving the office"),
    Kind.BURST: _sentence(
        f"Больше {BURST_STUDENTS} учеников за {BURST_WINDOW.seconds // 60} минут",
        f"More than {BURST_STUDENTS} students within {BURST_WINDOW.seconds // 60} minutes",
    ),
    Kind.UNUSUAL_HOURS: _sentence(
        f"Ночью, с {DAY_ENDS:%H:%M} до {DAY_BEGINS:%H:%M}", f"At night, from {DAY_ENDS:%H:%M} to {DAY_BEGINS:%H:%M}"
    ),
}
