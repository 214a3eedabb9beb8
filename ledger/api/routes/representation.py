"""Who speaks for a student: named, restricted by a court, ended; and the list with its state."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import AtPosition, EffectiveOn, KnownAt, MinPosition, RepresentationId, StudentId
from ledger.api.schemas.representation import NewRepresentative, NewRestriction, RepresentationEnding
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.representation import read_representatives
from ledger.application.record.representation import EndRepresentation, NameRepresentative, RestrictRepresentation

router = a_router("representation")


@router.post(
    "/v1/students/{student_id}/representatives",
    **recording("nameRepresentative", "Назвать законного представителя / Name a representative", NewRepresentative),
)
async def name_representative(request: Request, student_id: StudentId) -> Response:
    """Записывает законного представителя с документом / Names a legal representative, with the document that proves it.

    It ends by itself when the student is 18. From the first representative on that the school has recorded for a
    student, nobody else speaks for them, whatever a token claims.
    """
    return await perform(request, NameRepresentative, student_id)


@router.post(
    "/v1/students/{student_id}/representatives/{representation_id}/restrictions",
    **recording("restrictRepresentation", "Ограничение по решению суда / A court's restriction", NewRestriction),
)
async def restrict(request: Request, student_id: StudentId, representation_id: RepresentationId) -> Response:
    """Записывает ограничение прав по решению суда / Records what a court took away from a representative."""
    return await perform(request, RestrictRepresentation, student_id, representation_id)


@router.post(
    "/v1/students/{student_id}/representatives/{representation_id}/endings",
    **recording("endRepresentation", "Прекратить представительство / End a representation", RepresentationEnding),
)
async def end(request: Request, student_id: StudentId, representation_id: RepresentationId) -> Response:
    """Прекращает представительство сразу / Ends a representation, at once."""
    return await perform(request, EndRepresentation, student_id, representation_id)


@router.get(
    "/v1/students/{student_id}/representatives",
    **reading("readRepresentatives", "Законные представители / Legal representatives", "Representatives", tagged=True),
)
async def get_representatives(
    request: Request,
    student_id: StudentId,
    at_position: AtPosition = None,
    known_at: KnownAt = None,
    effective_on: EffectiveOn = None,
    min_position: MinPosition = 0,
) -> Response:
    """Все представители с их состоянием на день / Every representative with their state on the day.

    A representative is not told the documents and the address of the others. It is read from the record itself and
    never behind: `min_position` has no effect.
    """
    del min_position
    call = ask(request)
    as_of = AsOf(at_position, known_at, effective_on)
    return call.show(await read_representatives(call.ledger, call.reader, student_id, as_of=as_of))
