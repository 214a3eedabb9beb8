"""The class group (класс, 5А): its year, its level of education and its class teacher.

Its members are known from the students' own lanes (a membership has dates there), so a move of one student never
conflicts with a move of another; the roster view shows them by group.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar
from uuid import UUID

import msgspec

from ledger.aggregates.school import School
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State, judge

LEVELS: tuple[str, ...] = ("primary", "basic", "secondary", "supplementary", "other")
"""НОО, ООО, СОО, ДОП (S0-3.1, S1-3.1); `other` for what comes from foreign systems."""


class Appointment(msgspec.Struct):
    """Who is the class teacher from a day on."""

    teacher: UUID | None
    starts_on: date


class ClassGroupState(State):
    """Year and level of the group; its class teachers, those appointed last at the end."""

    year: str = ""
    level: str = ""
    class_teachers: list[Appointment] = msgspec.field(default_factory=list)


class ClassGroup(Lane):
    """The group's lane."""

    KIND = "class_group"
    SHAPE: ClassVar[int] = 3
    STATE: ClassVar[type[State]] = ClassGroupState

    @property
    def state(self) -> ClassGroupState:
        """The decision state."""
        state: ClassGroupState = self._state
        return state

    def class_teacher_on(self, day: date) -> UUID | None:
        """Returns the class teacher of a day: of those appointed by then the latest, by day and then by order."""
        found = max(
            (appointment for appointment in reversed(self.state.class_teachers) if appointment.starts_on <= day),
            key=lambda appointment: appointment.starts_on,
            default=None,
        )
        return found.teacher if found is not None else None


class ClassGroupFormed(OpeningEvent):
    """A class group was formed for a year."""

    TOPIC = "group.formed"
    LANE: ClassVar[type[Lane]] = ClassGroup
    title: str
    year: str
    level: str
    class_teacher: UUID | None

    def apply(self, aggregate: ClassGroup) -> None:
        """Fills the state."""
        aggregate.state.year, aggregate.state.level = self.year, self.level
        aggregate.state.class_teachers.append(Appointment(self.class_teacher, date.min))


class ClassTeacherAppointed(LedgerEvent):
    """Another class teacher was appointed."""

    TOPIC = "group.class_teacher_appointed"
    class_teacher: UUID
    effective_on: date

    def apply(self, aggregate: ClassGroup) -> None:
        """Adds the appointment."""
        aggregate.state.class_teachers.append(Appointment(self.class_teacher, self.effective_on))


def form_class_group(
    ref: LaneRef[ClassGroup],
    school: School,
    *,
    title: str,
    year: str,
    level: str,
    class_teacher: UUID | None,
    context: Context,
) -> list[Proposal]:
    """Forms a class group in a year that is open."""
    violations = []
    found = school.state.years.get(year)
    if found is None:
        violations.append(Violation("year_unknown", f"Year {year} is not open."))
    elif found.closed_on is not None:
        violations.append(Violation("year_closed", f"Year {year} is closed."))
    if not title.strip():
        violations.append(Violation("title_missing", "A class group needs a title, such as 5А."))
    if level not in LEVELS:
        violations.append(Violation("level_unknown", f"The level is one of {', '.join(LEVELS)}."))
    judge(violations, context)
    values = {"title": title.strip(), "year": year, "level": level, "class_teacher": class_teacher}
    return [Proposal(ref, ClassGroupFormed, values, new_id())]


def appoint_class_teacher(
    ref: LaneRef[ClassGroup], group: ClassGroup, *, class_teacher: UUID, effective_on: date, context: Context
) -> list[Proposal]:
    """Appoints a class teacher who is not that of the day already."""
    violations = []
    if group.class_teacher_on(effective_on) == class_teacher:
        violations.append(Violation("class_teacher_same", "This person is the class teacher already."))
    judge(violations, context)
    values = {"class_teacher": class_teacher, "effective_on": effective_on}
    return [Proposal(ref, ClassTeacherAppointed, values, new_id())]
