"""Strict reading of the log formats' small parts: base64 with one spelling only, decimal numbers, hashes.

A lenient base64 decoder ignores the unused bits of the last letter and takes other letters and line ends, so that one
flipped bit of a receipt would go unseen. Whatever does not encode back to the same text is refused here.
"""

from __future__ import annotations

import base64
import binascii

from ledger.errors import NotProven

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1
"""Most leaves that a tree may have: sizes and positions are signed 64-bit numbers in the database."""


def read_base64(text: str, what: str) -> bytes:
    """Returns the bytes of canonical standard base64 with padding (RFC 4648, section 4).

    Raises:
        NotProven: any other spelling.
    """
    try:
        found = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        found = b""
    if not found or base64.b64encode(found).decode() != text:
        raise NotProven(f"The {what} is not canonical base64.", help="It was altered or badly copied; fetch it again.")
    return found


def write_base64(data: bytes) -> str:
    """Returns the canonical base64 of `data`."""
    return base64.b64encode(data).decode()


def read_hash(text: str, what: str) -> bytes:
    """Returns a SHA-256 hash from its base64.

    Raises:
        NotProven: it is not canonical, or not 32 bytes.
    """
    found = read_base64(text, what)
    if len(found) != HASH_BYTES:
        raise NotProven(f"The {what} is not a hash of 32 bytes.", help="It was altered or badly copied.")
    return found


def read_number(text: str, what: str) -> int:
    """Returns a decimal number as the formats write it: ASCII digits, no sign, no leading zero.

    Raises:
        NotProven: any other spelling, or more than a log can hold.
    """
    if not (text.isascii() and text.isdecimal()) or (text != "0" and text.startswith("0")) or len(text) > 19:  # noqa: PLR2004 - digits of MAX_SIZE
        raise NotProven(f"The {what} is not a plain decimal number.", help="It was altered or badly copied.")
    number = int(text)
    if number > MAX_SIZE:
        raise NotProven(f"The {what} is larger than any log.", help="It was altered or badly copied.")
    return number
