"""A page of a journal: its students are known by opaque id, disclosed and committed, and only then opened.

Now, it is read from the views; as of a moment, it is folded from the events up to it. Both ways find their rows and
leave the rest to the same code: a page as of a position is the page that was served there. What moves while a page is
made is folded as well, so that every page is of one position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.aggregates.student import deciding_lanes
from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.moment import NOW, AsOf, find_moment
from ledger.application.disclose.opening import look, open_rows, open_school_rows, table
from ledger.application.disclose.past import past_of_course, past_of_streams, rows_of
from ledger.application.disclose.school import show_course, show_work
from ledger.application.disclose.shown import MAX_PAGE, CellShown, JournalLine, JournalPage, ResultShown, check_students
from ledger.application.tags import Thing, strong, weak
from ledger.errors import NotFound
from ledger.policy.reading import Resource
from ledger.projections.journals import queries
from ledger.projections.journals.projection import EntryBody, ResultBody
from ledger.projections.query import Since, Stored, reached
from ledger.projections.rosters import queries as rosters
from ledger.projections.rosters.projection import StudentBody
from ledger.projections.view import Moment
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.application.disclose.shown import CourseShown
    from ledger.application.ledger import Ledger
    from ledger.projections.tables import TableStore
    from ledger.projections.view import Key, Row
    from ledger.receipt import Disclosure

VIEWS = ("rosters", "journals")
CATEGORIES = (
    RecordClass.PERSONAL_FILE,
    RecordClass.MARKS,
    RecordClass.FINAL_RESULTS,
    RecordClass.CREDITS,
)

_Opened = list[tuple["Key", "Row"]]


@dataclass(frozen=True, slots=True)
class _Content:
    """The rows of a page's students, opened."""

    students: _Opened
    entries: _Opened
    results: _Opened

    def positions(self) -> list[tuple[str, UUID, int]]:
        """Returns which row was changed last by what: the same again as long as the page shows the same."""
        tables = (("students", self.students), ("entries", self.entries), ("results", self.results))
        named = [(name, row.subject_id, row.position) for name, rows in tables for _, row in rows]
        # By the integer of the id, which orders as the id does: comparing UUID objects runs in Python.
        return sorted(named, key=lambda each: (each[0], each[1].int, each[2]))


def show_cell(key: Key, row: Row) -> CellShown:
    """Returns an opened row of `entries` as it is shown."""
    body = cast("EntryBody", row.body)
    _, _, work_id, effective_on, _, version = row.clear
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
        strong(Thing.MARK, cast("int", version)) if body.kind == "mark" else None,
    )


def show_result(key: Key, row: Row) -> ResultShown:
    """Returns an opened row of `results` as it is shown."""
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
        strong(Thing.PERIOD_MARK, cast("int", row.clear[-1])),
    )


def in_order(cells: list[CellShown], results: list[ResultShown]) -> None:
    """Orders what a student has in a course, as a journal does."""
    # By the integer of the id, which orders as the id does: comparing UUID objects runs in Python.
    if len(cells) > 1:
        cells.sort(key=lambda cell: (cell.effective_on, cell.entry_id.int))
    if len(results) > 1:
        results.sort(key=lambda result: (result.effective_on, result.period, result.kind))


async def read_journal(
    ledger: Ledger,
    reader: Reader,
    course_id: UUID,
    *,
    after: UUID | None,
    limit: int,
    min_position: int = 0,
    as_of: AsOf = NOW,
) -> JournalPage:
    """Returns a page of the course's journal: students of its class group, and whoever else stands in it.

    Args:
        as_of: the moment that is asked about; who may read it is decided by today's relations all the same.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such course (at that moment).
        InvalidInput: the moment has not come yet.
    """
    check_students(limit)
    asked = None if as_of.is_now else await find_moment(ledger, as_of, VIEWS)
    entries, results = table(ledger, "journals", "entries"), table(ledger, "journals", "results")
    courses, works = table(ledger, "rosters", "courses"), table(ledger, "rosters", "works")
    members = table(ledger, "rosters", "memberships")
    now = reached(ledger.database, [ledger.view(name) for name in VIEWS])
    journal, rosters_ = (entries, results), (courses, members)
    since = Since.now(now) if asked is None else Since.at(asked)
    asks_first = not (after is None and limit == MAX_PAGE and as_of.is_now)
    [(position,)], course_rows, found, work_rows, *firsts = await look(
        ledger,
        VIEWS,
        now,
        rosters.by_key(courses, [course_id]),
        queries.students_in(journal, course_id, rosters_, after, limit + 1, since),
        rosters.works_of_course(works, course_id),
        *([queries.students_in(journal, course_id, rosters_, None, MAX_PAGE)] if asks_first else []),
        min_position=max(min_position, asked.position if asked else 0),
    )
    moment = asked or Moment(position)
    if not course_rows:
        raise _no_course()
    ids = [student_id for (student_id,) in found]
    first = [student_id for (student_id,) in firsts[0]] if asks_first else ids[:limit]
    live = asked is None and _untouched((courses, course_rows), (works, work_rows), since=moment)
    frame = None if live else await past_of_course(ledger, course_id, moment.position)
    if frame is not None and not frame[0]:
        raise _no_course()
    page = ids[:limit]
    receipt = await open_access(
        ledger, reader, Resource.JOURNAL, students=page, categories=CATEGORIES, course_id=course_id, refused=first
    )
    # The rows are read in a snapshot, or the events selected, after the commit of the disclosure.
    if frame is None:
        frame = (await open_school_rows(ledger, courses, course_rows), await open_school_rows(ledger, works, work_rows))
    course = show_course(*frame[0][0])
    content = await _content_now(ledger, receipt, course_id, page, moment) if asked is None else None
    if content is None:
        content = await _content_then(ledger, receipt, course, page, moment)
    following = str(page[-1]) if len(ids) > limit else None
    return JournalPage(
        course,
        [show_work(key, row) for key, row in frame[1]],
        _lines(page, content),
        following,
        moment.position,
        receipt.access_id,
        weak(course.etag, following, page, content.positions()),
        as_of.effective_on,
    )


def _no_course() -> NotFound:
    return NotFound("There is no such course, or there was none at that moment.", help="List them: GET /v1/courses.")


def _untouched(*tables: tuple[TableStore, list[Stored]], since: Moment) -> bool:
    """Tells whether stored rows are still what they were at a moment that their views had reached."""
    return all(store.position(row) <= since.position for store, rows in tables for row in rows)


async def _content_now(
    ledger: Ledger, receipt: Disclosure, course_id: UUID, page: list[UUID], moment: Moment
) -> _Content | None:
    """Returns what the views say, or None where it has changed since the page's students were found.

    The disclosure lies between the two, and the views move on, each at its own pace: what they say together then was
    never a page.
    """
    students = table(ledger, "rosters", "students")
    entries, results = table(ledger, "journals", "entries"), table(ledger, "journals", "results")
    student_rows, cell_rows, result_rows = await look(
        ledger,
        VIEWS,
        rosters.by_key(students, page),
        queries.rows_of(entries, course_id, page),
        queries.rows_of(results, course_id, page),
    )
    if not _untouched((students, student_rows), (entries, cell_rows), (results, result_rows), since=moment):
        return None
    return _Content(
        await open_rows(ledger, receipt, students, student_rows),
        await open_rows(ledger, receipt, entries, cell_rows),
        await open_rows(ledger, receipt, results, result_rows),
    )


async def _content_then(
    ledger: Ledger, receipt: Disclosure, course: CourseShown, page: list[UUID], moment: Moment
) -> _Content:
    """Folds the students' record lanes and their marks of the course's year: all that a page is made of."""
    streams = [lane.stream_id for student_id in page for lane in deciding_lanes(student_id, course.year)]
    past = await past_of_streams(ledger, receipt, page, streams, moment.position)
    students, journal = await past.aside(lambda: [past.fold(ledger.view(name), moment) for name in VIEWS])
    return _Content(
        rows_of(students, "students"),
        [(key, row) for key, row in rows_of(journal, "entries") if row.clear[0] == course.course_id],
        [(key, row) for key, row in rows_of(journal, "results") if key[1] == course.course_id],
    )


def _lines(page: list[UUID], content: _Content) -> list[JournalLine]:
    bodies = {row.subject_id.int: cast("StudentBody", row.body) for _, row in content.students}
    lines = {}
    for student_id in page:
        body = bodies.get(student_id.int)
        named = ("", "", "") if body is None else (body.family_name, body.given_name, body.patronymic)
        lines[student_id.int] = JournalLine(student_id, *named)
    for key, row in content.entries:
        lines[row.subject_id.int].cells.append(show_cell(key, row))
    for key, row in content.results:
        lines[row.subject_id.int].results.append(show_result(key, row))
    for line in lines.values():
        in_order(line.cells, line.results)
    return sorted(
        lines.values(), key=lambda line: (line.family_name, line.given_name, line.patronymic, line.student_id.int)
    )
