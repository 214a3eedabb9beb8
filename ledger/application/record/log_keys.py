"""Commands about the keys that sign the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ledger.aggregates import log_keys as decisions
from ledger.application.record.command import founded
from ledger.application.record.school import SchoolCommand
from ledger.streams.base import Context, Lanes, Proposal


@dataclass(frozen=True, kw_only=True)
class AddLogKey(SchoolCommand):
    """Say that a further key signs the log."""

    CAPABILITY: ClassVar[str] = "log_keys"
    verifier: str
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Adds it."""
        school = founded(lanes, self.school_ref)
        return decisions.add_log_key(
            self.school_ref, school, verifier=self.verifier, reason=self.reason, context=context
        )


@dataclass(frozen=True, kw_only=True)
class RetireLogKey(SchoolCommand):
    """Say that a key has been taken out of the log's key file."""

    CAPABILITY: ClassVar[str] = "log_keys"
    verifier: str
    signed_until: int
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Retires it."""
        return decisions.retire_log_key(
            self.school_ref,
            founded(lanes, self.school_ref),
            verifier=self.verifier,
            signed_until=self.signed_until,
            reason=self.reason,
            context=context,
        )
