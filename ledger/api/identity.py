"""Who a request is by: the token of an identity provider, and what the register says of its login at this moment.

That takes waiting (for the provider's keys, now and then, and for the register each time), so it is done before a
route is reached; `security.authenticate` then takes what was found, or raises it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from starlette.datastructures import Headers

from ledger.api.limits import network_of
from ledger.api.problems import BadRequest
from ledger.application.acting import Caller, Known, look_at_register
from ledger.application.readiness import Part
from ledger.clock import utc_now
from ledger.errors import LedgerError, Unauthenticated
from ledger.identity.access_token import AccessTokens, Bearer, Refused, UnknownKey
from ledger.identity.compact import Malformed, read_object, split
from ledger.identity.memory import Remembered
from ledger.identity.provider import Provider
from ledger.policy.offices import Office
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from datetime import datetime
    from typing import Any

    from starlette.types import Scope

    from ledger.api.limits import Limits
    from ledger.api.service import Service
    from ledger.application.ledger import Ledger
    from ledger.settings import Settings

logger = get_logger(__name__)

OFFICE = "Ledger-Office"


class Me(msgspec.Struct):
    """Who is logged in: as which person, in which office this request acts, and which are open to them today.

    `login_id` is what the director or secretary links to a person.
    """

    login_id: UUID | None
    person_id: UUID | None
    office: Office | None
    offices: list[Office]
    help: str


def bearer_token(headers: Headers) -> str | None:
    """Returns the one bearer token of a request; None where there is none, or more than one."""
    sent = headers.getlist("authorization")
    scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    return token if scheme.lower() == "bearer" and token else None


def wanted_office(headers: Headers) -> Office | None:
    """Returns the office that a request names.

    Raises:
        BadRequest: it names several, or one that does not exist.
    """
    sent = headers.getlist(OFFICE)
    if not sent:
        return None
    try:
        [name] = sent
        return Office(name.strip())
    except ValueError:
        names = ", ".join(Office)
        raise BadRequest("office-unknown", f"{OFFICE} must name one office.", help=f"One of {names}.") from None


@dataclass(slots=True)
class Identity:
    """Tells who a provider's token speaks of; belongs to one event loop.

    Verified tokens are remembered until they expire or the provider's keys change. What the register says of their
    login is not: it is asked each time.
    """

    ledger: Ledger
    limits: Limits
    provider: Provider
    tokens: AccessTokens
    clock: Callable[[], datetime]
    alone: bool
    """Whether there are no other tokens: those of the development issuer name no key."""
    _remembered: Remembered[Bearer]
    _generation: int = 0

    @classmethod
    def of(cls, ledger: Ledger, limits: Limits, clock: Callable[[], datetime] = utc_now) -> Identity | None:
        """Returns the identity that the settings ask for; None where they name no provider."""
        settings = ledger.settings
        if settings.oidc_issuer is None:
            return None
        tokens = AccessTokens(
            settings.oidc_issuer, settings.oidc_audience, settings.signing, settings.oidc_skew_seconds
        )
        return cls(
            ledger,
            limits,
            provider_of(settings, settings.oidc_issuer),
            tokens,
            clock,
            settings.production,
            Remembered(),
        )

    async def identify(
        self, headers: Headers, address: str, state: MutableMapping[str, Any]
    ) -> Known | LedgerError | None:
        """Returns who a request is by, what is wrong with it, or None where its token is none of the provider's.

        A signature is checked only while the address from which it comes has not sent too many that were wrong.
        """
        token = bearer_token(headers)
        if token is None or not (self.alone or _names_a_key(token)):
            return None
        try:
            wanted = wanted_office(headers)
            bearer = await self._verify(token, address)
            login = self.ledger.hasher.login(bearer.issuer, bearer.subject)
            state["standing"] = self.limits.clients.spend(login)
            claimed = Office(bearer.office) if bearer.office in set(Office) else None
            return await look_at_register(self.ledger, Caller(login, wanted, claimed, bearer.is_program))
        except LedgerError as error:
            return error

    def part(self) -> Part:
        """Returns how the provider's keys stand, for `/readyz`.

        Without any the ledger is ready all the same: it is somebody else who does not answer, and taking every host out
        of service would also stop the log, and those who are here already.
        """
        held, failing = len(self.provider.keys), self.provider.failing
        reason = "" if held else "There is no key of the identity provider here: nobody can log in."
        if failing:
            reason = f"{reason or f'Keys held: {held}.'} The newest look for them failed."
        return Part("identity provider", ready=True, reason=reason)

    async def _verify(self, token: str, address: str) -> Bearer:
        now = self.clock().timestamp()
        if self._generation != self.provider.generation:
            self._remembered.clear()
            self._generation = self.provider.generation
        bearer = self._remembered.find(token, now)
        if bearer is not None:
            return bearer
        self.limits.strangers.check(address)
        try:
            try:
                bearer = self.tokens.read(token, self.provider.keys, now)
            except UnknownKey as unknown:
                await self.provider.key_for(unknown.kid)
                bearer = self.tokens.read(token, self.provider.keys, self.clock().timestamp())
        except Refused as refused:
            logger.info("A token was refused.", why=str(refused))
            raise Unauthenticated("The token is not valid here, or no longer.", help="Log in again.") from None
        if self._generation == self.provider.generation:
            self._remembered.keep(token, bearer, bearer.expires)
        return bearer


def provider_of(settings: Settings, issuer: str) -> Provider:
    """Returns the provider of the settings; nothing is fetched yet."""
    return Provider(
        issuer,
        settings.oidc_jwks,
        refetch_s=settings.oidc_refetch_seconds,
        refresh_s=settings.oidc_refresh_seconds,
    )


def _names_a_key(token: str) -> bool:
    try:
        return "kid" in read_object(split(token).header)
    except Malformed:
        return False


def needs_token(path: str) -> bool:
    """Tells whether what lies under an address is for those alone who say who they are."""
    return path.startswith(("/v1/", "/log/tile/entries/"))


async def identify(scope: Scope) -> None:
    """Finds out who a request is by, where its address needs that and the settings name a provider.

    What was found stands in the request's state as `identified`.
    """
    service: Service = scope["app"].state.service
    if service.identity is not None and needs_token(scope["path"]):
        state, client = scope.setdefault("state", {}), scope.get("client")
        address = network_of(client[0] if client else "")
        state["identified"] = await service.identity.identify(Headers(scope=scope), address, state)
