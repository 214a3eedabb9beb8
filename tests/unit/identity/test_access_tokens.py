"""Access tokens as attackers send them: the classes of Wycheproof's JWS and JWT vectors, made for our form of token.

Each is refused; a control of the same making is taken, so that no vector is refused for something else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.identity.access_token import AccessTokens, Bearer, Refused, UnknownKey
from ledger.identity.keys import read_keys
from ledger.settings import SIGNING
from tests.support.bearer import (
    ALPHABET,
    EC,
    ISSUER,
    JSON,
    JWKS,
    NOW,
    RSA,
    SET,
    SIGNERS,
    STRANGER,
    TOKENS,
    a_token,
    claims,
    header,
)
from tests.support.provider import AUDIENCE, Issuer, b64, compact, signature, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def read(token: str) -> Bearer:
    return TOKENS.read(token, SET, NOW)


def with_header(algorithm: str = "ES256", **changes: object) -> str:
    return a_token(algorithm, header(algorithm, **changes))


def with_claims(**changes: object) -> str:
    return a_token(body=claims(**changes))


def raw(head: str | None = None, body: str | None = None) -> str:
    """Returns a truly signed token whose JSON is written by hand."""
    return a_token(head=head.encode() if head else None, body=body.encode() if body else None)


def hmac_signed(secret: bytes, algorithm: str = "HS256", **changes: object) -> str:
    first = compact(header() | {"alg": algorithm, **changes}, claims())
    return f"{first}.{b64(hmac.digest(secret, first.encode(), hashlib.sha256))}"


def resigned(part: int, change: Callable[[str], str]) -> str:
    """Returns a token one of whose parts is spelled otherwise, with the signature over that spelling."""
    parts = a_token().split(".")
    parts[part] = change(parts[part])
    if part < 2:
        parts[2] = b64(signature(EC, "ES256", ".".join(parts[:2])))
    return ".".join(parts)


def unused_bits(segment: str) -> str:
    """Returns another spelling of the same bytes: the last character's unused bits are set."""
    assert len(segment) % 4 in (2, 3)
    return segment[:-1] + ALPHABET[ALPHABET.index(segment[-1]) ^ 1]


def padded_body() -> str:
    """Returns a true token whose payload has unused bits, so that there is another spelling."""
    body = json.dumps(claims()).encode()
    body += b" " * (1 if len(body) % 3 == 0 else 0)
    first = f"{b64(json.dumps(header()).encode())}.{unused_bits(b64(body))}"
    return f"{first}.{b64(signature(EC, 'ES256', first))}"


def der(token: str) -> str:
    """Returns a token whose ECDSA signature is in DER instead of r and s."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: PLC0415 - here alone

    first, _, _ = token.rpartition(".")
    raw_signature = signature(EC, "ES256", first)
    numbers = (int.from_bytes(raw_signature[:32]), int.from_bytes(raw_signature[32:]))
    return f"{first}.{b64(encode_dss_signature(*numbers))}"


def json_serialisation(*, general: bool) -> str:
    head, body, sig = a_token().split(".")
    one = {"protected": head, "signature": sig}
    return json.dumps({"payload": body, "signatures": [one]} if general else {"payload": body, **one})


H, C = header(), claims()
NESTED = a_token()

FORGED: dict[str, Callable[[], str]] = {
    # algorithms
    "alg none without signature": lambda: compact(header(alg="none"), C) + ".",
    "alg none with a signature": lambda: a_token(head=header(alg="none")),
    "alg None in other letters": lambda: a_token(head=header(alg="nOnE")),
    "alg missing": lambda: a_token(head=header(alg=None)),
    "alg empty": lambda: a_token(head=header(alg="")),
    "alg a list": lambda: a_token(head=header(alg=["ES256"])),
    "alg in small letters": lambda: a_token(head=header(alg="es256")),
    "alg with a blank": lambda: a_token(head=header(alg="ES256 ")),
    "alg ES384": lambda: a_token(head=header(alg="ES384")),
    "alg RS1": lambda: a_token("RS256", header("RS256", alg="RS1")),
    "alg RS384 with an RS256 signature": lambda: a_token("RS256", header("RS256", alg="RS384")),
    "PS256 signature called RS256": lambda: signed(RSA, "PS256", header("RS256"), C),
    "RS256 signature called PS256": lambda: signed(RSA, "RS256", header("PS256"), C),
    "HS256 with the RSA key's PEM": lambda: hmac_signed(RSA.as_pem(private=False), kid="rsa"),
    "HS256 with the RSA key's DER": lambda: hmac_signed(RSA.as_der(private=False), kid="rsa"),
    "HS256 with the EC key's PEM": lambda: hmac_signed(EC.as_pem(private=False)),
    "HS256 with the key set": lambda: hmac_signed(JWKS),
    "HS256 with an empty secret": lambda: hmac_signed(b""),
    "HMAC called ES256": lambda: hmac_signed(EC.as_pem(private=False), "ES256"),
    "HMAC called RS256": lambda: hmac_signed(RSA.as_pem(private=False), "RS256", kid="rsa"),
    "RSA key's name under ES256": lambda: with_header(kid="rsa"),
    "EC key's name under RS256": lambda: with_header("RS256", kid="ec"),
    "Ed25519 key's name under ES256": lambda: with_header(kid="ed"),
    # types
    "typ missing": lambda: with_header(typ=None),
    "typ JWT": lambda: with_header(typ="JWT"),
    "typ of an ID token": lambda: with_header(typ="id+jwt"),
    "typ of a logout token": lambda: with_header(typ="logout+jwt"),
    "typ a list": lambda: with_header(typ=["at+jwt"]),
    "typ with a parameter": lambda: with_header(typ="at+jwt; x=1"),
    # keys from elsewhere
    "jku": lambda: with_header(jku="https://attacker.example/keys"),
    "jwk of the attacker": lambda: signed(STRANGER, "ES256", header(jwk=STRANGER.as_dict(private=False)), C),
    "jwk of the attacker and no kid": lambda: signed(
        STRANGER, "ES256", header(kid=None, jwk=STRANGER.as_dict(private=False)), C
    ),
    "jwk of the provider": lambda: with_header(jwk=EC.as_dict(private=False)),
    "x5u": lambda: with_header(x5u="https://attacker.example/certificate"),
    "x5c": lambda: with_header(x5c=["MIIB"]),
    "kid missing": lambda: with_header(kid=None),
    "kid empty": lambda: with_header(kid=""),
    "kid a number": lambda: with_header(kid=1),
    "kid null": lambda: a_token(head=json.dumps(header() | {"kid": None}).encode()),
    "kid a list": lambda: with_header(kid=["ec"]),
    "kid unknown": lambda: with_header(kid="two"),
    "kid a path": lambda: with_header(kid="../../../../dev/null"),
    "kid SQL": lambda: with_header(kid="ec' OR '1'='1"),
    "kid a command": lambda: with_header(kid="ec|whoami"),
    "kid an address": lambda: with_header(kid="https://attacker.example/keys"),
    "kid with NUL": lambda: with_header(kid="ec\x00"),
    "kid in capitals": lambda: with_header(kid="EC"),
    "kid with a blank": lambda: with_header(kid="ec "),
    "kid too long": lambda: with_header(kid="e" * 256),
    "another key": lambda: signed(STRANGER, "ES256", H, C),
    # how it is to be read
    "crit": lambda: with_header(crit=["exp"], exp=NOW),
    "crit empty": lambda: with_header(crit=[]),
    "b64 false": lambda: with_header(b64=False, crit=["b64"]),
    "b64 false without crit": lambda: with_header(b64=False),
    "b64 true": lambda: with_header(b64=True),
    "unencoded payload": lambda: f"{b64(json.dumps(header(b64=False)).encode())}.{json.dumps(C)}.{'A' * 86}",
    "zip": lambda: with_header(zip="DEF"),
    "enc": lambda: with_header(enc="A128GCM"),
    "cty of a nested token": lambda: a_token(head=header(cty="JWT"), body=NESTED.encode()),
    "nested token": lambda: a_token(body=NESTED.encode()),
    "nested token as a JSON text": lambda: a_token(body=json.dumps(NESTED).encode()),
    "unknown header member": lambda: with_header(nonce="1"),
    # signatures
    "signature empty": lambda: a_token().rpartition(".")[0] + ".",
    "signature missing": lambda: a_token().rpartition(".")[0],
    "signature of another token": lambda: f"{compact(H, claims(sub='admin'))}.{a_token().split('.')[2]}",
    "signature cut short": lambda: a_token()[:-4],
    "signature with more": lambda: a_token() + "AAAA",
    "signature of zeros": lambda: f"{compact(H, C)}.{b64(bytes(64))}",
    "signature r = 0": lambda: f"{compact(H, C)}.{b64(bytes(32) + bytes([1] * 32))}",
    "signature r = s = order": lambda: (
        f"{compact(H, C)}." + b64(0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551.to_bytes(32) * 2)
    ),
    "signature in DER": lambda: der(a_token()),
    "Ed25519 signature of zeros": lambda: f"{compact(header('Ed25519'), C)}.{b64(bytes(64))}",
    "RSA signature of 1": lambda: f"{compact(header('RS256'), C)}.{b64(bytes(255) + bytes([1]))}",
    "RSA signature with a zero before it": lambda: (
        f"{compact(header('RS256'), C)}.{b64(bytes(1) + signature(RSA, 'RS256', compact(header('RS256'), C)))}"
    ),
    "detached payload": lambda: "{0}..{2}".format(*a_token().split(".")),
    # serialisations
    "flattened JSON": lambda: json_serialisation(general=False),
    "general JSON": lambda: json_serialisation(general=True),
    "five parts": lambda: a_token() + ".AA.AA",
    "four parts": lambda: a_token() + ".AA",
    "two parts": lambda: ".".join(a_token().split(".")[:2]),
    "nothing": lambda: "",
    "dots": lambda: "..",
    "blank before": lambda: " " + a_token(),
    "blank after": lambda: a_token() + " ",
    "line break after": lambda: a_token() + "\n",
    "line break within": lambda: resigned(1, lambda part: part[:10] + "\n" + part[10:]),
    "padding of the header": lambda: resigned(0, lambda part: part + "=" * (-len(part) % 4 or 4)),
    "padding of the payload": lambda: resigned(1, lambda part: part + "=" * (-len(part) % 4 or 4)),
    "padding of the signature": lambda: resigned(2, lambda part: part + "=="),
    "standard base64": lambda: resigned(2, lambda _: "+" + "A" * 85),
    "full-width letters": lambda: resigned(0, lambda part: part.replace("e", "ｅ")),
    "unused bits of the payload": padded_body,
    "unused bits of the signature": lambda: resigned(2, unused_bits),
    "one letter too many": lambda: resigned(1, lambda part: part + "A" * (5 - len(part) % 4)),
    "oversize": lambda: with_claims(note="x" * 8192),
    # JSON
    "header that is no JSON": lambda: raw(head="{"),
    "header a list": lambda: raw(head="[]"),
    "header in UTF-16": lambda: a_token(head=json.dumps(H).encode("utf-16")),
    "header with a byte order mark": lambda: a_token(head=b"\xef\xbb\xbf" + json.dumps(H).encode()),
    "header with two alg": lambda: raw(head='{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"ec"}'),
    "header with two kid": lambda: raw(head='{"alg":"ES256","typ":"at+jwt","kid":"ec","\\u006bid":"ec"}'),
    "payload with two sub": lambda: raw(body=json.dumps(C)[:-1] + ', "sub": "director"}'),
    "payload with two exp": lambda: raw(body='{"exp": 1, ' + json.dumps(C)[1:]),
    "payload with two members deep inside": lambda: raw(body=json.dumps(C)[:-1] + ', "a": {"b": 1, "b": 2}}'),
    "payload a list": lambda: raw(body="[]"),
    "payload a number": lambda: raw(body="1"),
    "payload null": lambda: raw(body="null"),
    "payload with NaN": lambda: raw(body=json.dumps(C)[:-1] + ', "x": NaN}'),
    "payload too deep": lambda: raw(body="[" * 4000 + "]" * 4000),
    "payload with more after it": lambda: raw(body=json.dumps(C) + "{}"),
    "payload not UTF-8": lambda: a_token(body=b'{"iss": "\xff"}'),
    "payload with comments": lambda: raw(body=json.dumps(C) + "//"),
    # claims
    "iss missing": lambda: with_claims(iss=None),
    "iss of another provider": lambda: with_claims(iss="https://attacker.example"),
    "iss with a slash more": lambda: with_claims(iss=ISSUER + "/"),
    "iss in capitals": lambda: with_claims(iss=ISSUER.upper()),
    "iss over http": lambda: with_claims(iss=ISSUER.replace("https", "http")),
    "iss a list": lambda: with_claims(iss=[ISSUER]),
    "aud missing": lambda: with_claims(aud=None),
    "aud of somebody else": lambda: with_claims(aud="payroll"),
    "aud a list without us": lambda: with_claims(aud=["payroll", "library"]),
    "aud an empty list": lambda: with_claims(aud=[]),
    "aud a list with a number": lambda: with_claims(aud=[AUDIENCE, 1]),
    "aud a list in a list": lambda: with_claims(aud=[[AUDIENCE]]),
    "aud an object": lambda: with_claims(aud={AUDIENCE: True}),
    "aud that begins like ours": lambda: with_claims(aud=AUDIENCE + "-test"),
    "aud that is a part of ours": lambda: with_claims(aud=AUDIENCE[:-1]),
    "aud a long list": lambda: with_claims(aud=[AUDIENCE, *map(str, range(40))]),
    "sub missing": lambda: with_claims(sub=None),
    "sub empty": lambda: with_claims(sub=""),
    "sub a number": lambda: with_claims(sub=1),
    "sub with NUL": lambda: with_claims(sub="a\x00b"),
    "sub too long": lambda: with_claims(sub="a" * 256),
    "client_id missing": lambda: with_claims(client_id=None),
    "client_id a list": lambda: with_claims(client_id=["a"]),
    "jti missing": lambda: with_claims(jti=None),
    "exp missing": lambda: with_claims(exp=None),
    "exp past": lambda: with_claims(iat=NOW - 60, exp=NOW - 30),
    "exp zero": lambda: with_claims(exp=0),
    "exp negative": lambda: with_claims(exp=-1),
    "exp as a text": lambda: with_claims(exp=str(NOW + 600)),
    "exp true": lambda: with_claims(exp=True),
    "exp null": lambda: raw(body=json.dumps(C | {"exp": None})),
    "exp a list": lambda: with_claims(exp=[NOW + 600]),
    "exp of the year 9999": lambda: with_claims(exp=253_402_300_799),
    "exp beyond any date": lambda: with_claims(exp=10**300),
    "exp that is infinite": lambda: raw(body=json.dumps(C | {"exp": 0}).replace('"exp": 0', '"exp": 1e999')),
    "exp Infinity": lambda: raw(body=json.dumps(C | {"exp": 0}).replace('"exp": 0', '"exp": Infinity')),
    "exp of too many digits": lambda: raw(body=json.dumps(C | {"exp": 0}).replace('"exp": 0', '"exp": ' + "9" * 5000)),
    "exp before iat": lambda: with_claims(iat=NOW + 20, exp=NOW + 10),
    "lives for a month": lambda: with_claims(exp=NOW + 30 * 24 * 3600),
    "iat missing": lambda: with_claims(iat=None),
    "iat in the future": lambda: with_claims(iat=NOW + 31, exp=NOW + 600),
    "iat as a text": lambda: with_claims(iat=str(NOW)),
    "nbf in the future": lambda: with_claims(nbf=NOW + 31),
    "nbf as a text": lambda: with_claims(nbf=str(NOW)),
    "office that is no text": lambda: with_claims(ledger_office=["director"]),
}

TAKEN: dict[str, Callable[[], str]] = {
    **{f"signed with {name}": (lambda name=name: a_token(name)) for name in SIGNERS},  # type: ignore[misc]  # bound now
    "typ written out": lambda: with_header(typ="application/at+jwt"),
    "typ in capitals": lambda: with_header(typ="AT+JWT"),
    "thumbprint of a certificate": lambda: with_header(x5t="dGVzdA"),
    "aud a list with us": lambda: with_claims(aud=["payroll", AUDIENCE]),
    "exp within the skew": lambda: with_claims(iat=NOW - 60, exp=NOW - 29),
    "iat within the skew": lambda: with_claims(iat=NOW + 30),
    "nbf within the skew": lambda: with_claims(nbf=NOW + 30),
    "times with fractions": lambda: with_claims(iat=NOW - 0.5, exp=NOW + 0.25),
    "claims that we do not know": lambda: with_claims(scope="openid", realm_access={"roles": ["x"]}),
    "members of one name in different objects": lambda: raw(body=json.dumps(C)[:-1] + ', "a": {"sub": "x"}}'),
    "text beyond ASCII": lambda: raw(body=json.dumps(claims(sub="учитель"), ensure_ascii=False)),
}


@pytest.mark.parametrize("vector", FORGED)
def test_forged_token_is_refused(vector: str) -> None:
    with pytest.raises(Refused):
        read(FORGED[vector]())


@pytest.mark.parametrize("vector", TAKEN)
def test_true_token_of_the_same_making_is_taken(vector: str) -> None:
    bearer = read(TAKEN[vector]())
    assert (bearer.issuer, bearer.client) == (ISSUER, "school-desk")
    assert bearer.expires > NOW


def test_token_tells_who_and_through_what() -> None:
    bearer = read(a_token(body=claims(ledger_office="auditor")))
    assert bearer == Bearer(ISSUER, "4f1c", "school-desk", "auditor", "ec", NOW + 630)
    assert not bearer.is_program
    assert read(a_token(body=claims(sub="registry", client_id="registry"))).is_program


def test_unknown_key_is_told_apart_so_that_it_can_be_looked_up() -> None:
    with pytest.raises(UnknownKey):
        read(with_header(kid="two"))


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_algorithm_that_the_settings_leave_out_is_refused(algorithm: str) -> None:
    others = AccessTokens(ISSUER, AUDIENCE, SIGNING - {algorithm})
    with pytest.raises(Refused):
        others.read(a_token(algorithm), SET, NOW)


def flips(token: str) -> Iterator[str]:
    """Yields the token with each bit of each character turned over, where a request could carry the result."""
    for place, letter in enumerate(token):
        for bit in range(7):
            other = chr(ord(letter) ^ (1 << bit))
            if other.isprintable():
                yield token[:place] + other + token[place + 1 :]


@pytest.mark.parametrize("algorithm", ["Ed25519", "ES256", "RS256"])
def test_flipped_bit_in_every_byte_is_refused(algorithm: str) -> None:
    count = 0
    for forged in flips(a_token(algorithm)):
        count += 1
        with pytest.raises(Refused):
            read(forged)
    assert count > 1500


@pytest.mark.parametrize("algorithm", ["Ed25519", "ES256", "RS256"])
def test_token_cut_anywhere_is_refused(algorithm: str) -> None:
    token = a_token(algorithm)
    for end in range(len(token)):
        with pytest.raises(Refused):
            read(token[:end])


VALID = a_token("Ed25519")


@given(st.data())
def test_whatever_is_done_to_a_valid_token_makes_it_invalid(data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(VALID)))
    end = data.draw(st.integers(begin, min(len(VALID), begin + 8)))
    put = data.draw(st.text(st.sampled_from(ALPHABET + ".=+/ \n"), max_size=8) | st.text(max_size=4))
    forged = VALID[:begin] + put + VALID[end:]
    assume(forged != VALID)
    with pytest.raises(Refused):
        read(forged)


@given(st.sampled_from(["iss", "aud", "sub", "client_id", "exp", "iat", "jti"]), JSON)
def test_claim_of_any_other_shape_is_refused_or_means_what_it_says(name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    token = a_token("Ed25519", body=json.dumps(claims() | {name: value}).encode())
    try:
        bearer = read(token)
    except Refused:
        return
    assert bearer.issuer == ISSUER
    assert bearer.subject
    assert bearer.expires - 30 > NOW - 30


@given(st.sampled_from(["alg", "typ", "kid", "crit", "jku", "x5c"]), JSON)
def test_header_of_any_other_shape_is_refused(name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    assume(value != header("Ed25519").get(name))
    with pytest.raises(Refused):
        read(a_token("Ed25519", head=json.dumps(header("Ed25519") | {name: value}).encode()))


def test_every_algorithm_that_may_be_set_is_tested_here() -> None:
    assert set(SIGNERS) == SIGNING


def test_issuer_to_test_with_makes_tokens_that_are_taken() -> None:
    issuer = Issuer()
    tokens = AccessTokens(issuer.issuer, AUDIENCE, SIGNING)
    now = issuer.claims()["iat"]
    assert tokens.read(issuer.token("somebody"), read_keys(issuer.key_set()), now).subject == "somebody"
