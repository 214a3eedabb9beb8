"""Queries of the roster view. Rows come sealed; ids in clear say nothing about a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import NIL, Part, Place, Since, rows_where, students
from ledger.store.arrays import uuids

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from ledger.projections.tables import TableStore
    from ledger.projections.view import Moment


def page(store: TableStore, after: UUID | None, limit: int) -> Part:
    """Asks for a page of a table in the order of its (single) key."""
    key = store.table.key[0].name
    return rows_where(store, f"{key} > %s ORDER BY {key} LIMIT %s", (after or NIL, limit))


def by_key(store: TableStore, keys: Sequence[UUID]) -> Part:
    """Asks for the rows with these keys."""
    return rows_where(store, f"{store.table.key[0].name} = ANY(%s::uuid[])", (uuids(keys),))


def by_token(store: TableStore, token: bytes) -> Part:
    """Asks for the row of a foreign id's search token."""
    return rows_where(store, "token = %s", (token,))


def courses_of_group(store: TableStore, group_id: UUID, after: UUID | None, limit: int) -> Part:
    """Asks for a page of the courses of a class group."""
    return rows_where(
        store, "group_id = %s AND course_id > %s ORDER BY course_id LIMIT %s", (group_id, after or NIL, limit)
    )


def works_of_course(store: TableStore, course_id: UUID) -> Part:
    """Asks for the works of a course, in the order of their ids."""
    return rows_where(store, "course_id = %s ORDER BY work_id", (course_id,))


def members_of(
    store: TableStore,
    group_id: UUID,
    after: UUID | None,
    limit: int,
    moment: Moment | None = None,
    on: date | None = None,
) -> Part:
    """Asks for the ids of who belongs or belonged to a class group (`on` a day), a page in their order."""
    since = None if moment is None else Since.at(moment)
    return students([Place(store, "group_id = %s", (group_id,))], after, limit, since, on)


def all_of(store: TableStore) -> Part:
    """Asks for every row of a table of the school's own records, or of ids and days."""
    return rows_where(store, "true", ())
