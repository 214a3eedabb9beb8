"""Commands about requests: registered by the school or sent by those who ask, extended, answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from ledger.aggregates.student import record_lane, requests
from ledger.application.disclose.register import concerns
from ledger.application.record.command import RecordingCommand, existing, founded, student
from ledger.application.record.speaking import heard
from ledger.errors import Refused, Violation
from ledger.ids import new_id
from ledger.streams.base import Context, Lanes, Proposal

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class RegisterRequest(RecordingCommand):
    """Register a request; its id is the id of the event."""

    CAPABILITY: ClassVar[str] = "requests"
    student_id: UUID
    kind: str
    text: str
    form: str = requests.ELECTRONIC
    received_on: date | None = None
    by: UUID | None = None
    about_access: UUID | None = None
    request_id: UUID = field(default_factory=new_id)

    async def informed(self, ledger: Ledger) -> RegisterRequest:
        """Returns the command that knows whether the access that it is about stands in the student's register."""
        if self.about_access is None or await concerns(ledger, self.student_id, self.about_access):
            return self
        return _AboutNothing(**{one.name: getattr(self, one.name) for one in fields(self)})

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Registers it."""
        lanes.need(record_lane(self.student_id), self.school_ref)
        record, who = heard(lanes, self.student_id, self.by, context)
        if who.own and (self.form != requests.ELECTRONIC or self.received_on not in (None, context.today)):
            message = "What you send yourself is electronic and received today: leave `form` and `received_on` out."
            raise Refused([Violation("received_now", message)])
        return requests.register_request(
            requests.request_lane(self.student_id, self.request_id),
            record,
            founded(lanes, self.school_ref).state.days,
            request_id=self.request_id,
            by=who.person,
            claimed=who.claimed,
            kind=self.kind,
            form=self.form,
            text=self.text,
            received_on=self.received_on or context.today,
            about_access=self.about_access,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class _AboutNothing(RegisterRequest):
    """A request about an access that the student's register does not have.

    Whoever may register it learns that and no more: an access to somebody else, and none at all, are answered alike.
    """

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Refuses it, after everything else that may be wrong with it."""
        super().decide(lanes, context)
        message = "The register of this student has no access with the id `about_access`; `who-saw` shows those it has."
        raise Refused([Violation("access_unknown", message)])


@dataclass(frozen=True, kw_only=True)
class ExtendRequest(RecordingCommand):
    """Extend the term of a request, with the reason that whoever asked was told."""

    CAPABILITY: ClassVar[str] = "answers"
    student_id: UUID
    request_id: UUID
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Extends it."""
        ref = requests.request_lane(self.student_id, self.request_id)
        lanes.need(ref, self.school_ref)
        return requests.extend_request(
            ref,
            existing(lanes, ref, "request"),
            founded(lanes, self.school_ref).state.days,
            request_id=self.request_id,
            reason=self.reason,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class AnswerRequest(RecordingCommand):
    """Record the answer to a request."""

    CAPABILITY: ClassVar[str] = "answers"
    student_id: UUID
    request_id: UUID
    how: str
    text: str
    legal_basis: str = ""
    answered_on: date | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Answers it."""
        ref = requests.request_lane(self.student_id, self.request_id)
        lanes.need(ref, record_lane(self.student_id))
        return requests.answer_request(
            ref,
            existing(lanes, ref, "request"),
            student(lanes, self.student_id),
            request_id=self.request_id,
            how=self.how,
            text=self.text,
            legal_basis=self.legal_basis,
            effective_on=self.answered_on or context.today,
            context=context,
        )
