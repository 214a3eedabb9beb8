"""Who speaks for a student: every representative with their state on a day, now or as of a moment.

Folded from the events by the lane's own rules, so what is shown is what the gate decides by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.aggregates.student import StudentRecord
from ledger.aggregates.student.record import RecordState
from ledger.aggregates.student.representation import (
    GUARDIAN,
    TRUSTEE,
    RepresentationEnded,
    RepresentationRestricted,
    RepresentativeNamed,
    find,
)
from ledger.aggregates.student.standing import MAJORITY, OWN_ACTS, POWERS
from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.moment import NOW, AsOf, find_moment, had_happened
from ledger.application.disclose.past import past_of_streams
from ledger.application.tags import weak
from ledger.clock import utc_now
from ledger.policy.offices import SPEAKING
from ledger.policy.reading import Resource
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.aggregates.student.standing import Representative
    from ledger.application.ledger import Ledger
    from ledger.projections.view import Fact

CATEGORIES = (RecordClass.PERSONAL_FILE, RecordClass.REPRESENTATION)
OF_OTHERS_TOO = frozenset({RecordClass.REPRESENTATION, RecordClass.REQUESTS})
"""What is recorded about a student and tells of their representatives: one of these is not shown it of another one."""


@dataclass(frozen=True, slots=True)
class RestrictionShown:
    """What a court took away, by which decision, from when to when."""

    powers: list[str]
    document: str
    document_on: date
    effective_on: date
    until: date | None


@dataclass(frozen=True, slots=True)
class RepresentativeShown:
    """A representative, as they stand on a day.

    `acts_as` is what they are then (a guardian of one of 14 is a trustee), `powers` what they may do. `status`:
    `not_begun`, `in_force`, `restricted`, `ended`, `majority`. `until` is the last day, as far as it is known.
    `withheld`: contact and documents are not shown to this reader.
    """

    representation_id: UUID
    person: UUID
    kind: str
    acts_as: str
    status: str
    powers: list[str]
    effective_on: date
    until: date | None
    document_kind: str
    document: str
    document_on: date | None
    contact: str
    restrictions: list[RestrictionShown]
    end_reason: str
    end_document: str
    withheld: bool
    position: int


@dataclass(frozen=True, slots=True)
class Representatives:
    """Who speaks for a student on a day, and who did, in the order of recording."""

    student_id: UUID
    on: date
    items: list[RepresentativeShown]
    position: int
    access_id: UUID
    etag: str


def lane_of(facts: Iterable[Fact], student_id: UUID, day: date | None = None) -> StudentRecord:
    """Returns the record lane with these events applied and no others; with `day` only what had happened by it."""
    lane = StudentRecord.blank(student_id, 0, utc_now(), RecordState())
    for fact in facts:
        if had_happened(fact.event, day):
            fact.event.apply(lane)
    return lane


async def read_representatives(
    ledger: Ledger, reader: Reader, student_id: UUID, *, as_of: AsOf = NOW
) -> Representatives:
    """Returns who speaks for the student.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student. InvalidInput: the moment has not come yet.
    """
    moment = await find_moment(ledger, as_of)
    receipt = await open_access(ledger, reader, Resource.REPRESENTATIVES, students=[student_id], categories=CATEGORIES)
    past = await past_of_streams(ledger, receipt, [student_id], [student_id], moment.position)
    lane = lane_of(past.facts, student_id, as_of.effective_on)
    day = as_of.effective_on or ledger.today()
    items: dict[UUID, RepresentativeShown] = {}
    for fact in past.facts:
        event = fact.event
        if not had_happened(event, as_of.effective_on):
            continue
        if isinstance(event, RepresentativeNamed):
            found = find(lane, event.event_id)
            if found is not None:
                items[event.event_id] = _named(event, found, lane, day, fact.entry.position)
        elif isinstance(event, RepresentationRestricted):
            named = items[event.representation_id]
            named.restrictions.append(
                RestrictionShown(list(event.powers), event.document, event.document_on, event.effective_on, event.until)
            )
            items[event.representation_id] = replace(named, position=fact.entry.position)
        elif isinstance(event, RepresentationEnded):
            items[event.representation_id] = replace(
                items[event.representation_id],
                end_reason=event.reason,
                end_document=event.document,
                position=fact.entry.position,
            )
    shown = [_for(reader, item) for item in items.values()]
    tag = weak(day, reader.actor.id, lane.state.card, *((item.representation_id, item.position) for item in shown))
    return Representatives(student_id, day, shown, moment.position, receipt.access_id, tag)


def _named(
    event: RepresentativeNamed, found: Representative, lane: StudentRecord, day: date, position: int
) -> RepresentativeShown:
    powers = [power for power in POWERS if found.holds(power, day) and not lane.has_reached(MAJORITY, day)]
    majority = lane.reaches(MAJORITY)
    until = min(found.last_day(), majority - timedelta(days=1) if majority is not None else date.max)
    turned = found.kind == GUARDIAN and lane.has_reached(OWN_ACTS, day)
    return RepresentativeShown(
        event.event_id,
        event.person,
        event.kind,
        TRUSTEE if turned else event.kind,
        _status(found, lane, day, powers),
        powers,
        event.effective_on,
        None if until == date.max else until,
        event.document_kind,
        event.document,
        event.document_on,
        event.contact,
        [],
        "",
        "",
        withheld=False,
        position=position,
    )


def _status(found: Representative, lane: StudentRecord, day: date, powers: list[str]) -> str:
    if day > found.last_day():
        return "ended"
    if lane.has_reached(MAJORITY, day):
        return "majority"
    if day < found.since:
        return "not_begun"
    return "in_force" if len(powers) == len(POWERS) else "restricted"


def _for(reader: Reader, item: RepresentativeShown) -> RepresentativeShown:
    """Returns what this reader is shown: students and representatives do not see the papers and address of others."""
    if reader.actor.office not in SPEAKING or item.person == reader.actor.id:
        return item
    return replace(
        item, document="", document_on=None, contact="", restrictions=[], end_reason="", end_document="", withheld=True
    )
