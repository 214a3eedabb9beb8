"""Who acts: a login of an identity provider becomes a person in an office, by the register and as of this moment.

A provider's token says who somebody is and no more. Which offices they hold the ledger knows itself, and looks with
each command, on the same lanes on which it is decided: who lost an office is refused at once, valid token or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ledger.aggregates.staff import MANDATES, StaffRegister, staff_ref
from ledger.aggregates.student import record_lane
from ledger.application.reach import Reach, reach_of
from ledger.errors import Forbidden, NotFound
from ledger.ids import new_id
from ledger.policy.offices import COURSE_BOUND, Actor, Office
from ledger.store.commands import Envelope
from ledger.store.header import Header
from ledger.streams.base import Context, Lanes, Proposal

if TYPE_CHECKING:
    from datetime import date

    from ledger.application.ledger import Ledger
    from ledger.store.commands import Command

_NAMED_BY_TOKEN = frozenset({Office.AUDITOR, Office.INSPECTOR})


class Caller(NamedTuple):
    """Who a provider's token speaks of, and as what they want to act.

    Args:
        login: the keyed hash of issuer and subject.
        wanted: the office that the request asks for; the token's own wish, `claimed`, comes after it.
        program: whether a program speaks for itself.
    """

    login: UUID
    wanted: Office | None
    claimed: Office | None
    program: bool


class Reason(StrEnum):
    """Why somebody who is authenticated is turned away."""

    LOGIN_UNKNOWN = "login_unknown"
    NO_OFFICE = "no_office"
    OFFICE_NOT_HELD = "office_not_held"
    LOGIN_UNLINKED = "login_unlinked"
    OFFICE_LEFT = "office_left"
    BEYOND_REACH = "beyond_reach"


class TurnedAway(Forbidden):
    """Somebody with a valid token is refused before the policies are asked; the edge has it recorded (`door.py`).

    Args:
        person: who it is, by the register; their login, where that is nobody's.
        office: the one that they wanted, or acted in.
    """

    def __init__(
        self,
        detail: str,
        *,
        help: str,  # noqa: A002 - as in the base class
        reason: Reason,
        person: UUID,
        login: UUID | None,
        office: Office | None,
    ) -> None:
        super().__init__(detail, help=help)
        self.reason = reason
        self.person = person
        self.login = login
        self.office = office


@dataclass(frozen=True, slots=True)
class Known:
    """What the register says of a caller: whose login it is, the offices open to them, the one chosen or why none.

    `reason` is None where they only have to say in which of their offices they act.
    """

    login: UUID
    person: UUID | None
    offices: tuple[Office, ...]
    actor: Actor | None
    why: str = ""
    help: str = ""
    reason: Reason | None = None
    wanted: Office | None = None

    def acts(self) -> Actor:
        """Returns who acts, in which office.

        Raises:
            TurnedAway: the login is nobody's, no office is open to it, or another one than was asked for.
            Forbidden: several are open and none was named.
        """
        if self.actor is not None:
            return self.actor
        if self.reason is None:
            raise Forbidden(self.why, help=self.help)
        person = self.person or self.login
        raise TurnedAway(
            self.why, help=self.help, reason=self.reason, person=person, login=self.login, office=self.wanted
        )


def open_to(register: StaffRegister | None, caller: Caller, day: date) -> Known:
    """Returns in which offices a caller may act on `day`, and in which they do.

    A program acts as one only, people never as one; auditors and inspectors besides need a token that says so.
    """
    login = register.login(caller.login) if register is not None else None
    if register is None or login is None:
        why = "This login is not linked to anybody of this school."
        told = f"Ask the director or secretary to link login {caller.login}."
        return Known(caller.login, None, (), None, why, told, Reason.LOGIN_UNKNOWN, caller.wanted)
    offices = tuple(
        office
        for office in map(Office, register.offices_of(login, day))
        if (office is Office.SYSTEM) == caller.program and (office not in _NAMED_BY_TOKEN or office is caller.claimed)
    )
    names = ", ".join(offices) or "none"
    wanted = caller.wanted or (caller.claimed if caller.claimed in offices else None) or _only(offices)
    known = Known(caller.login, login.person, offices, None)
    if wanted is None:
        why = "Your office is not clear." if offices else "No office is open to this login today."
        told = f"Name it in the header Ledger-Office; open to you today: {names}."
        return replace(known, why=why, help=told, reason=None if offices else Reason.NO_OFFICE)
    if wanted not in offices:
        why = f"The office {wanted} is not yours today."
        told = f"Open to you today: {names}. The director keeps the register (GET /v1/me)."
        return replace(known, why=why, help=told, reason=Reason.OFFICE_NOT_HELD, wanted=wanted)
    students = frozenset({login.person}) if wanted is Office.STUDENT else frozenset[UUID]()
    return Known(caller.login, login.person, offices, Actor(login.person, wanted, students, caller.login))


def _only(offices: Sequence[Office]) -> Office | None:
    """Returns the office of somebody who names none: the one that they have; teaching counts only beside no other."""
    others = [office for office in offices if office not in COURSE_BOUND]
    if not others and Office.TEACHER in offices:
        return Office.TEACHER
    return others[0] if len(others) == 1 else None


def check_acting(lanes: Lanes, school: UUID, actor: Actor, day: date) -> None:
    """Passes if an actor's login is still theirs and the office too, on `day`; looked at with every command.

    Raises:
        TurnedAway: they lost one of them since the request came in.
    """
    if actor.login is None:
        return
    register = lanes.get(staff_ref(school))
    login = register.login(actor.login) if register is not None else None
    if register is None or login is None or login.person != actor.id:
        why = "This login is not linked to you any more."
        raise _turned_away(actor, why, "Ask the director or secretary.", Reason.LOGIN_UNLINKED)
    if actor.office not in register.offices_of(login, day):
        why = f"The office {actor.office} is not yours any more."
        raise _turned_away(actor, why, "GET /v1/me says which are.", Reason.OFFICE_LEFT)


def _turned_away(actor: Actor, why: str, help: str, reason: Reason) -> TurnedAway:  # noqa: A002 - the error's own name
    return TurnedAway(why, help=help, reason=reason, person=actor.id, login=actor.login, office=actor.office)


@dataclass(frozen=True, slots=True)
class Acting:
    """Guards what somebody does whom a provider names: the office must be theirs at the moment of deciding.

    Args:
        about: the students of whom they want to record something, who need not exist.
    """

    actor: Actor
    school: UUID
    about: tuple[UUID, ...] = ()

    def check(self, lanes: Lanes, context: Context) -> None:
        """Passes if they hold it (see `check_acting`), and it reaches everybody whom it is about.

        What the rules say of a student is told only to those who may record of them. To a mandate there is nobody
        beyond what it names.

        Raises:
            Forbidden, NotFound: otherwise.
        """
        check_acting(lanes, self.school, self.actor, context.today)
        reach = reach_of(lanes, self.school, self.actor, context.today)
        if reach.everything or not self.about:
            return
        lanes.need(*(record_lane(student_id) for student_id in self.about))
        if not all(reach.may_write_of(lanes, student_id) for student_id in self.about):
            if self.actor.office in MANDATES:
                raise NotFound(
                    "There is no such student.",
                    help="Check the id. You record of those alone whom your mandate names: GET /v1/staff?person_id=…",
                )
            raise self._beyond()

    def allow(self, lanes: Lanes, context: Context, proposals: Sequence[Proposal]) -> None:
        """Passes if their office or mandate reaches whatever is written; accesses were judged by the gate.

        Raises:
            TurnedAway: it does not.
        """
        reach = reach_of(lanes, self.school, self.actor, context.today)
        if reach.everything:
            return
        written = [proposal for proposal in proposals if proposal.lane.kind.LOADED]
        if not all(reach.may_write(lanes, proposal) for proposal in written):
            raise self._beyond()

    def _beyond(self) -> TurnedAway:
        return _turned_away(
            self.actor,
            f"This is beyond what your office of {self.actor.office} reaches.",
            "The director sets its level, or the scope of your mandate: GET /v1/staff?person_id=<your id>.",
            Reason.BEYOND_REACH,
        )


def guard_of(actor: Actor, school: UUID, about: tuple[UUID, ...] = ()) -> Acting | None:
    """Returns what guards an actor's commands; None for the operator and for development tokens."""
    return Acting(actor, school, about) if actor.login is not None else None


@dataclass(frozen=True, slots=True)
class LookAtRegister:
    """Look at the register, as freshly as a command does; nothing is recorded."""

    school: UUID
    caller: Caller
    found: list[Known] = field(default_factory=list, compare=False, repr=False)
    """What was found each time that this was decided; the last counts."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns nothing; `found` has the answer."""
        self.found.append(open_to(lanes.get(staff_ref(self.school)), self.caller, context.today))
        return ()

    def cites(self, lanes: Lanes, context: Context) -> str | None:  # noqa: ARG002 - as a command's
        """Cites nothing."""
        return None


@dataclass(frozen=True, slots=True)
class _LookAtReach:
    """Looks how far an actor's office reaches; nothing is recorded."""

    school: UUID
    actor: Actor
    found: list[Reach] = field(default_factory=list, compare=False, repr=False)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns nothing; the last of `found` is the answer."""
        self.found.append(reach_of(lanes, self.school, self.actor, context.today))
        return ()

    def cites(self, lanes: Lanes, context: Context) -> str | None:  # noqa: ARG002 - as a command's
        """Cites nothing."""
        return None


async def look_at_register(ledger: Ledger, caller: Caller) -> Known:
    """Returns what the register says of a caller at this moment.

    Raises:
        StoreUnavailable: the database does not answer, so nobody can say.
    """
    look = LookAtRegister(ledger.id, caller)
    await ledger.executor.execute(_looking(ledger, look, caller.login, None))
    return look.found[-1]


async def confirm(ledger: Ledger, actor: Actor) -> bool:
    """Returns whether an actor's office reaches everything, if they hold it still.

    For what goes on after a request was let in, such as a stream, and is decided on no lane of its own.

    Raises:
        Forbidden: they do not hold it any more. StoreUnavailable: the database does not answer.
    """
    guard = guard_of(actor, ledger.id)
    if guard is None:
        return True
    look = _LookAtReach(ledger.id, actor)
    await ledger.executor.execute(_looking(ledger, look, actor.id, guard))
    return look.found[-1].everything


def _looking(ledger: Ledger, command: Command, who: UUID, guard: Acting | None) -> Envelope:
    request = new_id()
    header = Header(who, "", request, None, request, None, "electronic")
    return Envelope(command, header, Context(ledger.today(), who, ""), looks=True, guard=guard)
