"""Key sets as providers publish them: what of them serves for checking tokens, and what is passed over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ledger.errors import InvalidInput
from ledger.identity.access_token import Refused
from ledger.identity.keys import read_keys
from tests.support.bearer import EC, ED, JSON, NOW, RSA, TOKENS, a_token
from tests.support.provider import b64, jwk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.provider import Json


def a_set(*entries: object) -> bytes:
    return json.dumps({"keys": entries}).encode()


def weak_rsa() -> Json:
    key = RSAKey.generate_key(2048).as_dict(private=False)
    modulus = (1 << 1023) | 1
    return {**key, "n": b64(modulus.to_bytes(128)), "kid": "x"}


OTHERS: dict[str, Callable[[], object]] = {
    "no name": lambda: {name: value for name, value in jwk(EC, "x").items() if name != "kid"},
    "name that is no text": lambda: jwk(EC, "x") | {"kid": 7},
    "for encryption": lambda: jwk(RSA, "x", use="enc"),
    "for other operations": lambda: jwk(EC, "x", key_ops=["sign"]),
    "operations that are no list": lambda: jwk(EC, "x", key_ops="verify"),
    "another algorithm": lambda: jwk(RSA, "x", alg="RSA-OAEP"),
    "an algorithm of another kind": lambda: jwk(EC, "x", alg="RS256"),
    "algorithm none": lambda: jwk(EC, "x", alg="none"),
    "a symmetric key": lambda: {"kty": "oct", "k": b64(b"x" * 32), "kid": "x"},
    "private": lambda: {**EC.as_dict(private=True), "kid": "x"},
    "private RSA": lambda: {**RSA.as_dict(private=True), "kid": "x"},
    "P-384": lambda: jwk(ECKey.generate_key("P-384"), "x"),
    "secp256k1": lambda: jwk(ECKey.generate_key("secp256k1"), "x"),
    "X25519": lambda: {**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "x"},
    "Ed448": lambda: jwk(OKPKey.generate_key("Ed448"), "x"),
    "RSA of 1024 bits": weak_rsa,
    "RSA with exponent 1": lambda: jwk(RSA, "x", e="AQ"),
    "RSA with exponent 3": lambda: jwk(RSA, "x", e="Aw"),
    "RSA with an even modulus": lambda: jwk(RSA, "x", n=b64((1 << 2047).to_bytes(256))),
    "a point that is not on the curve": lambda: jwk(EC, "x", x=b64(bytes(31) + b"\x05")),
    "padding": lambda: jwk(ED, "x", x=str(ED.as_dict(private=False)["x"]) + "="),
    "a coordinate missing": lambda: {name: value for name, value in jwk(EC, "x").items() if name != "y"},
    "a coordinate that is a number": lambda: jwk(EC, "x", x=5),
    "a kind that is a list": lambda: jwk(EC, "x", kty=["EC"]),
    "no object": lambda: "key",
}


@pytest.mark.parametrize("vector", OTHERS)
def test_key_that_does_not_serve_is_passed_over(vector: str) -> None:
    assert set(read_keys(a_set(OTHERS[vector](), jwk(EC, "ec")))) == {"ec"}


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@given(st.sampled_from(["kty", "kid", "use", "key_ops", "alg", "crv", "x", "y"]), JSON.filter(_is_json))
def test_key_of_any_other_shape_is_passed_over_or_is_the_same_key(name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    found = read_keys(a_set(jwk(EC, "x") | {name: value}, jwk(ED, "ed")))
    assert {key.thumbprint for key in found.values()} <= {EC.thumbprint(), ED.thumbprint()}


def test_name_that_two_keys_have_names_none() -> None:
    found = read_keys(a_set(jwk(EC, "same"), jwk(ED, "same"), jwk(RSA, "rsa")))
    assert set(found) == {"rsa"}


@pytest.mark.parametrize(
    ("algorithm", "others"), [("RS256", "PS256"), ("PS256", "RS256")], ids=["RS256 alone", "PS256 alone"]
)
def test_key_that_names_its_algorithm_serves_no_other(algorithm: str, others: str) -> None:
    keys = read_keys(a_set(jwk(RSA, "rsa", alg=algorithm)))
    assert TOKENS.read(a_token(algorithm), keys, NOW).kid == "rsa"
    with pytest.raises(Refused):
        TOKENS.read(a_token(others), keys, NOW)


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
def test_both_names_of_ed25519_mean_the_same_key(name: str) -> None:
    keys = read_keys(a_set(jwk(ED, "ed", alg=name)))
    assert TOKENS.read(a_token("EdDSA"), keys, NOW).kid == "ed"
    assert TOKENS.read(a_token("Ed25519"), keys, NOW).kid == "ed"


@pytest.mark.parametrize("taken_back", [b'{"keys": []}', b'{"keys": [1]}', a_set({"kty": "oct", "kid": "x"})])
def test_set_without_usable_keys_is_one(taken_back: bytes) -> None:
    """What a provider answers that took its keys back: no reason to go on with the old ones."""
    assert read_keys(taken_back) == {}


DOCUMENTS: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "no keys": b"{}",
    "keys that are no list": b'{"keys": {}}',
    "two lists": b'{"keys":[],"keys":[]}',
    "not UTF-8": b"\xff",
    "too deep": b"[" * 9999,
    "too many": a_set(*(jwk(EC, str(number)) for number in range(101))),
}


@pytest.mark.parametrize("vector", DOCUMENTS)
def test_document_that_is_no_key_set_is_refused_as_a_whole(vector: str) -> None:
    with pytest.raises(InvalidInput):
        read_keys(DOCUMENTS[vector])
