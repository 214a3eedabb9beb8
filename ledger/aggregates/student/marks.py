"""The student's marks of one school year: the lane that closes with the year.

Events and state; the decisions stand in `marking.py` (current marks) and `results.py` (marks of periods).
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar
from uuid import UUID

import msgspec

from ledger.streams.base import Lane, LedgerEvent, OpeningEvent, State
from ledger.streams.record_classes import RecordClass


class MarkState(msgspec.Struct, gc=False):
    """What may still be decided about a mark: its value now, where it stands, when it was entered.

    Unknown to the garbage collector: it holds plain values only, and a process keeps a million of them.
    """

    course_id: UUID
    value: str
    effective_on: date
    entered_on: date
    scale: str
    scale_version: int
    version: int
    """Version of the lane's event that set or changed it last: two who saw the same one saw the same mark."""
    voided: bool = False


class ResultState(msgspec.Struct, gc=False):
    """The mark of a period: its value now, and the version of the lane's event that set or changed it last."""

    value: str
    version: int


class MarksState(State):
    """Marks by the id (its 16 bytes) of the event that recorded them; marks of periods by course, period and kind."""

    year: str = ""
    marks: dict[bytes, MarkState] = msgspec.field(default_factory=dict)
    results: dict[str, ResultState] = msgspec.field(default_factory=dict)


class StudentMarks(Lane):
    """The lane of a student's marks in a year."""

    KIND = "student_marks"
    STATE: ClassVar[type[State]] = MarksState
    SHAPE: ClassVar[int] = 2

    @property
    def state(self) -> MarksState:
        """The decision state."""
        state: MarksState = self._state
        return state

    def has_of(self, course_id: UUID) -> bool:
        """Tells whether anything was marked in a course this year: a work, or a period."""
        if any(key.startswith(f"{course_id}|") for key in self.state.results):
            return True
        return any(mark.course_id == course_id for mark in self.state.marks.values())


def result_key(course_id: UUID, period: str, kind: str) -> str:
    """Returns the name under which the mark of a period stands in the state: one per course, period and kind."""
    return f"{course_id}|{period}|{kind}"


class MarksOpened(OpeningEvent):
    """The student's marks of a school year began to be recorded."""

    TOPIC = "marks.opened"
    RECORD_CLASS = RecordClass.MARKS
    LANE: ClassVar[type[Lane]] = StudentMarks
    year: str

    def apply(self, aggregate: StudentMarks) -> None:
        """Fills the state."""
        aggregate.state.year = self.year


class MarkRecorded(LedgerEvent):
    """A mark was set for a work. `flags` says what imported history would have been refused for."""

    TOPIC = "marks.recorded"
    RECORD_CLASS = RecordClass.MARKS
    course_id: UUID
    work_id: UUID
    scale: str
    scale_version: int
    value: str
    effective_on: date
    entered_on: date
    comment: str
    permit_id: UUID | None
    flags: tuple[str, ...]

    def apply(self, aggregate: StudentMarks) -> None:
        """Adds the mark."""
        aggregate.state.marks[self.event_id.bytes] = MarkState(
            self.course_id,
            self.value,
            self.effective_on,
            self.entered_on,
            self.scale,
            self.scale_version,
            self.originator_version,
        )


class MarkCorrected(LedgerEvent):
    """A mark was corrected, for a reason; the old value stays here and in the event that recorded it."""

    TOPIC = "marks.corrected"
    RECORD_CLASS = RecordClass.MARKS
    mark_id: UUID
    course_id: UUID
    old_value: str
    value: str
    reason: str
    corrected_on: date
    permit_id: UUID | None

    def apply(self, aggregate: StudentMarks) -> None:
        """Replaces the value that counts."""
        mark = aggregate.state.marks[self.mark_id.bytes]
        mark.value, mark.version = self.value, self.originator_version


class MarkVoided(LedgerEvent):
    """A mark was declared void, for a reason; its value stays readable and counts no more."""

    TOPIC = "marks.voided"
    RECORD_CLASS = RecordClass.MARKS
    mark_id: UUID
    course_id: UUID
    old_value: str
    reason: str
    voided_on: date
    permit_id: UUID | None

    def apply(self, aggregate: StudentMarks) -> None:
        """Marks it void."""
        mark = aggregate.state.marks[self.mark_id.bytes]
        mark.voided, mark.version = True, self.originator_version


class WorkSubmitted(LedgerEvent):
    """The student handed a work in and has no mark for it yet."""

    TOPIC = "marks.work_submitted"
    RECORD_CLASS = RecordClass.MARKS
    course_id: UUID
    work_id: UUID
    effective_on: date
    flags: tuple[str, ...]


class AttendanceNoted(LedgerEvent):
    """An attendance code (н, б, осв, п) was noted for a lesson day."""

    TOPIC = "marks.attendance_noted"
    RECORD_CLASS = RecordClass.MARKS
    course_id: UUID
    code: str
    effective_on: date
    permit_id: UUID | None


class PeriodMarkSet(LedgerEvent):
    """The mark of a period, year, exam or the final mark was set (`kind` as the period's kind)."""

    TOPIC = "results.set"
    RECORD_CLASS = RecordClass.FINAL_RESULTS
    course_id: UUID
    period: str
    kind: str
    scale: str
    scale_version: int
    value: str
    effective_on: date
    permit_id: UUID | None
    flags: tuple[str, ...]

    def apply(self, aggregate: StudentMarks) -> None:
        """Sets the result."""
        result = ResultState(self.value, self.originator_version)
        aggregate.state.results[result_key(self.course_id, self.period, self.kind)] = result


class PeriodMarkCorrected(LedgerEvent):
    """The mark of a period was corrected, for a reason; the old value stays."""

    TOPIC = "results.corrected"
    RECORD_CLASS = RecordClass.FINAL_RESULTS
    course_id: UUID
    period: str
    kind: str
    scale: str
    scale_version: int
    old_value: str
    value: str
    reason: str
    corrected_on: date
    permit_id: UUID | None

    def apply(self, aggregate: StudentMarks) -> None:
        """Replaces the result that counts."""
        result = ResultState(self.value, self.originator_version)
        aggregate.state.results[result_key(self.course_id, self.period, self.kind)] = result
