"""What the routes of one application share: its ledger and who checks tokens. Made in the lifespan, never a global."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ledger.api.stream import Streams

if TYPE_CHECKING:
    from uuid import UUID

    from starlette.requests import Request

    from ledger.api.identity import Identity
    from ledger.api.limits import Limits
    from ledger.api.tokens import TokenVerifier
    from ledger.application.door import Door
    from ledger.application.ledger import Ledger
    from ledger.application.readiness import Readiness


@dataclass(frozen=True, slots=True)
class Service:
    """One process's service; `verifier` is of development tokens, `identity` of a provider's."""

    ledger: Ledger
    verifier: TokenVerifier | None
    identity: Identity | None
    limits: Limits
    readiness: Readiness
    door: Door
    streams: Streams = field(default_factory=Streams)


def service_of(request: Request) -> Service:
    """Returns the service that a request came to."""
    return cast("Service", request.app.state.service)


def correlation_of(request: Request) -> UUID | None:
    """Returns the id under which the client asks to find this again; None where it sent none that can be used."""
    return cast("UUID | None", getattr(request.state, "correlation_id", None))


def without_time_limit(request: Request) -> None:
    """Lifts the bound on a request's whole time, for answers that bound their parts."""
    request.state.deadline.reschedule(None)


def request_id_of(request: Request) -> UUID:
    """Returns the id that the boundary gave the request; headers of events and log lines have it, too."""
    return cast("UUID", request.state.request_id)
