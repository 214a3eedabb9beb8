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
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ledger.errors import InvalidInput
from ledger.identity.access_token import AccessTokens, Bearer, Refused, UnknownKey
from ledger.identity.keys import read_keys
from ledger.settings import SIGNING
from tests.support.provider import AUDIENCE, Issuer, b64, compact, jwk, signature, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def claims(**changes: object) -> Json:
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
    base: Json = {"alg": algorithm, "typ": "at+jwt", "kid": SIGNERS.get(algorithm, ("ec",))[0]}
    return {name: value for name, value in (base | changes).items() if value is not None}


def a_token(algorithm: str = "ES256", head: Json | bytes | None = None, body: Json | bytes | None = None) -> str:
    return signed(SIGNERS[algorithm][1], algorithm, head or header(algorithm), body or claims())


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


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@given(st.sampled_from(["iss", "aud", "sub", "client_id", "exp", "iat", "jti"]), _JSON)
def test_claim_of_any_other_shape_is_refused_or_means_what_it_says(name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    token = a_token("Ed25519", body=json.dumps(claims() | {name: value}).encode())
    try:
        bearer = read(token)
    except Refused:
        return
    assert bearer.issuer == ISSUER
    assert bearer.subject
    assert bearer.expires - 30 > NOW - 30


@given(st.sampled_from(["alg", "typ", "kid", "crit", "jku", "x5c"]), _JSON)
def test_header_of_any_other_shape_is_refused(name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    assume(value != header("Ed25519").get(name))
    with pytest.raises(Refused):
        read(a_token("Ed25519", head=json.dumps(header("Ed25519") | {name: value}).encode()))


# --- key sets -------------------------------------------------------------------------------------------------------


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


@given(st.sampled_from(["kty", "kid", "use", "key_ops", "alg", "crv", "x", "y"]), _JSON.filter(_is_json))
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


def test_every_algorithm_that_may_be_set_is_tested_here() -> None:
    assert set(SIGNERS) == SIGNING


def test_issuer_to_test_with_makes_tokens_that_are_taken() -> None:
    issuer = Issuer()
    tokens = AccessTokens(issuer.issuer, AUDIENCE, SIGNING)
    now = issuer.claims()["iat"]
    assert tokens.read(issuer.token("somebody"), read_keys(issuer.key_set()), now).subject == "somebody"
