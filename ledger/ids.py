"""Identifiers: opaque, random, never made from foreign ones.

Version 7 UUIDs (RFC 9562) keep B-tree inserts local; what they tell (a time) stands in `recorded_at` anyway.
"""

from __future__ import annotations

import re
from functools import lru_cache
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

from ledger.errors import InvalidInput

_CODE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{0,39}")


def new_id() -> UUID:
    """Returns a new identifier for a stream, an event or a request."""
    return uuid7()


def lane_id(subject_id: UUID, lane: str) -> UUID:
    """Returns the stream id of a student's lane, e.g. `marks/2025-2026`.

    Derived from the student's own random id, so that no table of lanes is needed to find one.
    """
    return _lane_id(subject_id.int, lane)


@lru_cache(maxsize=100_000)
def _lane_id(subject: int, lane: str) -> UUID:
    # By the integer of the id: hashing and comparing UUID objects runs in Python.
    return uuid5(UUID(int=subject), lane)


def check_code(code: str, what: str) -> str:
    """Returns `code` if it is usable as a school's own short code (year, period, scale), else raises InvalidInput."""
    if not _CODE.fullmatch(code):
        raise InvalidInput(
            f"The code of the {what} is not usable.",
            help="Use 1 to 40 Latin letters, digits, '.', '_', '/' or '-', beginning with a letter or digit.",
        )
    return code
