"""Mark scales: closed vocabularies of symbols, or ranges of numbers, as versioned data of the school.

A mark (отметка) is stored as the symbol that was set. What it is worth as a number, and whether it passes, follows from
the version of the scale that stood when it was set.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

MAX_DECIMALS = 2

_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?")
"""Plain digits only: exact in a decimal, so that nothing is rounded to a mark that nobody set."""

ATTENDANCE_CODES: tuple[str, ...] = ("н", "б", "осв", "п")
"""Absent (н), ill (б), exempt (осв), late (п): what may stand in a journal cell besides marks."""

NOT_ATTESTED = "н/а"
"""Not attested: allowed as the mark of a period on every scale."""


class Scale(msgspec.Struct, frozen=True):
    """One version of a scale: either `symbols` (best first) or a range from `minimum` to `maximum`."""

    code: str
    version: int
    title: str
    symbols: tuple[str, ...] = ()
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    passing: tuple[str, ...] = ()

    def read(self, value: str) -> str | None:
        """Returns the mark in its canonical form, or None when it is off the scale.

        Numbers keep no trailing zeros, so that "78.0" and "78" are the same mark.
        """
        text = value.strip()
        if self.symbols:
            return text if text in self.symbols else None
        if self.minimum is None or self.maximum is None or not _NUMBER.fullmatch(text):
            return None
        number = Decimal(text)
        if not self.minimum <= number <= self.maximum or number != round(number, MAX_DECIMALS):
            return None
        return format(number.normalize(), "f") if number else "0"

    def describe(self) -> str:
        """Returns the scale in words, for an error message."""
        if self.symbols:
            return "one of " + ", ".join(self.symbols)
        return f"a number from {self.minimum} to {self.maximum}"


DEFAULT_SCALES: tuple[tuple[str, str, tuple[str, ...], Decimal | None, Decimal | None, tuple[str, ...]], ...] = (
    ("five", "Пятибалльная / five-point", ("5", "4", "3", "2", "1"), None, None, ("5", "4", "3")),
    ("pass-fail", "Зачёт / pass or fail", ("зачёт", "незачёт"), None, None, ("зачёт",)),
    ("hundred", "Стобалльная / 0 to 100", (), Decimal(0), Decimal(100), ()),
)
"""Scales that every school starts with: code, title, symbols, minimum, maximum, passing symbols."""
