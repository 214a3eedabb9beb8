"""A student's consents, each with its state on a day, now or as of a moment; folded by the lane's own rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.aggregates.student.consents import ConsentGiven, ConsentLimited, ConsentWithdrawn, find
from ledger.aggregates.student.standing import MAJORITY
from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.moment import NOW, AsOf, find_moment, had_happened
from ledger.application.disclose.past import past_of_streams
from ledger.application.disclose.representation import lane_of
from ledger.application.tags import weak
from ledger.policy.reading import Resource
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.aggregates.student import StudentRecord
    from ledger.aggregates.student.standing import Consent
    from ledger.application.ledger import Ledger

CATEGORIES = (RecordClass.PERSONAL_FILE, RecordClass.CONSENTS)


@dataclass(frozen=True, slots=True)
class ConsentShown:
    """A consent, as it stands on a day: what it covers, limitations included.

    `status`: `in_force`, `withdrawn`, `expired`, or `lapsed` (a representative gave it, and the student is 18).
    `until` is the last day, as far as it is known. `given` is what it covered at first, `limited_on` when it was
    narrowed.
    """

    consent_id: UUID
    kind: str
    purpose: str
    status: str
    categories: list[str]
    recipients: list[str]
    conditions: list[str]
    effective_on: date
    until: date | None
    by: UUID
    by_kind: str
    form: str
    document: str
    given: list[str]
    limited_on: list[date]
    withdrawn_on: date | None
    withdrawn_by: UUID | None
    withdrawal: str
    position: int


@dataclass(frozen=True, slots=True)
class Consents:
    """A student's consents on a day, in the order of recording."""

    student_id: UUID
    on: date
    items: list[ConsentShown]
    position: int
    access_id: UUID
    etag: str


async def read_consents(ledger: Ledger, reader: Reader, student_id: UUID, *, as_of: AsOf = NOW) -> Consents:
    """Returns the student's consents.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student. InvalidInput: the moment has not come yet.
    """
    moment = await find_moment(ledger, as_of)
    receipt = await open_access(ledger, reader, Resource.CONSENTS, students=[student_id], categories=CATEGORIES)
    past = await past_of_streams(ledger, receipt, [student_id], [student_id], moment.position)
    facts = [fact for fact in past.facts if had_happened(fact.event, as_of.effective_on)]
    lane = lane_of(facts, student_id)
    day = as_of.effective_on or ledger.today()
    given: dict[UUID, tuple[ConsentGiven, int]] = {}
    limited: dict[UUID, list[date]] = {}
    withdrawn: dict[UUID, ConsentWithdrawn] = {}
    for fact in facts:
        event, position = fact.event, fact.entry.position
        if isinstance(event, ConsentGiven):
            given[event.event_id] = event, position
        elif isinstance(event, ConsentLimited):
            limited.setdefault(event.consent_id, []).append(event.effective_on)
            given[event.consent_id] = given[event.consent_id][0], position
        elif isinstance(event, ConsentWithdrawn):
            withdrawn[event.consent_id] = event
            given[event.consent_id] = given[event.consent_id][0], position
    items = []
    for consent_id, (event, position) in given.items():
        found = find(lane, consent_id)
        if found is not None:
            items.append(
                _shown(event, found, lane, day, limited.get(consent_id, []), withdrawn.get(consent_id), position)
            )
    tag = weak(day, lane.state.card, *((item.consent_id, item.position) for item in items))
    return Consents(student_id, day, items, moment.position, receipt.access_id, tag)


def _shown(
    event: ConsentGiven,
    found: Consent,
    lane: StudentRecord,
    day: date,
    limited: list[date],
    withdrawn: ConsentWithdrawn | None,
    position: int,
) -> ConsentShown:
    return ConsentShown(
        event.event_id,
        event.kind,
        event.purpose,
        _status(found, lane, day),
        found.categories,
        found.recipients,
        found.conditions,
        event.effective_on,
        found.last_day(lane.reaches(MAJORITY)),
        event.by,
        event.by_kind,
        event.form,
        event.document,
        list(event.categories),
        limited,
        withdrawn.effective_on if withdrawn else None,
        withdrawn.by if withdrawn else None,
        withdrawn.document if withdrawn else "",
        position,
    )


def _status(found: Consent, lane: StudentRecord, day: date) -> str:
    if found.covers(day, lane.reaches(MAJORITY)):
        return "in_force"
    if found.withdrawn_on is not None and day >= found.withdrawn_on:
        return "withdrawn"
    return "lapsed" if found.covers(day, None) else "expired"
