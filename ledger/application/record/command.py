"""The way of a command: checked against the actor's office, wrapped with its header and key, given to the executor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, ClassVar, Protocol
from uuid import UUID

import msgspec

from ledger.aggregates.class_group import ClassGroup
from ledger.aggregates.course import Course
from ledger.aggregates.school import School
from ledger.aggregates.student import StudentRecord, record_lane
from ledger.aggregates.student.marking import ASSESSMENT_ACT
from ledger.application.acting import guard_of
from ledger.application.record.precondition import Demand, Precondition
from ledger.errors import Forbidden, InvalidInput, NotFound
from ledger.ids import new_id
from ledger.policy.offices import COURSE_BOUND, Actor, check_recording
from ledger.store.commands import Envelope, Idempotency
from ledger.store.header import CARRIERS, Header
from ledger.streams.base import Context, L, LaneRef, Lanes, OpeningEvent, Proposal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from ledger.application.ledger import Ledger
    from ledger.store.commands import Recorded

MAX_KEY = 200


@dataclass(frozen=True, kw_only=True)
class RecordingCommand(ABC):
    """Base of the commands; subclasses are frozen dataclasses named in the imperative.

    `school` is the school's own id (the ledger's), which every command is about.
    """

    CAPABILITY: ClassVar[str]
    AMENDS: ClassVar[bool] = False
    """Whether it takes back or replaces what was recorded: LEDGER_REQUIRE_IF_MATCH is about such commands."""

    school: UUID

    @property
    def school_ref(self) -> LaneRef[School]:
        """The school's lane."""
        return LaneRef(self.school, self.school, School)

    def group_ref(self, group_id: UUID) -> LaneRef[ClassGroup]:
        """A class group's lane; its subject is the school."""
        return LaneRef(group_id, self.school, ClassGroup)

    def course_ref(self, course_id: UUID) -> LaneRef[Course]:
        """A course's lane; its subject is the school."""
        return LaneRef(course_id, self.school, Course)

    @property
    def capability(self) -> str:
        """Under which capability the command is recorded."""
        return self.CAPABILITY

    @property
    def about(self) -> tuple[UUID, ...]:
        """The students of whom something shall be recorded, who need not exist."""
        student_id: UUID | None = getattr(self, "student_id", None)
        return () if student_id is None else (student_id,)

    @abstractmethod
    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns what shall be recorded."""

    def cites(self, lanes: Lanes, context: Context) -> str | None:  # noqa: ARG002 - what a subclass may look at
        """Returns the local act that the events cite; none, unless a command says so."""
        return None

    async def informed(self, ledger: Ledger) -> RecordingCommand:  # noqa: ARG002 - what a subclass may look at
        """Returns the command with what it has to know from elsewhere than the lanes; as it is, unless it says so."""
        return self

    def tag(self, lanes: Lanes) -> str | None:  # noqa: ARG002 - likewise
        """Returns the tag of the thing that it changes, as it stands; None where it changes nothing that is there."""
        return None


class Sendable(Protocol):
    """What can be put into an envelope: a command, or something that stands in for one."""

    @property
    def capability(self) -> str:
        """Under which capability it is recorded."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """As a command's."""

    def cites(self, lanes: Lanes, context: Context) -> str | None:
        """As a command's."""


class Request(msgspec.Struct, frozen=True):
    """How a command came: who sends it, under which key, through which request.

    Args:
        key: the client's idempotency key; None for the ledger's own commands.
        content: what was asked for, canonically encoded; the same key with other content is refused.
        client: whose keys these are; the actor where nothing else is said.
        sequence: of commands whose order counts (see `Envelope`).
        precondition: what the sender demands of the thing that is changed. Not part of the content: a repetition is
            answered with what was recorded, however the thing has been changed since.
    """

    actor: Actor
    key: str | None = None
    content: bytes = b""
    client: UUID | None = None
    request_id: UUID = msgspec.field(default_factory=new_id)
    correlation_id: UUID | None = None
    carrier: str = "electronic"
    imported: bool = False
    sequence: UUID | None = None
    precondition: Precondition | None = None


def envelope(ledger: Ledger, command: Sendable, request: Request) -> Envelope:
    """Returns the command ready for the executor.

    Raises:
        Forbidden: the office may not record this; InvalidInput: the key or carrier is unusable.
    """
    check_recording(request.actor, command.capability)
    if request.carrier not in CARRIERS:
        raise InvalidInput("The carrier is unknown.", help=f"Use one of {', '.join(CARRIERS)}.")
    idempotency = None
    if request.key is not None:
        idempotency = idempotency_of(ledger, request, request.key)
    header = Header(
        request.actor.id,
        request.actor.office.value,
        request.correlation_id or request.request_id,
        None,
        request.request_id,
        None,
        request.carrier,
    )
    context = Context(
        ledger.today(),
        request.actor.id,
        request.actor.office.value,
        request.imported,
        request.actor.students,
        request.actor.login,
    )
    demand = None
    if request.precondition is not None and isinstance(command, RecordingCommand):
        demand = Demand(command, request.precondition)
    guard = guard_of(request.actor, ledger.id, command.about if isinstance(command, RecordingCommand) else ())
    return Envelope(command, header, context, idempotency, request.sequence, demand, guard=guard)


def idempotency_of(ledger: Ledger, request: Request, key: str) -> Idempotency:
    """Returns the key as it is stored: keyed hashes only.

    Raises:
        InvalidInput: the key is empty, too long or not printable.
    """
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidInput("The idempotency key is unusable.", help=f"Send 1 to {MAX_KEY} printable characters.")
    client = request.client or request.actor.id
    return Idempotency(ledger.hasher.command(client, key), client, ledger.hasher.request(request.content))


async def record(ledger: Ledger, command: Sendable, request: Request) -> Recorded:
    """Records a command and returns what was recorded, once it is durable (see `CommandExecutor.execute`)."""
    return await ledger.executor.submit(envelope(ledger, await _informed(ledger, command, request.actor), request))


def submit(ledger: Ledger, command: Sendable, request: Request) -> asyncio.Future[Recorded]:
    """Queues a command as it is; for imports, which wait for many answers at once."""
    return ledger.executor.submit(envelope(ledger, command, request))


async def submit_when_free(ledger: Ledger, command: Sendable, request: Request) -> asyncio.Future[Recorded]:
    """Queues a command, waiting while the queue is full; for those who send many in order."""
    informed = await _informed(ledger, command, request.actor)
    return await ledger.executor.submit_when_free(envelope(ledger, informed, request))


async def _informed(ledger: Ledger, command: Sendable, actor: Actor) -> Sendable:
    """Returns the command with what it has to know; for who may not record it nothing is looked up."""
    if not isinstance(command, RecordingCommand):
        return command
    check_recording(actor, command.capability)
    return await command.informed(ledger)


def content_of(kind: str, fields: object) -> bytes:
    """Returns a request's content in one canonical form: what it is, and its fields."""
    return msgspec.msgpack.encode([kind, fields], order="sorted")


# --- what decisions look up -----------------------------------------------------------------------------------------


def existing(lanes: Lanes, ref: LaneRef[L], what: str) -> L:
    """Returns a lane that must exist.

    Raises:
        NotFound: there is no such thing.
    """
    lane = lanes.get(ref)
    if lane is None:
        raise no_such(what)
    return lane


def no_such(what: str) -> NotFound:
    """Returns what is said of a thing that does not exist, also to those who may not know whether it does."""
    return NotFound(f"There is no such {what}.", help="Check the id; ids of other things do not serve here.")


def founded(lanes: Lanes, ref: LaneRef[School]) -> School:
    """Returns the school.

    Raises:
        NotFound: the ledger has no school yet.
    """
    school = lanes.get(ref)
    if school is None:
        raise not_founded()
    return school


def not_founded() -> NotFound:
    """Returns what is said where there is no school yet."""
    return NotFound("This ledger has no school yet.", help="Found it first: POST /v1/school.")


def student(lanes: Lanes, student_id: UUID) -> StudentRecord:
    """Returns a student's record lane, or raises NotFound."""
    return existing(lanes, record_lane(student_id), "student")


def check_entering(course: Course, school: School, context: Context, day: date | None) -> None:
    """Passes if the actor may enter or correct today what belongs to the lesson of `day` in the course.

    Args:
        day: None where it is not known: there is no such mark, which only who teaches the course today is told.

    Raises:
        Forbidden: a teacher of another course, one who gave it up, or a substitute on another day.
    """
    if context.office not in COURSE_BOUND:
        return
    today = context.today
    act = school.act_in_force(ASSESSMENT_ACT, today)
    window = act.correction_window_days if act is not None else None
    if not course.entered_by(context.actor, day or date.min, today, window):
        raise Forbidden(
            "Whoever teaches the course today enters marks, and a substitute those of the days of the substitution.",
            help="Ask the deputy head to assign you to the course, or as a substitute for the day.",
        )


def pupil(
    command: RecordingCommand, lanes: Lanes, student_id: UUID, context: Context, course_id: UUID | None = None
) -> StudentRecord:
    """Returns a student's record lane, for teachers if the student is theirs today.

    That is: of their own class, or of the course that they name and teach.

    Raises:
        NotFound: there is no such student, or neither holds: whose student it is not may not know that there is one.
    """
    if context.office not in COURSE_BOUND:
        return student(lanes, student_id)
    record = lanes.get(record_lane(student_id))
    if record is None:
        raise no_such_pupil()
    today, actor = context.today, context.actor
    groups = [command.group_ref(entry.group_id) for entry in record.state.memberships if entry.covers(today)]
    courses = [command.course_ref(course_id)] if course_id is not None else []
    lanes.need(*groups, *courses)
    led = any(group.class_teacher_on(today) == actor for group in map(lanes.get, groups) if group is not None)
    taught = any(
        course.taught_by(actor, today) and record.in_group(course.state.group_id, today)
        for course in map(lanes.get, courses)
        if course is not None
    )
    if not (led or taught):
        raise no_such_pupil()
    return record


def no_such_pupil() -> NotFound:
    """Returns what a teacher is told of a student who does not exist, and of one who is nothing to them."""
    return NotFound(
        "There is no such student.",
        help="Check the id. A class teacher records of the own class, a teacher of those whom they teach today: name "
        "the course in which (`course_id`), or ask the class teacher.",
    )


def check_teaching(course: Course, context: Context, day: date) -> None:
    """Passes if the actor may record in the course: those bound to their courses must teach it on that day.

    Raises:
        Forbidden: a teacher of another course.
    """
    if context.office in COURSE_BOUND and not course.taught_by(context.actor, day):
        raise Forbidden(
            "A teacher records in the courses that they teach on that day.",
            help="Ask the deputy head to assign you to the course, or as a substitute for the day.",
        )


def opened_once(proposals: list[Proposal]) -> list[Proposal]:
    """Returns the proposals without repeated openings of one lane, as when several marks open it."""
    opened: set[UUID] = set()
    kept = []
    for proposal in proposals:
        if issubclass(proposal.event, OpeningEvent):
            if proposal.lane.stream_id in opened:
                continue
            opened.add(proposal.lane.stream_id)
        kept.append(proposal)
    return kept
