"""Lanes, events and proposals: the ground that every aggregate stands on.

Aggregates and events are those of the `eventsourcing` library. What is ours:

* a *lane* is one stream of a subject. A student has several (`record`, `marks/<year>`, `disclosures`), a school,
  class group or course has one. Its decision state is one msgspec struct, so that a snapshot is one encoding of it;
* an event is an explicit class with a short, stable TOPIC and the record class that it is kept under;
* a decision returns *proposals*: nothing is mutated before the whole command has been accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar
from uuid import UUID

import msgspec
from eventsourcing.domain import Aggregate, AggregateEvent, OriginatorIDError, OriginatorVersionError

from ledger.errors import Refused, Violation
from ledger.streams.record_classes import RecordClass

UNVERSIONED = 0
"""Version of an event whose place in its stream is given by the append function (disclosures)."""


class State(msgspec.Struct):
    """What a lane must remember in order to decide; never shown to anybody."""


class Lane(Aggregate):
    """One stream of one subject, rebuilt by folding its events."""

    KIND = ""
    LOADED = True
    """Whether the lane is ever loaded; one that is not gets its versions from the append function."""
    STATE: ClassVar[type[State]] = State
    SHAPE: ClassVar[int] = 1
    """Number of the state's shape: raised when STATE changes, so that snapshots of the old shape are passed over."""

    _state: Any

    @classmethod
    def shape(cls) -> str:
        """Returns the name under which snapshots of this shape are stored."""
        return f"{cls.KIND}/{cls.SHAPE}"

    @classmethod
    def blank(cls, stream_id: UUID, version: int, timestamp: datetime, state: State) -> Self:
        """Returns a lane at `version` with `state`: the shell that an opening event or a snapshot fills."""
        lane = cls.__new__(cls)
        lane.__base_init__(stream_id, version, timestamp)
        lane._state = state  # noqa: SLF001 - its own class
        return lane


class LedgerEvent(AggregateEvent):
    """A fact that is never changed.

    `originator_id` is the lane's stream, `originator_version` its place there, `timestamp` when the ledger learned it
    (the database's clock once it is stored), `event_id` its name for ever. Subclasses add what happened.
    """

    event_id: UUID

    TOPIC: ClassVar[str] = ""
    RECORD_CLASS: ClassVar[RecordClass] = RecordClass.ORGANISATION

    def mutate(self, aggregate: Any) -> Any:  # noqa: ANN401 - the library types it for any aggregate
        """Returns the lane with this event applied; checks stream and version as the library does, in fewer steps."""
        if aggregate is None or self.originator_id.int != aggregate.id.int:
            raise OriginatorIDError(self.originator_id, getattr(aggregate, "id", None))
        if self.originator_version != aggregate.version + 1:
            raise OriginatorVersionError(self.originator_version, aggregate.version + 1)
        self.apply(aggregate)
        aggregate.version = self.originator_version
        aggregate.modified_on = self.timestamp
        return aggregate

    @classmethod
    def of(cls, values: dict[str, object]) -> Self:
        """Returns an event of checked values, all of its fields; `values` is the event's own from now on.

        Past the constructor, which sets the fields of a frozen dataclass one by one at four times the cost; the mapper
        refuses an event whose fields are not exactly those of its class.
        """
        event = object.__new__(cls)
        object.__setattr__(event, "__dict__", values)
        return event


class OpeningEvent(LedgerEvent):
    """The first event of a lane: it makes the lane that the others are applied to."""

    LANE: ClassVar[type[Lane]] = Lane

    def mutate(self, aggregate: Any) -> Any:  # noqa: ANN401 - the library types it for any aggregate
        """Returns the new lane; there must not be one yet."""
        if aggregate is not None:
            message = f"{self.TOPIC} opens a lane, but lane {self.originator_id} is open."
            raise ValueError(message)
        lane = self.LANE.blank(self.originator_id, self.originator_version, self.timestamp, self.LANE.STATE())
        self.apply(lane)
        return lane


L = TypeVar("L", bound=Lane)
M = TypeVar("M", bound=Lane)


class LaneRef(msgspec.Struct, Generic[L], frozen=True, gc=False):
    """Names a lane: its stream, whose it is, and the class that folds it."""

    stream_id: UUID
    subject_id: UUID
    kind: type[L]


class Lanes(Protocol):
    """Where a decision reads lanes from; what it has read is checked again when its events are appended."""

    def get(self, ref: LaneRef[L]) -> L | None:
        """Returns the lane, or None where the stream is empty."""

    def need(self, *refs: LaneRef[Any]) -> None:
        """Says which lanes will be read, so that they are loaded together."""

    def pair(self, first: LaneRef[L], second: LaneRef[M]) -> tuple[L | None, M | None]:
        """Returns two lanes that are needed together, as `get` does. In one call: each mark asks for two pairs."""


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """An event that a decision wants recorded: on which lane, which class, with which values."""

    lane: LaneRef[Any]
    event: type[LedgerEvent]
    values: Mapping[str, object]
    event_id: UUID


class Context(msgspec.Struct, frozen=True):
    """Who decides, and when, as the rules need to know it.

    `imported` marks history taken over from another system: it is recorded and flagged, not judged again.
    `speaks_for` are the students whom a student's or representative's token names; what is recorded decides besides.
    `login` is by which login of a provider they came: the register bounds how far its office reaches.
    """

    today: date
    actor: UUID
    office: str
    imported: bool = False
    speaks_for: frozenset[UUID] = frozenset()
    login: UUID | None = None


def judge(violations: list[Violation], context: Context, *, may_flag: frozenset[str] = frozenset()) -> list[str]:
    """Returns the flags to record with an event, or refuses.

    A live command is refused for any violation. Imported history keeps what happened although it broke a rule that may
    be flagged: its codes become flags of the event, and the import counts them.

    Raises:
        Refused: with every violation that cannot be flagged.
    """
    if not context.imported:
        hard = violations
    else:
        hard = [violation for violation in violations if violation.code not in may_flag]
    if hard:
        raise Refused(hard)
    return [violation.code for violation in violations]
