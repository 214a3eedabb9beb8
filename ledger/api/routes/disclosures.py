"""Disclosures: who saw a student's data, and why. Reading them is recorded, too."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask, cursor_position
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import Cursor, Limit, MinPosition, StudentId
from ledger.application.disclose.register import read_disclosures
from ledger.application.disclose.shown import MAX_PAGE

router = a_router("disclosures")


@router.get(
    "/v1/students/{student_id}/disclosures",
    **reading("readDisclosures", "Кто видел данные / Who saw the data", "DisclosureRegister"),
)
async def get_disclosures(
    request: Request,
    student_id: StudentId,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Кто, когда и зачем видел данные ученика / Who saw a student's data, newest first, and who was refused."""
    call = ask(request)
    return show(
        await read_disclosures(
            call.ledger, call.reader, student_id, before=cursor_position(cursor), limit=limit, min_position=min_position
        )
    )
