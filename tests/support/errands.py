"""What people at a school want recorded: each kind of command, about whatever there is by now.

command, by, demanded = a_command(Errand("correct", 3, 1, 0), school, book)

An errand's numbers choose among students, marks and permits; so much is accepted, and much refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ledger.aggregates.student.record import LEAVING_REASONS, RELEASABLE
from ledger.application.record.achievements import CreditResult, GrantAward, RecordAchievement
from ledger.application.record.courses import AddWork, AppointClassTeacher, AssignTeacher, FormClassGroup, OpenCourse
from ledger.application.record.marks import (
    CorrectMark,
    CorrectPeriodMark,
    LessonEntry,
    RecordLesson,
    RecordMark,
    SetPeriodMark,
    SubmitWork,
    VoidMark,
)
from ledger.application.record.school import (
    AdoptLocalAct,
    ClosePeriod,
    CloseSchoolYear,
    DefineMarkScale,
    DefinePeriod,
    FoundSchool,
    OpenSchoolYear,
    PermitLateEntry,
)
from ledger.application.record.students import (
    EnrolStudent,
    LeaveGroup,
    LeaveSchool,
    MoveToGroup,
    TransferIn,
    TransferOut,
)
from ledger.application.record.webhooks import RegisterWebhook, RemoveWebhook, ResumeWebhook, RotateWebhookSecret
from ledger.ids import new_id
from tests.support.desk import CLASS_TEACHER, DIRECTOR, TEACHER
from tests.support.school import QUARTERS, YEAR, YEAR_BEGINS
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.application.record.command import RecordingCommand
    from ledger.policy.offices import Actor
    from tests.support.book import Book

LONG = "а" * 1_600
"""A text with which an append is long for the proxy."""


@dataclass(frozen=True)
class Errand:
    """Something that somebody wants; the numbers choose among whatever there is."""

    kind: str
    student: int = 0
    number: int = 0
    ago: int = 0
    long: bool = False

    @property
    def day(self) -> date:
        """When it happened."""
        return TODAY - timedelta(days=self.ago)

    @property
    def text(self) -> str:
        """A comment."""
        return LONG if self.long else ""


class Wish(NamedTuple):
    """A command, who sends it, and the mark and tag that it demands, if it does."""

    command: RecordingCommand
    by: Actor
    demanded: tuple[UUID, str] | None = None


@dataclass(frozen=True)
class Town:
    """What there is at a school before anybody comes with an errand."""

    school: UUID
    groups: tuple[UUID, ...]
    courses: tuple[UUID, ...]
    works: tuple[UUID, ...]
    """One of each course."""


@dataclass(frozen=True)
class _Asking:
    """An errand at a school, with what its book says there is."""

    errand: Errand
    town: Town
    book: Book

    @property
    def student(self) -> UUID:
        return self.book.students[self.errand.student % len(self.book.students)]

    @property
    def place(self) -> tuple[UUID, UUID]:
        """A course and its work: the first one mostly."""
        number = 1 if self.errand.number % 5 == 4 else 0
        return self.town.courses[number], self.town.works[number]

    @property
    def group(self) -> UUID:
        return self.town.groups[self.errand.number % len(self.town.groups)]

    @property
    def value(self) -> str:
        return "54321x"[self.errand.number % 6]

    @property
    def permit(self) -> UUID | None:
        known = [None, *self.book.permits]
        return known[self.errand.number % len(known)]

    @property
    def period(self) -> str:
        return QUARTERS[self.errand.number % 2][0]

    def wants(self, by: Actor, command: Callable[..., RecordingCommand], **fields: object) -> Wish:
        """Returns a command about this school."""
        return Wish(command(school=self.town.school, **fields), by)

    def one_mark(self) -> tuple[UUID, UUID, UUID]:
        """Returns student, course and id of a mark that was set lately; or of none, where there is none."""
        known = self.book.marks[-8:] or [(self.student, self.place[0], UUID(int=0))]
        return known[self.errand.number % len(known)]

    def mark(self) -> Wish:
        course, work = self.place
        return self.wants(
            TEACHER,
            RecordMark,
            course_id=course,
            student_id=self.student,
            work_id=work,
            value=self.value,
            effective_on=self.errand.day,
            comment=self.errand.text,
            permit_id=self.permit,
        )

    def lesson(self) -> Wish:
        (course, work), known = self.place, self.book.students
        some = [known[(self.errand.student + n) % len(known)] for n in range(1 + self.errand.number % 4)]
        entries = tuple(
            LessonEntry(one, (("5",), ("4", "3"), ())[n % 3], "н" if n % 3 == 2 else None, self.errand.text)
            for n, one in enumerate(some)
        )
        return self.wants(
            TEACHER,
            RecordLesson,
            course_id=course,
            work_id=work,
            held_on=self.errand.day,
            entries=entries,
            permit_id=self.permit,
        )

    def correct(self, *, demanding: bool = False) -> Wish:
        student, course, mark = self.one_mark()
        wish = self.wants(
            TEACHER,
            CorrectMark,
            course_id=course,
            student_id=student,
            mark_id=mark,
            value="5432"[self.errand.ago % 4],
            reason="Описка",
            permit_id=self.permit,
        )
        return wish._replace(demanded=(mark, self.tag(mark)) if demanding else None)

    def tag(self, mark: UUID) -> str:
        """Returns the tag that the sender has seen: one of four is an old one."""
        return '"m1"' if self.errand.student % 4 == 0 else self.book.tags.get(mark, '"m2"')

    def void(self) -> Wish:
        student, course, mark = self.one_mark()
        wish = self.wants(TEACHER, VoidMark, course_id=course, student_id=student, mark_id=mark, reason="Не тот ученик")
        return wish._replace(demanded=(mark, self.tag(mark)) if self.errand.ago % 2 else None)

    def submit(self) -> Wish:
        (course, work), day = self.place, self.errand.day
        return self.wants(
            TEACHER, SubmitWork, course_id=course, student_id=self.student, work_id=work, effective_on=day
        )

    def result(self) -> Wish:
        return self.wants(
            TEACHER,
            SetPeriodMark,
            course_id=self.place[0],
            student_id=self.student,
            period=self.period,
            value=self.value,
            permit_id=self.permit,
        )

    def correct_result(self) -> Wish:
        return self.wants(
            TEACHER,
            CorrectPeriodMark,
            course_id=self.place[0],
            student_id=self.student,
            period=self.period,
            value="5432"[self.errand.ago % 4],
            reason="Пересчёт",
            permit_id=self.permit,
        )

    def achieve(self) -> Wish:
        return self.wants(
            DIRECTOR,
            RecordAchievement,
            student_id=self.student,
            kind="olympiad",
            level="school",
            outcome="winner",
            title="Олимпиада",
            achieved_on=self.errand.day,
            evidence=f"Диплом {self.errand.number}",
        )

    def award(self) -> Wish:
        known = self.book.achievements or [(self.student, UUID(int=0))]
        student, basis = known[self.errand.number % len(known)]
        return self.wants(
            CLASS_TEACHER,
            GrantAward,
            student_id=student,
            form="diploma",
            sphere="study",
            title="Диплом",
            basis=(basis,),
            order="Приказ 1",
            granted_on=self.errand.day,
        )

    def credit(self) -> Wish:
        return self.wants(
            DIRECTOR,
            CreditResult,
            student_id=self.student,
            subject="Математика",
            from_organisation="Другая школа",
            effective_on=self.errand.day,
            scale="five",
            value=self.value,
            order="Приказ 2",
        )

    def enrol(self) -> Wish:
        return self.wants(
            DIRECTOR,
            EnrolStudent,
            family_name=f"Синтетический{self.errand.number:04}",
            given_name="Ученик",
            enrolled_on=YEAR_BEGINS,
        )

    def move(self) -> Wish:
        return self.wants(
            DIRECTOR, MoveToGroup, student_id=self.student, group_id=self.group, effective_on=self.errand.day
        )

    def leave_group(self) -> Wish:
        return self.wants(
            DIRECTOR, LeaveGroup, student_id=self.student, group_id=self.group, effective_on=self.errand.day
        )

    def leave(self) -> Wish:
        return self.wants(
            DIRECTOR,
            LeaveSchool,
            student_id=self.student,
            effective_on=self.errand.day,
            reason=LEAVING_REASONS[self.errand.number % len(LEAVING_REASONS)],
        )

    def transfer_out(self) -> Wish:
        return self.wants(
            DIRECTOR,
            TransferOut,
            student_id=self.student,
            to_organisation="Другая школа",
            application="Заявление 1",
            order="Приказ 3",
            effective_on=self.errand.day,
            released=RELEASABLE[: self.errand.number % 3],
        )

    def transfer_in(self) -> Wish:
        return self.wants(
            DIRECTOR,
            TransferIn,
            student_id=self.student,
            from_organisation="Другая школа",
            order="Приказ 4",
            effective_on=self.errand.day,
        )

    def found(self) -> Wish:
        return Wish(FoundSchool(school=self.town.school, name="Вторая школа"), DIRECTOR)

    def open_year(self) -> Wish:
        return self.wants(
            DIRECTOR,
            OpenSchoolYear,
            year="2026-2027",
            title="2026-2027",
            starts_on=date(2026, 9, 1),
            ends_on=date(2027, 5, 31),
        )

    def define_period(self) -> Wish:
        return self.wants(
            DIRECTOR,
            DefinePeriod,
            period=f"2026-2027/{self.errand.number}",
            year="2026-2027",
            kind="module",
            title="Модуль",
            starts_on=date(2026, 9, 1) + timedelta(days=self.errand.number * 10),
            ends_on=date(2026, 9, 9) + timedelta(days=self.errand.number * 10),
        )

    def close_year(self) -> Wish:
        return Wish(CloseSchoolYear(school=self.town.school, year="2026-2027"), DIRECTOR)

    def close(self) -> Wish:
        return Wish(ClosePeriod(school=self.town.school, period=self.period), DIRECTOR)

    def permit_late(self) -> Wish:
        return self.wants(
            DIRECTOR,
            PermitLateEntry,
            year=YEAR,
            course_id=self.place[0] if self.errand.student % 2 else None,
            until=TODAY,
            reason="Болезнь учителя",
        )

    def adopt(self) -> Wish:
        return self.wants(
            DIRECTOR,
            AdoptLocalAct,
            act="assessment",
            title="Положение об оценивании",
            consulted=("pedagogical_council",),
            approved_by="Приказ 5",
            in_force_from=YEAR_BEGINS,
            correction_window_days=None if self.errand.number % 2 else 30,
        )

    def define_scale(self) -> Wish:
        return self.wants(
            DIRECTOR, DefineMarkScale, scale="letters", title="Буквы", symbols=("А", "Б", "В"), passing=("А", "Б")
        )

    def form_group(self) -> Wish:
        return self.wants(
            DIRECTOR, FormClassGroup, title=f"{self.errand.number}Г", year=YEAR, level="basic", group_id=new_id()
        )

    def appoint(self) -> Wish:
        return self.wants(
            DIRECTOR,
            AppointClassTeacher,
            group_id=self.group,
            class_teacher=CLASS_TEACHER.id,
            effective_on=self.errand.day,
        )

    def open_course(self) -> Wish:
        return self.wants(
            DIRECTOR,
            OpenCourse,
            title="Кружок",
            group_id=self.group,
            journal="class",
            scale="five",
            teachers=(TEACHER.id,),
        )

    def assign(self) -> Wish:
        return self.wants(
            DIRECTOR,
            AssignTeacher,
            course_id=self.place[0],
            teacher=CLASS_TEACHER.id,
            starts_on=self.errand.day,
            ends_on=TODAY,
            substitute=True,
        )

    def add_work(self) -> Wish:
        command = AddWork(school=self.town.school, course_id=self.place[0], title="Контрольная", kind="control")
        return Wish(command, TEACHER)

    def webhook(self) -> UUID:
        """Returns a webhook that was registered lately; or none, where there is none."""
        known = self.book.webhooks[-3:] or [UUID(int=0)]
        return known[self.errand.number % len(known)]

    def register_webhook(self) -> Wish:
        return Wish(RegisterWebhook(school=self.town.school, url="https://example.org/told"), DIRECTOR)

    def rotate_secret(self) -> Wish:
        return self.wants(DIRECTOR, RotateWebhookSecret, webhook_id=self.webhook(), reason="По сроку")

    def resume_webhook(self) -> Wish:
        return Wish(ResumeWebhook(school=self.town.school, webhook_id=self.webhook(), reason="Починили"), DIRECTOR)

    def remove_webhook(self) -> Wish:
        return Wish(RemoveWebhook(school=self.town.school, webhook_id=self.webhook(), reason="Не нужен"), DIRECTOR)


_KINDS: dict[str, tuple[int, Callable[[_Asking], Wish]]] = {
    "mark": (12, _Asking.mark),
    "lesson": (6, _Asking.lesson),
    "correct": (4, _Asking.correct),
    "correct_if_match": (8, lambda asking: asking.correct(demanding=True)),
    "void": (2, _Asking.void),
    "submit": (2, _Asking.submit),
    "result": (4, _Asking.result),
    "correct_result": (2, _Asking.correct_result),
    "achieve": (3, _Asking.achieve),
    "award": (2, _Asking.award),
    "credit": (2, _Asking.credit),
    "enrol": (2, _Asking.enrol),
    "move": (3, _Asking.move),
    "leave_group": (2, _Asking.leave_group),
    "leave": (1, _Asking.leave),
    "transfer_out": (1, _Asking.transfer_out),
    "transfer_in": (2, _Asking.transfer_in),
    "found": (1, _Asking.found),
    "open_year": (1, _Asking.open_year),
    "define_period": (1, _Asking.define_period),
    "close_year": (1, _Asking.close_year),
    "close": (1, _Asking.close),
    "permit": (2, _Asking.permit_late),
    "adopt": (1, _Asking.adopt),
    "define_scale": (1, _Asking.define_scale),
    "form_group": (1, _Asking.form_group),
    "appoint": (1, _Asking.appoint),
    "open_course": (1, _Asking.open_course),
    "assign": (1, _Asking.assign),
    "add_work": (1, _Asking.add_work),
    "register_webhook": (1, _Asking.register_webhook),
    "rotate_secret": (1, _Asking.rotate_secret),
    "resume_webhook": (1, _Asking.resume_webhook),
    "remove_webhook": (1, _Asking.remove_webhook),
}

KINDS: tuple[str, ...] = tuple(kind for kind, (weight, _) in _KINDS.items() for _ in range(weight))
"""Every kind, as often as it shall come."""

_FOUNDED: dict[type[RecordingCommand], str] = {
    EnrolStudent: "student_id",
    FormClassGroup: "group_id",
    OpenCourse: "course_id",
    RegisterWebhook: "webhook_id",
}

LONG_KINDS = ("mark", "lesson")
"""Those that take a long text."""


def a_command(errand: Errand, town: Town, book: Book) -> Wish:
    """Returns the command of an errand."""
    return _KINDS[errand.kind][1](_Asking(errand, town, book))


def sent_again(command: RecordingCommand) -> RecordingCommand:
    """Returns a command as a second request makes it: what it would found gets another random id."""
    for kind, name in _FOUNDED.items():
        if isinstance(command, kind):
            again: RecordingCommand = replace(command, **{name: new_id()})
            return again
    return command
