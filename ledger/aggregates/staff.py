"""The register of the school's people: who holds which office, who has a mandate, and which login is whose.

Teachers and class teachers stand in their courses and class groups; here are the offices of the school itself (deputy
head, director, secretary), the mandates of those from outside (auditors, inspectors, programs), and the logins of an
identity provider, by keyed hashes. One lane for all of them, so that one look says who somebody is at this moment, and
an office that was left is gone with the next decision.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar, NamedTuple
from uuid import UUID, uuid5

import msgspec

from ledger.aggregates.class_group import LEVELS
from ledger.aggregates.days import backwards
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State, judge

OFFICES: tuple[str, ...] = ("director", "deputy_head", "secretary")
"""Offices of the school itself; a deputy head may have one level of education alone (S0-5.3, S1-4.10)."""

MANDATES: tuple[str, ...] = ("auditor", "inspector", "system")
"""Who comes from outside, with a document that says so; a program is one of them."""

SCOPES: tuple[str, ...] = ("everything", "class_groups", "students")

CAPACITIES: tuple[str, ...] = ("staff", "student", "representative", "external")
"""As what somebody logs in: one of the school's people, a student, somebody's representative, somebody from outside."""

MAX_SCOPE = 200
MAX_DOCUMENT = 500


class Tenure(msgspec.Struct):
    """An office that somebody holds; `ends_on` is the last day, None while nobody has said it."""

    tenure_id: UUID
    office: str
    level: str | None
    starts_on: date
    ends_on: date | None

    def covers(self, day: date) -> bool:
        """Tells whether the office is held on `day`."""
        return self.starts_on <= day and (self.ends_on is None or day <= self.ends_on)


class Mandate(msgspec.Struct):
    """What somebody from outside may look into, by which mandate; `named` are what its scope names."""

    mandate_id: UUID
    kind: str
    scope: str
    named: list[UUID]
    starts_on: date
    ends_on: date | None
    withdrawn: bool = False

    def covers(self, day: date) -> bool:
        """Tells whether the mandate is in force on `day`."""
        return not self.withdrawn and self.starts_on <= day and (self.ends_on is None or day <= self.ends_on)


class Login(msgspec.Struct):
    """Whose a login is, and as what they log in."""

    person: UUID
    capacities: list[str]


class StaffState(State):
    """Tenures and mandates by person, logins by their ids; `unlinked` are the persons of logins that were unlinked."""

    tenures: dict[str, list[Tenure]] = msgspec.field(default_factory=dict)
    mandates: dict[str, list[Mandate]] = msgspec.field(default_factory=dict)
    logins: dict[str, Login] = msgspec.field(default_factory=dict)
    unlinked: list[str] = msgspec.field(default_factory=list)


class StaffRegister(Lane):
    """The register's lane; there is one in a ledger."""

    KIND = "staff"
    SHAPE: ClassVar[int] = 2
    STATE: ClassVar[type[State]] = StaffState

    @property
    def state(self) -> StaffState:
        """The decision state."""
        state: StaffState = self._state
        return state

    def login(self, login_id: UUID) -> Login | None:
        """Returns whose a login is; None while it is nobody's."""
        return self.state.logins.get(str(login_id))

    def has_had_login(self, person: UUID) -> bool:
        """Tells whether a person has a login, or had one that was unlinked."""
        return str(person) in self.state.unlinked or any(one.person == person for one in self.state.logins.values())

    def tenures_of(self, person: UUID, day: date) -> list[Tenure]:
        """Returns the offices of the school that a person holds on `day`."""
        return [tenure for tenure in self.state.tenures.get(str(person), ()) if tenure.covers(day)]

    def mandates_of(self, person: UUID, day: date) -> list[Mandate]:
        """Returns the mandates of a person that are in force on `day`."""
        return [mandate for mandate in self.state.mandates.get(str(person), ()) if mandate.covers(day)]

    def holds(self, person: UUID, office: str, day: date) -> bool:
        """Tells whether a person may act in an office on `day`, by any of their logins.

        Of who has no login the register knows the offices of the school and the mandates alone; whom somebody teaches,
        leads or speaks for stands elsewhere, and nothing here is against it.
        """
        logins = [login for login in self.state.logins.values() if login.person == person]
        if logins:
            return any(office in self.offices_of(login, day) for login in logins)
        if office in OFFICES:
            return any(tenure.office == office for tenure in self.tenures_of(person, day))
        return office not in MANDATES or any(mandate.kind == office for mandate in self.mandates_of(person, day))

    def offices_of(self, login: Login, day: date) -> list[str]:
        """Returns the offices in which somebody may act on `day`, logged in so; those that have most rights first.

        That somebody of the staff may act as a teacher says nothing yet of any course: each course says who teaches it.
        """
        offices: list[str] = []
        if "staff" in login.capacities:
            held = {tenure.office for tenure in self.tenures_of(login.person, day)}
            offices += [office for office in OFFICES if office in held]
        if not {"staff", "external"}.isdisjoint(login.capacities):
            given = {mandate.kind for mandate in self.mandates_of(login.person, day)}
            offices += [kind for kind in MANDATES if kind in given]
        if "staff" in login.capacities:
            offices += ["class_teacher", "teacher"]
        return offices + [capacity for capacity in ("representative", "student") if capacity in login.capacities]


class StaffRegisterOpened(OpeningEvent):
    """The school began to keep the register."""

    TOPIC = "staff.register_opened"
    LANE: ClassVar[type[Lane]] = StaffRegister

    def apply(self, aggregate: StaffRegister) -> None:
        """Changes nothing: that it is open is all."""


class OfficeAssumed(LedgerEvent):
    """Somebody took up an office, by a document such as an order; the id of the event names the tenure."""

    TOPIC = "staff.office_assumed"
    person: UUID
    office: str
    level: str | None
    starts_on: date
    ends_on: date | None
    document: str

    def apply(self, aggregate: StaffRegister) -> None:
        """Adds the tenure."""
        tenure = Tenure(self.event_id, self.office, self.level, self.starts_on, self.ends_on)
        aggregate.state.tenures.setdefault(str(self.person), []).append(tenure)


class OfficeLeft(LedgerEvent):
    """Somebody does not hold an office any more after `last_day`; a day that is past ends it at once."""

    TOPIC = "staff.office_left"
    tenure_id: UUID
    person: UUID
    last_day: date
    document: str

    def apply(self, aggregate: StaffRegister) -> None:
        """Ends the tenure."""
        for tenure in aggregate.state.tenures[str(self.person)]:
            if tenure.tenure_id == self.tenure_id:
                tenure.ends_on = self.last_day


class MandateRecorded(LedgerEvent):
    """Somebody from outside may look into records, by a document; the id of the event names the mandate."""

    TOPIC = "staff.mandate_recorded"
    person: UUID
    kind: str
    document: str
    scope: str
    named: tuple[UUID, ...]
    starts_on: date
    ends_on: date | None

    def apply(self, aggregate: StaffRegister) -> None:
        """Adds the mandate."""
        mandate = Mandate(self.event_id, self.kind, self.scope, list(self.named), self.starts_on, self.ends_on)
        aggregate.state.mandates.setdefault(str(self.person), []).append(mandate)


class MandateWithdrawn(LedgerEvent):
    """A mandate is not in force any more, at once."""

    TOPIC = "staff.mandate_withdrawn"
    mandate_id: UUID
    person: UUID
    reason: str

    def apply(self, aggregate: StaffRegister) -> None:
        """Withdraws it."""
        for mandate in aggregate.state.mandates[str(self.person)]:
            if mandate.mandate_id == self.mandate_id:
                mandate.withdrawn = True


class LoginLinked(LedgerEvent):
    """A login of the identity provider is a person's; `login` is a keyed hash of issuer and subject."""

    TOPIC = "staff.login_linked"
    login: UUID
    person: UUID
    capacities: tuple[str, ...]

    def apply(self, aggregate: StaffRegister) -> None:
        """Links it."""
        aggregate.state.logins[str(self.login)] = Login(self.person, list(self.capacities))


class LoginUnlinked(LedgerEvent):
    """A login is nobody's any more, at once."""

    TOPIC = "staff.login_unlinked"
    login: UUID
    person: UUID
    reason: str

    def apply(self, aggregate: StaffRegister) -> None:
        """Unlinks it."""
        del aggregate.state.logins[str(self.login)]
        if str(self.person) not in aggregate.state.unlinked:
            aggregate.state.unlinked.append(str(self.person))


def staff_ref(school: UUID) -> LaneRef[StaffRegister]:
    """Names the lane of a school's register."""
    return LaneRef(uuid5(school, "staff"), school, StaffRegister)


class Register(NamedTuple):
    """The register as a decision has it; it is opened with the first thing that is written into it."""

    ref: LaneRef[StaffRegister]
    lane: StaffRegister | None

    def writes(self, event: type[LedgerEvent], values: dict[str, object]) -> list[Proposal]:
        """Returns the proposals that write something."""
        opening = [] if self.lane is not None else [Proposal(self.ref, StaffRegisterOpened, {}, new_id())]
        return [*opening, Proposal(self.ref, event, values, new_id())]


def assume_office(
    register: Register,
    *,
    person: UUID,
    office: str,
    level: str | None,
    starts_on: date,
    ends_on: date | None,
    document: str,
    context: Context,
) -> list[Proposal]:
    """Gives somebody an office that they do not hold yet."""
    violations = backwards(starts_on, ends_on) + _document(document)
    if office not in OFFICES:
        violations.append(Violation("office_unknown", f"The office is one of {', '.join(OFFICES)}."))
    if level is not None and (office != "deputy_head" or level not in LEVELS):
        text = f"A deputy head may have one level, of {', '.join(LEVELS)}; other offices have none."
        violations.append(Violation("level_unknown", text))
    held = register.lane.state.tenures.get(str(person), ()) if register.lane is not None else ()
    if any(
        tenure.office == office and tenure.level == level and _overlap(tenure, starts_on, ends_on) for tenure in held
    ):
        violations.append(Violation("office_held", "This person holds the office in that time already."))
    judge(violations, context)
    values: dict[str, object] = {
        "person": person,
        "office": office,
        "level": level,
        "starts_on": starts_on,
        "ends_on": ends_on,
        "document": document.strip(),
    }
    return register.writes(OfficeAssumed, values)


def leave_office(
    register: Register, *, person: UUID, tenure_id: UUID, last_day: date, document: str, context: Context
) -> list[Proposal]:
    """Ends a tenure, or sets another last day that is not past yet."""
    violations = _document(document)
    held = register.lane.state.tenures.get(str(person), ()) if register.lane is not None else ()
    tenure = next((tenure for tenure in held if tenure.tenure_id == tenure_id), None)
    if tenure is None:
        violations.append(Violation("tenure_unknown", "This person has no such office; GET /v1/staff lists them."))
    elif tenure.ends_on is not None and tenure.ends_on < context.today:
        violations.append(Violation("office_over", "The office was left before."))
    judge(violations, context)
    values: dict[str, object] = {
        "tenure_id": tenure_id,
        "person": person,
        "last_day": last_day,
        "document": document.strip(),
    }
    return register.writes(OfficeLeft, values)


def record_mandate(
    register: Register,
    *,
    person: UUID,
    kind: str,
    document: str,
    scope: str,
    named: tuple[UUID, ...],
    starts_on: date,
    ends_on: date | None,
    context: Context,
) -> list[Proposal]:
    """Records a mandate; those of people have a last day."""
    violations = backwards(starts_on, ends_on) + _document(document)
    if kind not in MANDATES:
        violations.append(Violation("mandate_unknown", f"The kind of a mandate is one of {', '.join(MANDATES)}."))
    elif kind != "system" and ends_on is None:
        violations.append(Violation("mandate_open", "The mandate of a person needs a last day."))
    if scope not in SCOPES:
        violations.append(Violation("scope_unknown", f"The scope is one of {', '.join(SCOPES)}."))
    elif (scope == "everything") == bool(named) or len(set(named)) != len(named) or len(named) > MAX_SCOPE:
        text = f"Name each of up to {MAX_SCOPE} class groups or students of the scope once, none for everything."
        violations.append(Violation("scope_wrong", text))
    judge(violations, context)
    values: dict[str, object] = {
        "person": person,
        "kind": kind,
        "document": document.strip(),
        "scope": scope,
        "named": named,
        "starts_on": starts_on,
        "ends_on": ends_on,
    }
    return register.writes(MandateRecorded, values)


def withdraw_mandate(
    register: Register, *, person: UUID, mandate_id: UUID, reason: str, context: Context
) -> list[Proposal]:
    """Withdraws a mandate, at once."""
    violations = _reason(reason)
    given = register.lane.state.mandates.get(str(person), ()) if register.lane is not None else ()
    mandate = next((mandate for mandate in given if mandate.mandate_id == mandate_id), None)
    if mandate is None:
        violations.append(Violation("mandate_unknown", "This person has no such mandate; GET /v1/staff lists them."))
    elif mandate.withdrawn:
        violations.append(Violation("mandate_over", "The mandate was withdrawn before."))
    judge(violations, context)
    return register.writes(MandateWithdrawn, {"mandate_id": mandate_id, "person": person, "reason": reason.strip()})


def link_login(
    register: Register, *, login: UUID, person: UUID, capacities: tuple[str, ...], context: Context
) -> list[Proposal]:
    """Says whose a login is; it must be nobody's."""
    violations = []
    if not capacities or not set(capacities) <= set(CAPACITIES) or len(set(capacities)) != len(capacities):
        text = f"Say once each as what they log in, of {', '.join(CAPACITIES)}."
        violations.append(Violation("capacity_unknown", text))
    if register.lane is not None and register.lane.login(login) is not None:
        violations.append(Violation("login_linked", "This login is somebody's already; unlink it first."))
    judge(violations, context)
    return register.writes(LoginLinked, {"login": login, "person": person, "capacities": capacities})


def unlink_login(register: Register, *, login: UUID, reason: str, context: Context) -> list[Proposal]:
    """Says that a login is nobody's any more."""
    violations = _reason(reason)
    found = register.lane.login(login) if register.lane is not None else None
    if found is None:
        violations.append(Violation("login_unknown", "This login is nobody's; GET /v1/staff lists those that are."))
    judge(violations, context)
    person = found.person if found is not None else None
    return register.writes(LoginUnlinked, {"login": login, "person": person, "reason": reason.strip()})


def _overlap(tenure: Tenure, starts_on: date, ends_on: date | None) -> bool:
    return tenure.starts_on <= (ends_on or date.max) and starts_on <= (tenure.ends_on or date.max)


def _document(document: str) -> list[Violation]:
    if not document.strip() or len(document) > MAX_DOCUMENT:
        text = f"Name the document that it rests on, such as an order, in up to {MAX_DOCUMENT} characters."
        return [Violation("document_missing", text)]
    return []


def _reason(reason: str) -> list[Violation]:
    return [] if reason.strip() else [Violation("reason_missing", "Say why, for those who read the history later.")]
