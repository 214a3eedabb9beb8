"""A student as of a moment, whole, and what became of them between two moments."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import (
    AtPosition,
    EffectiveOn,
    FromEffectiveOn,
    FromKnownAt,
    FromPosition,
    KnownAt,
    MinPosition,
    StudentId,
    ToEffectiveOn,
    ToKnownAt,
    ToPosition,
)
from ledger.api.problems import FieldError, InvalidFields
from ledger.application.disclose.differences import read_difference
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.states import read_state

router = a_router("history")


@router.get(
    "/v1/students/{student_id}/state", **reading("readState", "Состояние на момент / A state as of", "StudentState")
)
async def get_state(
    request: Request,
    student_id: StudentId,
    at_position: AtPosition = None,
    known_at: KnownAt = None,
    effective_on: EffectiveOn = None,
    min_position: MinPosition = 0,
) -> Response:
    """Всё об ученике на момент: карточка, классы, отметки, портфолио / All about a student as of a moment.

    Card, groups, marks and results by course, portfolio: folded from the events, so it is never behind and
    `min_position` has no effect. Without a moment it is now.
    """
    del min_position
    call = ask(request)
    as_of = AsOf(at_position, known_at, effective_on)
    return show(await read_state(call.ledger, call.reader, student_id, as_of=as_of))


@router.get(
    "/v1/students/{student_id}/diff", **reading("readDifference", "Что изменилось / What has changed", "Difference")
)
async def get_difference(
    request: Request,
    student_id: StudentId,
    from_position: FromPosition = None,
    from_known_at: FromKnownAt = None,
    from_effective_on: FromEffectiveOn = None,
    to_position: ToPosition = None,
    to_known_at: ToKnownAt = None,
    to_effective_on: ToEffectiveOn = None,
    min_position: MinPosition = 0,
) -> Response:
    """Что добавлено, исправлено, признано недействительным / What was added, changed or declared void, by whom, why.

    Between two moments, each named as everywhere: by position or time, and by day. The first one must be named; the
    second is now unless it is. `text` tells each change in words. It is never behind: `min_position` has no effect.
    """
    del min_position
    call = ask(request)
    since = AsOf(from_position, from_known_at, from_effective_on)
    if since.is_now:
        message = "name from_position, from_known_at or from_effective_on."
        raise InvalidFields([FieldError("query", "missing", message)])
    until = AsOf(to_position, to_known_at, to_effective_on)
    return show(await read_difference(call.ledger, call.reader, student_id, since=since, until=until))
