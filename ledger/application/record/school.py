"""Commands about the school: founding, years, periods, scales, local acts, closing, permissions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from ledger.aggregates import school as decisions
from ledger.aggregates.working_days import declare_working_day
from ledger.application.record.command import RecordingCommand, existing, founded
from ledger.application.tags import Thing, strong
from ledger.streams.base import Context, Lanes, Proposal


class SchoolCommand(RecordingCommand):
    """Base of the commands that change the school."""

    def tag(self, lanes: Lanes) -> str | None:
        """Returns the school's tag."""
        school = lanes.get(self.school_ref)
        return strong(Thing.SCHOOL, school.version) if school is not None else None


@dataclass(frozen=True, kw_only=True)
class FoundSchool(SchoolCommand):
    """Open the ledger for a school."""

    CAPABILITY: ClassVar[str] = "found_school"
    name: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Founds it, once."""
        return decisions.found_school(self.school_ref, lanes.get(self.school_ref), self.name, context)


@dataclass(frozen=True, kw_only=True)
class OpenSchoolYear(SchoolCommand):
    """Open a school year."""

    CAPABILITY: ClassVar[str] = "school"
    year: str
    title: str
    starts_on: date
    ends_on: date

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Opens it."""
        return decisions.open_year(
            self.school_ref,
            founded(lanes, self.school_ref),
            year=self.year,
            title=self.title,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class DefinePeriod(SchoolCommand):
    """Define a period of a year."""

    CAPABILITY: ClassVar[str] = "school"
    period: str
    year: str
    kind: str
    title: str
    starts_on: date
    ends_on: date

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Defines it."""
        return decisions.define_period(
            self.school_ref,
            founded(lanes, self.school_ref),
            period=self.period,
            year=self.year,
            kind=self.kind,
            title=self.title,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class DefineMarkScale(SchoolCommand):
    """Define a mark scale, or its next version."""

    CAPABILITY: ClassVar[str] = "school"
    scale: str
    title: str
    symbols: tuple[str, ...] = ()
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    passing: tuple[str, ...] = ()

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Defines it."""
        return decisions.define_scale(
            self.school_ref,
            founded(lanes, self.school_ref),
            scale=self.scale,
            title=self.title,
            symbols=self.symbols,
            minimum=self.minimum,
            maximum=self.maximum,
            passing=self.passing,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class AdoptLocalAct(SchoolCommand):
    """Adopt the next version of a local act."""

    CAPABILITY: ClassVar[str] = "school"
    act: str
    title: str
    consulted: tuple[str, ...]
    approved_by: str
    in_force_from: date
    correction_window_days: int | None = None

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Adopts it."""
        return decisions.adopt_local_act(
            self.school_ref,
            founded(lanes, self.school_ref),
            act=self.act,
            title=self.title,
            consulted=self.consulted,
            approved_by=self.approved_by,
            in_force_from=self.in_force_from,
            correction_window_days=self.correction_window_days,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class ClosePeriod(SchoolCommand):
    """Close a period."""

    CAPABILITY: ClassVar[str] = "school"
    period: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Closes it."""
        return decisions.close_period(
            self.school_ref, founded(lanes, self.school_ref), period=self.period, context=context
        )


@dataclass(frozen=True, kw_only=True)
class CloseSchoolYear(SchoolCommand):
    """Close a year."""

    CAPABILITY: ClassVar[str] = "school"
    year: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Closes it."""
        return decisions.close_year(self.school_ref, founded(lanes, self.school_ref), year=self.year, context=context)


@dataclass(frozen=True, kw_only=True)
class DeclareWorkingDay(SchoolCommand):
    """Declare that the school works on a day, or does not."""

    CAPABILITY: ClassVar[str] = "school"
    day: date
    working: bool
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Declares it."""
        return declare_working_day(
            self.school_ref,
            founded(lanes, self.school_ref),
            day=self.day,
            working=self.working,
            reason=self.reason,
            context=context,
        )


@dataclass(frozen=True, kw_only=True)
class PermitLateEntry(SchoolCommand):
    """Permit entries into what is closed; the id of the permission is the id of the event."""

    CAPABILITY: ClassVar[str] = "permit_late_entry"
    year: str
    course_id: UUID | None
    until: date
    reason: str

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Permits it."""
        if self.course_id is not None:
            existing(lanes, self.course_ref(self.course_id), "course")
        return decisions.permit_late_entry(
            self.school_ref,
            founded(lanes, self.school_ref),
            year=self.year,
            course_id=self.course_id,
            until=self.until,
            reason=self.reason,
            context=context,
        )
