"""Which day it is for the school.

A school's day is a calendar day in its own time zone; instants are UTC everywhere else.
Passed in, never looked up in a rule: a decision is a function of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ledger.errors import SettingsError


def utc_now() -> datetime:
    """Returns the present instant, with its zone."""
    return datetime.now(UTC)


def school_calendar(zone: str) -> Callable[[], date]:
    """Returns a function that tells the school's present day.

    Raises:
        SettingsError: the zone is not in the time-zone database.
    """
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            "The time zone is unknown.", help="Set LEDGER_TIMEZONE to an IANA name such as Europe/Moscow."
        ) from error
    return lambda: datetime.now(info).date()
