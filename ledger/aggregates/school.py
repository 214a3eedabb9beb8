"""The school: years and periods, mark scales, local acts, and what may still be entered after a period was closed.

One school is one ledger. Its stream is read by almost every decision and written a few times a year.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

import msgspec

from ledger.aggregates.scales import DEFAULT_SCALES, Scale
from ledger.errors import Violation
from ledger.ids import check_code, new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State, judge

PERIOD_KINDS: tuple[str, ...] = ("quarter", "trimester", "half_year", "term", "year", "exam", "final")
"""Kinds of a period; the first four divide a year and close for current marks, the others carry attestation."""

DIVIDING_KINDS = frozenset({"quarter", "trimester", "half_year", "term"})


class Year(msgspec.Struct):
    """A school year, with its end as the regulations mean it (journals close and go to the archive then)."""

    title: str
    starts_on: date
    ends_on: date
    closed_on: date | None = None


class Period(msgspec.Struct):
    """A part of a year, or an attestation in it."""

    year: str
    kind: str
    title: str
    starts_on: date
    ends_on: date
    closed_on: date | None = None


class LocalAct(msgspec.Struct):
    """A version of a regulation of the school, and the settings that it fixes (S0-1.4, S1-1.4)."""

    act: str
    version: int
    in_force_from: date
    correction_window_days: int | None = None


class Permit(msgspec.Struct):
    """A deputy head's permission to enter or correct after closing, for one course or all, up to a day."""

    year: str
    course_id: UUID | None
    until: date


class SchoolState(State):
    """What the school's rules need."""

    years: dict[str, Year] = msgspec.field(default_factory=dict)
    periods: dict[str, Period] = msgspec.field(default_factory=dict)
    scales: dict[str, list[Scale]] = msgspec.field(default_factory=dict)
    acts: list[LocalAct] = msgspec.field(default_factory=list)
    permits: dict[str, Permit] = msgspec.field(default_factory=dict)
    days: dict[str, bool] = msgspec.field(default_factory=dict)
    """Days that the school declared working or not, by ISO date."""
    log_keys: dict[str, bool] = msgspec.field(default_factory=dict)
    """Verifier keys that were added to the log's or retired: whether they sign."""


class School(Lane):
    """The school's lane and the questions that other decisions ask it."""

    KIND = "school"
    STATE: ClassVar[type[State]] = SchoolState
    SHAPE: ClassVar[int] = 3

    @property
    def state(self) -> SchoolState:
        """The decision state."""
        state: SchoolState = self._state
        return state

    def scale(self, code: str) -> Scale | None:
        """Returns the newest version of a scale."""
        versions = self.state.scales.get(code)
        return versions[-1] if versions else None

    def act_in_force(self, act: str, day: date) -> LocalAct | None:
        """Returns the newest version of a local act that is in force on `day`."""
        found = [entry for entry in self.state.acts if entry.act == act and entry.in_force_from <= day]
        return max(found, key=lambda entry: (entry.in_force_from, entry.version)) if found else None

    def permits(self, permit_id: UUID | None, year: str, course_id: UUID, today: date) -> bool:
        """Tells whether a permission covers an entry into `year` of the course today."""
        permit = self.state.permits.get(str(permit_id)) if permit_id else None
        return (
            permit is not None
            and permit.year == year
            and permit.course_id in (None, course_id)
            and today <= permit.until
        )

    def closed_for(self, year: str, day: date) -> str | None:
        """Returns which closed year or period `day` falls into, as words, or None while it is open."""
        record = self.state.years.get(year)
        if record is not None and record.closed_on is not None:
            return f"year {year}"
        for code, period in self.state.periods.items():
            if (
                period.closed_on is not None
                and period.year == year
                and period.kind in DIVIDING_KINDS
                and period.starts_on <= day <= period.ends_on
            ):
                return f"period {code}"
        return None


# --- events ---------------------------------------------------------------------------------------------------------


class SchoolFounded(OpeningEvent):
    """The ledger was opened for a school."""

    TOPIC = "school.founded"
    LANE: ClassVar[type[Lane]] = School
    name: str


class SchoolYearOpened(LedgerEvent):
    """A school year began to be recorded."""

    TOPIC = "school.year_opened"
    year: str
    title: str
    starts_on: date
    ends_on: date

    def apply(self, aggregate: School) -> None:
        """Adds the year."""
        aggregate.state.years[self.year] = Year(self.title, self.starts_on, self.ends_on)


class PeriodDefined(LedgerEvent):
    """A period or an attestation of a year was defined."""

    TOPIC = "school.period_defined"
    period: str
    year: str
    kind: str
    title: str
    starts_on: date
    ends_on: date

    def apply(self, aggregate: School) -> None:
        """Adds the period."""
        aggregate.state.periods[self.period] = Period(self.year, self.kind, self.title, self.starts_on, self.ends_on)


class MarkScaleDefined(LedgerEvent):
    """A version of a mark scale came into force."""

    TOPIC = "school.scale_defined"
    scale: str
    version: int
    title: str
    symbols: tuple[str, ...]
    minimum: Decimal | None
    maximum: Decimal | None
    passing: tuple[str, ...]

    def apply(self, aggregate: School) -> None:
        """Adds the version."""
        version = Scale(self.scale, self.version, self.title, self.symbols, self.minimum, self.maximum, self.passing)
        aggregate.state.scales.setdefault(self.scale, []).append(version)


class LocalActAdopted(LedgerEvent):
    """A version of a local act was approved, after the bodies that must be heard were heard (S0-1.4, S1-1.4)."""

    TOPIC = "school.local_act_adopted"
    act: str
    version: int
    title: str
    consulted: tuple[str, ...]
    approved_by: str
    in_force_from: date
    correction_window_days: int | None

    def apply(self, aggregate: School) -> None:
        """Adds the version."""
        aggregate.state.acts.append(LocalAct(self.act, self.version, self.in_force_from, self.correction_window_days))


class PeriodClosed(LedgerEvent):
    """A period was closed: current marks of its days need a permission from now on."""

    TOPIC = "school.period_closed"
    period: str
    closed_on: date

    def apply(self, aggregate: School) -> None:
        """Closes it."""
        aggregate.state.periods[self.period].closed_on = self.closed_on


class SchoolYearClosed(LedgerEvent):
    """A year was closed and its journals went to the archive (S1-6.2)."""

    TOPIC = "school.year_closed"
    year: str
    closed_on: date

    def apply(self, aggregate: School) -> None:
        """Closes it."""
        aggregate.state.years[self.year].closed_on = self.closed_on


class LateEntryPermitted(LedgerEvent):
    """The deputy head permitted entries after closing, for a reason and up to a day."""

    TOPIC = "school.late_entry_permitted"
    year: str
    course_id: UUID | None
    until: date
    reason: str

    def apply(self, aggregate: School) -> None:
        """Adds the permission under the event's own name."""
        aggregate.state.permits[str(self.event_id)] = Permit(self.year, self.course_id, self.until)


# --- decisions ------------------------------------------------------------------------------------------------------


def found_school(ref: LaneRef[School], school: School | None, name: str, context: Context) -> list[Proposal]:
    """Opens the ledger for a school, with the scales that every school starts with."""
    violations = []
    if school is not None:
        violations.append(Violation("school_exists", "This ledger has its school already."))
    if not name.strip():
        violations.append(Violation("name_missing", "The school needs a name."))
    judge(violations, context)
    proposals = [Proposal(ref, SchoolFounded, {"name": name.strip()}, new_id())]
    for code, title, symbols, minimum, maximum, passing in DEFAULT_SCALES:
        values = {
            "scale": code,
            "version": 1,
            "title": title,
            "symbols": symbols,
            "minimum": minimum,
            "maximum": maximum,
            "passing": passing,
        }
        proposals.append(Proposal(ref, MarkScaleDefined, values, new_id()))
    return proposals


def open_year(
    ref: LaneRef[School], school: School, *, year: str, title: str, starts_on: date, ends_on: date, context: Context
) -> list[Proposal]:
    """Opens a school year."""
    check_code(year, "school year")
    violations = []
    if year in school.state.years:
        violations.append(Violation("year_exists", f"Year {year} is open already."))
    if ends_on <= starts_on:
        violations.append(Violation("dates_reversed", "A year must end after it begins."))
    judge(violations, context)
    values = {"year": year, "title": title, "starts_on": starts_on, "ends_on": ends_on}
    return [Proposal(ref, SchoolYearOpened, values, new_id())]


def define_period(
    ref: LaneRef[School],
    school: School,
    *,
    period: str,
    year: str,
    kind: str,
    title: str,
    starts_on: date,
    ends_on: date,
    context: Context,
) -> list[Proposal]:
    """Defines a period of a year; it must lie within the year."""
    check_code(period, "period")
    violations = []
    found = school.state.years.get(year)
    if kind not in PERIOD_KINDS:
        violations.append(Violation("kind_unknown", f"The kind of a period is one of {', '.join(PERIOD_KINDS)}."))
    if period in school.state.periods:
        violations.append(Violation("period_exists", f"Period {period} is defined already."))
    if found is None:
        violations.append(Violation("year_unknown", f"Year {year} is not open."))
    elif found.closed_on is not None:
        violations.append(Violation("year_closed", f"Year {year} is closed."))
    elif not (found.starts_on <= starts_on <= ends_on <= found.ends_on):
        violations.append(Violation("dates_outside", "A period must lie within its year and not end before it begins."))
    judge(violations, context)
    values = {
        "period": period,
        "year": year,
        "kind": kind,
        "title": title,
        "starts_on": starts_on,
        "ends_on": ends_on,
    }
    return [Proposal(ref, PeriodDefined, values, new_id())]


def define_scale(
    ref: LaneRef[School],
    school: School,
    *,
    scale: str,
    title: str,
    symbols: tuple[str, ...],
    minimum: Decimal | None,
    maximum: Decimal | None,
    passing: tuple[str, ...],
    context: Context,
) -> list[Proposal]:
    """Defines a scale, or a new version of it: symbols or a range, not both."""
    check_code(scale, "mark scale")
    violations = []
    finite = minimum is not None and maximum is not None and minimum.is_finite() and maximum.is_finite()
    ranged = minimum is not None and maximum is not None and finite and minimum < maximum
    if bool(symbols) == ranged or (symbols and (minimum is not None or maximum is not None)):
        violations.append(
            Violation("scale_shape", "A scale has either symbols, or a minimum that is less than its maximum.")
        )
    if len(set(symbols)) != len(symbols) or any(symbol != symbol.strip() or not symbol for symbol in symbols):
        violations.append(
            Violation("scale_symbols", "The symbols of a scale must differ, not be empty, and bear no spaces.")
        )
    if not set(passing) <= set(symbols):
        violations.append(Violation("scale_passing", "Passing symbols must be symbols of the scale."))
    judge(violations, context)
    current = school.scale(scale)
    values = {
        "scale": scale,
        "version": current.version + 1 if current else 1,
        "title": title,
        "symbols": symbols,
        "minimum": minimum,
        "maximum": maximum,
        "passing": passing,
    }
    return [Proposal(ref, MarkScaleDefined, values, new_id())]


def adopt_local_act(
    ref: LaneRef[School],
    school: School,
    *,
    act: str,
    title: str,
    consulted: tuple[str, ...],
    approved_by: str,
    in_force_from: date,
    correction_window_days: int | None,
    context: Context,
) -> list[Proposal]:
    """Adopts the next version of a local act; the bodies heard and who approved it are part of it (S0-1.4, S1-1.4)."""
    check_code(act, "local act")
    violations = []
    if not consulted or not all(body.strip() for body in consulted):
        violations.append(Violation("not_consulted", "Name the representative bodies whose opinion was heard."))
    if not approved_by.strip():
        violations.append(Violation("not_approved", "Name the order that approved the act."))
    if correction_window_days is not None and correction_window_days < 0:
        violations.append(Violation("window_negative", "The window for corrections cannot be negative."))
    judge(violations, context)
    versions = [entry.version for entry in school.state.acts if entry.act == act]
    values = {
        "act": act,
        "version": max(versions, default=0) + 1,
        "title": title,
        "consulted": consulted,
        "approved_by": approved_by.strip(),
        "in_force_from": in_force_from,
        "correction_window_days": correction_window_days,
    }
    return [Proposal(ref, LocalActAdopted, values, new_id())]


def close_period(ref: LaneRef[School], school: School, *, period: str, context: Context) -> list[Proposal]:
    """Closes a period."""
    violations = []
    found = school.state.periods.get(period)
    if found is None:
        violations.append(Violation("period_unknown", f"Period {period} is not defined."))
    elif found.closed_on is not None:
        violations.append(Violation("period_closed", f"Period {period} is closed already."))
    judge(violations, context)
    return [Proposal(ref, PeriodClosed, {"period": period, "closed_on": context.today}, new_id())]


def close_year(ref: LaneRef[School], school: School, *, year: str, context: Context) -> list[Proposal]:
    """Closes a year; its journals are archived (S1-6.2)."""
    violations = []
    found = school.state.years.get(year)
    if found is None:
        violations.append(Violation("year_unknown", f"Year {year} is not open."))
    elif found.closed_on is not None:
        violations.append(Violation("year_closed", f"Year {year} is closed already."))
    judge(violations, context)
    return [Proposal(ref, SchoolYearClosed, {"year": year, "closed_on": context.today}, new_id())]


def permit_late_entry(
    ref: LaneRef[School],
    school: School,
    *,
    year: str,
    course_id: UUID | None,
    until: date,
    reason: str,
    context: Context,
) -> list[Proposal]:
    """Permits entries into a closed year or period, for a reason, up to a day."""
    violations = []
    if year not in school.state.years:
        violations.append(Violation("year_unknown", f"Year {year} is not open."))
    if not reason.strip():
        violations.append(Violation("reason_missing", "A permission needs a reason."))
    if until < context.today:
        violations.append(Violation("until_past", "A permission must end today or later."))
    judge(violations, context)
    values = {"year": year, "course_id": course_id, "until": until, "reason": reason.strip()}
    return [Proposal(ref, LateEntryPermitted, values, new_id())]
