"""Array parameters in PostgreSQL's binary format, packed in one go.

The driver dumps a list element by element in Python, which was a sixth of the writer's time; an append has nineteen
arrays. The format (PostgreSQL, `array_send`): dimensions, has-null flag, element type, length, lower bound, then each
element with its length. No element is NULL here.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

_HEAD = struct.Struct("!iiIii")
_EMPTY = struct.Struct("!iiI")
_UUID, _INT8, _INT4, _TEXT, _BYTEA, _INT2, _DATE = 2950, 20, 23, 25, 17, 21, 1082
_UUID_LENGTH = (16).to_bytes(4)
_DAY_0 = 730_120
"""The ordinal of 2000-01-01, from which PostgreSQL counts days."""


class PackedArray:
    """An array that is packed already; its type is said by a cast in the query."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class PackedArrayDumper(Dumper):
    """Hands a packed array to the driver."""

    format = Format.BINARY

    def dump(self, obj: PackedArray) -> bytes:
        """Returns the bytes as they are."""
        return obj.data


# Known to every connection of the process, the library's recorder included: the class is ours alone.
psycopg.adapters.register_dumper(PackedArray, PackedArrayDumper)


def _pack(oid: int, count: int, elements: bytes) -> PackedArray:
    if not count:
        return PackedArray(_EMPTY.pack(0, 0, oid))
    return PackedArray(_HEAD.pack(1, 0, oid, count, 1) + elements)


def uuids(values: Sequence[UUID]) -> PackedArray:
    """Returns a uuid[]."""
    return _pack(_UUID, len(values), b"".join([_UUID_LENGTH + value.int.to_bytes(16) for value in values]))


def byteas(values: Sequence[bytes]) -> PackedArray:
    """Returns a bytea[]."""
    return _pack(_BYTEA, len(values), b"".join([len(value).to_bytes(4) + value for value in values]))


def texts(values: Sequence[str]) -> PackedArray:
    """Returns a text[]."""
    encoded = [value.encode() for value in values]
    return _pack(_TEXT, len(values), b"".join([len(value).to_bytes(4) + value for value in encoded]))


def int8s(values: Sequence[int]) -> PackedArray:
    """Returns an int8[]."""
    return _pack(
        _INT8, len(values), b"".join([b"\x00\x00\x00\x08" + value.to_bytes(8, signed=True) for value in values])
    )


def int4s(values: Sequence[int]) -> PackedArray:
    """Returns an int4[]."""
    return _pack(
        _INT4, len(values), b"".join([b"\x00\x00\x00\x04" + value.to_bytes(4, signed=True) for value in values])
    )


def int2s(values: Sequence[int]) -> PackedArray:
    """Returns an int2[]."""
    return _pack(
        _INT2, len(values), b"".join([b"\x00\x00\x00\x02" + value.to_bytes(2, signed=True) for value in values])
    )


def dates(values: Sequence[date]) -> PackedArray:
    """Returns a date[]."""
    days = [value.toordinal() - _DAY_0 for value in values]
    return _pack(_DATE, len(days), b"".join([b"\x00\x00\x00\x04" + day.to_bytes(4, signed=True) for day in days]))
