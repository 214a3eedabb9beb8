"""Journals: students × works, period and final marks, corrections visible."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, cursor_id
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import AtPosition, CourseId, Cursor, EffectiveOn, KnownAt, Limit, MinPosition
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.shown import MAX_PAGE

router = a_router("journals")


@router.get(
    "/v1/journals/{course_id}",
    **reading("readJournal", "Страница журнала / A journal page", "JournalPage", tagged=True),
)
async def get_journal(
    request: Request,
    course_id: CourseId,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
    at_position: AtPosition = None,
    known_at: KnownAt = None,
    effective_on: EffectiveOn = None,
) -> Response:
    """Страница журнала курса, до 50 учеников / A page of a course's journal: one disclosure for each student on it."""
    call = ask(request)
    return call.show(
        await read_journal(
            call.ledger,
            call.reader,
            course_id,
            after=cursor_id(cursor),
            limit=limit,
            min_position=min_position,
            as_of=AsOf(at_position, known_at, effective_on),
        )
    )
