"""Queries of the journal view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from ledger.projections.query import Stored, select_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.projections.tables import TableStore
    from ledger.store.database import Row

NIL = "00000000-0000-0000-0000-000000000000"


async def students_in(
    connection: psycopg.AsyncConnection[Row], store: TableStore, course_id: UUID, after: UUID | None, limit: int
) -> list[UUID]:
    """Returns the ids of students who have a row in the course's journal, a page in their order."""
    query = sql.SQL(
        f"SELECT DISTINCT student_id FROM {store.qualified} WHERE course_id = %s AND student_id > %s"  # noqa: S608 - ours
        " ORDER BY student_id LIMIT %s"
    )
    cursor = await connection.execute(query, (course_id, after or NIL, limit), prepare=True)
    return [row[0] for row in await cursor.fetchall()]


async def rows_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, course_id: UUID, students: Sequence[UUID]
) -> list[Stored]:
    """Returns the rows of these students in the course."""
    where = "course_id = %s AND student_id = ANY(%s)"
    return await select_rows(connection, store, where, (course_id, list(students)))
