"""Who asks: the bearer token of a request, or its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.api.limits import network_of
from ledger.api.service import service_of
from ledger.errors import Unauthenticated
from ledger.store.openings import acting

if TYPE_CHECKING:
    from starlette.requests import Request

    from ledger.policy.offices import Actor

_HELP = "Send `Authorization: Bearer <token>`; `ledger token` issues tokens."


def authenticate(request: Request) -> Actor:
    """Returns who acts by the request's token.

    Raises:
        Unauthenticated: there is no token, more than one, or it is not valid.
        TooManyRequests: the client asks too often, or its address without a valid token.
    """
    service = service_of(request)
    try:
        actor = service.verifier.verify(_token(request))
    except Unauthenticated:
        service.limits.strangers.spend(_address(request))
        raise
    request.state.standing = service.limits.clients.spend(actor.id)
    acting.set(actor.id)
    return actor


def admit_anybody(request: Request) -> None:
    """Lets a request to the log pass, which needs no token; it counts for its address, as it looks into the database.

    Raises:
        TooManyRequests: the address asks too often.
    """
    service_of(request).limits.public.spend(_address(request))


def _address(request: Request) -> str:
    return network_of(request.client.host if request.client else "")


def _token(request: Request) -> str:
    sent = request.headers.getlist("authorization")
    if len(sent) != 1:
        raise Unauthenticated("The request needs one token.", help=_HELP)
    scheme, _, token = sent[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("The request needs a bearer token.", help=_HELP)
    return token
