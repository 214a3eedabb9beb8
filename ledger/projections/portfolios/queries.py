"""Queries of the portfolio view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import NIL, Stored, select_rows

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ledger.projections.tables import TableStore
    from ledger.store.database import Row


async def items_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, student_id: UUID, after: UUID | None, limit: int
) -> list[Stored]:
    """Returns a page of a student's portfolio, in the order of the items' ids (which is that of recording)."""
    where = "student_id = %s AND item_id > %s ORDER BY item_id LIMIT %s"
    return await select_rows(connection, store, where, (student_id, after or NIL, limit))
