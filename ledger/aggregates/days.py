"""Days as every rule judges them: what is recorded has happened, and nothing ends before it begins."""

from __future__ import annotations

from datetime import date

from ledger.errors import Violation
from ledger.streams.base import Context


def not_yet(day: date, context: Context) -> list[Violation]:
    """Returns what is wrong with a day that has not come."""
    if day > context.today:
        return [Violation("in_future", "The day lies in the future; record it when it has come.")]
    return []


def backwards(first: date, last: date | None) -> list[Violation]:
    """Returns what is wrong with a last day (None: open) before the first."""
    if last is not None and last < first:
        return [Violation("dates_reversed", "The last day must not be before the first.")]
    return []
