"""Who speaks for a student, as decisions remember it: plain values, and on which days they hold.

Days: `since` and `until` count; `ended_on` is the first day that does not. What is taken away is gone from that day on.
"""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import msgspec

MAJORITY = 18
"""From this age on nobody represents the student (Civil Code art. 21)."""
OWN_ACTS = 14
"""From this age on students act themselves, and a guardian is a trustee (Civil Code art. 26, 33, 40)."""

INFORMATION, DECISIONS = "information", "decisions"
POWERS: tuple[str, ...] = (INFORMATION, DECISIONS)
"""What a representative may do, and a court may take away: be told of the student; decide, agree and ask for them."""

BY_STUDENT, BY_REPRESENTATIVE = "student", "representative"
"""As what somebody gave their word."""


class Restriction(msgspec.Struct):
    """Powers that a court took away, from when to when; None: until further notice."""

    powers: list[str]
    since: date
    until: date | None

    def covers(self, day: date) -> bool:
        """Tells whether it holds on `day`."""
        return self.since <= day and (self.until is None or day <= self.until)


class Representative(msgspec.Struct):
    """Somebody who speaks for the student, by which kind of right, from when to when."""

    representation_id: str
    person: UUID
    kind: str
    since: date
    until: date | None
    ended_on: date | None = None
    by_court: bool = False
    """Whether a court took the right away for good."""
    restrictions: list[Restriction] = msgspec.field(default_factory=list)

    def last_day(self) -> date:
        """Returns the last day on which it holds; the day before the first, where it never did."""
        ended = self.ended_on - timedelta(days=1) if self.ended_on is not None else date.max
        return min(ended, self.until or date.max)

    def covers(self, day: date) -> bool:
        """Tells whether it holds on `day`, restricted or not."""
        return self.since <= day <= self.last_day()

    def overlaps(self, since: date, until: date | None) -> bool:
        """Tells whether it holds on a day from `since` to `until`."""
        return max(since, self.since) <= min(until or date.max, self.last_day())

    def holds(self, power: str, day: date) -> bool:
        """Tells whether the representative has a power on `day`."""
        return self.covers(day) and not any(one.covers(day) and power in one.powers for one in self.restrictions)

    def barred(self, day: date) -> bool:
        """Tells whether a court's decision stands on or after `day` in the way of naming this person again."""
        return self.by_court or any(one.until is None or day <= one.until for one in self.restrictions)


class Consent(msgspec.Struct):
    """A consent as it stands: what it is for, of which data, to whom, under which conditions, from when to when."""

    consent_id: str
    kind: str
    purpose: str
    categories: list[str]
    recipients: list[str]
    conditions: list[str]
    since: date
    until: date | None
    own: bool
    """Whether the student gave it themself; what a representative agreed to ends when the student is 18."""
    withdrawn_on: date | None = None

    def last_day(self, majority: date | None) -> date | None:
        """Returns the last day on which it holds (before `since`: none); None where it has no end.

        Args:
            majority: when the student is 18, if that is known.
        """
        ends = [self.until] if self.until is not None else []
        if self.withdrawn_on is not None:
            ends.append(self.withdrawn_on - timedelta(days=1))
        if majority is not None and not self.own:
            ends.append(majority - timedelta(days=1))
        return min(ends, default=None)

    def covers(self, day: date, majority: date | None) -> bool:
        """Tells whether it holds on `day`."""
        return self.since <= day <= (self.last_day(majority) or date.max)
