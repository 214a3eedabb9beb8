"""Who may read what: for each office and kind of resource a purpose and a legal basis, or a refusal with its reason.

The closed list of purposes (S0-6.1 to 6.4, S1-5.1 to 5.4): the student's individual trajectory, control of the quality
of teaching, keeping the records, the person's own request, audit, inspection. Everything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ledger.policy.offices import Actor, Office

if TYPE_CHECKING:
    from collections.abc import Mapping


class Resource(StrEnum):
    """What can be read of students."""

    STUDENT = "student"
    STUDENTS = "students"
    JOURNAL = "journal"
    PORTFOLIO = "portfolio"
    RETENTION = "retention"
    DISCLOSURES = "disclosures"
    HISTORY = "history"
    STATE = "state"
    FEED = "feed"


@dataclass(frozen=True, slots=True)
class Relation:
    """How the actor is related to what is asked for, on the day of asking."""

    own: bool = False
    teaches: bool = False
    class_teacher: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """Allowed: for this purpose, on this basis, by this policy."""

    purpose: str
    legal_basis: str
    policy: str


@dataclass(frozen=True, slots=True)
class Denied:
    """Not allowed, by this policy, and why in words."""

    policy: str
    reason: str


Decision = Granted | Denied

_EDUCATION = "273-FZ art. 28(3)(11)"
_PERSONAL_DATA = "152-FZ art. 14"
_OVERSIGHT = "273-FZ art. 93"

_EVERYTHING = frozenset(Resource)

_BY_OFFICE: Mapping[Office, tuple[frozenset[Resource], Granted]] = {
    Office.SYSTEM: (_EVERYTHING, Granted("record_keeping", _EDUCATION, "system-keeps-records")),
    Office.DEPUTY_HEAD: (_EVERYTHING, Granted("quality_control", f"{_EDUCATION}; S0-5.3, S1-4.10", "deputy-head")),
    Office.DIRECTOR: (_EVERYTHING, Granted("quality_control", f"{_EDUCATION}; S0-5.3, S1-4.10", "director")),
    Office.SECRETARY: (
        frozenset({Resource.STUDENT, Resource.STUDENTS, Resource.PORTFOLIO, Resource.RETENTION}),
        Granted("custody", "S1-6.5", "secretary-is-custodian"),
    ),
    Office.AUDITOR: (_EVERYTHING, Granted("audit", _OVERSIGHT, "auditor-replays")),
    Office.INSPECTOR: (
        frozenset({Resource.DISCLOSURES, Resource.RETENTION}),
        Granted("inspection", f"{_OVERSIGHT}; 152-FZ art. 23", "inspector-verifies-access"),
    ),
}

_TRAJECTORY = f"{_EDUCATION}; S0-6.1, S1-5.1"


def decide_reading(  # noqa: PLR0911 - one return for each rule, in their order
    actor: Actor, resource: Resource, relation: Relation
) -> Decision:
    """Returns whether the actor may read the resource, for which purpose and on which basis, or why not."""
    found = _BY_OFFICE.get(actor.office)
    if found is not None:
        resources, granted = found
        if resource in resources:
            return granted
        return Denied(granted.policy, f"The office {actor.office} does not read this resource.")
    if actor.office in (Office.STUDENT, Office.REPRESENTATIVE):
        if relation.own and resource not in (Resource.STUDENTS, Resource.JOURNAL, Resource.FEED):
            return Granted("own_request", f"{_PERSONAL_DATA}; S0-6.4, S1-5.4", "own-data")
        return Denied("own-data", "Students and representatives read their own records only (S0-6.2, S1-5.2).")
    if resource is Resource.JOURNAL and relation.teaches:
        return Granted("trajectory", _TRAJECTORY, "teacher-own-course")
    class_resources = (Resource.STUDENT, Resource.STUDENTS, Resource.PORTFOLIO, Resource.JOURNAL, Resource.STATE)
    if relation.class_teacher and resource in class_resources:
        return Granted("trajectory", _TRAJECTORY, "class-teacher-own-class")
    return Denied("teaching-relation", "Teachers read the journals of their courses, class teachers their class.")
