"""Cells of OneRoster CSV files as values, and the column that a record's field is read from.

Source: OneRoster 1.2 CSV binding, the data types of its file definitions (GUID, date, float, boolean, enumerations and
comma-separated lists). A parser gets a stripped cell and raises `Malformed` with what to write instead. It never
repeats the cell: names, scores and comments must not reach a log through an error message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import get_type_hints

MAX_ID_LENGTH = 255
# As many cells repeat (dates, scores, flags), remembering the last few thousand values halves the time of a large file.
_REMEMBERED = 8192

# `\d` would accept other scripts' digits, and Decimal an exponent, NaN and Infinity: none of them is a school's number.
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TRUTH = {"true": True, "false": False}


class ScoreStatus(StrEnum):
    """How far the scoring of one result has come (the binding's closed vocabulary)."""

    EXEMPT = "exempt"
    FULLY_GRADED = "fully graded"
    NOT_SUBMITTED = "not submitted"
    PARTIALLY_GRADED = "partially graded"
    SUBMITTED = "submitted"


_STATUSES = {status.value: status for status in ScoreStatus}


class Malformed(ValueError):
    """A cell is not what its column holds; the text says what to write instead and never what stood there."""

    def __init__(self, *, instead: str) -> None:
        super().__init__(instead)


@dataclass(frozen=True, slots=True)
class Column:
    """The CSV column of a record's field; stands in the field's `Annotated` so that both are read in one place."""

    name: str
    parse: Callable[[str], object]


def columns_of(record: type) -> tuple[Column, ...]:
    """Give the columns of a record class in the order of its fields.

    Fields without a column are filled by the reader; they stand first (`Row`) or have a default.
    """
    hints = get_type_hints(record, include_extras=True)
    return tuple(
        extra for hint in hints.values() for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Column)
    )


def reference(cell: str) -> str:
    """Read the sourcedId of this or another row, which must be there."""
    if not cell:
        raise Malformed(instead="is blank; give the sourcedId")
    if len(cell) > MAX_ID_LENGTH or not cell.isprintable():
        raise Malformed(instead=f"give a sourcedId of at most {MAX_ID_LENGTH} printable characters")
    return cell


def optional_reference(cell: str) -> str | None:
    """Read the sourcedId of another row, or nothing."""
    return reference(cell) if cell else None


def references(cell: str) -> tuple[str, ...]:
    """Read a comma-separated list of sourcedIds, possibly empty."""
    return tuple(reference(part.strip()) for part in cell.split(",")) if cell else ()


def text(cell: str) -> str:
    """Read a text that must be there."""
    if not cell:
        raise Malformed(instead="is blank; give a text")
    return cell


def optional_text(cell: str) -> str | None:
    """Read a text, or nothing."""
    return cell or None


def texts(cell: str) -> tuple[str, ...]:
    """Read a comma-separated list of texts, possibly empty."""
    return tuple(part.strip() for part in cell.split(",") if part.strip()) if cell else ()


@lru_cache(_REMEMBERED)
def optional_day(cell: str) -> date | None:
    """Read a calendar date, or nothing; only the form that the binding names, because others are ambiguous."""
    if not cell:
        return None
    if not _DATE.fullmatch(cell):
        raise Malformed(instead="write the date as YYYY-MM-DD, like 2014-06-30")
    try:
        return date.fromisoformat(cell)
    except ValueError as error:
        raise Malformed(
            instead="this day is not in the calendar; write the date as YYYY-MM-DD, like 2014-06-30"
        ) from error


def day(cell: str) -> date:
    """Read a calendar date that must be there."""
    found = optional_day(cell)
    if found is None:
        raise Malformed(instead="is blank; write a date as YYYY-MM-DD, like 2014-06-30")
    return found


@lru_cache(_REMEMBERED)
def optional_number(cell: str) -> Decimal | None:
    """Read a decimal number exactly as written, or nothing: a mark must not change by binary rounding."""
    if not cell:
        return None
    if not _NUMBER.fullmatch(cell):
        raise Malformed(instead="write a decimal number with a dot, like 12.5, without exponent, spaces or units")
    return Decimal(cell)


def optional_truth(cell: str) -> bool | None:
    """Read true or false, or nothing."""
    if not cell:
        return None
    found = _TRUTH.get(cell.casefold())
    if found is None:
        raise Malformed(instead="write true or false")
    return found


def score_status(cell: str) -> ScoreStatus:
    """Read the status of a result; in any case of letters, because exporters differ."""
    found = _STATUSES.get(cell) or _STATUSES.get(cell.casefold())
    if found is None:
        raise Malformed(instead=f"write one of: {', '.join(_STATUSES)}")
    return found
