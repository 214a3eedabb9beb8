"""Decisions about current marks: record, correct, void, hand in, note attendance.

The rules: the student belongs to the course's class group on the day; the year and period are open, or the deputy
head's permission is cited; the value stands on the scale; a correction has a reason and comes within the window that
the local act sets, or with permission (S0-4.2, S0-5.3, S1-4.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from uuid import UUID

import msgspec

from ledger.aggregates.course import Course
from ledger.aggregates.scales import ATTENDANCE_CODES, Scale
from ledger.aggregates.school import School
from ledger.aggregates.student.marks import (
    AttendanceNoted,
    MarkCorrected,
    MarkRecorded,
    MarksOpened,
    MarkState,
    MarkVoided,
    StudentMarks,
    WorkSubmitted,
)
from ledger.aggregates.student.record import StudentRecord
from ledger.errors import Refused, Violation
from ledger.ids import new_id
from ledger.streams.base import Context, LaneRef, Proposal, judge

OUTSIDE_ENROLMENT = "outside_enrolment"
OUTSIDE_YEAR = "outside_year"
PERIOD_CLOSED = "period_closed"
ASSESSMENT_ACT = "assessment"
"""Code of the local act whose version in force sets the window for corrections."""

MAX_TEXT = 2000

_FLAGGABLE = frozenset({OUTSIDE_ENROLMENT, OUTSIDE_YEAR, PERIOD_CLOSED})


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a mark goes: the student's lanes, the course, the school, and who decides."""

    ref: LaneRef[StudentMarks]
    marks: StudentMarks | None
    record: StudentRecord
    course_id: UUID
    course: Course
    school: School
    context: Context

    @property
    def student(self) -> str:
        """The student's id, for violations."""
        return str(self.ref.subject_id)

    def opening(self) -> list[Proposal]:
        """Returns the proposal that opens the year's lane, if it is not open yet."""
        if self.marks is not None:
            return []
        return [Proposal(self.ref, MarksOpened, {"year": self.course.state.year}, new_id())]


class Occasion(msgspec.Struct, frozen=True, gc=False):
    """One work on one day: what the marks that are set there share, looked up once for a whole lesson."""

    day: date
    permit_id: UUID | None
    scale: Scale | None
    open: bool
    """Whether nothing speaks against the day, whoever the student is."""
    shared: Mapping[str, object]
    """The fields that are the same in every event."""


def occasion(
    course_id: UUID,
    course: Course,
    school: School,
    context: Context,
    *,
    work_id: UUID,
    effective_on: date,
    permit_id: UUID | None,
) -> Occasion:
    """Returns what the marks of a work have in common."""
    work = course.state.works.get(work_id.bytes)
    scale = school.scale(work.scale) if work else None
    year = school.state.years.get(course.state.year)
    free = (
        effective_on <= context.today
        and (year is None or year.starts_on <= effective_on <= year.ends_on)
        and permit_id is None
        and school.closed_for(course.state.year, effective_on) is None
    )
    shared = {
        "course_id": course_id,
        "work_id": work_id,
        "scale": scale.code if scale else "",
        "scale_version": scale.version if scale else 0,
        "effective_on": effective_on,
        "entered_on": context.today,
        "permit_id": permit_id,
        "flags": (),
    }
    return Occasion(effective_on, permit_id, scale, free, shared)


def _day(place: Place, day: date, permit_id: UUID | None) -> list[Violation]:
    """Returns what speaks against an entry for `day`: the future, another group, a closed period."""
    violations = []
    course = place.course.state
    if day > place.context.today:
        violations.append(Violation("in_future", "The day lies in the future.", place.student))
    if not place.record.in_group(course.group_id, day):
        violations.append(
            Violation(
                OUTSIDE_ENROLMENT,
                "The student did not belong to the course's class group on that day.",
                place.student,
            )
        )
    year = place.school.state.years.get(course.year)
    if year is not None and not year.starts_on <= day <= year.ends_on:
        violations.append(Violation(OUTSIDE_YEAR, "The day lies outside the course's school year.", place.student))
    return violations + late(place, place.school.closed_for(course.year, day), permit_id)


def late(place: Place, closed: str | None, permit_id: UUID | None) -> list[Violation]:
    """Returns what speaks against an entry by what is `closed`, and by the permission cited.

    A permission that is cited must cover the entry, needed or not: an event never names one that does not hold.
    """
    if permit_id is None and closed is None:
        return []
    if place.school.permits(permit_id, place.course.state.year, place.course_id, place.context.today):
        return []
    if closed is not None:
        text = f"The {closed} is closed; ask the deputy head for a permission and cite it."
        return [Violation(PERIOD_CLOSED, text, place.student)]
    if permit_id is not None:
        return [Violation("permit_invalid", "The permission cited does not cover this entry today.", place.student)]
    return []


def text_limit(text: str, place: Place) -> list[Violation]:
    """Returns what speaks against a comment or reason: its length."""
    if len(text) > MAX_TEXT:
        return [Violation("text_long", f"A comment or reason has at most {MAX_TEXT} characters.", place.student)]
    return []


def record_mark(place: Place, at: Occasion, *, value: str, comment: str) -> list[Proposal]:
    """Sets a mark for a work of the course."""
    mark = at.scale.read(value) if at.scale is not None else None
    member = place.record.in_group(place.course.state.group_id, at.day)
    values = {**at.shared, "value": mark, "comment": comment.strip()}
    if mark is None or not at.open or not member or len(comment) > MAX_TEXT:
        values["flags"] = _doubts(place, at, mark, comment)
    proposal = Proposal(place.ref, MarkRecorded, values, new_id())
    return [*place.opening(), proposal] if place.marks is None else [proposal]


def _doubts(place: Place, at: Occasion, mark: str | None, comment: str) -> tuple[str, ...]:
    """Returns the flags to record with a mark that something speaks against, or refuses it with all that does."""
    violations = _day(place, at.day, at.permit_id) + text_limit(comment, place)
    if at.scale is None:
        violations.append(Violation("work_unknown", "The course has no such work.", place.student))
    elif mark is None:
        violations.append(Violation("off_scale", f"The mark must be {at.scale.describe()}.", place.student))
    return tuple(judge(violations, place.context, may_flag=_FLAGGABLE))


def _living(place: Place, mark_id: UUID) -> MarkState:
    """Returns the mark, or refuses because it does not exist, is void, or belongs to another course."""
    mark = place.marks.state.marks.get(mark_id.bytes) if place.marks else None
    if mark is None or mark.course_id != place.course_id:
        raise Refused([Violation("mark_unknown", "The student has no such mark in this course.", place.student)])
    if mark.voided:
        raise Refused([Violation("mark_void", "The mark was declared void before.", place.student)])
    return mark


def _change(place: Place, mark: MarkState, reason: str, permit_id: UUID | None) -> list[Violation]:
    """Returns what speaks against changing a mark that stands: no reason, a closed period, the window is over."""
    closed = place.school.closed_for(place.course.state.year, mark.effective_on)
    violations = late(place, closed, permit_id) + text_limit(reason, place)
    if not reason.strip():
        violations.append(Violation("reason_missing", "A correction needs a reason.", place.student))
    today = place.context.today
    act = place.school.act_in_force(ASSESSMENT_ACT, today)
    window = act.correction_window_days if act else None
    if (
        window is not None
        and (today - mark.entered_on).days > window
        and not place.school.permits(permit_id, place.course.state.year, place.course_id, today)
    ):
        violations.append(
            Violation(
                "window_over",
                f"The {window} days for corrections are over; ask the deputy head for a permission and cite it.",
                place.student,
            )
        )
    return violations


def correct_mark(place: Place, *, mark_id: UUID, value: str, reason: str, permit_id: UUID | None) -> list[Proposal]:
    """Corrects a mark; the old value stays, and the scale is the one that the mark was set on."""
    mark = _living(place, mark_id)
    violations = _change(place, mark, reason, permit_id)
    versions = place.school.state.scales.get(mark.scale, [])
    scale = versions[mark.scale_version - 1]
    canonical = scale.read(value)
    if canonical is None:
        violations.append(Violation("off_scale", f"The mark must be {scale.describe()}.", place.student))
    elif canonical == mark.value:
        violations.append(Violation("same_value", "The mark has this value already.", place.student))
    judge(violations, place.context)
    values = {
        "mark_id": mark_id,
        "course_id": place.course_id,
        "old_value": mark.value,
        "value": canonical,
        "reason": reason.strip(),
        "corrected_on": place.context.today,
        "permit_id": permit_id,
    }
    return [Proposal(place.ref, MarkCorrected, values, new_id())]


def void_mark(place: Place, *, mark_id: UUID, reason: str, permit_id: UUID | None) -> list[Proposal]:
    """Declares a mark void; it stays readable."""
    mark = _living(place, mark_id)
    judge(_change(place, mark, reason, permit_id), place.context)
    values = {
        "mark_id": mark_id,
        "course_id": place.course_id,
        "old_value": mark.value,
        "reason": reason.strip(),
        "voided_on": place.context.today,
        "permit_id": permit_id,
    }
    return [Proposal(place.ref, MarkVoided, values, new_id())]


def submit_work(place: Place, *, work_id: UUID, effective_on: date) -> list[Proposal]:
    """Records that a work was handed in and is not marked yet."""
    violations = _day(place, effective_on, None)
    if work_id.bytes not in place.course.state.works:
        violations.append(Violation("work_unknown", "The course has no such work.", place.student))
    flags = judge(violations, place.context, may_flag=_FLAGGABLE)
    values = {
        "course_id": place.course_id,
        "work_id": work_id,
        "effective_on": effective_on,
        "flags": tuple(flags),
    }
    return [*place.opening(), Proposal(place.ref, WorkSubmitted, values, new_id())]


def note_attendance(place: Place, *, code: str, effective_on: date, permit_id: UUID | None) -> list[Proposal]:
    """Notes an attendance code for a lesson day."""
    violations = _day(place, effective_on, permit_id)
    if code not in ATTENDANCE_CODES:
        violations.append(
            Violation("code_unknown", f"The attendance code is one of {', '.join(ATTENDANCE_CODES)}.", place.student)
        )
    judge(violations, place.context)
    values = {
        "course_id": place.course_id,
        "code": code,
        "effective_on": effective_on,
        "permit_id": permit_id,
    }
    return [*place.opening(), Proposal(place.ref, AttendanceNoted, values, new_id())]
