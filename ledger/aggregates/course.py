"""The course: a subject or club taught to a class group in a year, with its teachers and its works.

The journal kind says into which journal its results go (S0-4.4 to 4.6, S1-4.6 and 4.7).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

import msgspec

from ledger.aggregates.class_group import ClassGroup
from ledger.aggregates.days import backwards
from ledger.aggregates.school import School
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State, judge

JOURNAL_KINDS: tuple[str, ...] = ("class", "elective", "extracurricular", "supplementary")
"""Class journal, elective journal, extracurricular journal, journal of a club (supplementary education)."""

WORK_KINDS: tuple[str, ...] = ("classwork", "homework", "test", "control", "project", "exam", "final", "other")
"""What a mark can be for; `control` works have notebooks that are kept to the end of the year (S1-4.5.2)."""

MAX_WEIGHT = Decimal(1000)


class Assignment(msgspec.Struct):
    """Who teaches the course, from when, and up to when where it is known; substitutes have both dates."""

    teacher: UUID
    starts_on: date
    ends_on: date | None = None
    substitute: bool = False

    def covers(self, day: date) -> bool:
        """Tells whether they teach on `day`."""
        return self.starts_on <= day and (self.ends_on is None or day <= self.ends_on)


class Work(msgspec.Struct):
    """Something that is marked: its scale and dates."""

    scale: str
    kind: str


class CourseState(State):
    """What decisions about marks ask of the course."""

    group_id: UUID = UUID(int=0)
    year: str = ""
    scale: str = ""
    teachers: list[Assignment] = msgspec.field(default_factory=list)
    works: dict[bytes, Work] = msgspec.field(default_factory=dict)


class Course(Lane):
    """The course's lane."""

    KIND = "course"
    SHAPE: ClassVar[int] = 3
    STATE: ClassVar[type[State]] = CourseState

    @property
    def state(self) -> CourseState:
        """The decision state."""
        state: CourseState = self._state
        return state

    def taught_by(self, person: UUID, day: date) -> bool:
        """Tells whether the person teaches the course on `day`, as its teacher or as a substitute."""
        return any(entry.teacher == person and entry.covers(day) for entry in self.state.teachers)

    def substituted_by(self, person: UUID, day: date) -> bool:
        """Tells whether the person teaches the course on `day` in place of somebody else, and not as its teacher."""
        found = [entry.substitute for entry in self.state.teachers if entry.teacher == person and entry.covers(day)]
        return bool(found) and all(found)

    def entered_by(self, person: UUID, day: date, today: date, window_days: int | None) -> bool:
        """Tells whether the person may enter or correct, `today`, what belongs to the lesson of `day`.

        Whoever teaches the course today answers for the whole of its journal. A substitute answers for the days of
        their own substitution: while it lasts, on the day itself, and then as long as the local act lets corrections
        be made. Who has given the course up enters nothing any more, whenever it was (ADR 0023).

        Args:
            window_days: days for corrections by the local act in force; None: it sets none, so nothing comes after.
        """
        for entry in self.state.teachers:
            if entry.teacher != person:
                continue
            if not entry.substitute:
                if entry.covers(today):
                    return True
            elif entry.covers(day) and (
                entry.covers(today) or 0 <= (today - day).days <= (0 if window_days is None else window_days)
            ):
                return True
        return False


class CourseOpened(OpeningEvent):
    """A course began for a class group."""

    TOPIC = "course.opened"
    LANE: ClassVar[type[Lane]] = Course
    title: str
    group_id: UUID
    year: str
    journal: str
    scale: str

    def apply(self, aggregate: Course) -> None:
        """Fills the state."""
        state = aggregate.state
        state.group_id, state.year, state.scale = self.group_id, self.year, self.scale


class TeacherAssigned(LedgerEvent):
    """A teacher, or a substitute by date, was given the course (S0-5.3, S1-4.10)."""

    TOPIC = "course.teacher_assigned"
    teacher: UUID
    starts_on: date
    ends_on: date | None
    substitute: bool

    def apply(self, aggregate: Course) -> None:
        """Adds the assignment."""
        aggregate.state.teachers.append(Assignment(self.teacher, self.starts_on, self.ends_on, self.substitute))


class WorkAdded(LedgerEvent):
    """A work was added to the course; its id is the id of this event."""

    TOPIC = "course.work_added"
    title: str
    kind: str
    weight: Decimal
    scale: str
    set_on: date | None
    due_on: date | None

    def apply(self, aggregate: Course) -> None:
        """Adds the work."""
        aggregate.state.works[self.event_id.bytes] = Work(self.scale, self.kind)


def open_course(
    ref: LaneRef[Course],
    school: School,
    group: ClassGroup,
    *,
    title: str,
    group_id: UUID,
    journal: str,
    scale: str,
    teachers: tuple[UUID, ...],
    starts_on: date | None,
    context: Context,
) -> list[Proposal]:
    """Opens a course for a class group, in the group's year, with its first teachers."""
    violations = []
    year = school.state.years.get(group.state.year)
    if year is None or year.closed_on is not None:
        violations.append(Violation("year_closed", f"Year {group.state.year} of the class group is closed."))
    if not title.strip():
        violations.append(Violation("title_missing", "A course needs a title."))
    if journal not in JOURNAL_KINDS:
        violations.append(Violation("journal_unknown", f"The journal is one of {', '.join(JOURNAL_KINDS)}."))
    if school.scale(scale) is None:
        violations.append(Violation("scale_unknown", f"Mark scale {scale} is not defined."))
    judge(violations, context)
    begin = starts_on or (year.starts_on if year else context.today)
    values = {
        "title": title.strip(),
        "group_id": group_id,
        "year": group.state.year,
        "journal": journal,
        "scale": scale,
    }
    proposals = [Proposal(ref, CourseOpened, values, new_id())]
    for teacher in teachers:
        assigned = {"teacher": teacher, "starts_on": begin, "ends_on": None, "substitute": False}
        proposals.append(Proposal(ref, TeacherAssigned, assigned, new_id()))
    return proposals


def assign_teacher(
    ref: LaneRef[Course], *, teacher: UUID, starts_on: date, ends_on: date | None, substitute: bool, context: Context
) -> list[Proposal]:
    """Gives the course a teacher, or a substitute from one day to another."""
    violations = backwards(starts_on, ends_on)
    if substitute and ends_on is None:
        violations.append(Violation("substitute_open", "A substitute needs a last day."))
    judge(violations, context)
    values = {"teacher": teacher, "starts_on": starts_on, "ends_on": ends_on, "substitute": substitute}
    return [Proposal(ref, TeacherAssigned, values, new_id())]


def add_work(
    ref: LaneRef[Course],
    school: School,
    course: Course,
    *,
    title: str,
    kind: str,
    weight: Decimal,
    scale: str | None,
    set_on: date | None,
    due_on: date | None,
    context: Context,
) -> list[Proposal]:
    """Adds a work; without a scale of its own it is marked on the course's."""
    violations = []
    chosen = scale or course.state.scale
    year = school.state.years.get(course.state.year)
    if not title.strip():
        violations.append(Violation("title_missing", "A work needs a title."))
    if kind not in WORK_KINDS:
        violations.append(Violation("kind_unknown", f"The kind of a work is one of {', '.join(WORK_KINDS)}."))
    if school.scale(chosen) is None:
        violations.append(Violation("scale_unknown", f"Mark scale {chosen} is not defined."))
    if not weight.is_finite() or not 0 <= weight <= MAX_WEIGHT:
        violations.append(Violation("weight_range", f"The weight of a work is a number from 0 to {MAX_WEIGHT}."))
    if set_on is not None and due_on is not None and due_on < set_on:
        violations.append(Violation("dates_reversed", "A work cannot be due before it is set."))
    if year is not None and year.closed_on is not None:
        violations.append(Violation("year_closed", f"Year {course.state.year} is closed."))
    judge(violations, context)
    values = {
        "title": title.strip(),
        "kind": kind,
        "weight": weight,
        "scale": chosen,
        "set_on": set_on,
        "due_on": due_on,
    }
    return [Proposal(ref, WorkAdded, values, new_id())]
