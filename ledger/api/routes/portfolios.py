"""Portfolios: achievements, awards and credited results of a student."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, cursor_id
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import AtPosition, Cursor, EffectiveOn, KnownAt, Limit, MinPosition, StudentId
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.shown import MAX_PAGE

router = a_router("portfolios")


@router.get(
    "/v1/students/{student_id}/portfolio",
    **reading("readPortfolio", "Портфолио / A portfolio", "Portfolio", tagged=True),
)
async def get_portfolio(
    request: Request,
    student_id: StudentId,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
    at_position: AtPosition = None,
    known_at: KnownAt = None,
    effective_on: EffectiveOn = None,
) -> Response:
    """Страница портфолио ученика / A page of a student's portfolio."""
    call = ask(request)
    return call.show(
        await read_portfolio(
            call.ledger,
            call.reader,
            student_id,
            after=cursor_id(cursor),
            limit=limit,
            min_position=min_position,
            as_of=AsOf(at_position, known_at, effective_on),
        )
    )
