"""A world of lanes in memory, and given-when-then over it: what the executor does, without a database.

`World.record` makes events of proposals exactly as `ledger/store/batch.py` does, and a test holds the two together.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec
import pytest

from ledger.errors import Refused
from ledger.streams.base import UNVERSIONED, Context, L, Lane, LaneRef, LedgerEvent, M, Proposal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NOW = datetime(2025, 10, 15, 9, 30, tzinfo=UTC)
TODAY = date(2025, 10, 15)
TEACHER = UUID(int=1)

AnyLane = TypeVar("AnyLane", bound=Lane)
_state_encoder = msgspec.msgpack.Encoder(uuid_format="bytes", decimal_format="string", order="deterministic")


def a_context(
    today: date = TODAY, *, actor: UUID = TEACHER, office: str = "teacher", imported: bool = False
) -> Context:
    """Returns who decides and when; a teacher, today, live unless told otherwise."""
    return Context(today=today, actor=actor, office=office, imported=imported)


def event_of(proposal: Proposal, lane: Lane | None, now: datetime = NOW) -> LedgerEvent:
    """Returns the event that the executor would make of a proposal on `lane`."""
    version = (lane.version + 1 if lane else 1) if proposal.lane.kind.LOADED else UNVERSIONED
    return proposal.event(  # type: ignore[call-arg]  # the library's metaclass makes the dataclass
        originator_id=proposal.lane.stream_id,
        originator_version=version,
        timestamp=now,
        event_id=proposal.event_id,
        **proposal.values,
    )


def given(lane: AnyLane | None, proposals: Iterable[Proposal], now: datetime = NOW) -> AnyLane:
    """Returns `lane` with the proposals recorded on it; None begins a new one. All must be about this one lane."""
    folded: Any = lane
    for proposal in proposals:
        folded = event_of(proposal, folded, now).mutate(folded)
    assert folded is not None, "Nothing was given."
    evolved: AnyLane = folded
    return evolved


def state_of(lane: Lane) -> bytes:
    """Returns what a lane remembers, as comparable bytes: its name, version and decision state."""
    state = _state_encoder.encode(msgspec.to_builtins(lane._state, str_keys=True))
    return lane.id.bytes + lane.version.to_bytes(4) + lane.KIND.encode() + state


@contextmanager
def refuses(*codes: str) -> Iterator[Refusal]:
    """Passes if the block is refused for exactly these violations; they are in the yielded object."""
    refusal = Refusal()
    with pytest.raises(Refused) as caught:
        yield refusal
    refusal.error = caught.value
    found = sorted(violation.code for violation in caught.value.violations)
    assert found == sorted(codes), f"Refused for {found}, not for {sorted(codes)}."


class Refusal:
    """What `refuses` caught; empty until its block has ended."""

    error: Refused

    @property
    def students(self) -> list[str | None]:
        """Whom the violations concern."""
        return [violation.student_id for violation in self.error.violations]

    @property
    def text(self) -> str:
        """Everything that a reader of the refusal would see."""
        return "\n".join((str(self.error), *(violation.message for violation in self.error.violations)))


@dataclass
class World:
    """Lanes in memory, and every event in the order in which it was recorded. It is a `Lanes`, too."""

    now: datetime = NOW
    events: list[tuple[LaneRef[Any], LedgerEvent]] = field(default_factory=list)
    _lanes: dict[UUID, Lane] = field(default_factory=dict)

    def need(self, *refs: LaneRef[Any]) -> None:
        """Does nothing: everything is in memory."""

    def get(self, ref: LaneRef[L]) -> L | None:
        """Returns the lane, or None where its stream is empty or another kind of thing."""
        lane = self._lanes.get(ref.stream_id)
        return lane if isinstance(lane, ref.kind) else None

    def pair(self, first: LaneRef[L], second: LaneRef[M]) -> tuple[L | None, M | None]:
        """Returns two lanes."""
        return self.get(first), self.get(second)

    def the(self, ref: LaneRef[L]) -> L:
        """Returns a lane that must be there."""
        lane = self.get(ref)
        assert lane is not None, "This lane has no events."
        return lane

    def record(self, proposals: Sequence[Proposal]) -> list[LedgerEvent]:
        """Records the proposals as the executor does: in order, each on its lane as the last one left it."""
        recorded: list[LedgerEvent] = []
        for proposal in proposals:
            ref = proposal.lane
            lane = self._lanes.get(ref.stream_id)
            event = event_of(proposal, lane, self.now)
            if ref.kind.LOADED:
                evolved = event.mutate(lane)
                assert isinstance(evolved, Lane)
                self._lanes[ref.stream_id] = evolved
            self.events.append((ref, event))
            recorded.append(event)
        return recorded

    def rebuild(self) -> World:
        """Returns a world that has only the events of this one and folds them anew."""
        other = World(self.now)
        for ref, event in self.events:
            if ref.kind.LOADED:
                evolved = event.mutate(other._lanes.get(ref.stream_id))
                assert isinstance(evolved, Lane)
                other._lanes[ref.stream_id] = evolved
            other.events.append((ref, event))
        return other

    def states(self) -> dict[UUID, bytes]:
        """Returns what every lane remembers, by stream."""
        return {stream_id: state_of(lane) for stream_id, lane in self._lanes.items()}

    def history(self, ref: LaneRef[Any]) -> list[LedgerEvent]:
        """Returns the events of one lane, oldest first."""
        return [event for where, event in self.events if where.stream_id == ref.stream_id]

    def topics(self, ref: LaneRef[Any]) -> list[str]:
        """Returns the topics of one lane's events, oldest first."""
        return [event.TOPIC for event in self.history(ref)]
