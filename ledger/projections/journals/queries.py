"""Queries of the journal view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import Stored, select_rows, select_students

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.projections.tables import TableStore
    from ledger.projections.view import Moment
    from ledger.store.database import Row


async def students_in(
    connection: psycopg.AsyncConnection[Row],
    store: TableStore,
    course_id: UUID,
    after: UUID | None,
    limit: int,
    moment: Moment | None = None,
) -> list[UUID]:
    """Returns the ids of students who have a row in the course's journal, a page in their order."""
    return await select_students(connection, store, ("course_id", course_id), after, limit, moment)


async def rows_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, course_id: UUID, students: Sequence[UUID]
) -> list[Stored]:
    """Returns the rows of these students in the course."""
    where = "course_id = %s AND student_id = ANY(%s)"
    return await select_rows(connection, store, where, (course_id, list(students)))


async def entry_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, student_id: UUID, entry_id: UUID
) -> list[Stored]:
    """Returns the row of an entry, if it is this student's."""
    return await select_rows(connection, store, "entry_id = %s AND student_id = %s", (entry_id, student_id))
