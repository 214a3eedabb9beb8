"""Which moment is asked about: a position, or a time, and a day.

Two axes. *Known*: what the ledger had recorded by a position (or by a time, which is a position: `recorded_at` never
goes back). *Happened*: of that, what speaks of days up to `effective_on`. Corrections and voidings count with the mark
that they correct: they change what is known of its day, not the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from ledger.aggregates.student.marks import MarkCorrected, MarkVoided, PeriodMarkCorrected
from ledger.aggregates.student.record import BirthDateRecorded, StudentEnrolled
from ledger.application.disclose.opening import check_recorded
from ledger.errors import InvalidInput
from ledger.projections.query import lowest
from ledger.projections.retention.projection import happened_on
from ledger.projections.view import Moment
from ledger.store.database import translated
from ledger.store.lanes import POSITION_AT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.application.ledger import Ledger
    from ledger.streams.base import LedgerEvent


_TIME = "SELECT recorded_at FROM {schema}.events WHERE position = %s"

_UNDATED = (StudentEnrolled, BirthDateRecorded, MarkCorrected, MarkVoided, PeriodMarkCorrected)
"""Events that count whatever the day: who somebody is, and what is known better of something that has its own day."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """What a reader asks for; nothing at all means now.

    Args:
        position: as known when this position was the last one.
        known_at: as known at this time; not together with `position`.
        effective_on: only what had happened by this day.

    Raises:
        InvalidInput: position and time together, or a time without a zone.
    """

    position: int | None = None
    known_at: datetime | None = None
    effective_on: date | None = None

    def __post_init__(self) -> None:
        if self.position is not None and self.known_at is not None:
            raise InvalidInput(
                "A position and a time were given together.", help="Give at_position or known_at: each says when."
            )
        if self.known_at is not None and self.known_at.tzinfo is None:
            raise InvalidInput("The time has no zone.", help="Write it as 2025-09-01T08:00:00Z or with +03:00.")

    @property
    def is_now(self) -> bool:
        """Tells whether nothing but the present is asked for."""
        return self.position is None and self.known_at is None and self.effective_on is None


NOW = AsOf()


@dataclass(frozen=True, slots=True)
class MomentShown:
    """A moment as it was found: the position, when it was recorded (None before the first), and the day, if one."""

    position: int
    recorded_at: datetime | None
    effective_on: date | None


async def find_moment(ledger: Ledger, as_of: AsOf, views: Sequence[str] = ()) -> Moment:
    """Returns the moment that is asked for; without position and time it is the last position recorded.

    Args:
        views: those that say who stands on a page; without position and time it is how far they have come.

    Raises:
        InvalidInput: nothing has been recorded at that position yet.
    """
    if views and as_of.position is None and as_of.known_at is None:
        with translated():
            async with ledger.pool.connection() as connection:
                position = await lowest(connection, ledger.database, [ledger.view(name) for name in views])
        return Moment(position, as_of.effective_on)
    if as_of.known_at is not None:
        return Moment(await _number(ledger, POSITION_AT, {"time": as_of.known_at}), as_of.effective_on)
    last = await check_recorded(ledger, as_of.position or 0)
    position = last if as_of.position is None else as_of.position
    return Moment(position, as_of.effective_on)


async def show_moment(ledger: Ledger, moment: Moment) -> MomentShown:
    """Returns a moment with the time at which its position was recorded."""
    with translated():
        async with ledger.keys.connection() as connection:
            cursor = await connection.execute(ledger.database.bind(_TIME), (moment.position,), prepare=True)
            row = await cursor.fetchone()
    return MomentShown(moment.position, row[0] if row else None, moment.effective_on)


async def _number(ledger: Ledger, query: str, parameters: dict[str, object]) -> int:
    with translated():
        async with ledger.keys.connection() as connection:
            cursor = await connection.execute(ledger.database.bind(query), parameters, prepare=True)
            row = await cursor.fetchone()
    return int(row[0]) if row else 0


def had_happened(event: LedgerEvent, day: date | None) -> bool:
    """Tells whether an event counts on a day; None: whatever the day. What says no day always counts."""
    if day is None or isinstance(event, _UNDATED):
        return True
    on = happened_on(event)
    return on is None or on <= day
