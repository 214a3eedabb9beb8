"""A wired ledger and a desk at which a school's people work: commands, reads, views, and what lies behind the curtain.

`desk.founds()` makes a school with a year in quarters, a class group, a course and a work; `desk.enrols(n)` students in
it. Every name is synthetic. The school's day is fixed (`TODAY`), so nothing depends on when a test runs.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import SecretStr

from ledger.application.audit import Auditor
from ledger.application.disclose.gate import Reader
from ledger.application.record.achievements import RecordAchievement
from ledger.application.record.command import Request, record
from ledger.application.record.courses import AddWork, FormClassGroup, OpenCourse
from ledger.application.record.marks import RecordMark
from ledger.application.record.school import DefinePeriod, FoundSchool, OpenSchoolYear
from ledger.application.record.staff import AssumeOffice
from ledger.application.record.students import EnrolStudent, MoveToGroup
from ledger.bootstrap import Foundation, open_ledger
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from ledger.projections.views import all_views
from ledger.settings import Settings
from ledger.store.secrets import ledger_id, load_hasher
from tests.support.school import QUARTERS, YEAR, YEAR_BEGINS, YEAR_ENDS
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ledger.application.audit import AuditReport
    from ledger.application.ledger import Ledger
    from ledger.application.record.command import RecordingCommand
    from ledger.store.commands import Recorded
    from ledger.store.database import Database
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

DIRECTOR = Actor(UUID(int=0xD1), Office.DIRECTOR)
TEACHER = Actor(UUID(int=0x7E), Office.TEACHER)
CLASS_TEACHER = Actor(UUID(int=0xC1), Office.CLASS_TEACHER)


def a_base(database: Database, keks: KeyEncryptionKeys, mapper: EventMapper, folder: Path) -> Foundation:
    """Returns the foundation of a ledger whose database is there already."""
    hasher = load_hasher(database, keks)
    settings = Settings(home=folder, database_url=SecretStr(database.url), db_schema=database.schema, wait_seconds=30)
    return Foundation(ledger_id(database), settings, database, keks, hasher, mapper, all_views(hasher.blind_index))


@asynccontextmanager
async def at_desk(base: Foundation) -> AsyncIterator[Desk]:
    """Yields a desk at a ledger opened on this event loop."""
    async with open_ledger(base) as ledger:
        ledger.today = lambda: TODAY
        yield Desk(base, ledger)


@dataclass
class Desk:
    """Somebody who works with a ledger."""

    base: Foundation
    ledger: Ledger
    group: UUID = field(default_factory=new_id)
    course: UUID = field(default_factory=new_id)
    work: UUID = field(default_factory=new_id)

    @property
    def school(self) -> UUID:
        """The school's id, which every command takes."""
        return self.ledger.id

    async def does(self, command: RecordingCommand, by: Actor = DIRECTOR, **request: Any) -> Recorded:  # noqa: ANN401 - passed on to Request
        """Records a command; further arguments are those of `Request`."""
        return await record(self.ledger, command, Request(by, **request))

    async def founds(self) -> None:
        """Founds the school with everything that marks need."""
        school = self.school
        await self.does(FoundSchool(school=school, name="Школа для проверок"))
        await self.does(OpenSchoolYear(school=school, year=YEAR, title=YEAR, starts_on=YEAR_BEGINS, ends_on=YEAR_ENDS))
        for period, begins, ends in QUARTERS:
            await self.does(
                DefinePeriod(
                    school=school,
                    period=period,
                    year=YEAR,
                    kind="quarter",
                    title=period,
                    starts_on=begins,
                    ends_on=ends,
                )
            )
        await self.forms("5А", self.group)
        self.work = await self.opens(self.course, self.group)

    async def forms(self, title: str, group: UUID) -> None:
        """Forms a class group."""
        await self.does(
            FormClassGroup(
                school=self.school,
                title=title,
                year=YEAR,
                level="basic",
                class_teacher=CLASS_TEACHER.id,
                group_id=group,
            )
        )

    async def opens(self, course: UUID, group: UUID) -> UUID:
        """Opens a course of a class group with one work, and returns the work's id."""
        await self.does(
            OpenCourse(
                school=self.school,
                title="Математика",
                group_id=group,
                journal="class",
                scale="five",
                teachers=(TEACHER.id,),
                course_id=course,
            )
        )
        added = await self.does(AddWork(school=self.school, course_id=course, title="Контрольная", kind="control"))
        return added.events[0].event_id

    async def enrols(self, count: int = 1, *, into: UUID | None = None, family: str = "Синтетический") -> list[UUID]:
        """Enrols students into a class group (the first one, unless told otherwise)."""
        students = [new_id() for _ in range(count)]
        await asyncio.gather(
            *(
                self.does(
                    EnrolStudent(
                        school=self.school,
                        family_name=f"{family}{number:04}",
                        given_name="Ученик",
                        enrolled_on=YEAR_BEGINS,
                        foreign_ids=(("register", f"{family}-{student}"),),
                        student_id=student,
                    )
                )
                for number, student in enumerate(students)
            )
        )
        await asyncio.gather(
            *(
                self.does(
                    MoveToGroup(
                        school=self.school,
                        student_id=student,
                        group_id=into or self.group,
                        effective_on=YEAR_BEGINS,
                    )
                )
                for student in students
            )
        )
        return students

    async def appoints(self, person: UUID, office: str = "deputy_head") -> UUID:
        """Gives somebody an office and returns the tenure."""
        command = AssumeOffice(
            school=self.school, person_id=person, office=office, starts_on=YEAR_BEGINS, document="Приказ 7-к"
        )
        return (await self.does(command)).events[-1].event_id

    def mark(self, student: UUID, value: str = "5", *, on: date = TODAY, comment: str = "") -> RecordMark:
        """Returns the command that sets a mark."""
        return RecordMark(
            school=self.school,
            course_id=self.course,
            student_id=student,
            work_id=self.work,
            value=value,
            effective_on=on,
            comment=comment,
        )

    def achievement(self, student: UUID, *, title: str = "Олимпиада", on: date = TODAY) -> RecordAchievement:
        """Returns the command that records an achievement."""
        return RecordAchievement(
            school=self.school,
            student_id=student,
            kind="olympiad",
            level="school",
            outcome="winner",
            title=title,
            achieved_on=on,
            evidence="Диплом 1",
        )

    async def marks(self, *students: UUID, value: str = "5") -> list[UUID]:
        """Sets a mark for each student and returns the marks' ids."""
        recorded = await asyncio.gather(*(self.does(self.mark(student, value), TEACHER) for student in students))
        return [one.events[-1].event_id for one in recorded]

    async def catches_up(self) -> int:
        """Brings the views to what is recorded."""
        return await asyncio.to_thread(self.base.runner().catch_up)

    def audits(self) -> AuditReport:
        """Replays everything."""
        return an_audit(self.base)


def an_audit(base: Foundation) -> AuditReport:
    """Returns the report of an audit with keys of its own."""
    return Auditor(base.database, base.mapper, base.keks, base.views).audit()


def reads(by: Actor = DIRECTOR) -> Reader:
    """Returns somebody who reads over the API."""
    return Reader(by, "api")


def positions_of(database: Database) -> dict[str, int]:
    """Returns how far each view is: what is served, or its shadow where nothing is yet."""
    with database.connect("owner") as connection:
        return dict(connection.execute("SELECT view, position FROM tracking ORDER BY shadow DESC").fetchall())
