"""Who asks: the bearer token of a request, or its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.api.identity import OFFICE, Me, bearer_token, needs_token, wanted_office
from ledger.api.limits import network_of
from ledger.api.service import service_of
from ledger.application.acting import Known, Reason, TurnedAway
from ledger.errors import Forbidden, LedgerError, NotFound, Unauthenticated
from ledger.policy.offices import Office
from ledger.store.openings import acting

if TYPE_CHECKING:
    from starlette.requests import Request

    from ledger.policy.offices import Actor

REFUSED = 20.0
"""Requests that a refused reading counts for, besides itself: it leaves an event on the register of each student
whom it concerns, so that whoever may read nothing could fill the history."""

HAND_OVERS = "/v1/hand-overs"
"""What is handed over is judged as if it were read, and its refusal recorded likewise."""

_HELP = "Send `Authorization: Bearer <token>` once, with an access token of the school's identity provider."


def authenticate(request: Request) -> Actor:
    """Returns who acts by the request's token, in which office.

    Raises:
        Unauthenticated: there is no token, more than one, or it is not valid.
        TurnedAway: the office is not theirs, or they have none here.
        Forbidden: they have several, and name none.
        BadRequest: the office that they name does not exist.
        TooManyRequests: the client asks too often, or its address without a valid token.
    """
    actor = request.state.actor = _authenticated(request)
    acting.set(actor.id)
    return actor


def _authenticated(request: Request) -> Actor:
    found = _identified(request)
    if found is not None:
        return found.acts()
    service = service_of(request)
    token = bearer_token(request.headers)
    try:
        if token is None or service.verifier is None:
            raise Unauthenticated("The request needs one bearer token.", help=_HELP)  # noqa: TRY301 - counted below
        actor = service.verifier.verify(token)
    except Unauthenticated:
        _count_stranger(request)
        raise
    request.state.standing = service.limits.clients.spend(actor.id)
    wanted = wanted_office(request.headers)
    if wanted not in (None, actor.office):
        raise TurnedAway(
            f"A development token has its office: {actor.office}.",
            help=f"Leave {OFFICE} out, or get another token.",
            reason=Reason.OFFICE_NOT_HELD,
            person=actor.id,
            login=None,
            office=wanted,
        )
    return actor


def charge(request: Request, error: LedgerError) -> None:
    """Has a client pay for a reading or a paper that was refused, or met nobody; programs look for who is not there."""
    actor: Actor | None = getattr(request.state, "actor", None)
    refused = isinstance(error, Forbidden | NotFound) and (request.method == "GET" or request.url.path == HAND_OVERS)
    if refused and actor is not None and actor.office is not Office.SYSTEM:
        service_of(request).limits.clients.owe(actor.login or actor.id, REFUSED)


def admit(request: Request) -> None:
    """Passes if the request's address needs no token, or it has a valid one (see `authenticate`)."""
    if needs_token(request.url.path):
        authenticate(request)


def who(request: Request) -> Me:
    """Returns who is logged in, also where their login is nobody's yet.

    Raises:
        Unauthenticated: there is no valid token.
    """
    found = _identified(request)
    if found is None:
        actor = authenticate(request)
        return Me(None, actor.id, actor.office, [actor.office], "")
    office = found.actor.office if found.actor is not None else None
    return Me(found.login, found.person, office, list(found.offices), f"{found.why} {found.help}".strip())


def _identified(request: Request) -> Known | None:
    """Returns what was found of a provider's token before the route was reached; None where it is none of those.

    Raises:
        LedgerError: it is not valid, asks too often, or the register cannot be read.
    """
    found: Known | LedgerError | None = request.scope["state"].get("identified")
    if isinstance(found, Unauthenticated):
        _count_stranger(request)
    if isinstance(found, LedgerError):
        raise found
    return found


def _count_stranger(request: Request) -> None:
    service_of(request).limits.strangers.spend(_address(request))


def admit_anybody(request: Request) -> None:
    """Lets a request to the log pass, which needs no token; it counts for its address, as it looks into the database.

    Raises:
        TooManyRequests: the address asks too often.
    """
    service_of(request).limits.public.spend(_address(request))


def _address(request: Request) -> str:
    return network_of(request.client.host if request.client else "")
