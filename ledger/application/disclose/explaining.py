"""Why somebody may read something, or not: which policy decides, in words. Nothing is opened.

It is decided as the gate decides, on the same lanes and by the same policies, and then told instead of done. Who may
not know whether a student exists is told the same of one who does not.

What somebody else is to a student, and what was consented to, are data of that student: whoever asks has to be allowed
to ask, of students within their own reach, and it is recorded like any access. What one may do oneself is told freely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ledger.aggregates.staff import MANDATES, OFFICES, staff_ref
from ledger.application.acting import guard_of
from ledger.application.disclose.gate import OpenAccess, Reader, keep_pace, open_access
from ledger.application.reach import Reach, registered_reach
from ledger.application.record.command import no_such
from ledger.errors import Forbidden, InvalidInput
from ledger.policy.engine import Purpose, Words, purpose_words
from ledger.policy.offices import EXPLAINING, GROUPS, Actor, Office
from ledger.policy.reading import (
    NOBODY_ALLOWED,
    NOBODYS,
    PURPOSE_OF,
    Decision,
    Denied,
    Relation,
    Resource,
    knows_of_everybody,
)
from ledger.store.commands import Envelope
from ledger.store.header import Header
from ledger.streams.base import Context, Lanes, Proposal

if TYPE_CHECKING:
    from ledger.aggregates.student import StudentRecord
    from ledger.application.ledger import Ledger

GRANTED, REFUSED, HIDDEN = 200, 403, 404

_OF_EVERYBODY = frozenset({Resource.FEED, Resource.REGISTER, Resource.REQUESTS})
"""What may be asked about without saying whose it is."""

_REGISTERED = frozenset({*OFFICES, *MANDATES})
"""Offices that nobody holds whom the register does not name."""

_NOT_THEIRS = Denied(
    NOBODY_ALLOWED,
    Words(
        "По реестру должностей сегодня это не должность этого человека",
        "By the register of staff this office is not theirs today",
    ),
    "152-FZ art. 7",
    hidden=False,
)


@dataclass(frozen=True, slots=True)
class Explained:
    """What policy says of a reading.

    `allowed` and by which `policy` of docs/policies.md, on which basis, for which purpose; `facts` are what is known
    of who asks and holds today; `answer` is the HTTP status with which such a reading would be answered.
    """

    allowed: bool
    answer: int
    office: str
    resource: str
    purpose: str
    policy: str
    legal_basis: str
    facts: list[str]
    ru: str
    en: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about: the resource, of a student, a course or a class group; the record classes concerned.

    `office` and `person` say for whom, where it is not the asker themself.
    """

    resource: Resource
    student_id: UUID | None = None
    course_id: UUID | None = None
    group_id: UUID | None = None
    categories: tuple[str, ...] = ()
    office: Office | None = None
    person: UUID | None = None


class _Decided(NamedTuple):
    """What policy said, on which relation, and whether a student who was named does not exist."""

    relation: Relation
    decision: Decision
    absent: bool


_REFUSED = _Decided(NOBODYS, _NOT_THEIRS, absent=False)


@dataclass(frozen=True, kw_only=True)
class _Explain(OpenAccess):
    """Decides as the access would be, and records nothing.

    `registered`: whose access it is was named, and has the office and its reach as the register says. `consents`:
    those of the student count; that they are looked at has been recorded.
    """

    registered: bool = False
    consents: bool = False
    found: list[_Decided] = field(default_factory=list, compare=False, repr=False)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns nothing; the last of `found` is the answer."""
        self.found.append(_Decided(*self.judge(lanes, context)) if self._held(lanes, context) else _REFUSED)
        return ()

    def _consented(self, records: Sequence[StudentRecord], context: Context) -> bool:
        return self.consents and super()._consented(records, context)

    def _held(self, lanes: Lanes, context: Context) -> bool:
        if not self.registered:
            return True
        actor, register = self.reader.actor, lanes.get(staff_ref(self.school))
        if register is None:
            return actor.office not in _REGISTERED
        return register.holds(actor.id, actor.office, context.today)

    def _reach(self, lanes: Lanes, context: Context) -> Reach:
        if not self.registered:
            return super()._reach(lanes, context)
        return registered_reach(lanes, self.school, self.reader.actor, context.today)


async def explain_access(ledger: Ledger, reader: Reader, question: Question) -> Explained:
    """Returns what policy says of a reading, for the asker or for somebody else.

    Raises:
        Forbidden: the office may not ask about others, or not of this student (recorded).
        InvalidInput: more than one thing is asked about, or none where the resource needs one.
        NotFound: no such course or class group, or no such student for whoever asks.
    """
    _check(question)
    asker = reader.actor
    subject = _subject(asker, question)
    students = () if question.student_id is None else (question.student_id,)
    consents = reader.recipient is not None and asker.office in GROUPS["registry"]
    recorded = bool(students) and (subject is not asker or consents)
    if recorded:
        what = Resource.ACCESS if subject is not asker else Resource.CONSENTS
        plainly = replace(reader, purpose=None, recipient=None, document=None, reason=None)
        await open_access(ledger, plainly, what, students=students, categories=())
    command = _Explain(
        school=ledger.id,
        reader=replace(reader, actor=subject),
        resource=question.resource,
        students=students,
        categories=question.categories,
        course_id=question.course_id,
        group_id=question.group_id,
        named=bool(students),
        registered=question.person is not None and subject is not asker,
        consents=recorded,
    )
    header = Header(asker.id, asker.office.value, reader.request_id, None, reader.request_id, None, "electronic")
    context = Context(ledger.today(), subject.id, subject.office.value)
    guard = guard_of(asker, ledger.id)
    began = asyncio.get_running_loop().time()
    await ledger.executor.execute(Envelope(command, header, context, looks=True, guard=guard))
    found = command.found[-1]
    hidden = isinstance(found.decision, Denied) and found.decision.hidden
    # An emergency opens strangers' cards as well: that it would is told of a student who does not exist likewise.
    blind = reader.reason is not None and not knows_of_everybody(asker, found.relation)
    if subject is asker and (hidden or blind):
        await keep_pace(began)
    elif found.absent and (question.course_id is None or _knows_of_all(asker)):
        raise no_such("student")
    return _told(command, found, hidden=hidden)


def _knows_of_all(asker: Actor) -> bool:
    """Tells whether who asks may know of each student whether they are there, whatever a course is to them."""
    return knows_of_everybody(asker) and asker.office not in MANDATES


def _check(question: Question) -> None:
    named = [question.student_id, question.course_id, question.group_id]
    places = [one for one in (question.course_id, question.group_id) if one is not None]
    if len(places) > 1 or (question.resource not in _OF_EVERYBODY and not any(one is not None for one in named)):
        raise InvalidInput(
            "It is not clear what is asked about.",
            help="Name a student, a course or a class group; a student and a course together are one student's marks.",
        )
    if question.group_id is not None and question.student_id is not None:
        raise InvalidInput(
            "A class list is asked for whole.", help="Name the class group alone, or the student alone for their card."
        )


def _subject(asker: Actor, question: Question) -> Actor:
    if question.office in (None, asker.office) and question.person in (None, asker.id):
        return asker
    if asker.office not in EXPLAINING:
        names = ", ".join(sorted(EXPLAINING))
        raise Forbidden("Your office may not ask about others.", help=f"Offices that may: {names}.")
    person = question.person or asker.id
    office = question.office or asker.office
    return Actor(person, office, frozenset({person}) if office is Office.STUDENT else frozenset())


def _told(command: OpenAccess, found: _Decided, *, hidden: bool) -> Explained:
    decision, office = found.decision, command.reader.actor.office
    asked = command.reader.asking(command.categories)
    purpose = Purpose.PROTECTION if asked.exceptional else asked.purpose or PURPOSE_OF[office]
    for_what = purpose_words(purpose)
    facts = [name for name, holds in asdict(found.relation).items() if holds]
    denied = isinstance(decision, Denied)
    answer = GRANTED
    if denied:
        answer = HIDDEN if hidden and command.named else REFUSED
    verdict = ("Отказано", "Refused") if denied else ("Разрешено", "Allowed")
    basis = decision.legal_basis
    return Explained(
        not denied,
        answer,
        office.value,
        command.resource.value,
        purpose.value,
        decision.policy,
        basis,
        facts,
        f"{verdict[0]}: {_lower(decision.words.ru)}. Цель: {_lower(for_what.ru)}. Основание: {basis}.",
        f"{verdict[1]}: {_lower(decision.words.en)}. Purpose: {_lower(for_what.en)}. Basis: {basis}.",
    )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
