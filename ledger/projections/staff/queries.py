"""Queries of the staff view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import NIL, Part, rows_where

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from ledger.projections.tables import TableStore


def entries(
    store: TableStore,
    *,
    person: UUID | None,
    kind: str | None,
    on: date | None,
    after: UUID | None,
    limit: int,
) -> Part:
    """Asks for a page of entries in the order of their ids: of a person, of a kind, or whose days include this one.

    Those that were withdrawn are among them: that they were is sealed, and said of each.
    """
    where, parameters = ["entry_id > %s"], list[object]([after or NIL])
    for condition, value in (("person_id = %s", person), ("kind = %s", kind)):
        if value is not None:
            where.append(condition)
            parameters.append(value)
    if on is not None:
        where.append("starts_on <= %s AND (ends_on IS NULL OR ends_on >= %s)")
        parameters += [on, on]
    return rows_where(store, f"{' AND '.join(where)} ORDER BY entry_id LIMIT %s", (*parameters, limit))


def offices(store: TableStore, kinds: Sequence[str]) -> Part:
    """Asks for every entry of these kinds, those that have ended among them."""
    return rows_where(store, "kind = ANY(%s)", (list(kinds),))
