"""The header of an event: who recorded it, in which office, through which request. Opaque ids and codes only.

It stands in clear beside the ciphertext, so that the feed and the auditors can tell who did something without being
shown what it was; the encryption binds it to the state.
"""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

import msgspec

from ledger.errors import InvalidInput, Unreadable

MAX_HEADER = 2048

CARRIERS: tuple[str, ...] = ("electronic", "paper", "both")
"""What the record was kept on when it was made (S0-4.3, S1-4.3)."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """Who and how; encoded as a MessagePack array in this order, new fields at the end."""

    actor: UUID
    office: str
    correlation: UUID
    causation: UUID | None
    request: UUID
    local_act: str | None
    carrier: str


_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
_decoder = msgspec.msgpack.Decoder(Header)


def encode_header(header: Header, local_act: str | None = None) -> bytes:
    """Returns the header's bytes, with the local act that the decision cites.

    Raises:
        InvalidInput: it is longer than the history stores.
    """
    if local_act is not None:
        header = msgspec.structs.replace(header, local_act=local_act)
    encoded = _encoder.encode(header)
    if len(encoded) > MAX_HEADER:
        raise InvalidInput("The header of an event is over 2 KiB.", help="Shorten the codes in it.")
    return encoded


def decode_header(data: bytes) -> Header:
    """Returns the header that `data` encodes.

    Raises:
        Unreadable: the bytes are no header.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable("The header of an event cannot be read.", help="Run `ledger audit`.") from error


@lru_cache(maxsize=1_024)
def actor_of(data: bytes) -> UUID:
    """Returns who recorded the event with this header; those of one command have one, and it is decoded once.

    Raises:
        Unreadable: the bytes are no header.
    """
    return decode_header(data).actor
