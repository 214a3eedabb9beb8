"""What each kind of row becomes. Ids of what was imported are kept here while a package is read.

sessions → years and periods; classes → a class group and a course each; users who are students → students; enrolments
→ memberships, their `endDate` a leaving; line items → works; results → marks, submissions, credited results, final
marks. A final line item is one of a category called "final result".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from ledger.application.record.achievements import CreditResult
from ledger.application.record.courses import AddWork
from ledger.application.record.marks import CorrectMark, CorrectPeriodMark, RecordMark, SetPeriodMark, SubmitWork
from ledger.application.record.oneroster.commands import ImportClass, ImportEnrolment
from ledger.application.record.school import DefineMarkScale, DefinePeriod, FoundSchool, OpenSchoolYear
from ledger.application.record.students import EnrolStudent, LeaveGroup
from ledger.interchange.oneroster import (
    AcademicSession,
    Class,
    Enrollment,
    LineItem,
    Org,
    Result,
    ScoreStatus,
    User,
)

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.application.record.command import RecordingCommand
    from ledger.errors import Refused
    from ledger.interchange.oneroster import Row
    from ledger.store.commands import Recorded

FINAL_SCALE = "final-result"
BANKED = "banked"
"""How the comment of a result begins that was credited from elsewhere."""

HUNDRED = (Decimal(0), Decimal(100))
_NOT_APPLICABLE = "Only scores, final results and the end of an enrolment can be changed by an import so far."


@dataclass(slots=True)
class ImportedIds:
    """What the rows read so far became."""

    years: dict[str, str] = field(default_factory=dict)
    periods: dict[str, str] = field(default_factory=dict)
    year_of: dict[str, str] = field(default_factory=dict)
    courses: dict[str, str] = field(default_factory=dict)
    classes: dict[str, tuple[UUID, UUID, str, str]] = field(default_factory=dict)
    students: dict[str, UUID] = field(default_factory=dict)
    passed_over: set[str] = field(default_factory=set)
    finals: set[str] = field(default_factory=set)
    works: dict[str, tuple[UUID, LineItem]] = field(default_factory=dict)
    marks: dict[str, UUID] = field(default_factory=dict)


@dataclass(slots=True)
class RowKind(ABC):
    """Base: rows of this kind cannot be changed by an import, and nothing refers to them."""

    school: UUID
    source: str
    ids: ImportedIds

    @abstractmethod
    def new(self, row: Row) -> RecordingCommand | str:
        """Returns the command that records the row, or why it cannot be recorded."""

    def changed(self, row: Row, reason: str) -> RecordingCommand | str:  # noqa: ARG002 - for the kinds that can
        """Returns why a change cannot be applied."""
        return _NOT_APPLICABLE

    def known(self, row: Row, recorded: Recorded) -> None:  # noqa: B027 - most kinds have nothing to remember
        """Remembers what the row became."""

    def stands_already(self, refusal: Refused) -> bool:  # noqa: ARG002 - for the kinds that may
        """Says no: the ledger does not have the thing."""
        return False


class Schools(RowKind):
    """The organisation whose ledger this is."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Founds the school."""
        return FoundSchool(school=self.school, name=cast("Org", row).name)

    def stands_already(self, refusal: Refused) -> bool:
        """Says yes where the school was founded before: its name stays as it was entered."""
        return {violation.code for violation in refusal.violations} == {"school_exists"}


class Years(RowKind):
    """Sessions that are school years; the year's code is its sourcedId."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Opens the year."""
        session = cast("AcademicSession", row)
        return OpenSchoolYear(
            school=self.school,
            year=session.sourced_id,
            title=session.title,
            starts_on=session.start_date,
            ends_on=session.end_date,
        )

    def known(self, row: Row, recorded: Recorded) -> None:  # noqa: ARG002 - the code is the row's own
        """Remembers the code."""
        self.ids.years[row.sourced_id] = row.sourced_id


class Periods(RowKind):
    """Sessions within a year."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Defines the period."""
        session = cast("AcademicSession", row)
        year = self.ids.years.get(session.parent_id or "")
        if year is None:
            return "parentSourcedId names no session of type schoolYear in this package."
        return DefinePeriod(
            school=self.school,
            period=session.sourced_id,
            year=year,
            kind="term",
            title=session.title,
            starts_on=session.start_date,
            ends_on=session.end_date,
        )

    def known(self, row: Row, recorded: Recorded) -> None:  # noqa: ARG002 - the code is the row's own
        """Remembers the code, and the year that it belongs to."""
        session = cast("AcademicSession", row)
        self.ids.periods[session.sourced_id] = session.sourced_id
        self.ids.year_of[session.sourced_id] = session.parent_id or ""


class Classes(RowKind):
    """Classes: a class group and its course."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Forms and opens them."""
        found = cast("Class", row)
        title = self.ids.courses.get(found.course_id)
        if title is None:
            return "courseSourcedId names no row of courses.csv."
        year = next((self.year(session) for session in found.session_ids if self.year(session)), None)
        if year is None:
            return "termSourcedIds names no session of this package."
        return ImportClass(school=self.school, title=found.title, course_title=title, year=year, scale="hundred")

    def year(self, session_id: str) -> str | None:
        """Returns the year that a session is or belongs to."""
        return self.ids.years.get(session_id) or self.ids.year_of.get(session_id)

    def known(self, row: Row, recorded: Recorded) -> None:
        """Remembers group and course."""
        found = cast("Class", row)
        group, course = recorded.events[0].stream_id, recorded.events[-1].stream_id
        period = next((session for session in found.session_ids if session in self.ids.periods), "")
        self.ids.classes[row.sourced_id] = (group, course, self.ids.courses.get(found.course_id, ""), period)


class Students(RowKind):
    """Users who are students; others are passed over."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Enrols the student under a new random id."""
        user = cast("User", row)
        return EnrolStudent(
            school=self.school,
            family_name=user.family_name,
            given_name=user.given_name,
            patronymic=user.middle_name or "",
            foreign_ids=((self.source, user.sourced_id),),
        )

    def known(self, row: Row, recorded: Recorded) -> None:
        """Remembers the student's id."""
        self.ids.students[row.sourced_id] = recorded.events[0].subject_id


class Enrolments(RowKind):
    """Enrolments of students in classes."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Joins the class group, and leaves it on `endDate`."""
        enrolment = cast("Enrollment", row)
        found = self._refer(enrolment)
        if isinstance(found, str):
            return found
        if enrolment.begin_date and enrolment.end_date and enrolment.end_date < enrolment.begin_date:
            return "endDate lies before beginDate."
        student_id, group_id = found
        return ImportEnrolment(
            school=self.school,
            student_id=student_id,
            group_id=group_id,
            begins_on=enrolment.begin_date,
            ends_on=enrolment.end_date,
        )

    def changed(self, row: Row, reason: str) -> RecordingCommand | str:  # noqa: ARG002 - a leaving needs none
        """Ends an enrolment that has an `endDate` now; refused by the ledger where it had ended before."""
        enrolment = cast("Enrollment", row)
        found = self._refer(enrolment)
        if isinstance(found, str):
            return found
        if enrolment.end_date is None:
            return _NOT_APPLICABLE
        student_id, group_id = found
        return LeaveGroup(school=self.school, student_id=student_id, group_id=group_id, effective_on=enrolment.end_date)

    def _refer(self, enrolment: Enrollment) -> tuple[UUID, UUID] | str:
        student_id = self.ids.students.get(enrolment.user_id)
        group = self.ids.classes.get(enrolment.class_id)
        if student_id is None:
            return "userSourcedId names no student of this package that was imported."
        if group is None:
            return "classSourcedId names no class of this package that was imported."
        return student_id, group[0]


def scale_code(minimum: Decimal, maximum: Decimal) -> str:
    """Returns the code of the scale for a range of scores."""
    if (minimum, maximum) == HUNDRED:
        return "hundred"
    return f"range-{minimum.normalize():f}-{maximum.normalize():f}".replace("--", "-minus-")


def range_scale(school: UUID, minimum: Decimal, maximum: Decimal) -> DefineMarkScale:
    """Returns the command that defines the scale for a range of scores."""
    code = scale_code(minimum, maximum)
    return DefineMarkScale(school=school, scale=code, title=f"{minimum}–{maximum}", minimum=minimum, maximum=maximum)


class Works(RowKind):
    """Line items."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Adds the work, on the scale of its range; a final line item is on the scale of final results."""
        item = cast("LineItem", row)
        found = self.ids.classes.get(item.class_id)
        if found is None:
            return "classSourcedId names no class of this package that was imported."
        final = item.category_id in self.ids.finals
        if not final and (item.minimum is None or item.maximum is None or item.minimum >= item.maximum):
            return "resultValueMin must be less than resultValueMax; both are needed to check scores."
        scale = FINAL_SCALE if final else scale_code(item.minimum or Decimal(0), item.maximum or Decimal(0))
        return AddWork(
            school=self.school,
            course_id=found[1],
            title=item.title,
            kind="final" if final else "other",
            weight=item.weight if item.weight is not None else Decimal(1),
            scale=scale,
            set_on=item.assign_date,
            due_on=item.due_date,
        )

    def known(self, row: Row, recorded: Recorded) -> None:
        """Remembers the work's id and its row."""
        self.ids.works[row.sourced_id] = (recorded.events[0].event_id, cast("LineItem", row))


def _score(value: Decimal) -> str:
    return format(value.normalize(), "f")


class Results(RowKind):
    """Results: marks, submissions, credited results, final marks."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Returns what the result is recorded as."""
        result = cast("Result", row)
        found = self._refer(result)
        if isinstance(found, str):
            return found
        student_id, work_id, item = found
        day = result.score_date
        if day is None:
            return "scoreDate is needed: a mark belongs to a day."
        if item.category_id in self.ids.finals:
            return self._final(result, student_id, self.ids.classes[item.class_id][1], item)
        return self._current(result, student_id, work_id, item, day)

    def _current(
        self, result: Result, student_id: UUID, work_id: UUID, item: LineItem, day: date
    ) -> RecordingCommand | str:
        _, course_id, course_title, _ = self.ids.classes[item.class_id]
        credited = (result.comment or "").lower().startswith(BANKED)
        value = _score(result.score) if result.score is not None else None
        if credited:
            return CreditResult(
                school=self.school,
                student_id=student_id,
                subject=course_title,
                from_organisation=self.source,
                effective_on=day,
                course_id=course_id,
                work_id=work_id,
                value=value,
            )
        if result.status is ScoreStatus.SUBMITTED and value is None:
            return SubmitWork(
                school=self.school, course_id=course_id, student_id=student_id, work_id=work_id, effective_on=day
            )
        if value is None:
            return f"There is no score to record for the status {result.status.value!r}."
        return RecordMark(
            school=self.school,
            course_id=course_id,
            student_id=student_id,
            work_id=work_id,
            value=value,
            effective_on=day,
            comment=result.comment or "",
        )

    def changed(self, row: Row, reason: str) -> RecordingCommand | str:
        """Corrects the mark or final result, for the reason that the operator gave."""
        result = cast("Result", row)
        found = self._refer(result)
        if isinstance(found, str):
            return found
        student_id, _, item = found
        course_id = self.ids.classes[item.class_id][1]
        if item.category_id in self.ids.finals and result.text_score:
            return CorrectPeriodMark(
                school=self.school,
                course_id=course_id,
                student_id=student_id,
                period=self._period(item),
                kind="final",
                scale=FINAL_SCALE,
                value=result.text_score,
                reason=reason,
            )
        mark_id = self.ids.marks.get(row.sourced_id)
        if mark_id is None or result.score is None:
            return _NOT_APPLICABLE
        return CorrectMark(
            school=self.school,
            course_id=course_id,
            student_id=student_id,
            mark_id=mark_id,
            value=_score(result.score),
            reason=reason,
        )

    def known(self, row: Row, recorded: Recorded) -> None:
        """Remembers the mark's id, if the result was a mark."""
        last = recorded.events[-1]
        if last.topic == "marks.recorded":
            self.ids.marks[row.sourced_id] = last.event_id

    def _final(self, result: Result, student_id: UUID, course_id: UUID, item: LineItem) -> RecordingCommand | str:
        period = self._period(item)
        if not period:
            return "The line item of a final result needs academicSessionSourcedId, or its class a term."
        if not result.text_score:
            return "A final result needs textScore."
        return SetPeriodMark(
            school=self.school,
            course_id=course_id,
            student_id=student_id,
            period=period,
            kind="final",
            scale=FINAL_SCALE,
            value=result.text_score,
            effective_on=result.score_date,
        )

    def _period(self, item: LineItem) -> str:
        if item.session_id in self.ids.periods:
            return self.ids.periods[item.session_id]
        return self.ids.classes[item.class_id][3]

    def _refer(self, result: Result) -> tuple[UUID, UUID, LineItem] | str:
        student_id = self.ids.students.get(result.student_id)
        work = self.ids.works.get(result.line_item_id)
        if student_id is None:
            return "studentSourcedId names no student of this package that was imported."
        if work is None:
            return "lineItemSourcedId names no line item of this package that was imported."
        return student_id, work[0], work[1]
