"""The keys of a provider: which of a JSON Web Key Set can check our tokens, and with which algorithms (RFC 7517).

A set also holds keys for other purposes and of other kinds; those are passed over. What is taken is asymmetric, public,
strong enough, in canonical form and named: a token names its key by `kid`, and a name that two keys have is no name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from ledger.errors import InvalidInput
from ledger.identity.compact import Malformed, canonical, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping


MAX_KEYS = 100
MAX_KID = 255
RSA_BITS = range(2048, 8192 + 1)
SMALLEST_EXPONENT = 65537
LARGEST_EXPONENT = 2**32

_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class _Kind(NamedTuple):
    made: type[RSAKey | ECKey | OKPKey]
    members: tuple[str, ...]
    curve: str | None
    algorithms: frozenset[str]


_KINDS: Mapping[str, _Kind] = {
    "RSA": _Kind(RSAKey, ("n", "e"), None, frozenset({"RS256", "PS256"})),
    "EC": _Kind(ECKey, ("x", "y"), "P-256", frozenset({"ES256"})),
    "OKP": _Kind(OKPKey, ("x",), "Ed25519", frozenset({"EdDSA", "Ed25519"})),
}


class _Entry(msgspec.Struct):
    """A key that may serve: named, and for checking signatures."""

    kid: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KID)]
    kty: Literal["RSA", "EC", "OKP"]
    use: Literal["sig"] = "sig"
    key_ops: tuple[str, ...] = ("verify",)
    alg: str = ""
    crv: str | None = None
    n: str = ""
    e: str = ""
    x: str = ""
    y: str = ""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key of the provider and the algorithms that its tokens may name with it."""

    kid: str
    algorithms: frozenset[str]
    thumbprint: str
    key: RSAKey | ECKey | OKPKey

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Tells whether the signature is this key's; the algorithm must be one of the key's."""
        if algorithm not in self.algorithms:
            return False
        name = "Ed25519" if algorithm == "EdDSA" else algorithm
        return JWSRegistry(algorithms=[name]).get_alg(name).verify(signed, signature, self.key)


def read_keys(document: bytes) -> dict[str, SigningKey]:
    """Returns the keys of a key set that can check tokens, by their names; none, where the provider took all back.

    Raises:
        InvalidInput: it is no key set.
    """
    try:
        found = read_object(document).get("keys")
    except Malformed as error:
        raise _unusable(str(error)) from None
    if not isinstance(found, list) or len(found) > MAX_KEYS:
        raise _unusable(f"it has no list of up to {MAX_KEYS} keys")
    keys: dict[str, SigningKey] = {}
    twice: set[str] = set()
    for entry in found:
        key = _read_key(entry)
        if key is not None and key.kid in keys:
            twice.add(key.kid)
        elif key is not None:
            keys[key.kid] = key
    return {kid: key for kid, key in keys.items() if kid not in twice}


def _unusable(why: str) -> InvalidInput:
    return InvalidInput(f"The provider's key set cannot be used: {why}.", help="Look at what its jwks_uri answers.")


def _read_key(entry: object) -> SigningKey | None:
    """Returns a key that serves; None for one that is for something else, weak, private, or not in the form."""
    if not isinstance(entry, dict) or not _PRIVATE.isdisjoint(entry):
        return None  # a private key that was published is anybody's
    try:
        read = msgspec.convert(entry, _Entry)
        kind = _KINDS[read.kty]
        members = {name: getattr(read, name) for name in kind.members}
        numbers = [int.from_bytes(canonical(text)) for text in members.values()]
        algorithms = kind.algorithms & _meant_by(read.alg) if "alg" in entry else kind.algorithms
        weak = read.kty == "RSA" and not _strong(*numbers)
        if weak or not algorithms or "verify" not in read.key_ops or read.crv != kind.curve:
            return None
        key = kind.made.import_key({"kty": read.kty, **({"crv": kind.curve} if kind.curve else {}), **members})
        if key.public_key is None:  # made now: a point that is not on its curve is found here
            return None
        return SigningKey(read.kid, algorithms, key.thumbprint(), key)
    except (JoseError, ValueError, TypeError):
        return None


def _meant_by(algorithm: str) -> frozenset[str]:
    return frozenset({"EdDSA", "Ed25519"} if algorithm in ("EdDSA", "Ed25519") else {algorithm})


def _strong(modulus: int, exponent: int) -> bool:
    odd = modulus % 2 == 1 and exponent % 2 == 1
    return odd and modulus.bit_length() in RSA_BITS and SMALLEST_EXPONENT <= exponent < LARGEST_EXPONENT
