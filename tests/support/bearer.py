"""Tokens of a provider, made piece by piece: its keys, and claims and headers of which each may be changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ledger.identity.access_token import AccessTokens
from ledger.identity.keys import read_keys
from ledger.settings import SIGNING
from tests.support.provider import AUDIENCE, jwk, signed

if TYPE_CHECKING:
    from tests.support.provider import Json, Key

NOW = 1_760_000_000
ISSUER = "https://id.school.example/realms/school"
ED, EC, RSA = OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-256"), RSAKey.generate_key(2048)
STRANGER = ECKey.generate_key("P-256")
KEYS: dict[str, Key] = {"ed": ED, "ec": EC, "rsa": RSA}
SIGNERS: dict[str, tuple[str, Key]] = {
    "Ed25519": ("ed", ED),
    "EdDSA": ("ed", ED),
    "ES256": ("ec", EC),
    "RS256": ("rsa", RSA),
    "PS256": ("rsa", RSA),
}
JWKS = json.dumps({"keys": [jwk(key, kid) for kid, key in KEYS.items()]}).encode()
SET = read_keys(JWKS)
TOKENS = AccessTokens(ISSUER, AUDIENCE, SIGNING)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
"""Any JSON value, and numbers that JSON does not know."""


def claims(**changes: object) -> Json:
    """Returns the claims of a valid token, with some changed; None leaves one out."""
    base: Json = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "4f1c",
        "client_id": "school-desk",
        "iat": NOW - 5,
        "exp": NOW + 600,
        "jti": "1",
    }
    return {name: value for name, value in (base | changes).items() if value is not None}


def header(algorithm: str = "ES256", **changes: object) -> Json:
    """Returns the header of a valid token, with some members changed; None leaves one out."""
    base: Json = {"alg": algorithm, "typ": "at+jwt", "kid": SIGNERS.get(algorithm, ("ec",))[0]}
    return {name: value for name, value in (base | changes).items() if value is not None}


def a_token(algorithm: str = "ES256", head: Json | bytes | None = None, body: Json | bytes | None = None) -> str:
    """Returns a token that is truly signed; what it says is valid unless told otherwise."""
    return signed(SIGNERS[algorithm][1], algorithm, head or header(algorithm), body or claims())
