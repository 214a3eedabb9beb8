"""Retention: how long each record class of a student is kept, and why."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import MinPosition, StudentId
from ledger.application.disclose.retention import read_retention

router = a_router("retention")


@router.get(
    "/v1/students/{student_id}/retention", **reading("readRetention", "Сроки хранения / Retention", "Retention")
)
async def get_retention(request: Request, student_id: StudentId, min_position: MinPosition = 0) -> Response:
    """Сроки хранения записей об ученике / The terms of a student's records, from the file plan."""
    call = ask(request)
    return show(await read_retention(call.ledger, call.reader, student_id, min_position=min_position))
