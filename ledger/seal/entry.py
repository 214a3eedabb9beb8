"""The entry of an event: the bytes that a leaf of the log is the hash of.

A deterministic encoding of exactly the stored columns, final since the first release; `docs/entry-format.md` describes
it for other languages. Integers are big-endian; variable fields are preceded by their length.

    4   magic "LDG1"
    8   position (from 1)
    16  event id
    16  stream id
    4   version in the stream (from 1)
    16  subject id
    8   recorded_at, microseconds since 1970-01-01T00:00:00Z, signed
    1   algorithm of the state's encryption
    1+n topic (UTF-8)
    1+n record class (UTF-8)
    1+n key commitment
    2+n header
    2+n state (ciphertext)
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from ledger.errors import InvalidInput

MAGIC = b"LDG1"
MAX_SHORT = 255
MAX_ENTRY = 65_535
"""A log's entry bundle gives an entry's length 16 bits (C2SP tlog-tiles)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIXED = struct.Struct(">4sQ16s16sI16sqB")


class Entry(NamedTuple):
    """The stored columns of one event, in the order in which they are selected everywhere."""

    position: int
    event_id: UUID
    stream_id: UUID
    version: int
    subject_id: UUID
    topic: str
    recorded_at: datetime
    record_class: str
    algorithm: int
    commitment: bytes
    header: bytes
    state: bytes


def _short(value: bytes, what: str) -> bytes:
    if len(value) > MAX_SHORT:
        raise InvalidInput(f"The {what} of an entry is longer than 255 bytes.", help="Such an event cannot be stored.")
    return bytes((len(value),)) + value


def _long(value: bytes) -> bytes:
    return len(value).to_bytes(2) + value


def encode_entry(entry: Entry) -> bytes:
    """Returns the bytes of the entry.

    Raises:
        InvalidInput: a number is out of its range, a field is longer than its length prefix can say, or the whole is
            over 65,535 bytes.
    """
    micros = (entry.recorded_at - _EPOCH) // timedelta(microseconds=1)
    try:
        fixed = _FIXED.pack(
            MAGIC,
            entry.position,
            entry.event_id.bytes,
            entry.stream_id.bytes,
            entry.version,
            entry.subject_id.bytes,
            micros,
            entry.algorithm,
        )
    except struct.error as error:
        raise InvalidInput(
            "A number of an entry is out of its range.", help="Such an event cannot be stored."
        ) from error
    if len(entry.header) + len(entry.state) > MAX_ENTRY:
        raise InvalidInput("The entry is over 65,535 bytes.", help="Record less in one event.")
    encoded = b"".join(
        (
            fixed,
            _short(entry.topic.encode(), "topic"),
            _short(entry.record_class.encode(), "record class"),
            _short(entry.commitment, "key commitment"),
            _long(entry.header),
            _long(entry.state),
        )
    )
    if len(encoded) > MAX_ENTRY:
        raise InvalidInput("The entry is over 65,535 bytes.", help="Record less in one event.")
    return encoded


def decode_entry(data: bytes) -> Entry:
    """Returns the entry that `data` encodes; refuses anything that `encode_entry` would not have written.

    Raises:
        InvalidInput: wrong magic, truncated, trailing bytes, over 65,535 bytes, text that is not UTF-8, or a time that
            no calendar has.
    """
    try:
        magic, position, event, stream, version, subject, micros, algorithm = _FIXED.unpack_from(data)
        fields: list[bytes] = []
        at = _FIXED.size
        for width in (1, 1, 1, 2, 2):
            size = int.from_bytes(data[at : at + width])
            field = data[at + width : at + width + size]
            if at + width > len(data) or len(field) != size:
                raise InvalidInput("The entry is truncated.", help="Fetch it again.")
            fields.append(field)
            at += width + size
        topic, record_class = fields[0].decode(), fields[1].decode()
        recorded_at = _EPOCH + timedelta(microseconds=micros)
    except (struct.error, UnicodeDecodeError, OverflowError) as error:
        raise InvalidInput("The entry is truncated or not an entry.", help="Fetch it again.") from error
    if magic != MAGIC or at != len(data) or len(data) > MAX_ENTRY:
        raise InvalidInput("These bytes are not one entry of a ledger.", help="Check where they come from.")
    return Entry(
        position,
        UUID(bytes=event),
        UUID(bytes=stream),
        version,
        UUID(bytes=subject),
        topic,
        recorded_at,
        record_class,
        algorithm,
        fields[2],
        fields[3],
        fields[4],
    )
