"""Tokens as attackers send them, over HTTP: each is a 401 that says nothing about why."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from ledger.api.tokens import ALGORITHM, AUDIENCE, TYPE, issuer
from ledger.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.api import Served

Json = dict[str, Any]
NOW = int(utc_now().timestamp())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(served: Served, **changes: object) -> bytes:
    base: dict[str, object] = {
        "iss": issuer(served.base.id),
        "aud": AUDIENCE,
        "sub": str(uuid4()),
        "iat": NOW - 5,
        "exp": NOW + 600,
        "office": "director",
    }
    return json.dumps({name: value for name, value in (base | changes).items() if value is not None}).encode()


def signed(
    served: Served, header: dict[str, object] | None = None, key: OKPKey | None = None, **changes: object
) -> str:
    """Returns a token with a true signature, whatever else is wrong with it."""
    wanted = {"alg": ALGORITHM, "typ": TYPE, **(header or {})}
    first = f"{b64(json.dumps(wanted).encode())}.{b64(claims(served, **changes))}"
    private = (key or served.key).private_key
    assert private is not None
    return f"{first}.{b64(private.sign(first.encode()))}"  # type: ignore[union-attr]  # an Ed25519 key


def unsigned(served: Served) -> str:
    return f"{b64(json.dumps({'alg': 'none', 'typ': TYPE}).encode())}.{b64(claims(served))}."


def hmac_with_the_public_key(served: Served) -> str:
    first = f"{b64(json.dumps({'alg': 'HS256', 'typ': TYPE}).encode())}.{b64(claims(served))}"
    public = served.key.as_pem(private=False)
    return f"{first}.{b64(hmac.digest(public, first.encode(), hashlib.sha256))}"


def flipped_unused_bits(served: Served) -> str:
    token = signed(served)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def other_payload(served: Served) -> str:
    header, _, signature = signed(served).split(".")
    return f"{header}.{b64(claims(served, office='system'))}.{signature}"


ATTACKS: dict[str, Callable[[Served], str]] = {
    "alg none": unsigned,
    "HS256 with the public key": hmac_with_the_public_key,
    "alg of another name": lambda served: signed(served, {"alg": "EdDSA"}),
    "another key": lambda served: signed(served, key=OKPKey.generate_key("Ed25519")),
    "another ledger": lambda served: signed(served, iss=issuer(uuid4())),
    "no issuer": lambda served: signed(served, iss=None),
    "another audience": lambda served: signed(served, aud="somebody-else"),
    "several audiences": lambda served: signed(served, aud=[AUDIENCE]),
    "typ JWT": lambda served: signed(served, {"typ": "JWT"}),
    "expired": lambda served: signed(served, exp=NOW - 1),
    "never expires": lambda served: signed(served, exp=None),
    "expires as text": lambda served: signed(served, exp="9999999999"),
    "issued in the future": lambda served: signed(served, iat=NOW + 600),
    "not yet valid": lambda served: signed(served, nbf=NOW + 600),
    "no subject": lambda served: signed(served, sub=None),
    "subject that is no UUID": lambda served: signed(served, sub="director"),
    "office that does not exist": lambda served: signed(served, office="king"),
    "student who speaks for nobody": lambda served: signed(served, office="student"),
    "director who speaks for students": lambda served: signed(served, students=[str(uuid4())]),
    "jku": lambda served: signed(served, {"jku": "https://attacker.example/keys"}),
    "x5u": lambda served: signed(served, {"x5u": "https://attacker.example/cert"}),
    "jwk": lambda served: signed(served, {"jwk": served.key.as_dict(private=False)}),
    "crit": lambda served: signed(served, {"crit": ["b64"], "b64": False}),
    "flipped unused bits": flipped_unused_bits,
    "padding": lambda served: signed(served) + "==",
    "tampered payload": other_payload,
    "no signature": lambda served: signed(served).rsplit(".", 1)[0],
    "five parts": lambda served: signed(served) + ".a.b",
    "oversize": lambda served: signed(served, note="x" * 8192),
    "nonsense": lambda _: "a.b.c",
    "payload that is no object": lambda served: jws.serialize_compact(
        {"alg": ALGORITHM, "typ": TYPE}, b"[]", served.key, algorithms=[ALGORITHM]
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_forged_token_is_refused(served: Served, attack: str) -> None:
    headers = {"Authorization": f"Bearer {ATTACKS[attack](served)}"}
    answer = served.anonymous().get("/v1/school", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["content-type"] == "application/problem+json"
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.json()["detail"] == "The token is not valid here, or no longer."


def test_token_of_the_same_making_is_accepted(served: Served) -> None:
    headers = {"Authorization": f"Bearer {signed(served)}"}
    assert served.anonymous().get("/v1/school", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Basic dXNlcjpwYXNz")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer a.b.c"), ("Authorization", "Bearer a.b.c")],
    ],
)
def test_request_without_one_bearer_token_is_refused(served: Served, headers: list[tuple[str, str]]) -> None:
    answer = served.anonymous().get("/v1/school", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="ledger"')


def needed(operation: Json, where: str) -> dict[str, str]:
    """Returns values for the parameters that an operation cannot do without."""
    found = [one for one in operation.get("parameters", []) if one["in"] == where and one.get("required")]
    words = {one["name"]: re.search(r"\^\((\w+)\|", one["schema"].get("pattern", "")) for one in found}
    return {name: word[1] if word is not None else str(uuid4()) for name, word in words.items()}


def test_nothing_under_v1_answers_without_a_token(served: Served) -> None:
    client = served.anonymous()
    paths: dict[str, dict[str, Json]] = client.get("/openapi.json").json()["paths"]
    asked = 0
    for path, operations in paths.items():
        if path.startswith("/v1/"):
            address = path.replace("{position}", "1")
            for name in re.findall(r"{(\w+)}", address):
                address = address.replace("{" + name + "}", str(uuid4()))
            for method, operation in operations.items():
                asked += 1
                query, headers = needed(operation, "query"), needed(operation, "header")
                answer = client.request(method, address, params=query, headers=headers)
                assert answer.status_code == 401, (method, path)
                if query or headers or "{" in path:
                    nonsense = re.sub("{.*?}", "nonsense", path)
                    assert client.request(method, nonsense).status_code == 401, (method, path)
    assert asked > 35
