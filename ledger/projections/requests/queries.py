"""Queries of the view of requests."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from ledger.projections.query import NIL, Part, rows_where

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.projections.tables import TableStore

OPEN, OVERDUE, ANSWERED = "open", "overdue", "answered"
_WHERE = {
    OPEN: "answered_on IS NULL AND due_on <= %s",
    OVERDUE: "answered_on IS NULL AND due_on < %s",
    ANSWERED: "answered_on IS NOT NULL AND due_on <= %s",
}
_FIRST = (date.min, NIL)


def requests_of(store: TableStore, student_id: UUID, after: UUID | None, limit: int) -> Part:
    """Asks for a page of a student's requests, in the order of registering."""
    where = "student_id = %s AND request_id > %s ORDER BY request_id LIMIT %s"
    return rows_where(store, where, (student_id, after or NIL, limit))


def requests_by_status(
    store: TableStore, status: str, today: date, after: tuple[date, UUID] | None, limit: int
) -> Part:
    """Asks for a page of the requests of everybody, by the day on which an answer was due.

    Args:
        status: OPEN, OVERDUE on the day `today`, or ANSWERED.
        after: where the page continues: day and id of the last one before.
    """
    where = f"{_WHERE[status]} AND (due_on, request_id) > (%s, %s::uuid) ORDER BY due_on, request_id LIMIT %s"
    until = today if status == OVERDUE else date.max
    return rows_where(store, where, (until, *(after or _FIRST), limit))
