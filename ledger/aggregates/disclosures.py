"""Disclosures: who opened whose data, for which purpose, on which basis; who was refused; and what was handed over.

One access is one `AccessOpened` on a stream of its own (subject: the person who looks) and one lean `DataDisclosed` on
the `disclosures` lane of each student concerned. Nothing is decided from these streams, so they are never loaded and
their versions come from the append function: they conflict with nothing.

A document that was handed over on paper is no access, because nothing was opened for it: it has events of its own, and
stands in the register beside the accesses (ADR 0030).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from ledger.aggregates.days import not_yet
from ledger.aggregates.student import disclosures_stream
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, Proposal, judge
from ledger.streams.record_classes import STUDENT_CLASSES, RecordClass

DOCUMENT_KINDS: tuple[str, ...] = (
    "certificate",
    "progress_statement",
    "extract",
    "personal_file",
    "portfolio",
    "copy",
    "list",
    "answer",
    "other",
)
"""What is handed over (S0-4.7, S1-4.5, S1-4.8): an education document, a statement of marks, an extract, the personal
file or the portfolio itself, a copy, a list of several students, the answer to a request, or something else."""
HAND_OVER_CHANNELS: tuple[str, ...] = ("paper", "letter", "email")
"""By which way a document leaves: from hand to hand, by post, or as a file that was not made by this service."""
MAX_HANDED_OVER = 100
"""Students whom one document is about: a list of two or three class groups."""


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


class AccessTurnedAway(LedgerEvent):
    """Somebody with a valid token was turned away at the door, before anything was looked at.

    `reason` is a code (`login_unknown`, `no_office`, `office_not_held`, `login_unlinked`, `office_left`,
    `beyond_reach`), `office` the one they wanted, if they named one, `login` that of a provider. `times`: how often it
    was so; the first time is told by itself, what follows within a minute together.
    """

    TOPIC = "access.turned_away"
    RECORD_CLASS = RecordClass.DISCLOSURES
    login: UUID | None
    office: str
    reason: str
    channel: str
    times: int


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


class DocumentHandedOver(LedgerEvent):
    """A document about students was handed over: what, on which day, to whom, by whom, why and on which basis.

    The first event of a stream like an access's, under whoever recorded it. `received_by` is the student or the
    representative to whom it went, `recipient` the name of whoever else it was.
    """

    TOPIC = "access.handed_over"
    RECORD_CLASS = RecordClass.DISCLOSURES
    office: str
    recipient: str | None
    received_by: UUID | None
    handed_by: UUID
    document_kind: str
    document_number: str
    effective_on: date
    purpose: str
    legal_basis: str
    policy: str
    channel: str
    resource: str
    students: int


class DataHandedOver(LedgerEvent):
    """Categories of a student's data were handed over with a document; nothing was opened for it here."""

    TOPIC = "disclosure.handed_over"
    RECORD_CLASS = RecordClass.DISCLOSURES
    access_id: UUID
    categories: tuple[str, ...]
    effective_on: date


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


_OF_EACH: Mapping[type[LedgerEvent], type[LedgerEvent]] = {
    AccessOpened: DataDisclosed,
    AccessRefused: DisclosureRefused,
    DocumentHandedOver: DataHandedOver,
}
"""What stands on the lane of each student concerned."""


def check_hand_over(
    *,
    students: Sequence[UUID],
    categories: Sequence[str],
    document_kind: str,
    document_number: str,
    channel: str,
    effective_on: date,
    context: Context,
) -> None:
    """Passes if a hand-over can have been as it is told.

    Raises:
        Refused: with every rule that it breaks.
    """
    violations = []
    if not students or len(set(students)) != len(students):
        violations.append(Violation("students_unclear", "Name the students whom the document is about, each once."))
    if len(students) > MAX_HANDED_OVER:
        violations.append(
            Violation("students_many", f"One hand-over is about at most {MAX_HANDED_OVER} students; record several.")
        )
    if not categories or not set(categories) <= set(STUDENT_CLASSES) or len(set(categories)) != len(categories):
        message = f"Name what the document tells of, each once: {', '.join(STUDENT_CLASSES)}."
        violations.append(Violation("categories_unknown", message))
    if document_kind not in DOCUMENT_KINDS:
        violations.append(Violation("document_unknown", f"The document is one of {', '.join(DOCUMENT_KINDS)}."))
    if not document_number.strip():
        violations.append(Violation("number_missing", "Give the number of the document; `б/н` if it has none."))
    if channel not in HAND_OVER_CHANNELS:
        violations.append(Violation("channel_unknown", f"The way is one of {', '.join(HAND_OVER_CHANNELS)}."))
    judge(violations + not_yet(effective_on, context), context)


def disclose(
    event: type[AccessOpened | AccessRefused | DocumentHandedOver],
    values: dict[str, object],
    *,
    access_id: UUID,
    actor: UUID,
    students: tuple[UUID, ...],
    categories: tuple[str, ...],
    grounds: Grounds = NO_GROUNDS,
    nobody: int = 0,
) -> list[Proposal]:
    """Returns the proposals of one access, or of a document that was handed over, and of each student's lane.

    The access itself comes first, its students' events follow without a gap (the register finds them by that), then its
    grounds. Exceptional access that was granted is noted for each student as well.

    Args:
        nobody: how many were asked about who do not exist: as many events as if they did.
    """
    each = _OF_EACH[event]
    lane = access_lane(access_id, actor)
    proposals = [Proposal(lane, event, {**values, "students": len(students)}, new_id())]
    lean: dict[str, object] = {"access_id": access_id, "categories": categories}
    if event is DocumentHandedOver:
        lean["effective_on"] = values["effective_on"]
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
