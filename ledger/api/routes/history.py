"""A student's history: the events themselves, as far as they were known or had happened."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import After, AtPosition, EffectiveOn, KnownAt, Limit, MinPosition, StudentId
from ledger.application.disclose.history import read_history
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.shown import MAX_PAGE

router = a_router("history")


@router.get("/v1/students/{student_id}/history", **reading("readHistory", "История записей / A history", "History"))
async def get_history(
    request: Request,
    student_id: StudentId,
    after: After = 0,
    limit: Limit = MAX_PAGE,
    at_position: AtPosition = None,
    known_at: KnownAt = None,
    effective_on: EffectiveOn = None,
    min_position: MinPosition = 0,
) -> Response:
    """События ученика по порядку / A student's events in order, from the record itself.

    It is never behind, so `min_position` is taken and has no effect.
    """
    del min_position
    call = ask(request)
    return show(
        await read_history(
            call.ledger,
            call.reader,
            student_id,
            after=after,
            limit=limit,
            as_of=AsOf(at_position, known_at, effective_on),
        )
    )
