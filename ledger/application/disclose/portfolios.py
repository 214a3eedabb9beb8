"""A student's portfolio."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.opening import open_rows, snapshot, table
from ledger.application.disclose.shown import Portfolio, PortfolioItem
from ledger.policy.reading import Resource
from ledger.projections.portfolios import queries
from ledger.projections.portfolios.projection import ItemBody
from ledger.projections.query import positions
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.projections.view import Key, Row

VIEW = "portfolios"
CATEGORIES = (RecordClass.ACHIEVEMENTS, RecordClass.AWARDS, RecordClass.CREDITS)


def _item(key: Key, row: Row) -> PortfolioItem:
    body = cast("ItemBody", row.body)
    return PortfolioItem(
        cast("UUID", key[1]),
        body.kind,
        row.clear[0],  # type: ignore[arg-type]  # the clear column of an item is a date
        body.title,
        body.form,
        body.level,
        body.outcome,
        body.sphere,
        body.evidence,
        body.order,
        body.value,
        body.organisation,
        body.basis,
        body.flags,
        row.position,
    )


async def read_portfolio(
    ledger: Ledger, reader: Reader, student_id: UUID, *, after: UUID | None, limit: int, min_position: int = 0
) -> Portfolio:
    """Returns a page of the portfolio.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student.
    """
    receipt = await open_access(ledger, reader, Resource.PORTFOLIO, students=[student_id], categories=CATEGORIES)
    store = table(ledger, VIEW, "items")
    async with snapshot(ledger, (VIEW,), min_position) as connection:
        stored = await queries.items_of(connection, store, student_id, after, limit + 1)
        position = (await positions(connection, ledger.database))[VIEW][0]
    opened = await open_rows(ledger, receipt, store, stored[:limit])
    following = str(stored[limit - 1][1]) if len(stored) > limit else None
    return Portfolio(student_id, [_item(key, row) for key, row in opened], following, position, receipt.access_id)
