"""Preconditions of commands (RFC 9110 13, RFC 6585 3): what the sender has seen must be what stands there now.

They are checked where the command is decided, on the lanes that it is decided on. The append function writes nothing
if one of these has moved meanwhile, so of two who send a change with the same tag one succeeds, whichever processes
they talk to, and the other's change is decided again and meets the new tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.errors import PreconditionFailed, PreconditionRequired

if TYPE_CHECKING:
    from ledger.application.record.command import RecordingCommand
    from ledger.application.tags import Tags
    from ledger.streams.base import Lanes


@dataclass(frozen=True, slots=True)
class Precondition:
    """What the sender demands of the thing that the command changes.

    Args:
        match: its tag must be one of these.
        none_match: its tag must be none of these.
        required: the ledger takes no correction without `match`.
    """

    match: Tags | None = None
    none_match: Tags | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """A precondition of one command; see `Condition` of the store."""

    command: RecordingCommand
    precondition: Precondition

    def check(self, lanes: Lanes, *, refused: bool) -> None:
        """Passes if the thing is in the state that the sender saw.

        Raises:
            PreconditionFailed: it is not. PreconditionRequired: the sender does not say what they saw.
        """
        match, none_match = self.precondition.match, self.precondition.none_match
        current = self.command.tag(lanes)
        if current is None and refused:
            return  # there is no such thing: the refusal says so
        if match is None and self.precondition.required and self.command.AMENDS:
            raise PreconditionRequired(
                "A correction needs If-Match here.",
                help="Read the record, look at it, and send its ETag as If-Match.",
            )
        if match is not None and not match.match_strongly(current):
            if current is None:
                raise PreconditionFailed(
                    "There is nothing yet that If-Match could name.",
                    help="Nothing was recorded. Leave If-Match out of a request that makes something new.",
                )
            raise PreconditionFailed(
                "It has been changed since you read it.",
                help="Nothing was recorded. Read it again, see what has changed, and send what is still right with the"
                " new ETag.",
            )
        if none_match is not None and none_match.match_weakly(current):
            raise PreconditionFailed(
                "It is there already, in a state that If-None-Match excludes.",
                help="Nothing was recorded. Read it first; what is there is changed with If-Match.",
            )
