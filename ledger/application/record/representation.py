"""Commands about who speaks for a student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar
from uuid import UUID

from ledger.aggregates.student import record_lane, representation
from ledger.application.record.command import RecordingCommand, student
from ledger.streams.base import Context, Lanes, Proposal


@dataclass(frozen=True, kw_only=True)
class NameRepresentative(RecordingCommand):
    """Name somebody who speaks for a student; the id of the representation is the id of the event."""

    CAPABILITY: ClassVar[str] = "representation"
    student_id: UUID
    person: UUID
    kind: str
    document_kind: str
    document: str
    document_on: date
    effective_on: date
    until: date | None = None
    contact: str = ""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Names them."""
        return representation.name_representative(
            record_lane(self.student_id),
            student(lanes, self.student_id),
            person=self.person,
            kind=self.kind,
            document_kind=self.document_kind,
            document=self.document,
            document_on=self.document_on,
            effective_on=self.effective_on,
            until=self.until,
            contact=self.contact,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class RestrictRepresentation(RecordingCommand):
    """Record that a court took powers away from a representative."""

    CAPABILITY: ClassVar[str] = "representation"
    student_id: UUID
    representation_id: UUID
    powers: tuple[str, ...]
    document: str
    document_on: date
    effective_on: date
    until: date | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Restricts it."""
        return representation.restrict_representation(
            record_lane(self.student_id),
            student(lanes, self.student_id),
            representation_id=self.representation_id,
            powers=self.powers,
            document=self.document,
            document_on=self.document_on,
            effective_on=self.effective_on,
            until=self.until,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class EndRepresentation(RecordingCommand):
    """End a representation before the student is 18."""

    CAPABILITY: ClassVar[str] = "representation"
    student_id: UUID
    representation_id: UUID
    reason: str
    document: str
    effective_on: date

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Ends it."""
        return representation.end_representation(
            record_lane(self.student_id),
            student(lanes, self.student_id),
            representation_id=self.representation_id,
            reason=self.reason,
            document=self.document,
            effective_on=self.effective_on,
            context=context,
        )
