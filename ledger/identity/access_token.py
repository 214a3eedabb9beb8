"""JWT access tokens (RFC 9068), checked as its section 4 says and RFC 8725 advises; one way to be right, no leniency.

Pure: the keys are given. Why a token was refused is said in words that only our own log shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.identity.compact import Malformed, read_object, split
from ledger.identity.keys import MAX_KID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.identity.compact import Parts
    from ledger.identity.keys import SigningKey

TYPES = frozenset({"at+jwt", "application/at+jwt"})
MAX_LIFETIME_S = 24 * 3600
"""A token that lives longer is refused: who steals one should not have it for long."""
MAX_NAME = 255
"""Characters of a subject or client (OpenID Connect allows a subject no more)."""
MAX_AUDIENCES = 20
OFFICE = "ledger_office"
"""Claim that asks for an office; `Ledger-Office` of a request comes before it."""

_HEADER = frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"})
"""Members that a header may have. Thumbprints are passed over; whatever brings a key along, or changes how the token is
read (`jku`, `jwk`, `x5u`, `x5c`, `crit`, `b64`, `zip`, `cty`, `enc`), is not among them."""


class Refused(Exception):
    """The token is not valid, and why; never shown to whoever sent it."""


class UnknownKey(Refused):
    """The token names a key that the provider's set, as we have it, does not hold."""

    def __init__(self, kid: str) -> None:
        super().__init__("no such key")
        self.kid = kid


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a valid token speaks of.

    Args:
        subject: the provider's name for them, unique at this provider and never reassigned.
        client: the program that asked for the token.
        office: what the token asks to act as; believed of nobody, the ledger's own register decides.
        kid: by which key it was signed.
        expires: seconds since 1970.
    """

    issuer: str
    subject: str
    client: str
    office: str | None
    kid: str
    expires: int

    @property
    def is_program(self) -> bool:
        """Whether a program speaks for itself (client credentials): then it is the subject, too (RFC 9068 2.2)."""
        return self.subject == self.client


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """What tokens must say to be for this ledger.

    Args:
        issuer: the provider, compared character by character.
        audience: this service's name at the provider.
        algorithms: those that are taken.
        skew_s: by how much the provider's clock and ours may differ.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str]
    skew_s: int = 30

    def read(self, token: str, keys: Mapping[str, SigningKey], now: float) -> Bearer:
        """Returns whom a token speaks of.

        Raises:
            UnknownKey: no key has the name that it gives.
            Refused: anything else about it is wrong.
        """
        try:
            # 1. The form: three parts in canonical base64url, a header and claims that are JSON objects.
            parts = split(token)
            header = read_object(parts.header)
            # 2. The type, so that no ID token or other JWT passes for an access token; 3. an algorithm of ours.
            algorithm, kid = self._check_header(header)
            # 4. Exactly one key, by its name, from the provider's set and nowhere else.
            key = keys.get(kid)
            if key is None:
                raise UnknownKey(kid)
            # 5. The signature, with that key and an algorithm that belongs to it.
            if not key.verifies(algorithm, parts.signed, parts.signature):
                raise Refused("signature")
            # 6. What it claims: only now is any of it looked at.
            return self._check_claims(_claims(parts), kid, now)
        except Malformed as error:
            raise Refused(str(error)) from None

    def _check_header(self, header: dict[str, Any]) -> tuple[str, str]:
        if not _HEADER.issuperset(header):
            raise Refused("a header member that changes how tokens are read")
        kind, algorithm, kid = header.get("typ"), header.get("alg"), header.get("kid")
        if not isinstance(kind, str) or kind.lower() not in TYPES:
            raise Refused("typ")
        if not isinstance(algorithm, str) or algorithm not in self.algorithms:
            raise Refused("alg")
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
            raise Refused("kid")
        return algorithm, kid

    def _check_claims(self, claims: dict[str, Any], kid: str, now: float) -> Bearer:
        if claims.get("iss") != self.issuer:
            raise Refused("iss")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if len(audiences) > MAX_AUDIENCES or not all(isinstance(one, str) for one in audiences):
            raise Refused("aud")
        if self.audience not in audiences:
            raise Refused("aud")
        expires, issued, not_before = _time(claims, "exp"), _time(claims, "iat"), _time(claims, "nbf", missing=0)
        if now >= expires + self.skew_s or issued > now + self.skew_s or not_before > now + self.skew_s:
            raise Refused("time")
        if not 0 < expires - issued <= MAX_LIFETIME_S:
            raise Refused("lifetime")
        subject, client = _name(claims, "sub"), _name(claims, "client_id")
        _name(claims, "jti")
        office = claims.get(OFFICE)
        if office is not None and not isinstance(office, str):
            raise Refused(OFFICE)
        return Bearer(self.issuer, subject, client, office, kid, int(expires) + self.skew_s)


def _claims(parts: Parts) -> dict[str, Any]:
    return read_object(parts.payload)


def _time(claims: dict[str, Any], name: str, *, missing: float | None = None) -> float:
    """Returns a time in seconds since 1970 (NumericDate); JSON's true is no number, nor is what does not end."""
    value = claims.get(name, missing)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise Refused(name)
    return value


def _name(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME or not value.isprintable():
        raise Refused(name)
    return value
