"""The calendar of working days: Russia's, as the library of holidays has it, and what the school itself declares.

The government moves days every year, and a school can have its own; what is declared wins. A due date is computed once
and stored, so a calendar that changes later changes no deadline that somebody was told.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from ledger.aggregates.school import School
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, LaneRef, LedgerEvent, Proposal, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTRY = "RU"
_WEEKEND = 5


class WorkingDayDeclared(LedgerEvent):
    """The school declared that it works on a day, or does not, whatever the calendar says."""

    TOPIC = "school.working_day_declared"
    day: date
    working: bool
    reason: str

    def apply(self, aggregate: School) -> None:
        """Adds it; the last word counts."""
        aggregate.state.days[self.day.isoformat()] = self.working


def declare_working_day(
    ref: LaneRef[School], school: School, *, day: date, working: bool, reason: str, context: Context
) -> list[Proposal]:
    """Declares a day, before or after it has come; deadlines that were set before stay as they are."""
    violations = []
    if not reason.strip():
        violations.append(Violation("reason_missing", "Name the decision or order that says so."))
    if is_working(day, school.state.days) is working:
        is_ = "a working day" if working else "no working day"
        violations.append(Violation("day_is_so", f"That day is {is_} already."))
    judge(violations, context)
    return [Proposal(ref, WorkingDayDeclared, {"day": day, "working": working, "reason": reason.strip()}, new_id())]


def is_working(day: date, declared: Mapping[str, bool]) -> bool:
    """Tells whether the school works on `day`.

    Args:
        day: any.
        declared: what the school declared, by ISO date.
    """
    said = declared.get(day.isoformat())
    return said if said is not None else day in _working_days(day.year)


def working_days_after(day: date, count: int, declared: Mapping[str, bool]) -> date:
    """Returns the `count`-th working day after `day`, which itself does not count (Civil Code art. 191)."""
    while count > 0:
        day += timedelta(days=1)
        count -= is_working(day, declared)
    return day


@lru_cache(maxsize=64)
def _working_days(year: int) -> frozenset[date]:
    """Returns the working days of a year by the country's calendar, moved days off and working Saturdays included."""
    from holidays import country_holidays  # noqa: PLC0415 - few commands need it, and it takes a tenth of a second

    calendar = country_holidays(COUNTRY, years=year, expand=False)
    first = date(year, 1, 1)
    days = (first + timedelta(days=number) for number in range(366))
    worked_weekends = set(calendar.weekend_workdays)
    return frozenset(
        day
        for day in days
        if day.year == year and (day in worked_weekends or (day.weekday() < _WEEKEND and day not in calendar))
    )
