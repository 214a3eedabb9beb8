"""An OpenID Connect provider to test with: keys, tokens as it signs them, and a server that publishes the keys."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from ledger.clock import utc_now
from ledger.identity.provider import DISCOVERY

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
Key = RSAKey | ECKey | OKPKey
AUDIENCE = "ledger-api"


def b64(data: bytes) -> str:
    """Returns canonical base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: Json | bytes, payload: Json | bytes) -> str:
    """Returns what is signed of a token: header and payload, or their bytes as they are given."""
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload))
    return ".".join(b64(part) for part in parts)


def signature(key: Key, algorithm: str, signed: str) -> bytes:
    """Returns the signature of a token with an algorithm that fits the key."""
    name = "Ed25519" if algorithm == "EdDSA" else algorithm
    return JWSRegistry(algorithms=[name]).get_alg(name).sign(signed.encode(), key)


def signed(key: Key, algorithm: str, header: Json | bytes, payload: Json | bytes) -> str:
    """Returns a token with a true signature, whatever else is wrong with it."""
    first = compact(header, payload)
    return f"{first}.{b64(signature(key, algorithm, first))}"


def jwk(key: Key, kid: str, **more: object) -> Json:
    """Returns the public half of a key as a key set has it."""
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", **more}


@dataclass
class Issuer:
    """A provider: its keys by name, of which the newest signs."""

    issuer: str = "https://id.school.example/realms/school"
    keys: dict[str, tuple[Key, str]] = field(default_factory=dict)
    answers: Json = field(default_factory=dict)
    """What its server answers in place of the truth, by path: (status, headers, body)."""
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.keys:
            self.rotate("one")

    def rotate(self, kid: str, *, keeping: bool = False) -> None:
        """Signs with a new key from now on; the older ones are published only if they are kept."""
        if not keeping:
            self.keys.clear()
        self.keys[kid] = (ECKey.generate_key("P-256"), "ES256")

    def key_set(self) -> bytes:
        """Returns what is published."""
        return json.dumps({"keys": [jwk(key, kid) for kid, (key, _) in self.keys.items()]}).encode()

    def claims(self, subject: str = "subject", **changes: object) -> Json:
        """Returns the claims of a token; None takes one away."""
        now = int(utc_now().timestamp())
        base: Json = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "client_id": "school-desk",
            "iat": now - 5,
            "exp": now + 600,
            "jti": str(uuid4()),
        }
        return {name: value for name, value in (base | changes).items() if value is not None}

    def token(self, subject: str = "subject", **changes: object) -> str:
        """Returns a valid access token, but for the claims that are changed."""
        kid, (key, algorithm) = next(reversed(self.keys.items()))
        return signed(key, algorithm, {"alg": algorithm, "typ": "at+jwt", "kid": kid}, self.claims(subject, **changes))


@contextmanager
def published(issuer: Issuer) -> Iterator[ThreadingHTTPServer]:
    """Serves a provider's discovery document and keys on this machine; the issuer is renamed after the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            status, headers, body = 200, {"Content-Type": "application/json"}, b""
            if self.path in issuer.answers:
                status, headers, body = issuer.answers[self.path]
            elif self.path == DISCOVERY:
                body = json.dumps({"issuer": issuer.issuer, "jwks_uri": f"{issuer.issuer}/keys"}).encode()
            elif self.path == "/keys":
                body = issuer.key_set()
            else:
                status = 404
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Says nothing: what is asked for is in `asked`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.issuer = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="provider")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
