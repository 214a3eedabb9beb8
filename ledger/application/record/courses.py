"""Commands about class groups, courses and works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from ledger.aggregates import class_group, course
from ledger.application.record.command import RecordingCommand, check_teaching, existing, founded
from ledger.application.tags import Thing, strong
from ledger.errors import Forbidden
from ledger.ids import new_id
from ledger.policy.offices import Office
from ledger.streams.base import Context, LaneRef, Lanes, Proposal


@dataclass(frozen=True, kw_only=True)
class FormClassGroup(RecordingCommand):
    """Form a class group."""

    CAPABILITY: ClassVar[str] = "class_groups"
    title: str
    year: str
    level: str
    class_teacher: UUID | None = None
    group_id: UUID = field(default_factory=new_id)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Forms it."""
        _check_order(context, self.class_teacher)
        return class_group.form_class_group(
            self.group_ref(self.group_id),
            founded(lanes, self.school_ref),
            title=self.title,
            year=self.year,
            level=self.level,
            class_teacher=self.class_teacher,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class AppointClassTeacher(RecordingCommand):
    """Appoint a class teacher."""

    CAPABILITY: ClassVar[str] = "class_groups"
    group_id: UUID
    class_teacher: UUID
    effective_on: date

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Appoints them."""
        _check_order(context, self.class_teacher)
        ref = self.group_ref(self.group_id)
        return class_group.appoint_class_teacher(
            ref,
            existing(lanes, ref, "class group"),
            class_teacher=self.class_teacher,
            effective_on=self.effective_on,
            context=context,
        )

    def tag(self, lanes: Lanes) -> str | None:
        """Returns the class group's tag."""
        group = lanes.get(self.group_ref(self.group_id))
        return strong(Thing.CLASS_GROUP, group.version) if group is not None else None


@dataclass(frozen=True, kw_only=True)
class OpenCourse(RecordingCommand):
    """Open a course for a class group."""

    CAPABILITY: ClassVar[str] = "courses"
    title: str
    group_id: UUID
    journal: str
    scale: str
    teachers: tuple[UUID, ...] = ()
    starts_on: date | None = None
    course_id: UUID = field(default_factory=new_id)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Opens it."""
        return course.open_course(
            self.course_ref(self.course_id),
            founded(lanes, self.school_ref),
            existing(lanes, self.group_ref(self.group_id), "class group"),
            title=self.title,
            group_id=self.group_id,
            journal=self.journal,
            scale=self.scale,
            teachers=self.teachers,
            starts_on=self.starts_on,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class AssignTeacher(RecordingCommand):
    """Assign a teacher or a substitute."""

    CAPABILITY: ClassVar[str] = "courses"
    course_id: UUID
    teacher: UUID
    starts_on: date
    ends_on: date | None = None
    substitute: bool = False

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Assigns them."""
        ref = self.course_ref(self.course_id)
        existing(lanes, ref, "course")
        return course.assign_teacher(
            ref,
            teacher=self.teacher,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            substitute=self.substitute,
            context=context,
        )

    def tag(self, lanes: Lanes) -> str | None:
        """Returns the course's tag."""
        return course_tag(lanes, self.course_ref(self.course_id))


@dataclass(frozen=True, kw_only=True)
class AddWork(RecordingCommand):
    """Add a work; its id is the id of the event."""

    CAPABILITY: ClassVar[str] = "works"
    course_id: UUID
    title: str
    kind: str
    weight: Decimal = Decimal(1)
    scale: str | None = None
    set_on: date | None = None
    due_on: date | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Adds it."""
        ref = self.course_ref(self.course_id)
        lanes.need(ref, self.school_ref)
        found = existing(lanes, ref, "course")
        check_teaching(found, context, context.today)
        return course.add_work(
            ref,
            founded(lanes, self.school_ref),
            found,
            title=self.title,
            kind=self.kind,
            weight=self.weight,
            scale=self.scale,
            set_on=self.set_on,
            due_on=self.due_on,
            context=context,
        )

    def tag(self, lanes: Lanes) -> str | None:
        """Returns the course's tag: its works are part of it."""
        return course_tag(lanes, self.course_ref(self.course_id))


def _check_order(context: Context, class_teacher: UUID | None) -> None:
    """Passes unless a secretary appoints themself: who leads a class reads what a custodian does not.

    Raises:
        Forbidden: they do.
    """
    if context.office == Office.SECRETARY and class_teacher == context.actor:
        raise Forbidden("A secretary does not appoint themself.", help="The director or a deputy head records it.")


def course_tag(lanes: Lanes, ref: LaneRef[course.Course]) -> str | None:
    """Returns the tag of a course, None where there is none."""
    found = lanes.get(ref)
    return strong(Thing.COURSE, found.version) if found is not None else None
