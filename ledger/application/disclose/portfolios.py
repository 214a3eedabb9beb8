"""A student's portfolio, now or as of a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.moment import NOW, AsOf, find_moment
from ledger.application.disclose.opening import look_at, open_rows, table
from ledger.application.disclose.past import past_of_streams, rows_of
from ledger.application.disclose.shown import Portfolio, PortfolioItem
from ledger.application.tags import weak
from ledger.policy.reading import Resource
from ledger.projections.portfolios import queries
from ledger.projections.portfolios.projection import ItemBody
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.projections.view import Key, Row

VIEW = "portfolios"
CATEGORIES = (RecordClass.ACHIEVEMENTS, RecordClass.AWARDS, RecordClass.CREDITS)


def show_item(key: Key, row: Row) -> PortfolioItem:
    """Returns an opened row of `items` as it is shown."""
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
    ledger: Ledger,
    reader: Reader,
    student_id: UUID,
    *,
    after: UUID | None,
    limit: int,
    min_position: int = 0,
    as_of: AsOf = NOW,
) -> Portfolio:
    """Returns a page of the portfolio.

    Args:
        as_of: the moment that is asked about; `min_position` has no effect with it.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student. InvalidInput: the moment has not come yet.
    """
    moment = None if as_of.is_now else await find_moment(ledger, as_of)
    receipt = await open_access(ledger, reader, Resource.PORTFOLIO, students=[student_id], categories=CATEGORIES)
    if moment is None:
        store = table(ledger, VIEW, "items")
        question = queries.items_of(store, student_id, after, limit + 1)
        stored, position = await look_at(ledger, VIEW, question, min_position)
        opened = await open_rows(ledger, receipt, store, stored[:limit])
        following = str(stored[limit - 1][1]) if len(stored) > limit else None
    else:
        past = await past_of_streams(ledger, receipt, [student_id], [student_id], moment.position)
        kept = rows_of(past.fold(ledger.view(VIEW), moment), "items")
        rest = [(key, row) for key, row in kept if after is None or cast("UUID", key[1]) > after]
        opened, position = rest[:limit], moment.position
        following = str(rest[limit - 1][0][1]) if len(rest) > limit else None
    items = [show_item(key, row) for key, row in opened]
    tag = weak(following, *((item.item_id, item.position) for item in items))
    return Portfolio(student_id, items, following, position, receipt.access_id, tag, as_of.effective_on)
