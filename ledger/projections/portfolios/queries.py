"""Queries of the portfolio view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import NIL, Part, rows_where

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.projections.tables import TableStore


def items_of(store: TableStore, student_id: UUID, after: UUID | None, limit: int) -> Part:
    """Asks for a page of a student's portfolio, in the order of the items' ids (which is that of recording)."""
    where = "student_id = %s AND item_id > %s ORDER BY item_id LIMIT %s"
    return rows_where(store, where, (student_id, after or NIL, limit))
