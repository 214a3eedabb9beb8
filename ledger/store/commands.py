"""What goes into the executor and what comes out: envelopes, and what was recorded."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import msgspec

from ledger.errors import Conflict, LedgerError, Refused
from ledger.store.header import Header
from ledger.streams.base import Context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.streams.base import Lanes, Proposal


class RefusedOnRecord(Exception):
    """A decision that refuses, and wants that to be recorded; `answer` is given once it is.

    Nothing is stored under the idempotency key: whoever sends the command again is decided anew, as after any refusal.
    """

    def __init__(self, answer: LedgerError, proposals: Sequence[Proposal]) -> None:
        super().__init__()
        self.answer = answer
        self.proposals = proposals


class Command(Protocol):
    """Something that somebody wants to happen; its decision reads lanes and returns proposals, or raises.

    What it raises is answered and not recorded, unless it is a `RefusedOnRecord`.
    """

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns what shall be recorded. Called again when the lanes have changed, so it has no effects."""

    def cites(self, lanes: Lanes, context: Context) -> str | None:
        """Returns the version of the local act in force that the events cite; called after `decide` accepted."""


class Guard(Protocol):
    """Whether its sender may do this at all, at this moment; asked before the rules, and of what they allow."""

    def check(self, lanes: Lanes, context: Context) -> None:
        """Passes if they may.

        Raises:
            LedgerError: they may not; nothing is recorded.
        """

    def allow(self, lanes: Lanes, context: Context, proposals: Sequence[Proposal]) -> None:
        """Passes if they may record what was decided.

        Raises:
            LedgerError: they may not; nothing is recorded.
        """


class Condition(Protocol):
    """What must hold of the lanes for a command to be recorded, beside the rules: what its sender believes of them."""

    def check(self, lanes: Lanes, *, refused: bool) -> None:
        """Passes if it holds.

        Args:
            lanes: as the command is decided on them.
            refused: whether the rules have refused the command.

        Raises:
            LedgerError: it does not; nothing is recorded, and this is the answer, also in place of the refusal.
        """


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """The public columns of a recorded event."""

    position: int
    event_id: UUID
    stream_id: UUID
    subject_id: UUID
    topic: str
    version: int
    """Its version in the lane; 0 in the first answer where the append function gave it (disclosures)."""


class Recorded(msgspec.Struct, frozen=True, eq=False):
    """The answer to a command: what was recorded, and where. The same for a repetition, byte for byte."""

    first_position: int
    count: int
    recorded_at: datetime
    events: tuple[RecordedEvent, ...]
    repeated: bool = False

    @property
    def position(self) -> int:
        """The position of the last event: a view that has reached it shows the command's effect."""
        return self.first_position + self.count - 1

    def _told(self) -> tuple[object, ...]:
        return self.first_position, self.count, self.recorded_at, self.events

    def __eq__(self, other: object) -> bool:
        """Tells whether another answer says the same; whether it was given again makes no difference."""
        return isinstance(other, Recorded) and self._told() == other._told()

    def __hash__(self) -> int:
        """Returns the hash that goes with it."""
        return hash(self._told())


class Idempotency(msgspec.Struct, frozen=True):
    """The client's key as it is stored: keyed hashes of (client, key) and of what was asked for."""

    command_id: bytes
    client: UUID
    request: bytes


class Envelope(msgspec.Struct, frozen=True):
    """A command on its way: who sent it, under which key and on which condition.

    `sequence` joins commands whose order counts: each is decided after those before it, and sees their effects.
    `looks` says that nothing is to be recorded: the answer, with no events, comes when the append function has said
    that the lanes which were read are as they stood, so that it is as fresh as a decision.
    """

    command: Command
    header: Header
    context: Context
    idempotency: Idempotency | None = None
    sequence: UUID | None = None
    condition: Condition | None = None
    looks: bool = False
    guard: Guard | None = None

    def decide(self, lanes: Lanes) -> Sequence[Proposal]:
        """Returns what shall be recorded: what the command decides, if its condition holds.

        Who may not do this, or names what does not exist, is told so first. A command that the rules of the school
        refuse is told first that its sender saw the things as they no longer are: that may be why.
        """
        if self.guard is not None:
            self.guard.check(lanes, self.context)
        try:
            proposals = self.command.decide(lanes, self.context)
        except (Refused, Conflict):
            if self.condition is not None:
                self.condition.check(lanes, refused=True)
            raise
        if self.guard is not None:
            self.guard.allow(lanes, self.context, proposals)
        if self.condition is not None:
            self.condition.check(lanes, refused=False)
        return proposals
