"""Commands about the register of the school's people: offices, mandates, logins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar
from uuid import UUID

from ledger.aggregates import staff as decisions
from ledger.aggregates.staff import Register, staff_ref
from ledger.aggregates.student import record_lane
from ledger.application.record.command import RecordingCommand, existing, student
from ledger.errors import Conflict, Forbidden
from ledger.ids import new_id
from ledger.policy.offices import Office
from ledger.streams.base import Context, Lanes, Proposal

SECRETARY_LINKS = frozenset({"student", "representative"})


class RegisterCommand(RecordingCommand):
    """Base of the commands that write into the register."""

    def register(self, lanes: Lanes) -> Register:
        """Returns the register as it stands."""
        ref = staff_ref(self.school)
        return Register(ref, lanes.get(ref))


@dataclass(frozen=True, kw_only=True)
class AssumeOffice(RegisterCommand):
    """Give somebody an office; its id is the id of the event."""

    CAPABILITY: ClassVar[str] = "offices"
    person_id: UUID
    office: str
    starts_on: date
    document: str
    level: str | None = None
    ends_on: date | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Gives it."""
        return decisions.assume_office(
            self.register(lanes),
            person=self.person_id,
            office=self.office,
            level=self.level,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            document=self.document,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class LeaveOffice(RegisterCommand):
    """End a tenure; a last day that is past ends it at once."""

    CAPABILITY: ClassVar[str] = "offices"
    person_id: UUID
    tenure_id: UUID
    last_day: date
    document: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Ends it."""
        return decisions.leave_office(
            self.register(lanes),
            person=self.person_id,
            tenure_id=self.tenure_id,
            last_day=self.last_day,
            document=self.document,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class RecordMandate(RegisterCommand):
    """Record the mandate of somebody from outside, or of a program; its id is the id of the event."""

    CAPABILITY: ClassVar[str] = "offices"
    person_id: UUID
    kind: str
    document: str
    scope: str
    starts_on: date
    named: tuple[UUID, ...] = ()
    ends_on: date | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Records it; what its scope names must exist."""
        if self.scope == "students":
            lanes.need(*map(record_lane, self.named))
            for student_id in self.named:
                student(lanes, student_id)
        elif self.scope == "class_groups":
            lanes.need(*map(self.group_ref, self.named))
            for group_id in self.named:
                existing(lanes, self.group_ref(group_id), "class group")
        return decisions.record_mandate(
            self.register(lanes),
            person=self.person_id,
            kind=self.kind,
            document=self.document,
            scope=self.scope,
            named=self.named,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class WithdrawMandate(RegisterCommand):
    """Withdraw a mandate, at once."""

    CAPABILITY: ClassVar[str] = "offices"
    person_id: UUID
    mandate_id: UUID
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Withdraws it."""
        return decisions.withdraw_mandate(
            self.register(lanes),
            person=self.person_id,
            mandate_id=self.mandate_id,
            reason=self.reason,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class LinkLogin(RegisterCommand):
    """Say whose a login is; the secretary says it of students and representatives."""

    CAPABILITY: ClassVar[str] = "logins"
    login_id: UUID
    person_id: UUID
    capacities: tuple[str, ...]

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Links it; who logs in as a student must be one.

        A secretary gives nobody a second login, nor another one in place of the first: whoever has it is that person,
        and what they looked at is left out of what that person is shown of others.
        """
        _check_secretary(context, self.capacities)
        register = self.register(lanes)
        known = register.lane is not None and register.lane.has_had_login(self.person_id)
        if context.office == Office.SECRETARY and known:
            raise Forbidden("This person has a login already, or had one.", help="The director links another one.")
        if "student" in self.capacities:
            student(lanes, self.person_id)
        return decisions.link_login(
            register,
            login=self.login_id,
            person=self.person_id,
            capacities=self.capacities,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class UnlinkLogin(RegisterCommand):
    """Say that a login is nobody's any more, at once."""

    CAPABILITY: ClassVar[str] = "logins"
    login_id: UUID
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Unlinks it; the secretary those only that a secretary may link."""
        register = self.register(lanes)
        found = register.lane.login(self.login_id) if register.lane is not None else None
        if (
            found is not None
            and context.office == Office.SECRETARY
            and not SECRETARY_LINKS.issuperset(found.capacities)
        ):
            raise Forbidden(
                "The secretary unlinks logins of students and representatives only.", help="Ask the director."
            )
        return decisions.unlink_login(register, login=self.login_id, reason=self.reason, context=context)


@dataclass(frozen=True, kw_only=True)
class AppointDirector(RegisterCommand):
    """Make somebody director and link their login: how a ledger begins, by its operator's hand and no other way."""

    CAPABILITY: ClassVar[str] = "first_director"
    login_id: UUID
    document: str
    person_id: UUID = field(default_factory=new_id)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Appoints whose login it is; one that is nobody's becomes that of `person_id`."""
        register = self.register(lanes)
        linked = register.lane.login(self.login_id) if register.lane is not None else None
        person = linked.person if linked is not None else self.person_id
        proposals = decisions.assume_office(
            register,
            person=person,
            office="director",
            level=None,
            starts_on=context.today,
            ends_on=None,
            document=self.document,
            context=context,
        )
        if linked is None:
            linking = decisions.link_login(
                register, login=self.login_id, person=person, capacities=("staff",), context=context
            )
            proposals.append(linking[-1])
        elif "staff" not in linked.capacities:
            raise Conflict("This login is not of the staff.", help="Unlink it first, or name another one.")
        return proposals


def _check_secretary(context: Context, capacities: Sequence[str]) -> None:
    if context.office == Office.SECRETARY and not SECRETARY_LINKS.issuperset(capacities):
        raise Forbidden(
            "The secretary links and unlinks logins of students and representatives only.",
            help="The director links others.",
        )
