"""Commands about consents: by the school, which writes down what was agreed to, or by those who agree themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar
from uuid import UUID

from ledger.aggregates.student import StudentRecord, consents, record_lane
from ledger.application.record.command import RecordingCommand
from ledger.application.record.speaking import heard
from ledger.errors import Refused, Violation
from ledger.streams.base import Context, Lanes, Proposal

MOST_OWN = 1_000
"""Events of a student's record up to which their family adds to it by itself; eleven years make some three hundred."""


def _check_room(record: StudentRecord) -> None:
    """Passes if a family may add to the record by itself: every decision about the student reads all of it.

    Raises:
        Refused: it may not.
    """
    if record.version >= MOST_OWN:
        message = "The student's record is so long that the school's office has to record this."
        raise Refused([Violation("record_full", message)])


@dataclass(frozen=True, kw_only=True)
class GiveConsent(RecordingCommand):
    """Record a consent; its id is the id of the event."""

    CAPABILITY: ClassVar[str] = "consents"
    student_id: UUID
    kind: str
    purpose: str
    categories: tuple[str, ...]
    form: str
    document: str
    effective_on: date
    recipients: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    until: date | None = None
    by: UUID | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Records it."""
        record, who = heard(lanes, self.student_id, self.by, context)
        if who.own:
            _check_room(record)
            if self.form != consents.ELECTRONIC or self.effective_on != context.today:
                message = (
                    "What you agree to yourself is electronic and from today on; the school records what is on paper."
                )
                raise Refused([Violation("given_now", message)])
        return consents.give_consent(
            record_lane(self.student_id),
            record,
            by=who.person,
            claimed=who.claimed,
            kind=self.kind,
            purpose=self.purpose,
            categories=self.categories,
            recipients=self.recipients,
            conditions=self.conditions,
            form=self.form,
            document=self.document,
            effective_on=self.effective_on,
            until=self.until,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class LimitConsent(RecordingCommand):
    """Narrow a consent: the fields say all that it still covers."""

    CAPABILITY: ClassVar[str] = "consents"
    student_id: UUID
    consent_id: UUID
    categories: tuple[str, ...]
    recipients: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    until: date | None = None
    by: UUID | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Narrows it."""
        record, who = heard(lanes, self.student_id, self.by, context)
        if who.own:
            _check_room(record)
        return consents.limit_consent(
            record_lane(self.student_id),
            record,
            consent_id=self.consent_id,
            by=who.person,
            claimed=who.claimed,
            categories=self.categories,
            recipients=self.recipients,
            conditions=self.conditions,
            until=self.until,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class WithdrawConsent(RecordingCommand):
    """Withdraw a consent, from today on."""

    CAPABILITY: ClassVar[str] = "consents"
    student_id: UUID
    consent_id: UUID
    document: str = ""
    by: UUID | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Withdraws it."""
        record, who = heard(lanes, self.student_id, self.by, context)
        return consents.withdraw_consent(
            record_lane(self.student_id),
            record,
            consent_id=self.consent_id,
            by=who.person,
            claimed=who.claimed,
            document=self.document,
            context=context,
        )
