"""Queries of the roster view. Rows come sealed; ids in clear say nothing about a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import NIL, Stored, select_rows, select_students
from ledger.store.arrays import uuids

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    import psycopg

    from ledger.projections.tables import TableStore
    from ledger.projections.view import Moment
    from ledger.store.database import Row


async def page(
    connection: psycopg.AsyncConnection[Row], store: TableStore, after: UUID | None, limit: int
) -> list[Stored]:
    """Returns a page of a table in the order of its (single) key."""
    key = store.table.key[0].name
    return await select_rows(connection, store, f"{key} > %s ORDER BY {key} LIMIT %s", (after or NIL, limit))


async def by_key(connection: psycopg.AsyncConnection[Row], store: TableStore, keys: Sequence[UUID]) -> list[Stored]:
    """Returns the rows with these keys."""
    key = store.table.key[0].name
    return await select_rows(connection, store, f"{key} = ANY(%s::uuid[])", (uuids(keys),))


async def by_token(connection: psycopg.AsyncConnection[Row], store: TableStore, token: bytes) -> list[Stored]:
    """Returns the row of a foreign id's search token."""
    return await select_rows(connection, store, "token = %s", (token,))


async def courses_of_group(
    connection: psycopg.AsyncConnection[Row], store: TableStore, group_id: UUID, after: UUID | None, limit: int
) -> list[Stored]:
    """Returns the courses of a class group."""
    where = "group_id = %s AND course_id > %s ORDER BY course_id LIMIT %s"
    return await select_rows(connection, store, where, (group_id, after or NIL, limit))


async def works_of_course(connection: psycopg.AsyncConnection[Row], store: TableStore, course_id: UUID) -> list[Stored]:
    """Returns the works of a course."""
    return await select_rows(connection, store, "course_id = %s ORDER BY work_id", (course_id,))


async def members_of(
    connection: psycopg.AsyncConnection[Row],
    store: TableStore,
    group_id: UUID,
    after: UUID | None,
    limit: int,
    moment: Moment | None = None,
    on: date | None = None,
) -> list[UUID]:
    """Returns the ids of students who belong or belonged to a class group (`on` a day), a page in their order."""
    return await select_students(connection, [(store, "group_id", group_id)], after, limit, moment, on)


async def all_of(connection: psycopg.AsyncConnection[Row], store: TableStore) -> list[Stored]:
    """Returns every row of a table of the school's own records, or of ids and days."""
    return await select_rows(connection, store, "true", ())
