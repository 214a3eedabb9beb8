"""What readers are shown: plain records, the same for JSON, pages and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from ledger.errors import InvalidInput
from ledger.projections.journals.projection import Change
from ledger.projections.rosters.projection import (
    ActBody,
    DayBody,
    MembershipBody,
    PeriodBody,
    PermitBody,
    ScaleBody,
    TeacherBody,
    YearBody,
)

T = TypeVar("T")

MAX_PAGE = 50
"""Students on one page (and the most items of any list): a page is one disclosure for each of them."""


def check_students(limit: int) -> None:
    """Passes if a page may show so many students, whichever door the request came through.

    Raises:
        InvalidInput: it may not.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput("A page cannot show so many students.", help=f"Ask for 1 to {MAX_PAGE}.")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list; `next` continues it, None at the end. `position` is where the view stood.

    The tag of a page, of a journal or of a portfolio is weak: it says whether to read again, and is no precondition.
    """

    items: list[T]
    next: str | None
    position: int
    etag: str


@dataclass(frozen=True, slots=True)
class SchoolShown:
    """The school: its name, years, periods, scales, local acts, permissions and declared working days."""

    name: str
    years: list[YearBody]
    periods: list[PeriodBody]
    scales: list[ScaleBody]
    acts: list[ActBody]
    permits: list[PermitBody]
    days: list[DayBody]
    etag: str


@dataclass(frozen=True, slots=True)
class GroupShown:
    """A class group."""

    group_id: UUID
    title: str
    year: str
    level: str
    class_teacher: UUID | None
    etag: str


@dataclass(frozen=True, slots=True)
class CourseShown:
    """A course with its teachers."""

    course_id: UUID
    group_id: UUID
    title: str
    year: str
    journal: str
    scale: str
    teachers: list[TeacherBody]
    etag: str


@dataclass(frozen=True, slots=True)
class WorkShown:
    """A work of a course."""

    work_id: UUID
    title: str
    kind: str
    weight: Decimal
    scale: str
    set_on: date | None
    due_on: date | None


@dataclass(frozen=True, slots=True)
class StudentShown:
    """A student's card."""

    student_id: UUID
    family_name: str
    given_name: str
    patronymic: str
    birth_date: date | None
    enrolled_on: date | None
    left_on: date | None
    status: str
    foreign_ids: list[tuple[str, str]]
    memberships: list[MembershipBody]
    etag: str


class CellShown(msgspec.Struct, frozen=True):
    """Something that stands in a journal: a mark, a submission, an attendance code, a credited result.

    Only a mark can be changed, so only a mark has a tag.
    """

    entry_id: UUID
    kind: str
    work_id: UUID | None
    effective_on: date
    value: str | None
    comment: str
    voided: bool
    flags: list[str]
    recorded_by: UUID
    position: int
    changes: list[Change]
    etag: str | None


class ResultShown(msgspec.Struct, frozen=True):
    """The mark of a period."""

    period: str
    kind: str
    value: str
    scale: str
    effective_on: date
    flags: list[str]
    recorded_by: UUID
    position: int
    changes: list[Change]
    etag: str


@dataclass(frozen=True, slots=True)
class MarkShown:
    """A mark, as it stands in the journal of its course."""

    student_id: UUID
    course_id: UUID
    mark: CellShown
    etag: str


@dataclass(frozen=True, slots=True)
class PeriodMarks:
    """A student's marks of periods in a course; each is changed by its own tag."""

    student_id: UUID
    course_id: UUID
    items: list[ResultShown]
    access_id: UUID
    etag: str


class JournalLine(msgspec.Struct, frozen=True):
    """A student's line in the journal."""

    student_id: UUID
    family_name: str
    given_name: str
    patronymic: str
    cells: list[CellShown] = msgspec.field(default_factory=list)
    results: list[ResultShown] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JournalPage:
    """A page of a journal: the works as columns, at most 50 students as lines, by name.

    `position` is what it shows (asked for as of this position it is the same again); `effective_on` where only what had
    happened by a day was asked for.
    """

    course: CourseShown
    works: list[WorkShown]
    lines: list[JournalLine]
    next: str | None
    position: int
    access_id: UUID
    etag: str
    effective_on: date | None = None


@dataclass(frozen=True, slots=True)
class PortfolioItem:
    """An achievement, award or credited result."""

    item_id: UUID
    kind: str
    happened_on: date
    title: str
    form: str
    level: str
    outcome: str
    sphere: str
    evidence: str
    order: str
    value: str | None
    organisation: str
    basis: list[UUID]
    flags: list[str]
    position: int


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A page of a student's portfolio."""

    student_id: UUID
    items: list[PortfolioItem]
    next: str | None
    position: int
    access_id: UUID
    etag: str
    effective_on: date | None = None


@dataclass(frozen=True, slots=True)
class RetentionLine:
    """A record class of a student: its carriers, its clock and when it is due (`status` as in the file plan)."""

    record_class: str
    carriers: list[str]
    last_on: date
    events: int
    status: str
    due_on: date | None
    destroy_by: date | None
    eligible: bool
    sources: list[str]


@dataclass(frozen=True, slots=True)
class Retention:
    """A student's record classes with their terms."""

    student_id: UUID
    completed_on: date | None
    lines: list[RetentionLine]
    position: int
    access_id: UUID


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A document that was handed over: what, on which day, by whom, and to which of the family (null: an outsider)."""

    kind: str
    number: str
    effective_on: date
    handed_by: UUID
    received_by: UUID | None


@dataclass(frozen=True, slots=True)
class DisclosureLine:
    """One access to a student's data (or a refused one); `position` is that of the disclosure in the history.

    `document` asked for it. `exceptional` is access for which the office alone did not suffice, and `reason` why it was
    needed, in the words of who had it. `handed_over`: nobody looked, a document was handed over.
    """

    student_id: UUID
    position: int
    recorded_at: datetime
    access_id: UUID
    granted: bool
    actor: UUID
    office: str
    on_behalf_of: UUID | None
    recipient: str | None
    purpose: str
    legal_basis: str
    policy: str
    channel: str
    resource: str
    students: int
    categories: list[str]
    exceptional: bool = False
    document: str | None = None
    reason: str | None = None
    handed_over: HandedOver | None = None


@dataclass(frozen=True, slots=True)
class DisclosureRegister:
    """A page of who saw a student's data, newest first."""

    student_id: UUID
    items: list[DisclosureLine]
    next: str | None
    position: int
    access_id: UUID


@dataclass(frozen=True, slots=True)
class RegisterPage:
    """A page of who saw whose data, newest first."""

    items: list[DisclosureLine]
    next: str | None
    position: int
    access_id: UUID


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One event of a student's history, opened; `state` is None where its class was erased or is not shown so."""

    position: int
    event_id: UUID
    stream_id: UUID
    version: int
    topic: str
    record_class: str
    recorded_at: datetime
    actor: UUID
    office: str
    local_act: str | None
    carrier: str
    state: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class History:
    """A page of a student's history, oldest first."""

    student_id: UUID
    items: list[HistoryLine]
    next: str | None
    access_id: UUID
