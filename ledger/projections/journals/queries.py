"""Queries of the journal view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import Stored, select_rows, select_students
from ledger.store.arrays import uuids

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.projections.tables import TableStore
    from ledger.projections.view import Moment
    from ledger.store.database import Row


async def students_in(
    connection: psycopg.AsyncConnection[Row],
    journal: tuple[TableStore, TableStore],
    course_id: UUID,
    members: tuple[TableStore, UUID],
    after: UUID | None,
    limit: int,
    moment: Moment | None = None,
) -> list[UUID]:
    """Returns the ids of students on the course's journal, a page in their order: one look for all of them.

    Args:
        journal: the tables of entries and results; who has a row there stands in the journal.
        members: the table of memberships (of another view) and the course's class group; they do as well.
        moment: see `select_students`.
    """
    places = [(store, "course_id", course_id) for store in journal]
    places.append((members[0], "group_id", members[1]))
    return await select_students(connection, places, after, limit, moment)


async def rows_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, course_id: UUID, students: Sequence[UUID]
) -> list[Stored]:
    """Returns the rows of these students in the course."""
    where = "course_id = %s AND student_id = ANY(%s::uuid[])"
    return await select_rows(connection, store, where, (course_id, uuids(students)))


async def entry_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, student_id: UUID, entry_id: UUID
) -> list[Stored]:
    """Returns the row of an entry, if it is this student's."""
    return await select_rows(connection, store, "entry_id = %s AND student_id = %s", (entry_id, student_id))
