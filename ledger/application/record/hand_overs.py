"""The command that records a document handed over on paper: decided by the policies of reading, recorded either way.

Whoever may not read something for a purpose hands it over for that purpose as little. What the document tells of says
which reading that is. To whom it went decides whether it left the school: the student, and whoever represents the
student on that day, are no outsiders; everybody else is, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import ClassVar
from uuid import UUID

from ledger.aggregates.disclosures import AccessRefused, DocumentHandedOver, Grounds, check_hand_over, disclose
from ledger.aggregates.student import StudentRecord, record_lane
from ledger.aggregates.student.standing import INFORMATION
from ledger.application.disclose import (
    consents,
    history,
    journals,
    portfolios,
    register,
    representation,
    requests,
    states,
    students,
)
from ledger.application.disclose.gate import OpenAccess, Reader
from ledger.application.record.command import RecordingCommand, student
from ledger.errors import Forbidden, Refused, Violation
from ledger.ids import new_id
from ledger.policy.engine import Purpose
from ledger.policy.offices import Actor, Office
from ledger.policy.reading import Decision, Denied, Granted, Resource
from ledger.store.commands import RefusedOnRecord
from ledger.streams.base import Context, Lanes, Proposal, judge

READINGS: tuple[tuple[Resource, tuple[str, ...]], ...] = (
    (Resource.STUDENT, students.CATEGORIES),
    (Resource.PORTFOLIO, portfolios.CATEGORIES),
    (Resource.JOURNAL, journals.CATEGORIES),
    (Resource.REPRESENTATIVES, representation.CATEGORIES),
    (Resource.CONSENTS, consents.CATEGORIES),
    (Resource.REQUESTS, requests.CATEGORIES),
    (Resource.DISCLOSURES, register.CATEGORIES),
    (Resource.STATE, states.CATEGORIES),
    (Resource.HISTORY, history.CATEGORIES),
)
"""What each reading shows, the narrowest first; the history shows everything."""


def readings_of(categories: Sequence[str]) -> list[Resource]:
    """Returns the readings that show all of these record classes, the narrowest first."""
    return [resource for resource, shown in READINGS if set(categories) <= set(shown)]


@dataclass(frozen=True, kw_only=True)
class RecordHandOver(RecordingCommand):
    """Record that a document about students was handed over; its id is the id of the access in the register.

    Texts count as they are read: blanks around them, and several in a row, are none.

    Args:
        received_by: the student or representative to whom it went. recipient: the name of whoever else it was.
        asked_by: the document that asked for it. handed_by: who handed it over; whoever records it, if left out.
    """

    CAPABILITY: ClassVar[str] = "hand_overs"
    students: tuple[UUID, ...]
    categories: tuple[str, ...]
    document_kind: str
    document_number: str
    channel: str
    purpose: str
    effective_on: date | None = None
    received_by: UUID | None = None
    recipient: str | None = None
    asked_by: str | None = None
    handed_by: UUID | None = None
    access_id: UUID = field(default_factory=new_id)

    @property
    def _recipient(self) -> str | None:
        return _plain(self.recipient)

    @property
    def _asked_by(self) -> str | None:
        return _plain(self.asked_by)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Records it, or refuses and records that.

        Raises:
            NotFound: there is no such student. Refused: it cannot have been so; nothing is recorded.
            RefusedOnRecord: the policies do not allow it.
        """
        day = self.effective_on or context.today
        self._check(day, context)
        lanes.need(*(record_lane(student_id) for student_id in self.students))
        records = [student(lanes, student_id) for student_id in self.students]
        outside = not self._went_to_family(records, day)
        access, decision = self._judge(lanes, context, day, outside=outside)
        values: dict[str, object] = {
            "office": context.office,
            "policy": decision.policy,
            "channel": self.channel,
            "resource": access.resource.value,
            "purpose": "refused",
        }
        if isinstance(decision, Denied):
            answer = Forbidden(
                decision.reason, help="The refusal was recorded. Ask the director if this has to be handed over."
            )
            raise RefusedOnRecord(answer, self._disclose(AccessRefused, values, context))
        if outside == (self._recipient is None):
            raise Refused([_unclear(outside=outside)])
        values |= {
            "purpose": decision.purpose,
            "legal_basis": decision.legal_basis,
            "recipient": self._recipient,
            "received_by": self.received_by,
            "handed_by": self.handed_by or context.actor,
            "document_kind": self.document_kind,
            "document_number": self.document_number.strip(),
            "effective_on": day,
        }
        return self._disclose(DocumentHandedOver, values, context)

    def _check(self, day: date, context: Context) -> None:
        check_hand_over(
            students=self.students,
            categories=self.categories,
            document_kind=self.document_kind,
            document_number=self.document_number,
            channel=self.channel,
            effective_on=day,
            context=context,
        )
        violations = []
        if self.purpose not in set(Purpose):
            violations.append(Violation("purpose_unknown", f"The purpose is one of {', '.join(Purpose)}."))
        if self.received_by is None and self._recipient is None:
            violations.append(_unclear(outside=True))
        judge(violations, context)

    def _went_to_family(self, records: Sequence[StudentRecord], day: date) -> bool:
        """Tells whether it went to the one student whom it is about, or to who represents everybody on that day."""
        person = self.received_by
        if person is None:
            return False
        if self.students == (person,):
            return True
        return all(record.represented_by(person, INFORMATION, day, claimed=False) for record in records)

    def _judge(self, lanes: Lanes, context: Context, day: date, *, outside: bool) -> tuple[OpenAccess, Decision]:
        """Returns the reading that shows as much, and what policy says of it: the narrowest that is allowed, or none.

        The office is judged as it is today, when this is recorded; a consent must have held on the day itself.
        """
        actor = Actor(context.actor, Office(context.office), context.speaks_for, context.login)
        recipient = (self._recipient or str(self.received_by)) if outside else None
        reader = Reader(
            actor, self.channel, recipient=recipient, purpose=Purpose(self.purpose), document=self._asked_by
        )
        accesses = (
            OpenAccess(
                school=self.school,
                reader=reader,
                resource=resource,
                students=self.students,
                categories=self.categories,
                named=True,
                consented_on=day,
            )
            for resource in readings_of(self.categories)
        )
        judged = ((access, access.judge(lanes, context)[1]) for access in accesses)
        narrowest = next(judged)  # and no more than are needed: of a hundred students each takes its time
        return next((found for found in chain((narrowest,), judged) if isinstance(found[1], Granted)), narrowest)

    def _disclose(
        self, event: type[AccessRefused | DocumentHandedOver], values: dict[str, object], context: Context
    ) -> list[Proposal]:
        return disclose(
            event,
            values,
            access_id=self.access_id,
            actor=context.actor,
            students=self.students,
            categories=self.categories,
            grounds=Grounds(document=self._asked_by),
        )


def _plain(text: str | None) -> str | None:
    """Returns a text with single blanks; None where there is nothing in it."""
    return " ".join((text or "").split()) or None


def _unclear(*, outside: bool) -> Violation:
    if outside:
        message = (
            "Name the recipient: `recipient`, or `received_by` for the student or who represents them on that day."
        )
        return Violation("recipient_missing", message)
    message = "It went to the student or to who represents them: `received_by` says so; leave `recipient` out."
    return Violation("recipient_double", message)
