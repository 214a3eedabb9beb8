"""The compact form of a signed token, taken apart in the one way in which it may be put together.

Lenient decoders are how forged tokens get in: flipped unused bits, padding, a second member of the same name, a number
that is none. So this is read here, strictly, before any library sees it (RFC 7515 section 3.1, RFC 8725 section 3).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, NamedTuple, NoReturn

MAX_TOKEN = 8192
PARTS = 3

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Malformed(ValueError):
    """It is not in the form; the text says where, for our log alone: whoever sent it is told nothing."""


class Parts(NamedTuple):
    """A token's three parts, and the bytes that its signature is over."""

    header: bytes
    payload: bytes
    signature: bytes
    signed: bytes


def split(token: str) -> Parts:
    """Returns the parts of a token in the compact serialisation: header, payload and signature, none of them empty.

    Raises:
        Malformed: it is longer than a token may be, has other parts, or one is not in canonical base64url.
    """
    if len(token) > MAX_TOKEN:
        message = "longer than a token may be"
        raise Malformed(message)
    segments = token.split(".")
    if len(segments) != PARTS:
        message = "not of three parts"
        raise Malformed(message)
    header, payload, signature = map(canonical, segments)
    return Parts(header, payload, signature, token.rpartition(".")[0].encode())


def canonical(segment: str) -> bytes:
    """Returns the bytes of a base64url text that is spelled in the one canonical way: no padding, unused bits zero.

    Raises:
        Malformed: it is not.
    """
    message = "not canonical base64url"
    if not _SEGMENT.fullmatch(segment):
        raise Malformed(message)
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise Malformed(message) from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise Malformed(message)
    return decoded


def read_object(data: bytes) -> dict[str, Any]:
    """Returns a JSON object each of whose members has a name of its own, at every depth.

    Raises:
        Malformed: it is no such object, or has numbers that JSON does not know.
    """
    try:
        read = json.loads(data.decode("utf-8"), object_pairs_hook=_members, parse_constant=_no_number)
    except Malformed:
        raise
    except (ValueError, RecursionError):
        message = "not JSON"
        raise Malformed(message) from None
    if not isinstance(read, dict):
        message = "not a JSON object"
        raise Malformed(message)
    return read


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        message = "two members of one name"
        raise Malformed(message)
    return read


def _no_number(name: str) -> NoReturn:
    message = f"{name} is no number of JSON"
    raise Malformed(message)
