"""Why somebody may read something, or not: which policy decides, in words. Nothing is opened, and nothing recorded.

It is decided as the gate decides, on the same lanes and by the same policies, and then told instead of done. Who may
not know whether a student exists is told the same of one who does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ledger.application.acting import guard_of
from ledger.application.disclose.gate import OpenAccess, Reader, keep_pace
from ledger.application.record.command import no_such
from ledger.errors import Forbidden, InvalidInput
from ledger.policy.engine import Purpose, purpose_words
from ledger.policy.offices import EXPLAINING, Actor, Office
from ledger.policy.reading import PURPOSE_OF, Decision, Denied, Relation, Resource
from ledger.store.commands import Envelope
from ledger.store.header import Header
from ledger.streams.base import Context, Lanes, Proposal

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger

GRANTED, REFUSED, HIDDEN = 200, 403, 404

_OF_EVERYBODY = frozenset({Resource.FEED, Resource.REGISTER, Resource.REQUESTS})
"""What may be asked about without saying whose it is."""


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


@dataclass(frozen=True, kw_only=True)
class _Explain(OpenAccess):
    """Decides as the access would be, and records nothing."""

    found: list[_Decided] = field(default_factory=list, compare=False, repr=False)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns nothing; the last of `found` is the answer."""
        self.found.append(_Decided(*self.judge(lanes, context)))
        return ()


async def explain_access(ledger: Ledger, reader: Reader, question: Question) -> Explained:
    """Returns what policy says of a reading, for the asker or for somebody else.

    Raises:
        Forbidden: the office may not ask about others.
        InvalidInput: more than one thing is asked about, or none where the resource needs one.
        NotFound: no such course or class group, or no such student for who may know.
    """
    _check(question)
    asker = reader.actor
    subject = _subject(asker, question)
    students = () if question.student_id is None else (question.student_id,)
    command = _Explain(
        school=ledger.id,
        reader=replace(reader, actor=subject),
        resource=question.resource,
        students=students,
        categories=question.categories,
        course_id=question.course_id,
        group_id=question.group_id,
        named=bool(students),
    )
    header = Header(asker.id, asker.office.value, reader.request_id, None, reader.request_id, None, "electronic")
    context = Context(ledger.today(), subject.id, subject.office.value)
    guard = guard_of(asker, ledger.id)
    began = asyncio.get_running_loop().time()
    await ledger.executor.execute(Envelope(command, header, context, looks=True, guard=guard))
    found = command.found[-1]
    hidden = isinstance(found.decision, Denied) and found.decision.hidden
    if hidden and subject is asker:
        await keep_pace(began)
    elif found.absent:
        raise no_such("student")
    return _told(command, found, hidden=hidden)


def _check(question: Question) -> None:
    named = [question.student_id, question.course_id, question.group_id]
    places = [one for one in (question.course_id, question.group_id) if one is not None]
    if len(places) > 1 or (question.resource not in _OF_EVERYBODY and not any(one is not None for one in named)):
        raise InvalidInput(
            "It is not clear what is asked about.",
            help="Name a student, a course or a class group; a student and a course together are one student's marks.",
        )


def _subject(asker: Actor, question: Question) -> Actor:
    if question.office is None and question.person in (None, asker.id):
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
