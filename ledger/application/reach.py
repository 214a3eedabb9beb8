"""How far an office reaches: a deputy head's levels of education, a mandate's class groups and students.

Looked at on the lanes of the decision, like the office itself. Offices that development tokens claim reach everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.aggregates.class_group import ClassGroup, ClassGroupFormed
from ledger.aggregates.course import Course, CourseOpened
from ledger.aggregates.school import LateEntryPermitted
from ledger.aggregates.staff import MANDATES, staff_ref
from ledger.aggregates.student import record_lane
from ledger.policy.offices import Office
from ledger.streams.base import LaneRef

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from ledger.policy.offices import Actor
    from ledger.streams.base import Lanes, Proposal


@dataclass(frozen=True, slots=True)
class Reach:
    """What is within an office on a day: everything, or what is named.

    A class group is named, or is of a level that is. A student is named, belongs on the day to a class group of such a
    level, or belongs or has belonged to a class group that is named (which is one of a year).
    """

    school: UUID
    day: date
    everything: bool = True
    levels: frozenset[str] = frozenset()
    groups: frozenset[UUID] = frozenset()
    students: frozenset[UUID] = frozenset()

    def covers_group(self, lanes: Lanes, group_id: UUID) -> bool:
        """Tells whether a class group is within reach."""
        if self.everything or group_id in self.groups:
            return True
        group = lanes.get(LaneRef(group_id, self.school, ClassGroup)) if self.levels else None
        return group is not None and group.state.level in self.levels

    def covers_course(self, lanes: Lanes, course_id: UUID) -> bool:
        """Tells whether a course's class group is within reach."""
        if self.everything:
            return True
        course = lanes.get(LaneRef(course_id, self.school, Course))
        return course is not None and self.covers_group(lanes, course.state.group_id)

    def covers_students(self, lanes: Lanes, students: Collection[UUID]) -> bool:
        """Tells whether all of these students are within reach; of nobody, only everything is."""
        if self.everything:
            return True
        lanes.need(*(record_lane(student_id) for student_id in students))
        return bool(students) and all(self._covers_student(lanes, student_id) for student_id in students)

    def may_write(self, lanes: Lanes, proposal: Proposal) -> bool:
        """Tells whether something may be recorded.

        A mandate must cover it. A deputy head of a level is kept from students, courses and class groups of other
        levels, and from nothing that is of none: the school's own affairs, and who belongs to no class group yet.
        """
        ref = proposal.lane
        if self.everything:
            return True
        if ref.subject_id != self.school:
            return self.may_write_of(lanes, ref.subject_id)
        if ref.kind in (ClassGroup, Course):
            return self._may_write_class(lanes, proposal)
        if issubclass(proposal.event, LateEntryPermitted):  # without a course it opens those of all levels
            course_id = cast("UUID | None", proposal.values["course_id"])
            return course_id is not None and self.covers_course(lanes, course_id)
        return bool(self.levels)

    def _may_write_class(self, lanes: Lanes, proposal: Proposal) -> bool:
        """Tells whether something of a class group or course may be recorded; what is new says to what it belongs."""
        ref = proposal.lane
        if issubclass(proposal.event, ClassGroupFormed):
            return proposal.values["level"] in self.levels
        if issubclass(proposal.event, CourseOpened):
            return self.covers_group(lanes, cast("UUID", proposal.values["group_id"]))
        if lanes.get(ref) is None:  # made by the same command, whose opening was judged above
            return True
        return (
            self.covers_group(lanes, ref.stream_id)
            if ref.kind is ClassGroup
            else self.covers_course(lanes, ref.stream_id)
        )

    def may_write_of(self, lanes: Lanes, student_id: UUID) -> bool:
        """Tells whether anything may be recorded of a student, who need not exist."""
        if self.everything:
            return True
        record = lanes.get(record_lane(student_id))
        belongs = record is not None and any(entry.covers(self.day) for entry in record.state.memberships)
        return self._covers_student(lanes, student_id) or (bool(self.levels) and not belongs)

    def _covers_student(self, lanes: Lanes, student_id: UUID) -> bool:
        if student_id in self.students:
            return True
        record = lanes.get(record_lane(student_id))
        entries = record.state.memberships if record is not None else []
        if any(entry.group_id in self.groups for entry in entries):
            return True
        return any(self.covers_group(lanes, entry.group_id) for entry in entries if entry.covers(self.day))


def reach_of(lanes: Lanes, school: UUID, actor: Actor, day: date) -> Reach:
    """Returns how far an actor's office reaches on `day`."""
    return Reach(school, day) if actor.login is None else registered_reach(lanes, school, actor, day)


def registered_reach(lanes: Lanes, school: UUID, actor: Actor, day: date) -> Reach:
    """Returns how far an actor's office reaches on `day` by the register, however they come."""
    office = actor.office
    if office is not Office.DEPUTY_HEAD and office not in MANDATES:
        return Reach(school, day)
    register = lanes.get(staff_ref(school))
    if register is None:
        return Reach(school, day, everything=False)
    if office is Office.DEPUTY_HEAD:
        held = {tenure.level for tenure in register.tenures_of(actor.id, day) if tenure.office == office}
        levels = frozenset(level for level in held if level is not None)
        return Reach(school, day, None in held, levels)
    mandates = [mandate for mandate in register.mandates_of(actor.id, day) if mandate.kind == office]
    named = {
        scope: frozenset(one for mandate in mandates if mandate.scope == scope for one in mandate.named)
        for scope in ("class_groups", "students")
    }
    whole = any(mandate.scope == "everything" for mandate in mandates)
    return Reach(school, day, whole, groups=named["class_groups"], students=named["students"])
