"""A student as of a moment, whole: card, groups, marks and results by course, portfolio; folded from the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.journals import in_order, show_cell, show_result
from ledger.application.disclose.moment import NOW, AsOf, MomentShown, find_moment, show_moment
from ledger.application.disclose.past import past_of_school, past_of_student, rows_of
from ledger.application.disclose.portfolios import show_item
from ledger.application.disclose.school import show_course, show_group, show_work
from ledger.application.disclose.shown import (
    CellShown,
    CourseShown,
    GroupShown,
    PortfolioItem,
    ResultShown,
    StudentShown,
    WorkShown,
)
from ledger.application.disclose.students import cards_of
from ledger.errors import NotFound
from ledger.policy.reading import Resource
from ledger.streams.record_classes import STUDENT_CLASSES, RecordClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ledger.application.disclose.past import Past
    from ledger.application.ledger import Ledger
    from ledger.projections.view import Moment, Rows
    from ledger.receipt import Disclosure

_APART = (RecordClass.REPRESENTATION, RecordClass.CONSENTS, RecordClass.REQUESTS, RecordClass.DISCLOSURES)
CATEGORIES = tuple(name for name in STUDENT_CLASSES if name not in _APART)
"""All that is known of a student; who speaks for them, what they agreed to and who looked is read apart."""


@dataclass(frozen=True, slots=True)
class CourseState:
    """What a student has in a course; `works` are those that the cells are of."""

    course: CourseShown
    works: list[WorkShown]
    cells: list[CellShown] = field(default_factory=list)
    results: list[ResultShown] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StudentState:
    """A student as of a moment.

    `card` is None where the personal file was erased; `erased` names every record class that had been recorded by then
    and cannot be read any more.
    """

    student_id: UUID
    as_of: MomentShown
    card: StudentShown | None
    groups: list[GroupShown]
    courses: list[CourseState]
    portfolio: list[PortfolioItem]
    erased: list[str]
    access_id: UUID


@dataclass(frozen=True, slots=True)
class Arranged:
    """What the school had arranged by a position: the courses, works and groups that are asked for, by id."""

    courses: dict[UUID, CourseShown]
    works: dict[UUID, WorkShown]
    groups: dict[UUID, GroupShown]

    def titles(self) -> dict[UUID, str]:
        """Returns the title of each of them."""
        shown = (self.courses, self.works, self.groups)
        return {one: thing.title for things in shown for one, thing in things.items()}


async def arranged(ledger: Ledger, courses: Iterable[UUID], groups: Iterable[UUID], position: int) -> Arranged:
    """Returns courses with all their works, and groups, as of a position."""
    rows = await past_of_school(ledger, {*courses, *groups}, position)
    return Arranged(
        {shown.course_id: shown for shown in (show_course(key, row) for key, row in rows_of(rows, "courses"))},
        {shown.work_id: shown for shown in (show_work(key, row) for key, row in rows_of(rows, "works"))},
        {shown.group_id: shown for shown in (show_group(key, row) for key, row in rows_of(rows, "groups"))},
    )


async def disclose_state(ledger: Ledger, reader: Reader, student_id: UUID, position: int) -> tuple[Disclosure, Past]:
    """Records the access and returns everything about the student up to a position.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student, or none by then.
    """
    receipt = await open_access(ledger, reader, Resource.STATE, students=[student_id], categories=CATEGORIES)
    past = await past_of_student(ledger, receipt, student_id, position)
    if not past.facts and not past.erased:
        raise NotFound("Nothing had been recorded about the student by then.", help="Ask for a later moment.")
    return receipt, past


def erased_classes(past: Past) -> list[str]:
    """Returns the classes that were recorded and cannot be read any more, in the order of the file plan."""
    gone = {record_class for _, record_class in past.erased}
    return [name.value for name in STUDENT_CLASSES if name in gone]


async def read_state(ledger: Ledger, reader: Reader, student_id: UUID, *, as_of: AsOf = NOW) -> StudentState:
    """Returns the student as of a moment; now, where none is named. It is read from the events and never behind.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student, or none by then.
        InvalidInput: the moment has not come yet.
    """
    moment = await find_moment(ledger, as_of)
    async with ledger.folding:
        receipt, past = await disclose_state(ledger, reader, student_id, moment.position)
        cards = await past.aside(lambda: cards_of(ledger, past, moment))
        journal = await past.aside(lambda: past.fold(ledger.view("journals"), moment))
        portfolio = await past.aside(lambda: past.fold(ledger.view("portfolios"), moment))
        courses = await _courses(ledger, journal, moment)
    card = next(iter(cards), None)
    memberships = card.memberships if card else []
    school = await arranged(ledger, (), (entry.group_id for entry in memberships), moment.position)
    items = rows_of(portfolio, "items")
    return StudentState(
        student_id,
        await show_moment(ledger, moment),
        card,
        list(school.groups.values()),
        courses,
        [show_item(key, row) for key, row in items],
        erased_classes(past),
        receipt.access_id,
    )


async def _courses(ledger: Ledger, rows: Rows, moment: Moment) -> list[CourseState]:
    cells: dict[UUID, list[CellShown]] = {}
    results: dict[UUID, list[ResultShown]] = {}
    for key, row in rows_of(rows, "entries"):
        cells.setdefault(cast("UUID", row.clear[0]), []).append(show_cell(key, row))
    for key, row in rows_of(rows, "results"):
        results.setdefault(cast("UUID", key[1]), []).append(show_result(key, row))
    school = await arranged(ledger, {*cells, *results}, (), moment.position)
    states = []
    for course_id, course in school.courses.items():
        own, attested = cells.get(course_id, []), results.get(course_id, [])
        in_order(own, attested)
        states.append(CourseState(course, _works(school, own), own, attested))
    return sorted(states, key=lambda state: (state.course.year, state.course.title, state.course.course_id))


def _works(school: Arranged, cells: Sequence[CellShown]) -> list[WorkShown]:
    named = {cell.work_id for cell in cells}
    return [work for work_id, work in school.works.items() if work_id in named]
