"""Who may read what: facts in, a decision out, by the policies in `policies/`. Pure: the same facts, the same answer.

The closed list of purposes stands in `policies/bases.toml` with the legal basis of each; everything that no policy
allows is refused, with its reason in words.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from ledger.policy.engine import KNOW_OF, Policy, Purpose, Words, book, purpose_words
from ledger.policy.offices import Actor, Office

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID


class Resource(StrEnum):
    """What can be read of students."""

    STUDENT = "student"
    STUDENTS = "students"
    JOURNAL = "journal"
    MARKS = "marks"
    """One student's marks of a course: a line of its JOURNAL, which the student may read as well."""
    PORTFOLIO = "portfolio"
    RETENTION = "retention"
    DISCLOSURES = "disclosures"
    REGISTER = "register"
    """Who saw the data of whomever: the register across students; one student's is DISCLOSURES."""
    HISTORY = "history"
    STATE = "state"
    FEED = "feed"
    REPRESENTATIVES = "representatives"
    CONSENTS = "consents"
    REQUESTS = "requests"
    ACCESS = "access"
    """Who may see it and why: what somebody is to the student, and what was agreed to."""


@dataclass(frozen=True, slots=True)
class Relation:
    """How the actor is related to everybody who is asked about, on the day of asking.

    Args:
        own: they ask about themself.
        represents: they are the legal representative, and no court has restricted it.
        teaches: they teach the course that is asked for.
        substitutes: they teach it today in place of somebody else.
        class_teacher: they lead the class group.
        within_office: their office is not limited to another level of education (a deputy head's may be).
        within_mandate: their mandate covers what is asked for and is in force; offices without one have none to exceed.
        consented: a consent in force allows to hand out what is asked for.
    """

    own: bool = False
    represents: bool = False
    teaches: bool = False
    substitutes: bool = False
    class_teacher: bool = False
    within_office: bool = True
    within_mandate: bool = True
    consented: bool = False


NOBODYS = Relation()
"""Of somebody who is nothing to whom they ask about."""


@dataclass(frozen=True, slots=True)
class Asking:
    """On which terms somebody asks.

    Args:
        purpose: what they say it is for; None: what their office reads this for.
        outside: it goes to somebody outside the school.
        document: they name the document that asks for it.
        exceptional: they gave a reason for exceptional access; its purpose is protection, whatever was stated.
        special: health or special conditions are among what is asked for.
    """

    purpose: Purpose | None = None
    outside: bool = False
    document: bool = False
    exceptional: bool = False
    special: bool = False


ORDINARILY = Asking()

SPECIAL_CATEGORIES = frozenset({"health", "special_conditions"})
"""Record classes of the stricter category (152-FZ art. 10, S0-2.1); none is recorded yet."""

PURPOSE_OF: Mapping[Office, Purpose] = {
    Office.SYSTEM: Purpose.RECORD_KEEPING,
    Office.TEACHER: Purpose.TRAJECTORY,
    Office.CLASS_TEACHER: Purpose.TRAJECTORY,
    Office.DEPUTY_HEAD: Purpose.QUALITY_CONTROL,
    Office.DIRECTOR: Purpose.QUALITY_CONTROL,
    Office.SECRETARY: Purpose.CUSTODY,
    Office.AUDITOR: Purpose.AUDIT,
    Office.INSPECTOR: Purpose.INSPECTION,
    Office.STUDENT: Purpose.OWN_REQUEST,
    Office.REPRESENTATIVE: Purpose.OWN_REQUEST,
}
"""What each office reads for, where nothing else is stated."""


@dataclass(frozen=True, slots=True)
class Granted:
    """Allowed: for this purpose, on this basis, by this policy; `words` say what it allows."""

    purpose: str
    legal_basis: str
    policy: str
    words: Words


@dataclass(frozen=True, slots=True)
class Denied:
    """Not allowed, by this policy, on this basis, and why in words.

    `hidden`: whoever asks may not know that there is such a student at all; to them there is none.
    """

    policy: str
    words: Words
    legal_basis: str
    hidden: bool

    @property
    def reason(self) -> str:
        """Why, in English, as problems say it."""
        return f"{self.words.en}."


Decision = Granted | Denied

NOBODY_ALLOWED = "nobody-allowed-it"
_BY_DEFAULT = "152-FZ art. 7"


def personal(actor: Actor, students: Collection[UUID]) -> Relation:
    """Returns the relation of a student or representative to students, by those for whom they may speak."""
    covered = bool(students) and actor.students.issuperset(students)
    return Relation(
        own=covered and actor.office is Office.STUDENT, represents=covered and actor.office is Office.REPRESENTATIVE
    )


def decide_reading(actor: Actor, resource: Resource, relation: Relation, asking: Asking = ORDINARILY) -> Decision:
    """Returns whether the actor may read the resource, for which purpose and on which basis, or why not."""
    return _decide(actor.office, f"read_{resource.value}", relation, asking)


def knows_of_everybody(actor: Actor, relation: Relation = NOBODYS) -> bool:
    """Tells whether who asks may know which students there are, whatever they are to them.

    Args:
        relation: only what it says of the office and the mandate counts.
    """
    impersonal = Relation(within_office=relation.within_office, within_mandate=relation.within_mandate)
    return isinstance(_decide(actor.office, KNOW_OF, impersonal, ORDINARILY), Granted)


@lru_cache(maxsize=4096)
def _decide(office: Office, action: str, relation: Relation, asking: Asking) -> Decision:
    """Decides by office: nothing else of the actor is a fact, so what was decided once needs no second look."""
    purpose = Purpose.PROTECTION if asking.exceptional else asking.purpose or PURPOSE_OF[office]
    asked = asdict(relation) | {
        "purpose": purpose.value,
        "outside": asking.outside,
        "document": asking.document,
        "exceptional": asking.exceptional,
    }
    ruling = book().rule(office, action, special=asking.special, asked=asked)
    if ruling.allowed:
        # A permit counts for its own purpose alone; that there is somebody may be known whatever it is for.
        for policy in ruling.by:
            if policy.purpose is purpose or action == KNOW_OF:
                return Granted(policy.purpose.value, policy.legal_basis, policy.id, policy.words)
    hidden = action != KNOW_OF and isinstance(_decide(office, KNOW_OF, relation, ORDINARILY), Denied)
    forbidding = next((policy for policy in ruling.by if not policy.permits), None)
    if forbidding is not None:
        return Denied(forbidding.id, forbidding.words, forbidding.legal_basis, hidden)
    return _not_allowed(office, action, purpose, hidden=hidden)


def _not_allowed(office: Office, action: str, purpose: Purpose, *, hidden: bool) -> Denied:
    """Says why nothing allows it: by the policy that would have, or by what the office reads for that purpose."""
    ours = [policy for policy in book().policies if policy.permits and office in policy.offices]
    for_purpose = [policy for policy in ours if policy.purpose is purpose]
    for policy in sorted(for_purpose, key=lambda policy: action not in policy.actions):
        if policy.otherwise is not None and (policy.concerns(office, action) or _speaks_for(policy, office)):
            return Denied(policy.id, policy.otherwise, policy.legal_basis, hidden)
    found = purpose_words(purpose)
    words = Words(
        f"Для цели «{found.ru}» эта должность этого не читает", f"This office does not read this for: {found.en}"
    )
    return Denied(NOBODY_ALLOWED, words, _BY_DEFAULT, hidden)


def _speaks_for(policy: Policy, office: Office) -> bool:
    """Tells whether a policy is of what the office reads ordinarily: it speaks for what it does not concern, too."""
    return policy.purpose is PURPOSE_OF[office]
