"""Who may enter and correct what in a journal on which day, and whose achievements and awards (ADR 0023).

Every command decides on lanes in memory, as the executor has it decide.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.aggregates import class_group, course
from ledger.aggregates.course import Assignment, Course
from ledger.application.record.achievements import GrantAward, RecordAchievement
from ledger.application.record.command import no_such_pupil
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
from ledger.errors import Forbidden, NotFound, Refused
from ledger.policy.offices import COURSE_BOUND, RECORDING, Office
from tests.support.school import QUARTERS, AClass, a_school
from tests.support.world import TEACHER, TODAY, a_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.application.record.command import RecordingCommand
    from tests.support.school import Student

SUBSTITUTE, FORMER, STRANGER, CLASS_TEACHER = (UUID(int=0xA0 + number) for number in range(4))
DAY = date(2025, 10, 7)
"""The lesson of the substitution; TODAY is the 15th."""
YESTERDAY = TODAY - timedelta(days=1)


def assigns(school: AClass, person: UUID, begin: date, end: date | None, *, substitute: bool) -> None:
    school.record(
        course.assign_teacher(
            school.course,
            teacher=person,
            starts_on=begin,
            ends_on=end,
            substitute=substitute,
            context=school.context,
        )
    )


@pytest.fixture
def school() -> AClass:
    made = a_school()
    assigns(made, SUBSTITUTE, DAY, DAY, substitute=True)
    assigns(made, FORMER, date(2025, 9, 1), YESTERDAY, substitute=False)
    return made


def allowed(school: AClass, command: RecordingCommand, person: UUID, day: date, office: str = "teacher") -> bool:
    """Tells whether somebody may record the command on a day; whatever else is wrong with it raises."""
    try:
        school.record(command.decide(school, a_context(day, actor=person, office=office)))
    except Forbidden:
        return False
    except NotFound as unseen:  # what is said of somebody else's pupil, too
        if unseen.detail != no_such_pupil().detail:
            raise
        return False
    return True


def told(school: AClass, command: RecordingCommand, office: str) -> str:
    """Returns everything that a teacher is told of a command that is refused."""
    with pytest.raises((NotFound, Refused)) as refused:
        command.decide(school, a_context(TODAY, actor=TEACHER, office=office))
    error = refused.value
    broken = [(one.code, one.message) for one in error.violations] if isinstance(error, Refused) else []
    return f"{error.code} {error.detail} {error.help} {broken}"


def marks(school: AClass, on: date) -> RecordMark:
    return RecordMark(
        school=school.ref.stream_id,
        course_id=school.course.stream_id,
        student_id=school.student.subject_id,
        work_id=school.work,
        value="5",
        effective_on=on,
    )


def lesson(school: AClass, on: date) -> RecordLesson:
    return RecordLesson(
        school=school.ref.stream_id,
        course_id=school.course.stream_id,
        work_id=school.work,
        held_on=on,
        entries=(LessonEntry(school.student.subject_id, ("4",)),),
    )


def submits(school: AClass, on: date) -> SubmitWork:
    return SubmitWork(
        school=school.ref.stream_id,
        course_id=school.course.stream_id,
        student_id=school.student.subject_id,
        work_id=school.work,
        effective_on=on,
    )


def corrects(school: AClass, on: date) -> CorrectMark:
    return CorrectMark(
        school=school.ref.stream_id,
        course_id=school.course.stream_id,
        student_id=school.student.subject_id,
        mark_id=school.marks(school.student, "3", on=on),
        value="4",
        reason="Ошибка",
    )


def voids(school: AClass, on: date) -> VoidMark:
    return VoidMark(
        school=school.ref.stream_id,
        course_id=school.course.stream_id,
        student_id=school.student.subject_id,
        mark_id=school.marks(school.student, "3", on=on),
        reason="Ошибка",
    )


ENTERING: tuple[Callable[[AClass, date], RecordingCommand], ...] = (marks, lesson, submits, corrects, voids)


@pytest.mark.parametrize("command", ENTERING)
def test_who_teaches_today_enters_and_corrects_the_whole_journal(
    school: AClass, command: Callable[[AClass, date], RecordingCommand]
) -> None:
    assert allowed(school, command(school, DAY), TEACHER, TODAY)
    assert allowed(school, command(school, TODAY), TEACHER, TODAY)


@pytest.mark.parametrize("command", ENTERING)
def test_former_teacher_enters_nothing_not_even_for_days_when_they_taught(
    school: AClass, command: Callable[[AClass, date], RecordingCommand]
) -> None:
    assert allowed(school, command(school, DAY), FORMER, YESTERDAY)
    assert not allowed(school, command(school, DAY), FORMER, TODAY)


@pytest.mark.parametrize("command", ENTERING)
def test_substitute_enters_for_the_day_of_the_substitution_and_no_other(
    school: AClass, command: Callable[[AClass, date], RecordingCommand]
) -> None:
    assert allowed(school, command(school, DAY), SUBSTITUTE, DAY)
    assert not allowed(school, command(school, DAY - timedelta(days=1)), SUBSTITUTE, DAY)
    assert not allowed(school, command(school, DAY), SUBSTITUTE, DAY + timedelta(days=1))


@pytest.mark.parametrize("command", ENTERING)
def test_local_act_gives_substitutes_its_days_for_corrections(
    school: AClass, command: Callable[[AClass, date], RecordingCommand]
) -> None:
    school.adopts_window(3)
    assert allowed(school, command(school, DAY), SUBSTITUTE, DAY + timedelta(days=3))
    assert not allowed(school, command(school, DAY), SUBSTITUTE, DAY + timedelta(days=4))
    assert not allowed(school, command(school, DAY - timedelta(days=1)), SUBSTITUTE, DAY)


@pytest.mark.parametrize("command", ENTERING)
def test_substitute_of_a_week_enters_for_monday_on_friday(
    school: AClass, command: Callable[[AClass, date], RecordingCommand]
) -> None:
    monday, friday = date(2025, 10, 6), date(2025, 10, 10)
    assigns(school, STRANGER, monday, friday, substitute=True)
    assert allowed(school, command(school, monday), STRANGER, friday)
    assert not allowed(school, command(school, monday), STRANGER, friday + timedelta(days=1))


@pytest.mark.parametrize("command", ENTERING)
def test_teacher_of_another_course_is_refused_before_anything_is_told_of_a_student(
    school: AClass, command: Callable[[AClass, date], RecordingCommand]
) -> None:
    made = command(school, DAY)
    unknown = {name: UUID(int=0) for name in ("student_id", "mark_id") if hasattr(made, name)}
    for one in (made, replace(made, **unknown)):
        with pytest.raises(Forbidden):
            one.decide(school, a_context(TODAY, actor=STRANGER, office="teacher"))


@pytest.mark.parametrize("office", ["teacher", "class_teacher"])
@pytest.mark.parametrize("command", ENTERING)
def test_teacher_is_told_of_others_pupils_what_is_said_of_who_does_not_exist(
    school: AClass, command: Callable[[AClass, date], RecordingCommand], office: str
) -> None:
    outside, made = school.enrols(), command(school, DAY)
    school.moves(outside, school.forms_group("5Б"))
    if isinstance(made, RecordLesson):
        entries = [LessonEntry(one, ("4",)) for one in (outside.subject_id, UUID(int=0))]
        commands: list[RecordingCommand] = [replace(made, entries=(entry,)) for entry in entries]
    else:
        commands = [replace(made, student_id=one) for one in (outside.subject_id, UUID(int=0))]  # type: ignore[call-arg]  # the others have one
    assert told(school, commands[0], office) == told(school, commands[1], office)
    assert "no such student" in told(school, commands[0], office)
    for one in (achieves, rewards):
        here = one(school, outside)
        assert told(school, here, office) == told(school, replace(here, student_id=UUID(int=0)), office)


@pytest.mark.parametrize("office", ["deputy_head", "director", "system"])
def test_leaders_are_not_bound_to_courses(school: AClass, office: str) -> None:
    for command in ENTERING:
        assert allowed(school, command(school, DAY), STRANGER, TODAY, office)


def test_period_marks_are_set_by_who_teaches_today_or_substitutes_at_the_end_of_the_period(school: AClass) -> None:
    period, _, ends = QUARTERS[0]

    def sets(student: Student) -> SetPeriodMark:
        return SetPeriodMark(
            school=school.ref.stream_id,
            course_id=school.course.stream_id,
            student_id=student.subject_id,
            period=period,
            value="5",
        )

    def mends() -> CorrectPeriodMark:
        return CorrectPeriodMark(
            school=school.ref.stream_id,
            course_id=school.course.stream_id,
            student_id=school.student.subject_id,
            period=period,
            value="4",
            reason="Ошибка",
        )

    assigns(school, STRANGER, YESTERDAY, ends, substitute=True)
    assert not allowed(school, sets(school.student), SUBSTITUTE, DAY)
    assert not allowed(school, sets(school.student), FORMER, TODAY)
    assert allowed(school, sets(school.student), TEACHER, TODAY)
    assert not allowed(school, mends(), SUBSTITUTE, DAY)
    assert allowed(school, mends(), STRANGER, TODAY)
    assert allowed(school, sets(school.joined()), STRANGER, TODAY)


# --- pupils of one's own ----------------------------------------------------------------------------------------------


def leads(school: AClass, person: UUID, on: date) -> None:
    school.record(
        class_group.appoint_class_teacher(
            school.group, school.the(school.group), class_teacher=person, effective_on=on, context=school.context
        )
    )


def achieves(school: AClass, student: Student, course_id: UUID | None = None) -> RecordAchievement:
    return RecordAchievement(
        school=school.ref.stream_id,
        student_id=student.subject_id,
        kind="olympiad",
        level="municipal",
        outcome="winner",
        title="Олимпиада",
        achieved_on=DAY,
        evidence="Диплом 1",
        course_id=course_id,
    )


def rewards(school: AClass, student: Student) -> GrantAward:
    return GrantAward(
        school=school.ref.stream_id,
        student_id=student.subject_id,
        form="diploma",
        sphere="study",
        title="Грамота",
        basis=(school.achieves(student, on=DAY),),
        order="Приказ 3",
        granted_on=TODAY,
    )


def test_class_teacher_records_achievements_and_awards_of_the_own_class_alone(school: AClass) -> None:
    leads(school, CLASS_TEACHER, DAY)
    outside = school.enrols()
    school.moves(outside, school.forms_group("5Б"))
    for command in (achieves, rewards):
        assert allowed(school, command(school, school.student), CLASS_TEACHER, TODAY, "class_teacher")
        assert not allowed(school, command(school, outside), CLASS_TEACHER, TODAY, "class_teacher")
        assert not allowed(school, command(school, school.enrols()), CLASS_TEACHER, TODAY, "class_teacher")
        assert not allowed(school, command(school, school.student), STRANGER, TODAY, "class_teacher")
        assert allowed(school, command(school, outside), STRANGER, TODAY, "deputy_head")


def test_class_teacher_is_who_was_appointed_by_the_day(school: AClass) -> None:
    leads(school, CLASS_TEACHER, DAY)
    leads(school, STRANGER, TODAY + timedelta(days=1))
    assert not allowed(school, achieves(school, school.student), STRANGER, TODAY, "class_teacher")
    assert allowed(school, achieves(school, school.student), CLASS_TEACHER, TODAY, "class_teacher")
    tomorrow = TODAY + timedelta(days=1)
    assert allowed(school, achieves(school, school.student), STRANGER, tomorrow, "class_teacher")
    assert not allowed(school, achieves(school, school.student), CLASS_TEACHER, tomorrow, "class_teacher")


def test_student_who_left_the_class_is_the_class_teachers_no_more(school: AClass) -> None:
    leads(school, CLASS_TEACHER, DAY)
    school.leaves_group(school.student, school.group, on=YESTERDAY)
    assert not allowed(school, achieves(school, school.student), CLASS_TEACHER, TODAY, "class_teacher")


def test_teacher_records_achievements_of_those_whom_they_teach_in_the_course_that_they_name(school: AClass) -> None:
    here = school.course.stream_id
    assert allowed(school, achieves(school, school.student, here), TEACHER, TODAY)
    assert not allowed(school, achieves(school, school.student), TEACHER, TODAY)
    assert not allowed(school, achieves(school, school.student, UUID(int=0)), TEACHER, TODAY)
    assert not allowed(school, achieves(school, school.enrols(), here), TEACHER, TODAY)
    for person in (FORMER, SUBSTITUTE, STRANGER):
        assert not allowed(school, achieves(school, school.student, here), person, TODAY)


# --- the rule itself --------------------------------------------------------------------------------------------------

DAYS = st.integers(0, 12).map(lambda number: date(2025, 10, 1) + timedelta(days=number))
ASSIGNMENTS = st.lists(
    st.builds(
        lambda teacher, begin, length, substitute: Assignment(
            teacher, begin, begin + timedelta(days=length) if substitute or length < 4 else None, substitute
        ),
        st.sampled_from([TEACHER, STRANGER]),
        DAYS,
        st.integers(0, 5),
        st.booleans(),
    ),
    max_size=4,
)


@given(ASSIGNMENTS, DAYS, DAYS, st.none() | st.integers(0, 4))
def test_nobody_enters_who_neither_teaches_today_nor_substituted_on_the_day(
    assignments: list[Assignment], day: date, today: date, window: int | None
) -> None:
    school = a_school()
    lane: Course = school.the(school.course)
    lane.state.teachers[:] = assignments
    mine = [entry for entry in assignments if entry.teacher == STRANGER]
    regular = any(entry.covers(today) for entry in mine if not entry.substitute)
    own_day = any(entry.covers(day) for entry in mine if entry.substitute)
    may = lane.entered_by(STRANGER, day, today, window)
    if regular:
        assert may
    elif may:
        assert own_day
        assert lane.taught_by(STRANGER, today) or 0 <= (today - day).days <= (window or 0)
    if own_day and today == day:
        assert may
    if not mine:
        assert not may


def test_every_office_that_enters_marks_is_a_leader_or_bound() -> None:
    assert RECORDING["marks"] - COURSE_BOUND == {Office.DIRECTOR, Office.DEPUTY_HEAD, Office.SYSTEM}
