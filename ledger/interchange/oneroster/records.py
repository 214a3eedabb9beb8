"""One frozen record per row of a OneRoster CSV file; each field names the column that it is read from.

Source: OneRoster 1.2 CSV binding, the definitions of academicSessions.csv, orgs.csv, courses.csv, classes.csv,
users.csv, roles.csv, enrollments.csv, categories.csv, lineItems.csv and results.csv. Columns that the ledger has no use
for are not read at all: contact data and passwords that we do not hold cannot leak, and their changes are none to us.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from ledger.interchange.oneroster.columns import (
    Column,
    ScoreStatus,
    day,
    optional_day,
    optional_number,
    optional_reference,
    optional_text,
    optional_truth,
    reference,
    references,
    score_status,
    text,
    texts,
)

_WEIGHT = re.compile(r"weight ([0-9]{1,6}(?:\.[0-9]{1,6})?)", re.IGNORECASE)
_STUDENT = "student"


class Row(msgspec.Struct, frozen=True, gc=False):
    """What every record has: where it came from, and a digest that recognises the row when it comes again.

    `row` is the line where the row begins, the header being line 1. `digest` is SHA-256 over the cells that the record
    reads, so neither the order of columns nor a column that is not read changes it. It is not a secret: a score can be
    guessed from it by trying all scores, so store it only keyed or sealed.
    """

    file: ClassVar[str]

    row: int
    sourced_id: str
    digest: bytes

    def __repr__(self) -> str:
        # Names, scores and comments would otherwise reach logs with any traceback.
        return f"<{type(self).__name__} {self.sourced_id}: {self.file}, row {self.row}>"


class RowError(msgspec.Struct, frozen=True):
    """A row that cannot be used, and what to do about it; `reason` never repeats the content of a cell.

    `sourced_id` is empty when the row has none that can be used.
    """

    file: str
    row: int
    sourced_id: str
    reason: str


class AcademicSession(Row, frozen=True, gc=False):
    """A school year, semester, term or grading period."""

    file: ClassVar[str] = "academicSessions.csv"

    title: Annotated[str, Column("title", text)]
    type: Annotated[str, Column("type", text)]
    start_date: Annotated[date, Column("startDate", day)]
    end_date: Annotated[date, Column("endDate", day)]
    parent_id: Annotated[str | None, Column("parentSourcedId", optional_reference)]
    school_year: Annotated[str | None, Column("schoolYear", optional_text)]


class Org(Row, frozen=True, gc=False):
    """A school, or what stands above or within one."""

    file: ClassVar[str] = "orgs.csv"

    name: Annotated[str, Column("name", text)]
    type: Annotated[str, Column("type", text)]
    identifier: Annotated[str | None, Column("identifier", optional_text)]
    parent_id: Annotated[str | None, Column("parentSourcedId", optional_reference)]


class Course(Row, frozen=True, gc=False):
    """A course as planned, taught in one or more classes."""

    file: ClassVar[str] = "courses.csv"

    school_year_id: Annotated[str | None, Column("schoolYearSourcedId", optional_reference)]
    title: Annotated[str, Column("title", text)]
    course_code: Annotated[str | None, Column("courseCode", optional_text)]
    grades: Annotated[tuple[str, ...], Column("grades", texts)]
    org_id: Annotated[str | None, Column("orgSourcedId", optional_reference)]
    subjects: Annotated[tuple[str, ...], Column("subjects", texts)]


class Class(Row, frozen=True, gc=False):
    """A course taught to a group of students over some sessions."""

    file: ClassVar[str] = "classes.csv"

    title: Annotated[str, Column("title", text)]
    grades: Annotated[tuple[str, ...], Column("grades", texts)]
    course_id: Annotated[str, Column("courseSourcedId", reference)]
    class_code: Annotated[str | None, Column("classCode", optional_text)]
    class_type: Annotated[str | None, Column("classType", optional_text)]
    school_id: Annotated[str, Column("schoolSourcedId", reference)]
    session_ids: Annotated[tuple[str, ...], Column("termSourcedIds", references)]
    subjects: Annotated[tuple[str, ...], Column("subjects", texts)]


class Role(Row, frozen=True, gc=False):
    """What a user is at an organisation: student, teacher, guardian and so on."""

    file: ClassVar[str] = "roles.csv"

    user_id: Annotated[str, Column("userSourcedId", reference)]
    role_type: Annotated[str | None, Column("roleType", optional_text)]
    role: Annotated[str, Column("role", text)]
    begin_date: Annotated[date | None, Column("beginDate", optional_day)]
    end_date: Annotated[date | None, Column("endDate", optional_day)]
    org_id: Annotated[str | None, Column("orgSourcedId", optional_reference)]


class User(Row, frozen=True, gc=False):
    """A person with their roles, sorted and in small letters; OneRoster 1.2 keeps these in a file of their own.

    The digest covers the roles too: a person who became a student is a changed person.
    """

    file: ClassVar[str] = "users.csv"

    enabled: Annotated[bool | None, Column("enabledUser", optional_truth)]
    given_name: Annotated[str, Column("givenName", text)]
    family_name: Annotated[str, Column("familyName", text)]
    middle_name: Annotated[str | None, Column("middleName", optional_text)]
    identifier: Annotated[str | None, Column("identifier", optional_text)]
    grades: Annotated[tuple[str, ...], Column("grades", texts)]
    org_id: Annotated[str | None, Column("primaryOrgSourcedId", optional_reference)]
    roles: tuple[str, ...] = ()

    @property
    def is_student(self) -> bool:
        """Whether the person is or was a student anywhere: only students get a student's record."""
        return _STUDENT in self.roles


class Enrollment(Row, frozen=True, gc=False):
    """A person's time in a class, as a student or as a teacher; a blank end means that it goes on."""

    file: ClassVar[str] = "enrollments.csv"

    class_id: Annotated[str, Column("classSourcedId", reference)]
    school_id: Annotated[str | None, Column("schoolSourcedId", optional_reference)]
    user_id: Annotated[str, Column("userSourcedId", reference)]
    role: Annotated[str, Column("role", text)]
    primary: Annotated[bool | None, Column("primary", optional_truth)]
    begin_date: Annotated[date | None, Column("beginDate", optional_day)]
    end_date: Annotated[date | None, Column("endDate", optional_day)]

    @property
    def is_student(self) -> bool:
        """Whether the person learns in the class, and does not teach or administer it."""
        return self.role.casefold() == _STUDENT


class Category(Row, frozen=True, gc=False):
    """A kind of line items: homework, tests, final marks."""

    file: ClassVar[str] = "categories.csv"

    title: Annotated[str, Column("title", text)]
    weight: Annotated[Decimal | None, Column("weight", optional_number)]


class LineItem(Row, frozen=True, gc=False):
    """A piece of work that results are given for."""

    file: ClassVar[str] = "lineItems.csv"

    title: Annotated[str, Column("title", text)]
    description: Annotated[str | None, Column("description", optional_text)]
    assign_date: Annotated[date | None, Column("assignDate", optional_day)]
    due_date: Annotated[date | None, Column("dueDate", optional_day)]
    class_id: Annotated[str, Column("classSourcedId", reference)]
    category_id: Annotated[str | None, Column("categorySourcedId", optional_reference)]
    session_id: Annotated[str | None, Column("academicSessionSourcedId", optional_reference)]
    minimum: Annotated[Decimal | None, Column("resultValueMin", optional_number)]
    maximum: Annotated[Decimal | None, Column("resultValueMax", optional_number)]

    @property
    def weight(self) -> Decimal | None:
        """The weight of the work, when the description is exactly “weight 12.5”.

        The binding has weights for categories only, so exporters put a work's own weight into its description. Prose in
        which the word occurs is not taken for one.
        """
        found = _WEIGHT.fullmatch(self.description or "")
        return Decimal(found.group(1)) if found else None


class Result(Row, frozen=True, gc=False):
    """What one student reached in one line item: a score, a score in words, or only a status."""

    file: ClassVar[str] = "results.csv"

    line_item_id: Annotated[str, Column("lineItemSourcedId", reference)]
    student_id: Annotated[str, Column("studentSourcedId", reference)]
    status: Annotated[ScoreStatus, Column("scoreStatus", score_status)]
    score: Annotated[Decimal | None, Column("score", optional_number)]
    score_date: Annotated[date | None, Column("scoreDate", optional_day)]
    comment: Annotated[str | None, Column("comment", optional_text)]
    text_score: Annotated[str | None, Column("textScore", optional_text)]
    class_id: Annotated[str | None, Column("classSourcedId", optional_reference)]
    in_progress: Annotated[bool | None, Column("inProgress", optional_truth)]
    incomplete: Annotated[bool | None, Column("incomplete", optional_truth)]
    late: Annotated[bool | None, Column("late", optional_truth)]
    missing: Annotated[bool | None, Column("missing", optional_truth)]
