"""Commands that only an import sends: a row of a package as one command, whatever number of events it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar
from uuid import UUID

from ledger.aggregates.class_group import ClassGroup, ClassGroupState, form_class_group
from ledger.aggregates.course import open_course
from ledger.aggregates.student import record, record_lane
from ledger.application.record.command import RecordingCommand, existing, founded, student
from ledger.clock import utc_now
from ledger.ids import new_id
from ledger.streams.base import Context, Lanes, Proposal


@dataclass(frozen=True, kw_only=True)
class ImportClass(RecordingCommand):
    """A class of a package: a class group and its course, both or none."""

    CAPABILITY: ClassVar[str] = "imports"
    title: str
    course_title: str
    year: str
    scale: str
    group_id: UUID = field(default_factory=new_id)
    course_id: UUID = field(default_factory=new_id)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Forms the group and opens the course."""
        school = founded(lanes, self.school_ref)
        formed = form_class_group(
            self.group_ref(self.group_id),
            school,
            title=self.title,
            year=self.year,
            level="other",
            class_teacher=None,
            context=context,
        )
        group = ClassGroup.blank(self.group_id, 1, utc_now(), ClassGroupState(year=self.year))
        opened = open_course(
            self.course_ref(self.course_id),
            school,
            group,
            title=self.course_title,
            group_id=self.group_id,
            journal="class",
            scale=self.scale,
            teachers=(),
            starts_on=None,
            context=context,
        )
        return [*formed, *opened]


@dataclass(frozen=True, kw_only=True)
class ImportEnrolment(RecordingCommand):
    """An enrolment of a package: the day on which a student joined a class group, and left it where that is known."""

    CAPABILITY: ClassVar[str] = "imports"
    student_id: UUID
    group_id: UUID
    begins_on: date | None
    ends_on: date | None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Joins, and leaves."""
        ref = record_lane(self.student_id)
        lanes.need(ref, self.group_ref(self.group_id))
        existing(lanes, self.group_ref(self.group_id), "class group")
        joined = record.move_to_group(
            ref,
            student(lanes, self.student_id),
            group_id=self.group_id,
            from_group=None,
            effective_on=self.begins_on,
            context=context,
        )
        if self.ends_on is None:
            return joined
        left = {"group_id": self.group_id, "effective_on": self.ends_on}
        return [*joined, Proposal(ref, record.StudentLeftGroup, left, new_id())]
