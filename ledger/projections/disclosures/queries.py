"""Queries of the disclosure register."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import Stored, select_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.projections.tables import TableStore
    from ledger.store.database import Row

NEWEST = 2**62


async def disclosed_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, student_id: UUID, before: int | None, limit: int
) -> list[Stored]:
    """Returns a page of a student's disclosures, newest first."""
    where = "student_id = %s AND disclosed_at < %s ORDER BY disclosed_at DESC LIMIT %s"
    return await select_rows(connection, store, where, (student_id, before or NEWEST, limit))


async def accesses(
    connection: psycopg.AsyncConnection[Row], store: TableStore, access_ids: Sequence[UUID]
) -> list[Stored]:
    """Returns accesses by id."""
    return await select_rows(connection, store, "access_id = ANY(%s)", (list(access_ids),))
