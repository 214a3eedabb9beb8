"""Who asks: the bearer token of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.api.service import service_of
from ledger.errors import Unauthenticated

if TYPE_CHECKING:
    from starlette.requests import Request

    from ledger.policy.offices import Actor

_HELP = "Send `Authorization: Bearer <token>`; `ledger token` issues tokens."


def authenticate(request: Request) -> Actor:
    """Returns who acts by the request's token.

    Raises:
        Unauthenticated: there is no token, more than one, or it is not valid.
    """
    sent = request.headers.getlist("authorization")
    if len(sent) != 1:
        raise Unauthenticated("The request needs one token.", help=_HELP)
    scheme, _, token = sent[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("The request needs a bearer token.", help=_HELP)
    return service_of(request).verifier.verify(token)
