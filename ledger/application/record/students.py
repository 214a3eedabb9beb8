"""Commands about a student's time at the school: enrolment, groups, leaving, transfers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar
from uuid import UUID

from ledger.aggregates.student import record, record_lane
from ledger.application.record.command import RecordingCommand, existing, founded, student
from ledger.application.tags import Thing, strong
from ledger.ids import new_id
from ledger.streams.base import Context, Lanes, Proposal


@dataclass(frozen=True, kw_only=True)
class EnrolStudent(RecordingCommand):
    """Enrol a student under a new random id."""

    CAPABILITY: ClassVar[str] = "enrolment"
    family_name: str
    given_name: str
    patronymic: str = ""
    birth_date: date | None = None
    enrolled_on: date | None = None
    foreign_ids: tuple[tuple[str, str], ...] = ()
    student_id: UUID = field(default_factory=new_id)

    @property
    def about(self) -> tuple[UUID, ...]:
        """Nobody: who is enrolled is new."""
        return ()

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Enrols them."""
        founded(lanes, self.school_ref)
        return record.enrol_student(
            record_lane(self.student_id),
            family_name=self.family_name,
            given_name=self.given_name,
            patronymic=self.patronymic,
            birth_date=self.birth_date,
            enrolled_on=self.enrolled_on,
            foreign_ids=self.foreign_ids,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class CardCommand(RecordingCommand):
    """Base of the commands that change a student's card: groups, leaving, transfers."""

    student_id: UUID

    def tag(self, lanes: Lanes) -> str | None:
        """Returns the card's tag."""
        found = lanes.get(record_lane(self.student_id))
        return strong(Thing.CARD, found.state.card) if found is not None else None


@dataclass(frozen=True, kw_only=True)
class RecordBirthDate(CardCommand):
    """Record or correct a student's birth date, as a document says it."""

    CAPABILITY: ClassVar[str] = "enrolment"
    birth_date: date
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Records it."""
        return record.record_birth_date(
            record_lane(self.student_id),
            student(lanes, self.student_id),
            birth_date=self.birth_date,
            reason=self.reason,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class MoveToGroup(CardCommand):
    """Put a student into a class group, out of another one where it is named."""

    CAPABILITY: ClassVar[str] = "enrolment"
    group_id: UUID
    effective_on: date | None
    from_group: UUID | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Moves them."""
        ref = record_lane(self.student_id)
        lanes.need(ref, self.group_ref(self.group_id))
        existing(lanes, self.group_ref(self.group_id), "class group")
        return record.move_to_group(
            ref,
            student(lanes, self.student_id),
            group_id=self.group_id,
            from_group=self.from_group,
            effective_on=self.effective_on,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class LeaveGroup(CardCommand):
    """End a student's membership of a group; `effective_on` is the last day."""

    CAPABILITY: ClassVar[str] = "enrolment"
    group_id: UUID
    effective_on: date

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Ends it."""
        return record.leave_group(
            record_lane(self.student_id),
            student(lanes, self.student_id),
            group_id=self.group_id,
            effective_on=self.effective_on,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class LeaveSchool(CardCommand):
    """End a student's time at the school."""

    CAPABILITY: ClassVar[str] = "enrolment"
    effective_on: date
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Ends it."""
        return record.leave_school(
            record_lane(self.student_id),
            student(lanes, self.student_id),
            effective_on=self.effective_on,
            reason=self.reason,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class TransferOut(CardCommand):
    """Transfer a student to another organisation."""

    CAPABILITY: ClassVar[str] = "transfers"
    to_organisation: str
    application: str
    order: str
    effective_on: date
    released: tuple[str, ...] = ()

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Transfers them."""
        return record.transfer_out(
            record_lane(self.student_id),
            student(lanes, self.student_id),
            to_organisation=self.to_organisation,
            application=self.application,
            order=self.order,
            effective_on=self.effective_on,
            released=self.released,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class TransferIn(CardCommand):
    """Record that a student came from another organisation."""

    CAPABILITY: ClassVar[str] = "transfers"
    from_organisation: str
    order: str
    effective_on: date

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Records it."""
        return record.transfer_in(
            record_lane(self.student_id),
            student(lanes, self.student_id),
            from_organisation=self.from_organisation,
            order=self.order,
            effective_on=self.effective_on,
            context=context,
        )
