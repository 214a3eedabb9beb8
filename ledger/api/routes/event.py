"""One event by its position."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import MinPosition, Position
from ledger.application.disclose.event import read_event

router = a_router("feed")


@router.get("/v1/events/{position}", **reading("readEvent", "Событие / An event", "Event"))
async def get_event(request: Request, position: Position, min_position: MinPosition = 0) -> Response:
    """Событие по позиции / An event by its position: who recorded it, when, and what it says.

    The header is for whoever may follow the feed. The payload is opened, as one disclosure, for who may read the
    history of the student; it is `withheld` from others and where a disclosure itself recorded it, `erased` where its
    class was. Never behind, so `min_position` has no effect.
    """
    del min_position
    call = ask(request)
    return show(await read_event(call.ledger, call.reader, position))
