"""Class groups, courses with their journals and teachers, works with weights."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pytest

from ledger.aggregates import class_group, course
from ledger.aggregates.course import JOURNAL_KINDS, WORK_KINDS, CourseOpened, TeacherAssigned, WorkAdded
from tests.support.school import YEAR, YEAR_BEGINS, AClass, a_name, a_school
from tests.support.world import TEACHER, TODAY, refuses

if TYPE_CHECKING:
    from ledger.streams.base import LedgerEvent

SUBSTITUTE = UUID(int=2)


def form(school: AClass, *, title: str = "6А", year: str = YEAR, level: str = "basic") -> list[LedgerEvent]:
    proposals = class_group.form_class_group(
        a_name(class_group.ClassGroup),
        school.lane,
        title=title,
        year=year,
        level=level,
        class_teacher=TEACHER,
        context=school.context,
    )
    return school.record(proposals)


def open_course(
    school: AClass,
    *,
    title: str = "Физика",
    journal: str = "class",
    scale: str = "five",
    teachers: tuple[UUID, ...] = (),
    starts_on: date | None = None,
) -> list[LedgerEvent]:
    proposals = course.open_course(
        a_name(course.Course),
        school.lane,
        school.the(school.group),
        title=title,
        group_id=school.group.stream_id,
        journal=journal,
        scale=scale,
        teachers=teachers,
        starts_on=starts_on,
        context=school.context,
    )
    return school.record(proposals)


def add_work(
    school: AClass,
    *,
    title: str = "Диктант",
    kind: str = "control",
    weight: Decimal = Decimal(1),
    scale: str | None = None,
    set_on: date | None = None,
    due_on: date | None = None,
) -> WorkAdded:
    proposals = course.add_work(
        school.course,
        school.lane,
        school.the(school.course),
        title=title,
        kind=kind,
        weight=weight,
        scale=scale,
        set_on=set_on,
        due_on=due_on,
        context=school.context,
    )
    return cast("WorkAdded", school.record(proposals)[0])


def assign(school: AClass, *, starts_on: date, ends_on: date | None, substitute: bool) -> TeacherAssigned:
    proposals = course.assign_teacher(
        school.course,
        teacher=SUBSTITUTE,
        starts_on=starts_on,
        ends_on=ends_on,
        substitute=substitute,
        context=school.context,
    )
    return cast("TeacherAssigned", school.record(proposals)[0])


# --- class groups ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", class_group.LEVELS)
def test_class_group_is_formed_on_every_level(level: str) -> None:
    (event,) = form(a_school(), title=" 6А ", level=level)
    formed = cast("class_group.ClassGroupFormed", event)
    assert (formed.title, formed.level, formed.year, formed.class_teacher) == ("6А", level, YEAR, TEACHER)


def test_class_group_needs_title_level_and_an_open_year() -> None:
    school = a_school()
    with refuses("title_missing", "level_unknown", "year_unknown"):
        form(school, title=" ", level="x", year="1999")
    school.closes_year()
    with refuses("year_closed"):
        form(school)


def test_class_teacher_is_replaced_by_somebody_else() -> None:
    school = a_school()
    for teacher in (TEACHER, SUBSTITUTE):
        proposals = class_group.appoint_class_teacher(
            school.group,
            school.the(school.group),
            class_teacher=teacher,
            effective_on=TODAY,
            context=school.context,
        )
        school.record(proposals)
        assert school.the(school.group).class_teacher_on(TODAY) == teacher
    with refuses("class_teacher_same"):
        class_group.appoint_class_teacher(
            school.group,
            school.the(school.group),
            class_teacher=SUBSTITUTE,
            effective_on=TODAY,
            context=school.context,
        )


# --- courses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("journal", JOURNAL_KINDS)
def test_course_goes_into_every_kind_of_journal(journal: str) -> None:
    (event,) = open_course(a_school(), title=" Физика ", journal=journal)
    opened = cast("CourseOpened", event)
    assert (opened.title, opened.journal, opened.year, opened.scale) == ("Физика", journal, YEAR, "five")


def test_course_begins_with_its_teachers_on_the_first_day_of_the_year_or_the_day_given() -> None:
    school = a_school()
    _, first, second = open_course(school, teachers=(TEACHER, SUBSTITUTE))
    assert cast("TeacherAssigned", first).teacher == TEACHER
    assert cast("TeacherAssigned", second).starts_on == YEAR_BEGINS
    _, given = open_course(school, teachers=(TEACHER,), starts_on=TODAY)
    assert cast("TeacherAssigned", given).starts_on == TODAY


def test_course_needs_title_journal_and_scale() -> None:
    with refuses("title_missing", "journal_unknown", "scale_unknown"):
        open_course(a_school(), title="", journal="x", scale="stars")


def test_course_of_a_closed_year_is_refused() -> None:
    school = a_school()
    school.closes_year()
    with refuses("year_closed"):
        open_course(school)


def test_substitute_teaches_from_the_first_day_to_the_last() -> None:
    school = a_school()
    assign(school, starts_on=TODAY, ends_on=TODAY + timedelta(days=2), substitute=True)
    taught = school.the(school.course)
    days = [taught.taught_by(SUBSTITUTE, TODAY + timedelta(days=n)) for n in range(-1, 4)]
    assert days == [False, True, True, True, False]
    assert [taught.substituted_by(SUBSTITUTE, TODAY + timedelta(days=n)) for n in range(-1, 4)] == days
    assert not taught.substituted_by(TEACHER, TODAY)
    assert taught.taught_by(TEACHER, TODAY)
    assert not taught.taught_by(UUID(int=3), TODAY)


def test_teacher_without_a_last_day_teaches_on() -> None:
    school = a_school()
    assign(school, starts_on=TODAY, ends_on=None, substitute=False)
    assert school.the(school.course).taught_by(SUBSTITUTE, date(2099, 1, 1))


def test_substitute_without_a_last_day_or_with_one_before_the_first_is_refused() -> None:
    school = a_school()
    with refuses("substitute_open"):
        assign(school, starts_on=TODAY, ends_on=None, substitute=True)
    with refuses("dates_reversed"):
        assign(school, starts_on=TODAY, ends_on=TODAY - timedelta(days=1), substitute=True)


# --- works -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WORK_KINDS)
def test_work_of_every_kind_is_marked_on_the_scale_of_its_course(kind: str) -> None:
    school = a_school()
    event = add_work(school, kind=kind, title=" Диктант ")
    assert (event.title, event.kind, event.scale) == ("Диктант", kind, "five")
    assert event.event_id.bytes in school.the(school.course).state.works


def test_work_may_have_a_scale_of_its_own() -> None:
    school = a_school()
    event = add_work(school, scale="hundred")
    school.marks(school.student, "78.50", work=event.event_id)
    with refuses("scale_unknown"):
        add_work(school, scale="stars")


@pytest.mark.parametrize("weight", ["0", "0.5", "10.25", "1000"])
def test_weight_in_its_range_is_kept_exactly(weight: str) -> None:
    assert add_work(a_school(), weight=Decimal(weight)).weight == Decimal(weight)


@pytest.mark.parametrize("weight", ["-0.01", "1000.01", "NaN", "sNaN", "Infinity", "-Infinity"])
def test_weight_out_of_range_is_refused(weight: str) -> None:
    with refuses("weight_range"):
        add_work(a_school(), weight=Decimal(weight))


def test_work_needs_title_and_kind_and_is_not_due_before_it_is_set() -> None:
    school = a_school()
    with refuses("title_missing", "kind_unknown", "dates_reversed"):
        add_work(school, title=" ", kind="x", set_on=TODAY, due_on=TODAY - timedelta(days=1))
    add_work(school, set_on=TODAY, due_on=TODAY)
    add_work(school, set_on=TODAY)


def test_closed_year_takes_no_work() -> None:
    school = a_school()
    school.closes_year()
    with refuses("year_closed"):
        add_work(school)
