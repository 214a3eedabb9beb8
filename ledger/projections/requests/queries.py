"""Queries of the view of requests."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from ledger.projections.query import NIL, Stored, select_rows

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ledger.projections.tables import TableStore
    from ledger.store.database import Row

OPEN, OVERDUE, ANSWERED = "open", "overdue", "answered"
_WHERE = {
    OPEN: "answered_on IS NULL AND due_on <= %s",
    OVERDUE: "answered_on IS NULL AND due_on < %s",
    ANSWERED: "answered_on IS NOT NULL AND due_on <= %s",
}
_FIRST = (date.min, NIL)


async def requests_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, student_id: UUID, after: UUID | None, limit: int
) -> list[Stored]:
    """Returns a page of a student's requests, in the order of registering."""
    where = "student_id = %s AND request_id > %s ORDER BY request_id LIMIT %s"
    return await select_rows(connection, store, where, (student_id, after or NIL, limit))


async def requests_by_status(
    connection: psycopg.AsyncConnection[Row],
    store: TableStore,
    status: str,
    today: date,
    after: tuple[date, UUID] | None,
    limit: int,
) -> list[Stored]:
    """Returns a page of the requests of everybody, by the day on which an answer was due.

    Args:
        status: OPEN, OVERDUE on the day `today`, or ANSWERED.
        after: where the page continues: day and id of the last one before.
    """
    where = f"{_WHERE[status]} AND (due_on, request_id) > (%s, %s::uuid) ORDER BY due_on, request_id LIMIT %s"
    until = today if status == OVERDUE else date.max
    return await select_rows(connection, store, where, (until, *(after or _FIRST), limit))
