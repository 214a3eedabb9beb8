"""Queries of the retention view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import Stored, select_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.projections.tables import TableStore
    from ledger.store.database import Row


async def rows_of(
    connection: psycopg.AsyncConnection[Row], store: TableStore, students: Sequence[UUID]
) -> list[Stored]:
    """Returns the rows of these students."""
    return await select_rows(connection, store, "student_id = ANY(%s)", (list(students),))
