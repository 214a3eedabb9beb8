"""A school to test with: builders in its own language on top of `tests.support.world`.

`a_school()` gives a world with a founded school, one open year in four quarters, a class group, a course and a student
in it; the methods add more. Each records, or raises as the decision did:

    school = a_school()
    mark = school.marks(school.student, "5", on=date(2025, 9, 10))
    with refuses("reason_missing"):
        school.corrects(school.student, mark, "4", reason="")

Every name here is synthetic.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from ledger.aggregates import class_group, course, school
from ledger.aggregates.student import achievements, marking, marks_lane, record, record_lane, results
from ledger.ids import new_id
from ledger.streams.base import L, LaneRef
from tests.support.world import TEACHER, TODAY, World, a_context

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.streams.base import Context, LedgerEvent

YEAR = "2025-2026"
YEAR_BEGINS, YEAR_ENDS = date(2025, 9, 1), date(2026, 5, 31)
QUARTERS: tuple[tuple[str, date, date], ...] = (
    ("2025-2026/1", date(2025, 9, 1), date(2025, 10, 26)),
    ("2025-2026/2", date(2025, 11, 3), date(2025, 12, 28)),
    ("2025-2026/3", date(2026, 1, 12), date(2026, 3, 22)),
    ("2025-2026/4", date(2026, 3, 30), date(2026, 5, 31)),
)


Student = LaneRef[record.StudentRecord]
Group = LaneRef[class_group.ClassGroup]
CourseRef = LaneRef[course.Course]


def a_name(kind: type[L], school: UUID | None = None) -> LaneRef[L]:
    """Returns a fresh name for a school, or for a class group or a course of one."""
    return LaneRef(one := new_id(), school or one, kind)


class ASchool(World):
    """A world with a school in it, and what people there do. Each method records, or raises as the decision did."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__()
        self.context = context or a_context()
        self.ref = a_name(school.School)
        self.record(school.found_school(self.ref, None, "Школа для проверок", self.context))

    @property
    def lane(self) -> school.School:
        """The school itself."""
        return self.the(self.ref)

    def opens_year(self, year: str = YEAR, begins: date = YEAR_BEGINS, ends: date = YEAR_ENDS) -> str:
        """Opens a school year and returns its code."""
        self.record(
            school.open_year(
                self.ref, self.lane, year=year, title=year, starts_on=begins, ends_on=ends, context=self.context
            )
        )
        return year

    def defines_period(self, period: str, begins: date, ends: date, *, kind: str = "quarter", year: str = YEAR) -> str:
        """Defines a period and returns its code."""
        self.record(
            school.define_period(
                self.ref,
                self.lane,
                period=period,
                year=year,
                kind=kind,
                title=period,
                starts_on=begins,
                ends_on=ends,
                context=self.context,
            )
        )
        return period

    def closes_period(self, period: str) -> None:
        """Closes a period."""
        self.record(school.close_period(self.ref, self.lane, period=period, context=self.context))

    def closes_year(self, year: str = YEAR) -> None:
        """Closes a year."""
        self.record(school.close_year(self.ref, self.lane, year=year, context=self.context))

    def permits(
        self, *, year: str = YEAR, course_id: UUID | None = None, until: date = TODAY, reason: str = "Болезнь учителя"
    ) -> UUID:
        """Permits late entries and returns the permission's id."""
        (event,) = self.record(
            school.permit_late_entry(
                self.ref,
                self.lane,
                year=year,
                course_id=course_id,
                until=until,
                reason=reason,
                context=self.context,
            )
        )
        return event.event_id

    def adopts_window(self, days: int | None, *, in_force_from: date = YEAR_BEGINS) -> None:
        """Adopts a version of the assessment regulation with a window for corrections."""
        self.record(
            school.adopt_local_act(
                self.ref,
                self.lane,
                act=marking.ASSESSMENT_ACT,
                title="Положение об оценивании",
                consulted=("Педагогический совет",),
                approved_by="Приказ 1 от 01.09.2025",
                in_force_from=in_force_from,
                correction_window_days=days,
                context=self.context,
            )
        )

    def forms_group(self, title: str = "5А", year: str = YEAR) -> Group:
        """Forms a class group and returns its name."""
        ref = a_name(class_group.ClassGroup, self.ref.subject_id)
        self.record(
            class_group.form_class_group(
                ref, self.lane, title=title, year=year, level="basic", class_teacher=None, context=self.context
            )
        )
        return ref

    def opens_course(self, group: Group, *, scale: str = "five", journal: str = "class") -> CourseRef:
        """Opens a course of a class group and returns its name."""
        ref = a_name(course.Course, self.ref.subject_id)
        self.record(
            course.open_course(
                ref,
                self.lane,
                self.the(group),
                title="Математика",
                group_id=group.stream_id,
                journal=journal,
                scale=scale,
                teachers=(TEACHER,),
                starts_on=None,
                context=self.context,
            )
        )
        return ref

    def adds_work(self, of: CourseRef, *, scale: str | None = None, kind: str = "test") -> UUID:
        """Adds a work to a course and returns its id."""
        (event,) = self.record(
            course.add_work(
                of,
                self.lane,
                self.the(of),
                title="Контрольная работа",
                kind=kind,
                weight=Decimal(1),
                scale=scale,
                set_on=None,
                due_on=None,
                context=self.context,
            )
        )
        return event.event_id

    def enrols(
        self, *, family_name: str = "Синтетический", given_name: str = "Ученик", on: date | None = YEAR_BEGINS
    ) -> Student:
        """Enrols a synthetic student and returns the record lane's name."""
        ref = record_lane(new_id())
        self.record(
            record.enrol_student(
                ref,
                family_name=family_name,
                given_name=given_name,
                patronymic="",
                birth_date=None,
                enrolled_on=on,
                foreign_ids=(),
                context=self.context,
            )
        )
        return ref

    def moves(
        self, student: Student, group: Group, *, on: date | None = YEAR_BEGINS, out_of: Group | None = None
    ) -> list[LedgerEvent]:
        """Puts a student into a class group."""
        return self.record(
            record.move_to_group(
                student,
                self.the(student),
                group_id=group.stream_id,
                from_group=out_of.stream_id if out_of else None,
                effective_on=on,
                context=self.context,
            )
        )

    def leaves_group(self, student: Student, group: Group, *, on: date) -> None:
        """Ends a membership."""
        self.record(
            record.leave_group(
                student, self.the(student), group_id=group.stream_id, effective_on=on, context=self.context
            )
        )

    def leaves(self, student: Student, *, on: date, reason: str = "own_wish") -> None:
        """Lets a student leave the school."""
        decided = record.leave_school(student, self.the(student), effective_on=on, reason=reason, context=self.context)
        self.record(decided)

    def transfers_out(
        self,
        student: Student,
        *,
        on: date,
        to: str = "Другая школа",
        application: str = "Заявление 3",
        order: str = "Приказ 7",
        released: tuple[str, ...] = ("personal_file", "portfolio"),
    ) -> list[LedgerEvent]:
        """Transfers a student to another organisation."""
        return self.record(
            record.transfer_out(
                student,
                self.the(student),
                to_organisation=to,
                application=application,
                order=order,
                effective_on=on,
                released=released,
                context=self.context,
            )
        )

    def transfers_in(
        self, student: Student, *, on: date, came_from: str = "Другая школа", order: str = "Приказ 8"
    ) -> None:
        """Takes a student in from another organisation, or back."""
        self.record(
            record.transfer_in(
                student,
                self.the(student),
                from_organisation=came_from,
                order=order,
                effective_on=on,
                context=self.context,
            )
        )

    def place(self, student: Student, of: CourseRef, context: Context | None = None) -> marking.Place:
        """Returns where a student's mark in a course goes."""
        taught = self.the(of)
        ref = marks_lane(student.subject_id, taught.state.year)
        return marking.Place(
            ref=ref,
            marks=self.get(ref),
            record=self.the(student),
            course_id=of.stream_id,
            course=taught,
            school=self.lane,
            context=context or self.context,
        )


class AClass(ASchool):
    """A school with a class group, a course with a work, and a student; marks go there unless told otherwise."""

    def __init__(self, context: Context | None = None, *, scale: str = "five") -> None:
        super().__init__(context)
        self.opens_year()
        for period, begins, ends in QUARTERS:
            self.defines_period(period, begins, ends)
        self.defines_period("2025-2026/year", YEAR_BEGINS, YEAR_ENDS, kind="year")
        self.group = self.forms_group()
        self.course = self.opens_course(self.group, scale=scale)
        self.work = self.adds_work(self.course)
        self.student = self.enrols()
        self.moves(self.student, self.group)

    def joined(self) -> Student:
        """Enrols another student into the class group."""
        student = self.enrols()
        self.moves(student, self.group)
        return student

    def marks(
        self,
        student: Student,
        value: str,
        *,
        on: date = TODAY,
        of: CourseRef | None = None,
        work: UUID | None = None,
        comment: str = "",
        permit: UUID | None = None,
    ) -> UUID:
        """Sets a mark and returns its id."""
        where = self.place(student, of or self.course)
        at = marking.occasion(
            where.course_id,
            where.course,
            where.school,
            where.context,
            work_id=work or self.work,
            effective_on=on,
            permit_id=permit,
        )
        proposals = marking.record_mark(where, at, value=value, comment=comment)
        return self.record(proposals)[-1].event_id

    def corrects(
        self,
        student: Student,
        mark: UUID,
        value: str,
        *,
        reason: str = "Описка",
        of: CourseRef | None = None,
        permit: UUID | None = None,
    ) -> LedgerEvent:
        """Corrects a mark and returns the event."""
        where = self.place(student, of or self.course)
        proposals = marking.correct_mark(where, mark_id=mark, value=value, reason=reason, permit_id=permit)
        return self.record(proposals)[-1]

    def voids(
        self,
        student: Student,
        mark: UUID,
        *,
        reason: str = "Поставлена не тому",
        of: CourseRef | None = None,
        permit: UUID | None = None,
    ) -> LedgerEvent:
        """Declares a mark void and returns the event."""
        where = self.place(student, of or self.course)
        return self.record(marking.void_mark(where, mark_id=mark, reason=reason, permit_id=permit))[-1]

    def submits(self, student: Student, *, on: date = TODAY, work: UUID | None = None) -> LedgerEvent:
        """Hands a work in and returns the event."""
        where = self.place(student, self.course)
        return self.record(marking.submit_work(where, work_id=work or self.work, effective_on=on))[-1]

    def notes(self, student: Student, code: str, *, on: date = TODAY, permit: UUID | None = None) -> LedgerEvent:
        """Notes attendance and returns the event."""
        where = self.place(student, self.course)
        return self.record(marking.note_attendance(where, code=code, effective_on=on, permit_id=permit))[-1]

    def sets_result(
        self,
        student: Student,
        value: str,
        *,
        period: str = QUARTERS[0][0],
        kind: str | None = None,
        scale: str | None = None,
        on: date | None = None,
        permit: UUID | None = None,
    ) -> LedgerEvent:
        """Sets the mark of a period and returns the event."""
        proposals = results.set_period_mark(
            self.place(student, self.course),
            period=period,
            kind=kind,
            value=value,
            scale=scale,
            effective_on=on,
            permit_id=permit,
        )
        return self.record(proposals)[-1]

    def corrects_result(
        self,
        student: Student,
        value: str,
        *,
        period: str = QUARTERS[0][0],
        kind: str | None = None,
        scale: str | None = None,
        reason: str = "Описка",
        permit: UUID | None = None,
    ) -> LedgerEvent:
        """Corrects the mark of a period and returns the event."""
        proposals = results.correct_period_mark(
            self.place(student, self.course),
            period=period,
            kind=kind,
            value=value,
            scale=scale,
            reason=reason,
            permit_id=permit,
        )
        return self.record(proposals)[-1]

    def achieves(
        self,
        student: Student,
        *,
        kind: str = "olympiad",
        level: str = "regional",
        outcome: str = "winner",
        title: str = "Олимпиада по математике",
        on: date = TODAY,
        evidence: str = "Диплом 12",
    ) -> UUID:
        """Records an achievement and returns its id."""
        proposals = achievements.record_achievement(
            student,
            self.the(student),
            kind=kind,
            level=level,
            outcome=outcome,
            title=title,
            achieved_on=on,
            evidence=evidence,
            context=self.context,
        )
        return self.record(proposals)[-1].event_id

    def rewards(
        self,
        student: Student,
        *basis: UUID,
        form: str = "diploma",
        sphere: str = "study",
        title: str = "За победу",
        order: str = "Приказ 15",
        on: date = TODAY,
    ) -> LedgerEvent:
        """Grants an award and returns the event."""
        proposals = achievements.grant_award(
            student,
            self.the(student),
            form=form,
            sphere=sphere,
            title=title,
            basis=basis,
            order=order,
            granted_on=on,
            context=self.context,
        )
        return self.record(proposals)[-1]

    def credits(
        self,
        student: Student,
        value: str | None = "5",
        *,
        subject: str = "Математика",
        scale: str | None = "five",
        group: Group | None = None,
        came_from: str = "Другая школа",
        will_of: str | None = "representative",
        will_on: date | None = TODAY,
        order: str | None = "Приказ 9",
        on: date = TODAY,
    ) -> LedgerEvent:
        """Credits a result from elsewhere and returns the event."""
        proposals = achievements.credit_result(
            student,
            self.the(student),
            subject=subject,
            course_id=None,
            group_id=group.stream_id if group else None,
            work_id=None,
            scale=self.lane.scale(scale) if scale else None,
            value=value,
            from_organisation=came_from,
            will_of=will_of,
            will_on=will_on,
            order=order,
            effective_on=on,
            context=self.context,
        )
        return self.record(proposals)[-1]


def a_school(context: Context | None = None) -> AClass:
    """Returns a school with a year in four quarters, a class group, a course on the five-point scale and a student."""
    return AClass(context)
