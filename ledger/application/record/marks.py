"""Commands about marks: one mark, a whole lesson, corrections, voiding, submissions, marks of periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar
from uuid import UUID

import msgspec

from ledger.aggregates.course import Course
from ledger.aggregates.school import School
from ledger.aggregates.student import StudentMarks, StudentRecord, deciding_lanes, marking, marks_lane, results
from ledger.aggregates.student.marking import Place
from ledger.aggregates.student.marks import result_key
from ledger.application.record.command import (
    RecordingCommand,
    check_entering,
    founded,
    no_such,
    no_such_pupil,
    not_founded,
    opened_once,
)
from ledger.application.tags import Thing, strong
from ledger.errors import Refused, Violation
from ledger.policy.offices import COURSE_BOUND
from ledger.streams.base import Context, Lanes, Proposal

MAX_LESSON = 200
"""Students in one lesson request; a class has some 30, a lecture of a year group fewer than this."""


@dataclass(frozen=True, kw_only=True)
class CourseCommand(RecordingCommand):
    """Base of the commands that write into a course's journal."""

    course_id: UUID

    def course(self, lanes: Lanes) -> Course:
        """Returns the course, or raises NotFound."""
        return self.course_at(lanes)[0]

    def course_at(self, lanes: Lanes) -> tuple[Course, School]:
        """Returns the course and the school, or raises NotFound."""
        course, school = lanes.pair(self.course_ref(self.course_id), self.school_ref)
        if course is None:
            raise no_such("course")
        if school is None:
            raise not_founded()
        return course, school

    def cites(self, lanes: Lanes, context: Context) -> str | None:
        """Returns the version of the assessment regulation in force, as `act/version` (S0-4.2, S1-4.2)."""
        act = founded(lanes, self.school_ref).act_in_force(marking.ASSESSMENT_ACT, context.today)
        return f"{act.act}/{act.version}" if act else None

    def place(self, lanes: Lanes, course: Course, school: School, student_id: UUID, context: Context) -> Place:
        """Returns where a student's mark goes, or raises NotFound."""
        record, ref = deciding_lanes(student_id, course.state.year)
        found, marks = lanes.pair(record, ref)
        if found is None and context.office not in COURSE_BOUND:
            raise no_such("student")
        if found is None or not _may_know(found, course, context):
            raise no_such_pupil()
        return Place(ref, marks, found, self.course_id, course, school, context)

    def entering(self, lanes: Lanes, context: Context, student_id: UUID, day: date | None) -> Place:
        """Returns where an entry for a day goes, or raises NotFound; Forbidden where it is not theirs to make."""
        course, school = self.course_at(lanes)
        check_entering(course, school, context, day)
        return self.place(lanes, course, school, student_id, context)

    def marks(self, lanes: Lanes, student_id: UUID) -> StudentMarks | None:
        """Returns the student's marks of the course's year, if they have been begun."""
        course = self.course(lanes)
        return lanes.get(marks_lane(student_id, course.state.year))


@dataclass(frozen=True, kw_only=True)
class RecordMark(CourseCommand):
    """Set a mark for a work; its id is the id of the event."""

    CAPABILITY: ClassVar[str] = "marks"
    student_id: UUID
    work_id: UUID
    value: str
    effective_on: date
    comment: str = ""
    permit_id: UUID | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Sets it."""
        place = self.entering(lanes, context, self.student_id, self.effective_on)
        at = marking.occasion(
            self.course_id,
            place.course,
            place.school,
            context,
            work_id=self.work_id,
            effective_on=self.effective_on,
            permit_id=self.permit_id,
        )
        return marking.record_mark(place, at, value=self.value, comment=self.comment)


def _may_know(record: StudentRecord, course: Course, context: Context) -> bool:
    """Tells whether who records may know of a student: a teacher of those who belong or belonged to the class group."""
    return context.office not in COURSE_BOUND or record.was_in_group(course.state.group_id)


class LessonEntry(msgspec.Struct, frozen=True, gc=False):
    """What one student got in a lesson: marks ("4" and "5" for 4/5), an attendance code, or both."""

    student_id: UUID
    marks: tuple[str, ...] = ()
    attendance: str | None = None
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class RecordLesson(CourseCommand):
    """Record a whole lesson's marks and attendance at once: all of it, or nothing with every reason."""

    CAPABILITY: ClassVar[str] = "marks"
    work_id: UUID
    held_on: date
    entries: tuple[LessonEntry, ...]
    permit_id: UUID | None = None

    @property
    def about(self) -> tuple[UUID, ...]:
        """Everybody in the lesson."""
        return tuple(entry.student_id for entry in self.entries)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Decides every entry, and refuses with the violations of all students together."""
        course, school = self.course_at(lanes)
        check_entering(course, school, context, self.held_on)
        year = course.state.year
        refs = [deciding_lanes(entry.student_id, year) for entry in self.entries]
        lanes.need(*(ref for pair in refs for ref in pair))
        at = marking.occasion(
            self.course_id,
            course,
            school,
            context,
            work_id=self.work_id,
            effective_on=self.held_on,
            permit_id=self.permit_id,
        )
        violations = self._shape()
        proposals: list[Proposal] = []
        for entry, (record_ref, marks_ref) in zip(self.entries, refs, strict=True):
            record, marks = lanes.pair(record_ref, marks_ref)
            if record is None or not _may_know(record, course, context):
                text = "There is no such student."
                violations.append(Violation("student_unknown", text, str(entry.student_id)))
                continue
            place = Place(marks_ref, marks, record, self.course_id, course, school, context)
            try:
                proposals += self._entry(place, at, entry)
            except Refused as refusal:
                violations += refusal.violations
        if violations:
            raise Refused(violations)
        return opened_once(proposals)

    def _shape(self) -> list[Violation]:
        violations = []
        if not 0 < len(self.entries) <= MAX_LESSON:
            violations.append(Violation("lesson_size", f"A lesson has 1 to {MAX_LESSON} students in one request."))
        seen: set[int] = set()  # not of UUIDs, whose hashing runs in Python
        for entry in self.entries:
            if entry.student_id.int in seen:
                violations.append(
                    Violation("student_twice", "The student is listed twice in the lesson.", str(entry.student_id))
                )
            seen.add(entry.student_id.int)
            if not entry.marks and entry.attendance is None:
                violations.append(
                    Violation("nothing_recorded", "Give a mark or an attendance code.", str(entry.student_id))
                )
        return violations

    def _entry(self, place: Place, at: marking.Occasion, entry: LessonEntry) -> list[Proposal]:
        if len(entry.marks) == 1 and entry.attendance is None:
            return marking.record_mark(place, at, value=entry.marks[0], comment=entry.comment)
        proposals: list[Proposal] = []
        violations: dict[Violation, None] = {}
        for value in entry.marks:
            try:
                proposals += marking.record_mark(place, at, value=value, comment=entry.comment)
            except Refused as refusal:
                violations.update(dict.fromkeys(refusal.violations))
        if entry.attendance is not None:
            try:
                proposals += marking.note_attendance(
                    place, code=entry.attendance, effective_on=self.held_on, permit_id=self.permit_id
                )
            except Refused as refusal:
                violations.update(dict.fromkeys(refusal.violations))
        if violations:
            raise Refused(list(violations))
        return proposals


@dataclass(frozen=True, kw_only=True)
class MarkCommand(CourseCommand):
    """Base of the commands that change a mark that was set."""

    CAPABILITY: ClassVar[str] = "marks"
    AMENDS: ClassVar[bool] = True
    student_id: UUID
    mark_id: UUID

    def set_for(self, lanes: Lanes) -> date | None:
        """Returns the lesson day of the mark, None where there is no such mark in the course."""
        lane = self.marks(lanes, self.student_id)
        mark = lane.state.marks.get(self.mark_id.bytes) if lane is not None else None
        return mark.effective_on if mark is not None and mark.course_id == self.course_id else None

    def tag(self, lanes: Lanes) -> str | None:
        """Returns the mark's tag."""
        lane = self.marks(lanes, self.student_id)
        mark = lane.state.marks.get(self.mark_id.bytes) if lane is not None else None
        if mark is None or mark.course_id != self.course_id:
            return None
        return strong(Thing.MARK, mark.version)


@dataclass(frozen=True, kw_only=True)
class CorrectMark(MarkCommand):
    """Correct a mark, for a reason."""

    value: str
    reason: str
    permit_id: UUID | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Corrects it."""
        return marking.correct_mark(
            self.entering(lanes, context, self.student_id, self.set_for(lanes)),
            mark_id=self.mark_id,
            value=self.value,
            reason=self.reason,
            permit_id=self.permit_id,
        )


@dataclass(frozen=True, kw_only=True)
class VoidMark(MarkCommand):
    """Declare a mark void, for a reason."""

    reason: str
    permit_id: UUID | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Declares it."""
        return marking.void_mark(
            self.entering(lanes, context, self.student_id, self.set_for(lanes)),
            mark_id=self.mark_id,
            reason=self.reason,
            permit_id=self.permit_id,
        )


@dataclass(frozen=True, kw_only=True)
class SubmitWork(CourseCommand):
    """Record that a work was handed in."""

    CAPABILITY: ClassVar[str] = "marks"
    student_id: UUID
    work_id: UUID
    effective_on: date

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Records it."""
        place = self.entering(lanes, context, self.student_id, self.effective_on)
        return marking.submit_work(place, work_id=self.work_id, effective_on=self.effective_on)


@dataclass(frozen=True, kw_only=True)
class PeriodMarkCommand(CourseCommand):
    """Base of the commands about the mark of a period, a year or an exam, or the final mark."""

    CAPABILITY: ClassVar[str] = "results"
    student_id: UUID
    period: str
    value: str
    kind: str | None = None
    scale: str | None = None
    permit_id: UUID | None = None

    def due_on(self, lanes: Lanes) -> date | None:
        """Returns the day to which the marks of the period belong: its last; None where there is no such period."""
        period = founded(lanes, self.school_ref).state.periods.get(self.period)
        return period.ends_on if period is not None else None

    def tag(self, lanes: Lanes) -> str | None:
        """Returns the tag of the period's mark, None while none was set."""
        lane = self.marks(lanes, self.student_id)
        period = founded(lanes, self.school_ref).state.periods.get(self.period)
        kind = self.kind or (period.kind if period is not None else "")
        result = lane.state.results.get(result_key(self.course_id, self.period, kind)) if lane is not None else None
        return strong(Thing.PERIOD_MARK, result.version) if result is not None else None


@dataclass(frozen=True, kw_only=True)
class SetPeriodMark(PeriodMarkCommand):
    """Set the mark of a period, a year or an exam, or the final mark."""

    effective_on: date | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Sets it."""
        return results.set_period_mark(
            self.entering(lanes, context, self.student_id, self.due_on(lanes)),
            period=self.period,
            kind=self.kind,
            value=self.value,
            scale=self.scale,
            effective_on=self.effective_on,
            permit_id=self.permit_id,
        )


@dataclass(frozen=True, kw_only=True)
class CorrectPeriodMark(PeriodMarkCommand):
    """Correct the mark of a period, for a reason."""

    AMENDS: ClassVar[bool] = True
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Corrects it."""
        return results.correct_period_mark(
            self.entering(lanes, context, self.student_id, self.due_on(lanes)),
            period=self.period,
            kind=self.kind,
            value=self.value,
            scale=self.scale,
            reason=self.reason,
            permit_id=self.permit_id,
        )
