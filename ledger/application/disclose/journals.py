"""A page of a journal: its students are known by opaque id, disclosed and committed, and only then opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.opening import open_rows, open_school_rows, snapshot, table
from ledger.application.disclose.school import show_course, show_work
from ledger.application.disclose.shown import CellShown, JournalLine, JournalPage, ResultShown, check_students
from ledger.errors import NotFound
from ledger.policy.reading import Resource
from ledger.projections.journals import queries
from ledger.projections.journals.projection import EntryBody, ResultBody
from ledger.projections.query import positions
from ledger.projections.rosters import queries as rosters
from ledger.projections.rosters.projection import StudentBody
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.projections.view import Key, Row

VIEWS = ("rosters", "journals")
CATEGORIES = (
    RecordClass.PERSONAL_FILE,
    RecordClass.MARKS,
    RecordClass.FINAL_RESULTS,
    RecordClass.CREDITS,
)


def _cell(key: Key, row: Row) -> CellShown:
    body = cast("EntryBody", row.body)
    _, _, work_id, effective_on = row.clear
    return CellShown(
        cast("UUID", key[0]),
        body.kind,
        work_id,  # type: ignore[arg-type]  # clear columns as the table `entries` has them
        effective_on,  # type: ignore[arg-type]  # likewise
        body.value,
        body.comment,
        body.voided,
        body.flags,
        body.recorded_by,
        row.position,
        body.changes,
    )


def _result(key: Key, row: Row) -> ResultShown:
    body = cast("ResultBody", row.body)
    _, _, period, kind = key
    return ResultShown(
        cast("str", period),
        cast("str", kind),
        body.value,
        body.scale,
        row.clear[0],  # type: ignore[arg-type]  # the clear column of `results` is a date
        body.flags,
        body.recorded_by,
        row.position,
        body.changes,
    )


async def read_journal(
    ledger: Ledger, reader: Reader, course_id: UUID, *, after: UUID | None, limit: int, min_position: int = 0
) -> JournalPage:
    """Returns a page of the course's journal: students of its class group, and whoever else stands in it.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such course.
    """
    check_students(limit)
    entries, results = table(ledger, "journals", "entries"), table(ledger, "journals", "results")
    courses, works = table(ledger, "rosters", "courses"), table(ledger, "rosters", "works")
    async with snapshot(ledger, VIEWS, min_position) as connection:
        course_rows = await rosters.by_key(connection, courses, [course_id])
        if not course_rows:
            raise NotFound("There is no such course.", help="List them: GET /v1/courses.")
        group_id = course_rows[0][1]
        members = await rosters.members_of(
            connection, table(ledger, "rosters", "memberships"), group_id, after, limit + 1
        )
        marked = await queries.students_in(connection, entries, course_id, after, limit + 1)
        attested = await queries.students_in(connection, results, course_id, after, limit + 1)
        work_rows = await rosters.works_of_course(connection, works, course_id)
    ids = sorted({*members, *marked, *attested})
    page = ids[:limit]
    receipt = await open_access(
        ledger, reader, Resource.JOURNAL, students=page, categories=CATEGORIES, course_id=course_id
    )
    # The rows are read in a snapshot that begins after the commit of the disclosure.
    students = table(ledger, "rosters", "students")
    async with snapshot(ledger, VIEWS) as connection:
        student_rows = await rosters.by_key(connection, students, page)
        cell_rows = await queries.rows_of(connection, entries, course_id, page)
        result_rows = await queries.rows_of(connection, results, course_id, page)
        position = min(at for view, (at, _) in (await positions(connection, ledger.database)).items() if view in VIEWS)
    lines = {student_id: JournalLine(student_id, "", "", "") for student_id in page}
    for key, row in await open_rows(ledger, receipt, students, student_rows):
        body = cast("StudentBody", row.body)
        student_id = cast("UUID", key[0])
        lines[student_id] = JournalLine(student_id, body.family_name, body.given_name, body.patronymic)
    for key, row in await open_rows(ledger, receipt, entries, cell_rows):
        lines[row.subject_id].cells.append(_cell(key, row))
    for key, row in await open_rows(ledger, receipt, results, result_rows):
        lines[row.subject_id].results.append(_result(key, row))
    for line in lines.values():
        line.cells.sort(key=lambda cell: (cell.effective_on, cell.entry_id))
        line.results.sort(key=lambda result: (result.effective_on, result.period, result.kind))
    opened_course = await open_school_rows(ledger, courses, course_rows)
    opened_works = await open_school_rows(ledger, works, work_rows)
    return JournalPage(
        show_course(*opened_course[0]),
        [show_work(key, row) for key, row in opened_works],
        sorted(lines.values(), key=lambda line: (line.family_name, line.given_name, line.patronymic, line.student_id)),
        str(page[-1]) if len(ids) > limit else None,
        position,
        receipt.access_id,
    )
