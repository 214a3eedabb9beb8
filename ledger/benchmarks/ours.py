"""The same work on the ledger, everything on: rules decided, states encrypted, keys idempotent, commits durable."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ledger.application.record.command import Request, record
from ledger.application.record.courses import AddWork, FormClassGroup, OpenCourse
from ledger.application.record.marks import LessonEntry, RecordLesson, RecordMark
from ledger.application.record.school import FoundSchool, OpenSchoolYear
from ledger.application.record.students import EnrolStudent, MoveToGroup
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ledger.application.ledger import Ledger

STUDENTS = 3_200
COURSES = 8
LESSONS_AT_ONCE = 64


class World(NamedTuple):
    """A school to measure in."""

    actor: Actor
    day: date
    courses: list[tuple[UUID, UUID]]
    students: list[UUID]


async def build(ledger: Ledger) -> World:
    """Founds a school with synthetic students in one class group and some courses."""
    actor = Actor(new_id(), Office.DIRECTOR)
    request = Request(actor)
    day = ledger.today()
    begins = day - timedelta(days=100)
    school = ledger.id
    await record(ledger, FoundSchool(school=school, name="Измерение / benchmark"), request)
    year = OpenSchoolYear(
        school=school, year="bench", title="bench", starts_on=begins, ends_on=day + timedelta(days=200)
    )
    await record(ledger, year, request)
    group = FormClassGroup(school=school, title="bench", year="bench", level="basic")
    await record(ledger, group, request)
    courses = []
    for number in range(COURSES):
        course = OpenCourse(
            school=school, title=f"course {number}", group_id=group.group_id, journal="class", scale="five"
        )
        await record(ledger, course, request)
        work = await record(
            ledger, AddWork(school=school, course_id=course.course_id, title="work", kind="test"), request
        )
        courses.append((course.course_id, work.events[0].event_id))
    enrolments = [
        EnrolStudent(school=school, family_name=f"Synthetic {number}", given_name="pupil", enrolled_on=begins)
        for number in range(STUDENTS)
    ]
    await asyncio.gather(*(record(ledger, command, request) for command in enrolments))
    moves = (
        MoveToGroup(school=school, student_id=command.student_id, group_id=group.group_id, effective_on=begins)
        for command in enrolments
    )
    await asyncio.gather(*(record(ledger, command, request) for command in moves))
    return World(actor, day, courses, [command.student_id for command in enrolments])


async def add_journal(ledger: Ledger, world: World, students: int, works: int) -> UUID:
    """Returns a course of a class group of its own, with so many works and a mark of every student in each."""
    school, request = ledger.id, Request(world.actor)
    begins = world.day - timedelta(days=100)
    group = FormClassGroup(school=school, title=f"journal {works}", year="bench", level="basic")
    await record(ledger, group, request)
    course = OpenCourse(school=school, title="journal", group_id=group.group_id, journal="class", scale="five")
    await record(ledger, course, request)
    members = []
    for number in range(students):
        one = EnrolStudent(school=school, family_name=f"Synthetic {number}", given_name="pupil", enrolled_on=begins)
        await record(ledger, one, request)
        move = MoveToGroup(school=school, student_id=one.student_id, group_id=group.group_id, effective_on=begins)
        await record(ledger, move, request)
        members.append(one.student_id)
    for number in range(works):
        work = AddWork(school=school, course_id=course.course_id, title=f"work {number}", kind="test")
        lesson = RecordLesson(
            school=school,
            course_id=course.course_id,
            work_id=(await record(ledger, work, request)).events[0].event_id,
            held_on=world.day - timedelta(days=number),
            entries=tuple(LessonEntry(one, ("5",)) for one in members),
        )
        await record(ledger, lesson, request)
    return course.course_id


def a_mark(ledger: Ledger, world: World, chooser: random.Random) -> RecordMark:
    """Returns the command that records a mark of somebody in some course."""
    course_id, work_id = chooser.choice(world.courses)
    return RecordMark(
        school=ledger.id,
        course_id=course_id,
        student_id=chooser.choice(world.students),
        work_id=work_id,
        value="5",
        effective_on=world.day,
    )


async def single_marks(
    ledger: Ledger,
    world: World,
    producers: int,
    seconds: float,
    acknowledged: Callable[[int], None] | None = None,
) -> float:
    """Returns events per second of producers that record one mark each at a time, each with its own key.

    Args:
        acknowledged: called with the position of each mark as soon as it is answered.
    """

    async def produce(chooser: random.Random) -> int:
        command = a_mark(ledger, world, chooser)
        recorded = await record(ledger, command, Request(world.actor, key=new_id().hex, content=b"mark"))
        if acknowledged is not None:
            acknowledged(recorded.position)
        return recorded.count

    return await _run(producers, seconds, produce)


async def bulk(ledger: Ledger, world: World, producers: int, seconds: float, size: int) -> float:
    """Returns events per second of producers that record so many marks at once, each with its own key."""

    async def produce(chooser: random.Random) -> int:
        requests = [
            record(ledger, a_mark(ledger, world, chooser), Request(world.actor, key=new_id().hex, content=b"mark"))
            for _ in range(size)
        ]
        return sum(recorded.count for recorded in await asyncio.gather(*requests))

    return await _run(producers, seconds, produce)


async def one_mark(ledger: Ledger, world: World) -> int:
    """Records one mark and returns its position, which is the last where nobody else records."""
    command = a_mark(ledger, world, random.Random(0))  # noqa: S311 - choosing students for a measurement
    return (await record(ledger, command, Request(world.actor))).position


async def lessons(ledger: Ledger, world: World, producers: int, seconds: float, size: int) -> float:
    """Returns events per second of producers that record a lesson's marks in one command."""
    return await _run(producers, seconds, lambda chooser: _lesson(ledger, world, size, chooser))


async def some_lessons(ledger: Ledger, world: World, count: int, size: int, *, seed: int) -> None:
    """Records so many lessons, several at a time."""
    chooser = random.Random(seed)  # noqa: S311 - choosing students for a measurement
    for first in range(0, count, LESSONS_AT_ONCE):
        together = range(min(LESSONS_AT_ONCE, count - first))
        await asyncio.gather(*(_lesson(ledger, world, size, chooser) for _ in together))


async def _lesson(ledger: Ledger, world: World, size: int, chooser: random.Random) -> int:
    course_id, work_id = chooser.choice(world.courses)
    entries = tuple(LessonEntry(student_id, ("5",)) for student_id in chooser.sample(world.students, size))
    command = RecordLesson(school=ledger.id, course_id=course_id, work_id=work_id, held_on=world.day, entries=entries)
    recorded = await record(ledger, command, Request(world.actor, key=new_id().hex, content=b"lesson"))
    return recorded.count


async def _run(producers: int, seconds: float, produce: Callable[[random.Random], Awaitable[int]]) -> float:
    started = time.perf_counter()

    async def work(number: int) -> int:
        chooser = random.Random(number)  # noqa: S311 - choosing students for a measurement
        count = 0
        while time.perf_counter() < started + seconds:
            count += await produce(chooser)
        return count

    counts = await asyncio.gather(*(work(number) for number in range(producers)))
    return sum(counts) / (time.perf_counter() - started)
