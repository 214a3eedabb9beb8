"""Queries of the retention view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import Part, rows_where

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ledger.projections.tables import TableStore


def rows_of(store: TableStore, students: Sequence[UUID]) -> Part:
    """Asks for the rows of these students."""
    return rows_where(store, "student_id = ANY(%s)", (list(students),))
