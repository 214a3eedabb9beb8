"""Development tokens: who acts, in which office, signed by the ledger's own Ed25519 key. Refused in production.

A token is a JWT of type `at+jwt` (RFC 9068) in its narrowest form: one algorithm, a header with `alg` and `typ` and
nothing else (so no `jku`, `x5u`, `jwk` or `crit`), base64url in its one canonical spelling, and an issuer that names
this very ledger. The strict checks come before the library sees the token: lenient decoders accept flipped unused bits.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from ledger.clock import utc_now
from ledger.errors import InvalidInput, SettingsError, Unauthenticated
from ledger.identity.compact import read_object, split
from ledger.identity.memory import CACHED, Remembered
from ledger.ids import new_id
from ledger.policy.offices import SPEAKING, Actor, Office

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ledger.settings import Settings

ALGORITHM: Final = "Ed25519"
TYPE = "at+jwt"
AUDIENCE = "ledger-api"
LIFETIME = timedelta(hours=12)
MAX_STUDENTS = 50
AHEAD_S = 30
"""By how much the clock of the host that issued a token may run ahead of ours."""


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    alg: str
    typ: str


class _Claims(msgspec.Struct):
    iss: str
    aud: str
    sub: UUID
    iat: int
    exp: int
    office: Office
    nbf: int = 0
    students: list[UUID] = []


_headers = msgspec.json.Decoder(_Header)
_claims = msgspec.json.Decoder(_Claims)


def issuer(ledger_id: UUID) -> str:
    """Returns the issuer of a ledger's tokens, which no other ledger accepts."""
    return f"urn:ledger:{ledger_id}"


def load_token_key(settings: Settings) -> OKPKey:
    """Returns the key that signs and checks tokens; makes it on the first start of an embedded ledger.

    Raises:
        SettingsError: there is none, or the file holds something else.
    """
    path = settings.token_key_path
    if not path.exists():
        if settings.database_url is not None:
            raise SettingsError(
                f"The token key {path} does not exist.",
                help="Make one and keep it: `ledger keygen --token`; or point LEDGER_TOKEN_KEY_FILE at yours.",
            )
        make_token_key(path)
    try:
        key = OKPKey.import_key(path.read_bytes())
    except (OSError, ValueError, JoseError) as error:
        raise SettingsError(
            f"The token key {path} cannot be read.",
            help="It must be an Ed25519 private key in PEM, without a password.",
        ) from error
    if key.curve_name != ALGORITHM or not key.is_private:
        raise SettingsError(
            f"The token key {path} is not an Ed25519 private key.", help="Make one: `ledger keygen --token <file>`."
        )
    return key


def make_token_key(path: Path) -> None:
    """Writes a new key, readable by its owner only.

    Of several processes that do this at once one wins and the others use its key: the file appears whole or not at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{new_id().hex}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(OKPKey.generate_key(ALGORITHM).as_pem(private=True))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(fresh)
    except FileExistsError:
        return
    finally:
        fresh.unlink()


def issue_token(
    key: OKPKey, ledger_id: UUID, actor: Actor, *, lifetime: timedelta = LIFETIME, now: datetime | None = None
) -> str:
    """Returns a signed token for an actor.

    Args:
        key: from `load_token_key`.
        ledger_id: the ledger that the token is for (`Foundation.id`).
        actor: the person's opaque id and office; students and representatives name those whom they speak for.
        lifetime: after which it is refused.
        now: when it is issued; the present instant unless told otherwise.

    Raises:
        InvalidInput: the actor could not be read back from the token.
    """
    speaks = actor.office in SPEAKING
    if speaks != bool(actor.students) or len(actor.students) > MAX_STUDENTS:
        raise InvalidInput(
            "Students and representatives, and nobody else, name the students whom they speak for.",
            help=f"Name 1 to {MAX_STUDENTS} of them for a student or representative, none for another office.",
        )
    issued = int((now or utc_now()).timestamp())
    claims: dict[str, object] = {
        "iss": issuer(ledger_id),
        "aud": AUDIENCE,
        "sub": str(actor.id),
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "office": actor.office.value,
    }
    if speaks:
        claims["students"] = sorted(str(student) for student in actor.students)
    header = {"alg": ALGORITHM, "typ": TYPE}
    return jws.serialize_compact(header, msgspec.json.encode(claims), key, algorithms=[ALGORITHM])


def _refusal() -> Unauthenticated:
    """One sentence for every reason: who forges tokens learns nothing from the answer."""
    return Unauthenticated("The token is not valid here, or no longer.", help="Get a new one: `ledger token`.")


class TokenVerifier:
    """Tells who a development token speaks for.

    Verified tokens are remembered by their text until they expire. It belongs to one event loop.
    """

    def __init__(
        self, key: OKPKey, ledger_id: UUID, *, clock: Callable[[], datetime] = utc_now, cached: int = CACHED
    ) -> None:
        self._key = key
        self._issuer = issuer(ledger_id)
        self._clock = clock
        self._verified: Remembered[Actor] = Remembered(cached)

    def __len__(self) -> int:
        """Returns how many verified tokens are remembered."""
        return len(self._verified)

    def verify(self, token: str) -> Actor:
        """Returns the actor of a valid token.

        Raises:
            Unauthenticated: it is not valid.
        """
        now = self._clock().timestamp()
        found = self._verified.find(token, now)
        if found is not None:
            return found
        claims = self._read(token)
        speaks = claims.office in SPEAKING
        valid = (
            claims.iss == self._issuer
            and claims.aud == AUDIENCE
            and now < claims.exp
            and claims.iat <= now + AHEAD_S
            and claims.nbf <= now + AHEAD_S
            and speaks == bool(claims.students)
            and len(claims.students) <= MAX_STUDENTS
        )
        if not valid:
            raise _refusal()
        actor = Actor(claims.sub, claims.office, frozenset(claims.students))
        self._verified.keep(token, actor, claims.exp)
        return actor

    def _read(self, token: str) -> _Claims:
        """Returns the claims of a token whose form and signature are right."""
        try:
            parts = split(token)
            read = _headers.decode(parts.header)
            if read.alg != ALGORITHM or read.typ != TYPE:
                raise _refusal()
            read_object(parts.header)  # a second member of one name
            read_object(parts.payload)
            jws.deserialize_compact(token, self._key, algorithms=[ALGORITHM])
            return _claims.decode(parts.payload)
        except (msgspec.DecodeError, JoseError, ValueError):
            raise _refusal() from None


def verifier_of(settings: Settings, ledger_id: UUID) -> TokenVerifier | None:
    """Returns who checks development tokens; None in production, where there are none.

    Raises:
        SettingsError: the key cannot be read, or it is production and no provider is named.
    """
    check_identity(settings)
    return None if settings.production else TokenVerifier(load_token_key(settings), ledger_id)


def check_identity(settings: Settings) -> None:
    """Passes if somebody can say who comes.

    Raises:
        SettingsError: it is production, and no provider is named.
    """
    if settings.production and settings.oidc_issuer is None:
        raise SettingsError(
            "LEDGER_ENV=production takes no development tokens, and no identity provider is named.",
            help="Set LEDGER_OIDC_ISSUER (see docs/identity.md), or LEDGER_ENV=development to try things out.",
        )


def check_development(settings: Settings) -> None:
    """Passes if development tokens may be issued.

    Raises:
        SettingsError: it is production.
    """
    if settings.production:
        raise SettingsError(
            "LEDGER_ENV=production: development tokens are neither issued nor taken.",
            help="Tokens come from the identity provider of LEDGER_OIDC_ISSUER; `ledger appoint` makes the director.",
        )
