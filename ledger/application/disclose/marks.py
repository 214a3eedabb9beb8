"""One mark, or a student's marks of periods in a course: what is read before it is corrected, with the tags for that.

Who may read the journal may read a line of it, and so may the student; the disclosure names the one student.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.disclose.gate import Reader, open_access, refuse_unknown
from ledger.application.disclose.journals import in_order, show_cell, show_result
from ledger.application.disclose.opening import look, open_rows, table
from ledger.application.disclose.shown import MarkShown, PeriodMarks
from ledger.application.tags import weak
from ledger.errors import NotFound
from ledger.policy.reading import Resource
from ledger.projections.journals import queries
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger

VIEW = "journals"


async def read_mark(
    ledger: Ledger, reader: Reader, student_id: UUID, mark_id: UUID, *, min_position: int = 0
) -> MarkShown:
    """Returns a mark with all its corrections.

    Raises:
        Forbidden: the policy refused (recorded).
        NotFound: the student has no such mark, or it was erased, or who asks may not know.
    """
    entries = table(ledger, VIEW, "entries")
    [known] = await look(ledger, (VIEW,), queries.entry_of(entries, student_id, mark_id), min_position=min_position)
    # The id and its course stand in clear; what they are of is opened for who may read that course's journal.
    if not known or entries.subject(known[0]) != (student_id, RecordClass.MARKS):
        await refuse_unknown(ledger, reader, Resource.MARKS)
        raise _no_mark()
    course_id = cast("UUID", known[0][1])
    try:
        receipt = await open_access(
            ledger,
            reader,
            Resource.MARKS,
            students=[student_id],
            categories=(RecordClass.MARKS,),
            course_id=course_id,
            named=True,
        )
    except NotFound:
        raise _no_mark() from None  # who may not know of the student may not know of the mark
    [stored] = await look(ledger, (VIEW,), queries.entry_of(entries, student_id, mark_id))
    for key, row in await open_rows(ledger, receipt, entries, stored):
        cell = show_cell(key, row)
        if cell.etag is not None:
            return MarkShown(student_id, course_id, cell, cell.etag)
    raise _no_mark()


async def read_period_marks(
    ledger: Ledger, reader: Reader, student_id: UUID, course_id: UUID, *, min_position: int = 0
) -> PeriodMarks:
    """Returns a student's marks of periods, years and exams in a course, and the final mark.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such course, or no such student for who asks.
    """
    results = table(ledger, VIEW, "results")
    receipt = await open_access(
        ledger,
        reader,
        Resource.MARKS,
        students=[student_id],
        categories=(RecordClass.FINAL_RESULTS,),
        course_id=course_id,
        named=True,
    )
    question = queries.rows_of(results, course_id, [student_id])
    [stored] = await look(ledger, (VIEW,), question, min_position=min_position)
    shown = [show_result(key, row) for key, row in await open_rows(ledger, receipt, results, stored)]
    in_order([], shown)
    tag = weak(*((one.period, one.kind, one.etag) for one in shown))
    return PeriodMarks(student_id, course_id, shown, receipt.access_id, tag)


def _no_mark() -> NotFound:
    return NotFound(
        "The student has no such mark, or it was erased.",
        help="Take its id from the journal, or from the answer when it was set; with `min_position` for a new one.",
    )
