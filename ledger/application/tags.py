"""Entity tags (RFC 9110 8.8.3): names of the state that a thing was seen in, and whether a name still fits.

A thing that can be changed has a strong tag: a letter for what it is, and the version, in its own lane, of the event
that changed it last. A decision knows that number, so "nobody has changed it since" is checked in the same moment in
which the change is recorded. A page that is put together of many things has a weak tag, made of its rows' positions:
it says whether the page is worth reading again, and never serves as a precondition of a change.

Tags are made of versions, ids and positions alone. One made of what is shown would be a fingerprint of a mark, and
there are five marks to try.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from ledger.aggregates import class_group, course, log_keys, school, working_days
from ledger.aggregates.student import marks, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.store.commands import Recorded
    from ledger.streams.base import LedgerEvent

_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")


class Thing(StrEnum):
    """What has a strong tag; the value is the letter that its tags begin with."""

    SCHOOL = "s"
    CLASS_GROUP = "g"
    COURSE = "c"
    CARD = "r"
    MARK = "m"
    PERIOD_MARK = "p"


_CHANGING: Mapping[Thing, tuple[type[LedgerEvent], ...]] = {
    Thing.SCHOOL: (
        school.SchoolFounded,
        school.SchoolYearOpened,
        school.PeriodDefined,
        school.MarkScaleDefined,
        school.LocalActAdopted,
        school.PeriodClosed,
        school.SchoolYearClosed,
        school.LateEntryPermitted,
        working_days.WorkingDayDeclared,
        log_keys.LogKeyAdded,
        log_keys.LogKeyRetired,
    ),
    Thing.CLASS_GROUP: (class_group.ClassGroupFormed, class_group.ClassTeacherAppointed),
    Thing.COURSE: (course.CourseOpened, course.TeacherAssigned, course.WorkAdded),
    Thing.CARD: (
        record.StudentEnrolled,
        record.BirthDateRecorded,
        record.StudentMovedToGroup,
        record.StudentLeftGroup,
        record.StudentLeft,
        record.StudentTransferredOut,
        record.StudentTransferredIn,
    ),
    Thing.MARK: (marks.MarkRecorded, marks.MarkCorrected, marks.MarkVoided),
    Thing.PERIOD_MARK: (marks.PeriodMarkSet, marks.PeriodMarkCorrected),
}

CHANGED_BY: Mapping[str, Thing] = {event.TOPIC: thing for thing, events in _CHANGING.items() for event in events}
"""Which thing an event sets or changes, by topic."""


def strong(thing: Thing, version: int) -> str:
    """Returns the tag of a thing that was changed last by the event of this version."""
    return f'"{thing}{version}"'


def weak(*parts: object) -> str:
    """Returns the tag of a page that is made of these parts: ids, positions, tags, days; nothing that is sealed."""
    return f'W/"{blake2b(_encoder.encode(parts), digest_size=12).hexdigest()}"'


def tag_after(recorded: Recorded) -> str | None:
    """Returns the tag, after a command, of the one thing that it set or changed; None where there are none or several.

    Made of recorded columns alone, so a repetition gets the tag of then.
    """
    several = (Thing.MARK, Thing.PERIOD_MARK)  # these share a lane
    found: dict[tuple[UUID, UUID | None], str] = {}
    for event in recorded.events:
        thing = CHANGED_BY.get(event.topic)
        if thing is not None:
            name = (event.stream_id, event.event_id if thing in several else None)
            found[name] = strong(thing, event.version)
    return found.popitem()[1] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of an If-Match or If-None-Match: any (`*`), or those listed."""

    listed: tuple[str, ...] = ()
    any: bool = False

    def match_strongly(self, current: str | None) -> bool:
        """Tells whether one of them is the current tag, both strong, or there is something and any will do."""
        if current is None:
            return False
        return self.any or (not current.startswith("W/") and current in self.listed)

    def match_weakly(self, current: str | None) -> bool:
        """Tells whether one of them is the current tag, weak or not, or there is something and any will do."""
        if current is None:
            return False
        return self.any or current.removeprefix("W/") in {tag.removeprefix("W/") for tag in self.listed}
