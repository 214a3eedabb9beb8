"""Disclosures: who opened whose data, for which purpose, on which basis; and who was refused.

One access is one `AccessOpened` on a stream of its own (subject: the person who looks) and one lean `DataDisclosed` on
the `disclosures` lane of each student concerned. Nothing is decided from these streams, so they are never loaded and
their versions come from the append function: they conflict with nothing.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from ledger.aggregates.student import disclosures_stream
from ledger.ids import new_id
from ledger.streams.base import Lane, LaneRef, LedgerEvent, Proposal
from ledger.streams.record_classes import RecordClass


class AccessLane(Lane):
    """A stream that is written and never loaded."""

    KIND = "access"
    LOADED = False


class AccessOpened(LedgerEvent):
    """Somebody opened personal data: in which office, on whose behalf, for whom, why, by which route."""

    TOPIC = "access.opened"
    RECORD_CLASS = RecordClass.DISCLOSURES
    office: str
    on_behalf_of: UUID | None
    recipient: str | None
    purpose: str
    legal_basis: str
    policy: str
    channel: str
    resource: str
    students: int


class AccessRefused(LedgerEvent):
    """Somebody asked for personal data and was refused; the policy says why (S0-6.2, S1-5.2)."""

    TOPIC = "access.refused"
    RECORD_CLASS = RecordClass.DISCLOSURES
    office: str
    purpose: str
    policy: str
    channel: str
    resource: str
    students: int


class AccessGrounded(LedgerEvent):
    """On what grounds an access was asked for, where its office alone does not say: a document, or an emergency.

    `document` asks for the data; `reason` is why exceptional access was needed, in the words of who had it.
    """

    TOPIC = "access.grounded"
    RECORD_CLASS = RecordClass.DISCLOSURES
    document: str | None
    reason: str | None


class DataDisclosed(LedgerEvent):
    """Categories of a student's data were disclosed by an access."""

    TOPIC = "disclosure.made"
    RECORD_CLASS = RecordClass.DISCLOSURES
    access_id: UUID
    categories: tuple[str, ...]


class DisclosureRefused(LedgerEvent):
    """A student's data were asked for by an access that was refused."""

    TOPIC = "disclosure.refused"
    RECORD_CLASS = RecordClass.DISCLOSURES
    access_id: UUID
    categories: tuple[str, ...]


class NobodyFound(LedgerEvent):
    """The refused access asked about somebody who does not exist; it stands where that student's record would.

    Who may not know who is at the school learns nothing from how much was recorded: the log's size is public.
    """

    TOPIC = "access.nobody_found"
    RECORD_CLASS = RecordClass.DISCLOSURES
    categories: tuple[str, ...]


class ExceptionalAccessHad(LedgerEvent):
    """Somebody had exceptional access to a student's data: told to the representatives and the director.

    It stands beside `disclosure.made`, so that whoever follows or is told of events can pick these out by their topic.
    """

    TOPIC = "disclosure.exceptional"
    RECORD_CLASS = RecordClass.DISCLOSURES
    access_id: UUID


class Grounds(NamedTuple):
    """On what grounds somebody asks: the document that asks for it, and why exceptional access is needed."""

    document: str | None = None
    reason: str | None = None


NO_GROUNDS = Grounds()


def access_lane(access_id: UUID, actor: UUID) -> LaneRef[AccessLane]:
    """Names the stream of one access; its data key is the actor's."""
    return LaneRef(access_id, actor, AccessLane)


def disclosures_lane(student_id: UUID) -> LaneRef[AccessLane]:
    """Names the student's lane of disclosures."""
    return LaneRef(disclosures_stream(student_id), student_id, AccessLane)


def disclose(
    event: type[AccessOpened | AccessRefused],
    values: dict[str, object],
    *,
    access_id: UUID,
    actor: UUID,
    students: tuple[UUID, ...],
    categories: tuple[str, ...],
    grounds: Grounds = NO_GROUNDS,
    nobody: int = 0,
) -> list[Proposal]:
    """Returns the proposals of one access (`AccessOpened` or `AccessRefused`) and of each student's lane.

    The access itself comes first, its students' events follow without a gap (the register finds them by that), then its
    grounds. Exceptional access that was granted is noted for each student as well.

    Args:
        nobody: how many were asked about who do not exist: as many events as if they did.
    """
    each = DataDisclosed if event is AccessOpened else DisclosureRefused
    lane = access_lane(access_id, actor)
    proposals = [Proposal(lane, event, {**values, "students": len(students)}, new_id())]
    lean = {"access_id": access_id, "categories": categories}
    proposals.extend(Proposal(disclosures_lane(student), each, lean, new_id()) for student in students)
    proposals.extend(Proposal(lane, NobodyFound, {"categories": categories}, new_id()) for _ in range(nobody))
    if grounds != NO_GROUNDS:
        proposals.append(Proposal(lane, AccessGrounded, grounds._asdict(), new_id()))
    if grounds.reason is not None and event is AccessOpened:
        note = {"access_id": access_id}
        proposals.extend(
            Proposal(disclosures_lane(student), ExceptionalAccessHad, note, new_id()) for student in students
        )
    return proposals
