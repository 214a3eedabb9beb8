"""The roster view. Group titles, courses and works are the school's records; names are the student's personal file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import msgspec
from msgspec.structs import replace

from ledger.aggregates import class_group, course, log_keys, school, working_days
from ledger.aggregates.student import record
from ledger.projections.view import VERSION, Column, Fact, Key, Reads, Row, Rows, Rule, Table, View, changed


class YearBody(msgspec.Struct):
    """A school year."""

    year: str
    title: str
    starts_on: date
    ends_on: date
    closed_on: date | None = None


class PeriodBody(msgspec.Struct):
    """A period of a year."""

    period: str
    year: str
    kind: str
    title: str
    starts_on: date
    ends_on: date
    closed_on: date | None = None


class ScaleBody(msgspec.Struct):
    """A version of a mark scale."""

    scale: str
    version: int
    title: str
    symbols: list[str]
    minimum: Decimal | None
    maximum: Decimal | None
    passing: list[str]


class ActBody(msgspec.Struct):
    """A version of a local act."""

    act: str
    version: int
    title: str
    consulted: list[str]
    approved_by: str
    in_force_from: date
    correction_window_days: int | None


class PermitBody(msgspec.Struct):
    """A permission for late entries."""

    permit_id: UUID
    year: str
    course_id: UUID | None
    until: date
    reason: str


class DayBody(msgspec.Struct):
    """A day that the school declared a working day, or none."""

    day: date
    working: bool
    reason: str


class SchoolBody(msgspec.Struct):
    """The school: its name, years, periods, scales, local acts, permissions and declared working days."""

    name: str
    years: list[YearBody] = msgspec.field(default_factory=list)
    periods: list[PeriodBody] = msgspec.field(default_factory=list)
    scales: list[ScaleBody] = msgspec.field(default_factory=list)
    acts: list[ActBody] = msgspec.field(default_factory=list)
    permits: list[PermitBody] = msgspec.field(default_factory=list)
    days: list[DayBody] = msgspec.field(default_factory=list)


class GroupBody(msgspec.Struct):
    """A class group."""

    title: str
    year: str
    level: str
    class_teacher: UUID | None


class TeacherBody(msgspec.Struct):
    """Who teaches a course, from when to when."""

    teacher: UUID
    starts_on: date
    ends_on: date | None
    substitute: bool


class CourseBody(msgspec.Struct):
    """A course."""

    title: str
    year: str
    journal: str
    scale: str
    teachers: list[TeacherBody] = msgspec.field(default_factory=list)


class WorkBody(msgspec.Struct):
    """A work of a course."""

    title: str
    kind: str
    weight: Decimal
    scale: str


class MembershipBody(msgspec.Struct):
    """A membership of a class group; `begun_by` is the event that began it."""

    group_id: UUID
    begun_by: UUID
    starts_on: date | None
    ends_on: date | None
    flags: list[str]


class StudentBody(msgspec.Struct):
    """A student's names, foreign ids and memberships, and how they left."""

    family_name: str
    given_name: str
    patronymic: str
    birth_date: date | None
    foreign_ids: list[tuple[str, str]]
    memberships: list[MembershipBody] = msgspec.field(default_factory=list)
    status: str = "enrolled"


TABLES = (
    Table("school", (Column("school_id", "uuid"),), (VERSION,), SchoolBody),
    Table("groups", (Column("group_id", "uuid"),), (VERSION,), GroupBody),
    Table("courses", (Column("course_id", "uuid"),), (Column("group_id", "uuid"), VERSION), CourseBody),
    Table(
        "works",
        (Column("work_id", "uuid"),),
        (Column("course_id", "uuid"), Column("set_on", "date"), Column("due_on", "date")),
        WorkBody,
    ),
    Table(
        "students",
        (Column("student_id", "uuid"),),
        (Column("enrolled_on", "date"), Column("left_on", "date"), VERSION),
        StudentBody,
    ),
    Table("foreign_ids", (Column("token", "bytea"),), (Column("student_id", "uuid"),)),
    Table(
        "memberships",
        (Column("group_id", "uuid"), Column("student_id", "uuid"), Column("begun_by", "uuid")),
        (Column("starts_on", "date"), Column("ends_on", "date"), Column("since", "bigint")),
    ),
)

Token = Callable[[str, str], bytes]


def foreign_id_token(blind_index: Token, source: str, foreign_id: str) -> bytes:
    """Returns the search token of a foreign id."""
    return blind_index("foreign id", f"{source}\x00{foreign_id}")


def _row(fact: Fact, clear: Key = (), body: object = None) -> Row:
    entry = fact.entry
    return Row(entry.subject_id, entry.record_class, entry.position, clear, body)


def _stream(table: str) -> Reads:
    return lambda fact: ((table, (fact.entry.stream_id,)),)


def _with_body(rows: Rows, table: str, key: Key, fact: Fact, change: Callable[[Any], None]) -> None:
    """Applies a change to the body of an existing row that has a version; what was erased stays away."""
    row = rows.get(table, key)
    if row is not None:
        change(row.body)
        rows.put(table, key, changed(row, fact))


# --- the school, its groups, courses and works ----------------------------------------------------------------------


def _founded(fact: Fact, rows: Rows) -> None:
    event = cast("school.SchoolFounded", fact.event)
    rows.put("school", (fact.entry.stream_id,), _row(fact, (fact.entry.version,), SchoolBody(event.name)))


def _school(change: Callable[[Any, SchoolBody], None]) -> Rule:
    def apply(fact: Fact, rows: Rows) -> None:
        _with_body(rows, "school", (fact.entry.stream_id,), fact, lambda body: change(fact.event, body))

    return Rule(apply, _stream("school"))


def _year_opened(event: school.SchoolYearOpened, body: SchoolBody) -> None:
    body.years.append(YearBody(event.year, event.title, event.starts_on, event.ends_on))


def _period_defined(event: school.PeriodDefined, body: SchoolBody) -> None:
    body.periods.append(PeriodBody(event.period, event.year, event.kind, event.title, event.starts_on, event.ends_on))


def _scale_defined(event: school.MarkScaleDefined, body: SchoolBody) -> None:
    body.scales.append(
        ScaleBody(
            event.scale,
            event.version,
            event.title,
            list(event.symbols),
            event.minimum,
            event.maximum,
            list(event.passing),
        )
    )


def _act_adopted(event: school.LocalActAdopted, body: SchoolBody) -> None:
    body.acts.append(
        ActBody(
            event.act,
            event.version,
            event.title,
            list(event.consulted),
            event.approved_by,
            event.in_force_from,
            event.correction_window_days,
        )
    )


def _period_closed(event: school.PeriodClosed, body: SchoolBody) -> None:
    for period in body.periods:
        if period.period == event.period:
            period.closed_on = event.closed_on


def _year_closed(event: school.SchoolYearClosed, body: SchoolBody) -> None:
    for year in body.years:
        if year.year == event.year:
            year.closed_on = event.closed_on


def _permitted(event: school.LateEntryPermitted, body: SchoolBody) -> None:
    body.permits.append(PermitBody(event.event_id, event.year, event.course_id, event.until, event.reason))


def _day_declared(event: working_days.WorkingDayDeclared, body: SchoolBody) -> None:
    body.days = [one for one in body.days if one.day != event.day]
    body.days.append(DayBody(event.day, event.working, event.reason))


def _unshown(event: log_keys.LogKeyAdded | log_keys.LogKeyRetired, body: SchoolBody) -> None:
    """Changes the version alone, which the school's tag is made of."""
    del event, body


def _formed(fact: Fact, rows: Rows) -> None:
    event = cast("class_group.ClassGroupFormed", fact.event)
    body = GroupBody(event.title, event.year, event.level, event.class_teacher)
    rows.put("groups", (fact.entry.stream_id,), _row(fact, (fact.entry.version,), body))


def _appointed(fact: Fact, rows: Rows) -> None:
    event = cast("class_group.ClassTeacherAppointed", fact.event)

    def change(body: GroupBody) -> None:
        body.class_teacher = event.class_teacher

    _with_body(rows, "groups", (fact.entry.stream_id,), fact, change)


def _course_opened(fact: Fact, rows: Rows) -> None:
    event = cast("course.CourseOpened", fact.event)
    body = CourseBody(event.title, event.year, event.journal, event.scale)
    rows.put("courses", (fact.entry.stream_id,), _row(fact, (event.group_id, fact.entry.version), body))


def _assigned(fact: Fact, rows: Rows) -> None:
    event = cast("course.TeacherAssigned", fact.event)

    def change(body: CourseBody) -> None:
        body.teachers.append(TeacherBody(event.teacher, event.starts_on, event.ends_on, event.substitute))

    _with_body(rows, "courses", (fact.entry.stream_id,), fact, change)


def _work_added(fact: Fact, rows: Rows) -> None:
    event = cast("course.WorkAdded", fact.event)
    clear = (fact.entry.stream_id, event.set_on, event.due_on)
    body = WorkBody(event.title, event.kind, event.weight, event.scale)
    rows.put("works", (event.event_id,), _row(fact, clear, body))
    _with_body(rows, "courses", (fact.entry.stream_id,), fact, lambda _: None)  # the course has one work more


# --- students -------------------------------------------------------------------------------------------------------


def _enrolled(token: Token) -> Rule:
    def apply(fact: Fact, rows: Rows) -> None:
        event = cast("record.StudentEnrolled", fact.event)
        student_id = fact.entry.subject_id
        body = StudentBody(
            event.family_name, event.given_name, event.patronymic, event.birth_date, list(event.foreign_ids)
        )
        rows.put("students", (student_id,), _row(fact, (event.enrolled_on, None, fact.entry.version), body))
        for source, foreign_id in event.foreign_ids:
            rows.put("foreign_ids", (foreign_id_token(token, source, foreign_id),), _row(fact, (student_id,)))

    return Rule(apply)


def _birth_date(fact: Fact, rows: Rows) -> None:
    event = cast("record.BirthDateRecorded", fact.event)

    def change(body: StudentBody) -> None:
        body.birth_date = event.birth_date

    _with_body(rows, "students", (fact.entry.subject_id,), fact, change)


def _student(fact: Fact) -> Iterable[tuple[str, Key]]:
    return (("students", (fact.entry.subject_id,)),)


def _end(body: StudentBody, rows: Rows, fact: Fact, last_day: date, group_id: UUID | None) -> None:
    """Ends the memberships that are open or end later, as the student's lane does."""
    for entry in body.memberships:
        if (group_id is None or entry.group_id == group_id) and (entry.ends_on is None or entry.ends_on > last_day):
            entry.ends_on = last_day
            key = (entry.group_id, fact.entry.subject_id, entry.begun_by)
            row = rows.get("memberships", key)
            if row is not None:
                rows.put(
                    "memberships",
                    key,
                    replace(row, clear=(entry.starts_on, last_day, row.clear[2]), position=fact.entry.position),
                )


def _moved(fact: Fact, rows: Rows) -> None:
    event = cast("record.StudentMovedToGroup", fact.event)
    student_id = fact.entry.subject_id

    def change(body: StudentBody) -> None:
        if event.from_group is not None and event.effective_on is not None:
            _end(body, rows, fact, event.effective_on - timedelta(days=1), event.from_group)
        body.memberships.append(
            MembershipBody(event.group_id, event.event_id, event.effective_on, None, list(event.flags))
        )

    _with_body(rows, "students", (student_id,), fact, change)
    since = fact.entry.position
    clear = (event.effective_on, None, since)
    rows.put("memberships", (event.group_id, student_id, event.event_id), _row(fact, clear))


def _left_group(fact: Fact, rows: Rows) -> None:
    event = cast("record.StudentLeftGroup", fact.event)
    key = (fact.entry.subject_id,)
    _with_body(rows, "students", key, fact, lambda body: _end(body, rows, fact, event.effective_on, event.group_id))


def _gone(status: Callable[[Any], str]) -> Rule:
    def apply(fact: Fact, rows: Rows) -> None:
        event = cast("record.StudentLeft | record.StudentTransferredOut", fact.event)
        key = (fact.entry.subject_id,)

        def change(body: StudentBody) -> None:
            body.status = status(event)
            _end(body, rows, fact, event.effective_on, None)

        _with_body(rows, "students", key, fact, change)
        row = rows.get("students", key)
        if row is not None:
            rows.put("students", key, replace(row, clear=(row.clear[0], event.effective_on, row.clear[2])))

    return Rule(apply, _student)


def _transferred_in(fact: Fact, rows: Rows) -> None:
    key = (fact.entry.subject_id,)

    def change(body: StudentBody) -> None:
        body.status = "enrolled"

    _with_body(rows, "students", key, fact, change)
    row = rows.get("students", key)
    if row is not None:
        rows.put("students", key, replace(row, clear=(row.clear[0], None, row.clear[2])))


def rosters(blind_index: Token) -> View:
    """Returns the view; `blind_index` makes the search tokens of foreign ids."""
    return View(
        "rosters",
        3,
        TABLES,
        {
            school.SchoolFounded: Rule(_founded),
            school.SchoolYearOpened: _school(_year_opened),
            school.PeriodDefined: _school(_period_defined),
            school.MarkScaleDefined: _school(_scale_defined),
            school.LocalActAdopted: _school(_act_adopted),
            school.PeriodClosed: _school(_period_closed),
            school.SchoolYearClosed: _school(_year_closed),
            school.LateEntryPermitted: _school(_permitted),
            working_days.WorkingDayDeclared: _school(_day_declared),
            log_keys.LogKeyAdded: _school(_unshown),
            log_keys.LogKeyRetired: _school(_unshown),
            class_group.ClassGroupFormed: Rule(_formed),
            class_group.ClassTeacherAppointed: Rule(_appointed, _stream("groups")),
            course.CourseOpened: Rule(_course_opened),
            course.TeacherAssigned: Rule(_assigned, _stream("courses")),
            course.WorkAdded: Rule(_work_added, _stream("courses")),
            record.StudentEnrolled: _enrolled(blind_index),
            record.BirthDateRecorded: Rule(_birth_date, _student),
            record.StudentMovedToGroup: Rule(_moved, _student),
            record.StudentLeftGroup: Rule(_left_group, _student),
            record.StudentLeft: _gone(lambda event: f"left:{event.reason}"),
            record.StudentTransferredOut: _gone(lambda _: "transferred_out"),
            record.StudentTransferredIn: Rule(_transferred_in, _student),
        },
    )
