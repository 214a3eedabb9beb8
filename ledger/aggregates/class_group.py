"""The class group (класс, 5А): its year, its level of education and its class teacher.

Its members are known from the students' own lanes (a membership has dates there), so a move of one student never
conflicts with a move of another; the roster view shows them by group.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar
from uuid import UUID

from ledger.aggregates.school import School
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State, judge

LEVELS: tuple[str, ...] = ("primary", "basic", "secondary", "supplementary", "other")
"""НОО, ООО, СОО, ДОП (S0-3.1, S1-3.1); `other` for what comes from foreign systems."""


class ClassGroupState(State):
    """Year and class teacher of the group."""

    year: str = ""
    class_teacher: UUID | None = None


class ClassGroup(Lane):
    """The group's lane."""

    KIND = "class_group"
    STATE: ClassVar[type[State]] = ClassGroupState

    @property
    def state(self) -> ClassGroupState:
        """The decision state."""
        state: ClassGroupState = self._state
        return state


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
        aggregate.state.year = self.year
        aggregate.state.class_teacher = self.class_teacher


class ClassTeacherAppointed(LedgerEvent):
    """Another class teacher was appointed."""

    TOPIC = "group.class_teacher_appointed"
    class_teacher: UUID
    effective_on: date

    def apply(self, aggregate: ClassGroup) -> None:
        """Replaces the class teacher."""
        aggregate.state.class_teacher = self.class_teacher


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
    """Appoints a class teacher who is not the present one."""
    violations = []
    if group.state.class_teacher == class_teacher:
        violations.append(Violation("class_teacher_same", "This person is the class teacher already."))
    judge(violations, context)
    values = {"class_teacher": class_teacher, "effective_on": effective_on}
    return [Proposal(ref, ClassTeacherAppointed, values, new_id())]
