"""The keys that sign the log: which came, which went, and why. Facts about the register, in the school's lane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.aggregates.school import School
from ledger.errors import NotProven, Violation
from ledger.ids import new_id
from ledger.seal.note import ED25519, VerifierKey
from ledger.streams.base import Context, LaneRef, LedgerEvent, Proposal, judge

if TYPE_CHECKING:
    from collections.abc import Sequence


class LogKeyAdded(LedgerEvent):
    """A further key signs the log from now on, beside the older one."""

    TOPIC = "school.log_key_added"
    verifier: str
    reason: str

    def apply(self, aggregate: School) -> None:
        """Adds it."""
        aggregate.state.log_keys[self.verifier] = True


class LogKeyRetired(LedgerEvent):
    """A key signs nothing any more that covers this event: its file has lost it before this was recorded.

    `signed_until` is the size of the newest checkpoint at that moment. A checkpoint over more than this event's own
    position with that key's signature alone is none of the log's.
    """

    TOPIC = "school.log_key_retired"
    verifier: str
    signed_until: int
    reason: str

    def apply(self, aggregate: School) -> None:
        """Takes it away."""
        aggregate.state.log_keys[self.verifier] = False


def add_log_key(
    ref: LaneRef[School], school: School, *, verifier: str, reason: str, context: Context
) -> Sequence[Proposal]:
    """Adds a key, once."""
    violations = _check(verifier, reason)
    if verifier in school.state.log_keys:
        violations.append(Violation("log_key_known", "This key has signed the log before."))
    judge(violations, context)
    return [Proposal(ref, LogKeyAdded, {"verifier": verifier, "reason": reason.strip()}, new_id())]


def retire_log_key(
    ref: LaneRef[School], school: School, *, verifier: str, signed_until: int, reason: str, context: Context
) -> Sequence[Proposal]:
    """Retires a key, once; the first key of a log was never added by an event."""
    violations = _check(verifier, reason)
    if school.state.log_keys.get(verifier) is False:
        violations.append(Violation("log_key_retired", "This key was retired before."))
    judge(violations, context)
    values = {"verifier": verifier, "signed_until": signed_until, "reason": reason.strip()}
    return [Proposal(ref, LogKeyRetired, values, new_id())]


def _check(verifier: str, reason: str) -> list[Violation]:
    violations = []
    try:
        sound = VerifierKey.parse(verifier).kind == ED25519
    except NotProven:
        sound = False
    if not sound:
        violations.append(Violation("log_key_unknown", "This is no verifier key of a log."))
    if not reason.strip():
        violations.append(Violation("reason_missing", "Say why the keys change."))
    return violations
