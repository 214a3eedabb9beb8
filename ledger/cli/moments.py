"""Moments as typed, and what the ids in a history stand for: how the past is asked for and told at the command line."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

import typer

from ledger.api.schemas.base import FIRST_DAY, LAST_DAY
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.states import arranged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ledger.application.disclose.shown import HistoryLine
    from ledger.application.ledger import Ledger

LATEST = 2**63 - 1


class When:
    """A moment as typed: a position, a day (its end, at the school), or a time with its zone."""

    def __init__(self, text: str) -> None:
        self.position: int | None = None
        self.day: date | None = None
        self.time: datetime | None = None
        try:
            if text.isascii() and text.isdecimal() and len(text) < len(str(LATEST)):
                self.position = int(text)
            elif len(text) == len("2025-09-01"):
                self.day = date.fromisoformat(text)
            else:
                self.time = datetime.fromisoformat(text)
        except ValueError:
            self.time = None
        day = self.day or self.time
        if day is not None and not FIRST_DAY.year <= day.year <= LAST_DAY.year:
            message = f"give a day or a time from {FIRST_DAY} to {LAST_DAY}"
            raise typer.BadParameter(message)
        if self.position is None and self.day is None and (self.time is None or self.time.tzinfo is None):
            message = "give a position, a day such as 2025-09-01, or a time such as 2025-09-01T08:00:00+03:00"
            raise typer.BadParameter(message)

    def known(self, zone: str, effective_on: date | None = None) -> AsOf:
        """Returns the moment on the axis of what was known; of a day it is the last instant."""
        if self.day is None:
            return AsOf(self.position, self.time, effective_on)
        midnight = datetime.combine(self.day, time(), ZoneInfo(zone))
        return AsOf(None, midnight + timedelta(days=1, microseconds=-1), effective_on)

    def begins(self, zone: str) -> datetime:
        """Returns when a period begins that is given so: with the first instant of a day at the school.

        Raises:
            BadParameter: it is a position.
        """
        if self.day is not None:
            return datetime.combine(self.day, time(), ZoneInfo(zone))
        if self.time is None:
            message = "a period is given in days or times"
            raise typer.BadParameter(message)
        return self.time

    def ends(self, zone: str) -> datetime:
        """Returns the instant before which a period lies that ends with this day, or at this time.

        Raises:
            BadParameter: it is a position.
        """
        return self.begins(zone) + timedelta(days=self.day is not None)

    def happened(self) -> AsOf:
        """Returns the moment on the axis of what had happened.

        Raises:
            BadParameter: it is not a day.
        """
        if self.day is None:
            message = "what happens, happens on a day: give days such as 2025-09-01"
            raise typer.BadParameter(message)
        return AsOf(effective_on=self.day)


class Names:
    """What ids in a history stand for: the titles of courses, works and groups, and events that were told before.

    All of them are the school's own, or stand in the same history; learning them discloses nothing more.
    """

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}
        self._positions: dict[str, str] = {}

    async def learn(self, ledger: Ledger, lines: Iterable[HistoryLine]) -> None:
        """Looks up what the lines name."""
        courses: set[str] = set()
        groups: set[str] = set()
        for line in lines:
            self._positions[str(line.event_id)] = f"#{line.position:,}"
            state = line.state or {}
            courses |= self._unknown(state, "course_id")
            groups |= self._unknown(state, "group_id", "from_group")
        if courses or groups:
            school = await arranged(ledger, map(UUID, courses), map(UUID, groups), LATEST)
            self._titles |= {str(one): title for one, title in school.titles().items()}

    def _unknown(self, state: Mapping[str, object], *fields: str) -> set[str]:
        values = {str(state[field]) for field in fields if state.get(field) is not None}
        return values - self._titles.keys()

    def told(self, state: Mapping[str, object]) -> dict[str, object]:
        """Returns the fields of an event with names in place of the ids that have one."""
        return {field: self._named(value) for field, value in state.items()}

    def _named(self, value: object) -> object:
        if isinstance(value, list | tuple):
            return [self._named(item) for item in value]
        if isinstance(value, str):
            return self._titles.get(value) or self._positions.get(value, value)
        return value
