"""The bulk door: every command that has a route of its own, thousands in one request."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.bulk import BulkAnswer
from ledger.api.calls import media_type
from ledger.api.framing import NDJSON
from ledger.api.openapi import a_router, bulk_recording
from ledger.api.problems import UnsupportedMedia
from ledger.api.security import authenticate
from ledger.api.service import service_of

router = a_router("bulk")


@router.post("/v1/bulk", **bulk_recording("recordBulk", "Записать много сразу / Record many commands in one request"))
async def record_bulk(request: Request) -> Response:
    """Записывает команды по порядку, ответ на каждую — её строка / Records commands in order, each answered on a line.

    A line is the form of the single route with `key` (the Idempotency-Key), `command` and the ids of the address; its
    answer is the body of the single route, or a problem. A line that fails does not stop the others. Where an id is
    asked for, `@` and the key of an earlier line mean what that line made.
    """
    actor = authenticate(request)
    if media_type(request) != NDJSON:
        raise UnsupportedMedia("The body must be JSON lines.", help=f"Send `Content-Type: {NDJSON}`.")
    ledger = service_of(request).ledger
    return BulkAnswer(request, ledger, actor, patience_s=ledger.settings.body_seconds)
