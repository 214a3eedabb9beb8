"""The disclosure register as a file: CSV (RFC 4180) with a header, or JSON lines."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.application.disclose.shown import DisclosureLine

COLUMNS = (
    "recorded_at",
    "position",
    "student_id",
    "granted",
    "actor",
    "office",
    "on_behalf_of",
    "recipient",
    "purpose",
    "legal_basis",
    "policy",
    "channel",
    "resource",
    "students",
    "categories",
    "exceptional",
    "document",
    "reason",
    "access_id",
    *(f"handed_over.{name}" for name in ("kind", "number", "effective_on", "handed_by", "received_by")),
)
"""Later ones are added at the end: a program may count them."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet begins a formula; somebody may have typed one as the recipient."""

_encoder = msgspec.json.Encoder()


def csv_header() -> bytes:
    """Returns the first line of the CSV."""
    return _rows([COLUMNS])


def csv_lines(lines: Iterable[DisclosureLine]) -> bytes:
    """Returns lines as CSV, in the order of COLUMNS; text that a spreadsheet would calculate gets an apostrophe."""
    return _rows([[_cell(_value(line, name)) for name in COLUMNS] for line in lines])


def json_lines(lines: Iterable[DisclosureLine]) -> bytes:
    """Returns lines as JSON, one a line."""
    return _encoder.encode_lines(list(lines))


def _rows(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _value(line: DisclosureLine, name: str) -> object:
    """Returns what a column shows; what a document was, only of one that was handed over."""
    outer, _, inner = name.partition(".")
    value = getattr(line, outer)
    return getattr(value, inner) if inner and value is not None else value


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return f"'{value}"
    return "" if value is None else str(value)
