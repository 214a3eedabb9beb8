"""Commands about achievements, awards and credited results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar
from uuid import UUID

from ledger.aggregates.student import achievements, record_lane
from ledger.application.record.command import RecordingCommand, existing, founded, pupil, student
from ledger.errors import Refused, Violation
from ledger.streams.base import Context, Lanes, Proposal


@dataclass(frozen=True, kw_only=True)
class RecordAchievement(RecordingCommand):
    """Record an achievement with its evidence; its id is the id of the event."""

    CAPABILITY: ClassVar[str] = "achievements"
    student_id: UUID
    kind: str
    level: str
    outcome: str
    title: str
    achieved_on: date
    evidence: str
    course_id: UUID | None = None
    """In which a teacher teaches the student; a class teacher need not name one. It is not recorded."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Records it, if the student is the teacher's own."""
        return achievements.record_achievement(
            record_lane(self.student_id),
            pupil(self, lanes, self.student_id, context, self.course_id),
            kind=self.kind,
            level=self.level,
            outcome=self.outcome,
            title=self.title,
            achieved_on=self.achieved_on,
            evidence=self.evidence,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class GrantAward(RecordingCommand):
    """Grant an award that rests on achievements."""

    CAPABILITY: ClassVar[str] = "awards"
    student_id: UUID
    form: str
    sphere: str
    title: str
    basis: tuple[UUID, ...]
    order: str
    granted_on: date

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Grants it, if the student is of the class teacher's own class."""
        return achievements.grant_award(
            record_lane(self.student_id),
            pupil(self, lanes, self.student_id, context),
            form=self.form,
            sphere=self.sphere,
            title=self.title,
            basis=self.basis,
            order=self.order,
            granted_on=self.granted_on,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class CreditResult(RecordingCommand):
    """Credit a result from another organisation, for a course and work of ours where they are named."""

    CAPABILITY: ClassVar[str] = "credits"
    student_id: UUID
    subject: str
    from_organisation: str
    effective_on: date
    course_id: UUID | None = None
    work_id: UUID | None = None
    scale: str | None = None
    value: str | None = None
    will_of: str | None = None
    will_on: date | None = None
    order: str | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Credits it."""
        ref = record_lane(self.student_id)
        wanted = [self.course_ref(self.course_id)] if self.course_id else []
        lanes.need(ref, self.school_ref, *wanted)
        school = founded(lanes, self.school_ref)
        group_id, scale_code = None, self.scale
        if self.course_id is not None:
            course = existing(lanes, self.course_ref(self.course_id), "course")
            group_id = course.state.group_id
            work = course.state.works.get(self.work_id.bytes) if self.work_id else None
            if self.work_id is not None and work is None:
                raise Refused([Violation("work_unknown", "The course has no such work.", str(self.student_id))])
            scale_code = scale_code or (work.scale if work else course.state.scale)
        return achievements.credit_result(
            ref,
            student(lanes, self.student_id),
            subject=self.subject,
            course_id=self.course_id,
            group_id=group_id,
            work_id=self.work_id,
            scale=school.scale(scale_code) if scale_code else None,
            value=self.value,
            from_organisation=self.from_organisation,
            will_of=self.will_of,
            will_on=self.will_on,
            order=self.order,
            effective_on=self.effective_on,
            context=context,
        )
