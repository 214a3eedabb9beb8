"""A connection to a served ledger as bytes: for requests that no client library would send."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.api import Json, Served


@contextmanager
def a_wire(served: Served) -> Iterator[socket.socket]:
    """Yields a connection to the service."""
    address = httpx.URL(served.url)
    with socket.create_connection((address.host, address.port or 0), timeout=30) as wire:
        yield wire


def everything(wire: socket.socket) -> bytes:
    """Returns what comes until the service ends the connection."""
    wire.settimeout(30)
    pieces = []
    try:
        while piece := wire.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass  # the service ended it while we were still sending
    return b"".join(pieces)


def problem_of(answer: bytes) -> tuple[int, Json]:
    """Returns status and content of an answer that is a problem and ends the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    fields = httpx.Headers([(name, value) for name, _, value in lines])
    assert fields["content-type"] == "application/problem+json"
    assert fields["connection"] == "close"
    told: Json = json.loads(body)
    assert told["request_id"] == fields["x-request-id"]
    assert told["help"]
    return int(head.split(b" ", 2)[1]), told


def head_of(served: Served, path: str = "/v1/school", **fields: str) -> bytes:
    """Returns the head of a POST with a token, an idempotency key and further fields (`_` for `-`)."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    token = f"Authorization: Bearer {served.token()}\r\nIdempotency-Key: {uuid4()}\r\n"
    return f"POST {path} HTTP/1.1\r\nHost: ledger\r\n{token}{more}\r\n".encode()
