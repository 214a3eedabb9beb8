"""Offices, and which of them may record what (S0-5.3, S1-4.10: teachers record, the deputy head controls)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Mapping


class Office(StrEnum):
    """In which capacity somebody acts."""

    SYSTEM = "system"
    TEACHER = "teacher"
    CLASS_TEACHER = "class_teacher"
    DEPUTY_HEAD = "deputy_head"
    DIRECTOR = "director"
    SECRETARY = "secretary"
    AUDITOR = "auditor"
    INSPECTOR = "inspector"
    STUDENT = "student"
    REPRESENTATIVE = "representative"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, in which office; `students` are those whom a student or representative may speak for.

    `login` is by which login of an identity provider; whether its person holds the office is decided with each command,
    on the register. None for the operator, and for those whose office a development token says.
    """

    id: UUID
    office: Office
    students: frozenset[UUID] = frozenset()
    login: UUID | None = None


COURSE_BOUND = frozenset({Office.TEACHER, Office.CLASS_TEACHER})
"""Offices that record only in courses which they teach, as teachers or as substitutes; of which days: ADR 0023."""

SPEAKING = frozenset({Office.STUDENT, Office.REPRESENTATIVE})
"""Who acts for themselves or for whom they represent, and for nobody else."""

_LEADERS = frozenset({Office.DIRECTOR, Office.DEPUTY_HEAD, Office.SYSTEM})
_TEACHING = COURSE_BOUND | _LEADERS
_OFFICE_WORK = frozenset({Office.SECRETARY, *_LEADERS})

GROUPS: Mapping[str, frozenset[Office]] = {
    "teaching": COURSE_BOUND,
    "leadership": frozenset({Office.DIRECTOR, Office.DEPUTY_HEAD}),
    "registry": frozenset({Office.DIRECTOR, Office.SECRETARY}),
    "staff": COURSE_BOUND | {Office.DEPUTY_HEAD, Office.DIRECTOR, Office.SECRETARY},
}
"""Offices by the groups that policies name; `registry` hands papers out."""

EXPLAINING = frozenset({Office.DIRECTOR, Office.AUDITOR, Office.INSPECTOR})
"""Offices that may ask what others may read, and why."""

RECORDING: Mapping[str, frozenset[Office]] = {
    "found_school": frozenset({Office.DIRECTOR, Office.SYSTEM}),
    "school": _LEADERS,
    "permit_late_entry": frozenset({Office.DIRECTOR, Office.DEPUTY_HEAD}),
    "class_groups": _OFFICE_WORK,
    "courses": _LEADERS,
    "works": _TEACHING,
    "enrolment": _OFFICE_WORK,
    "representation": _OFFICE_WORK,
    "consents": _OFFICE_WORK | SPEAKING,
    "requests": _OFFICE_WORK | SPEAKING,
    "answers": _OFFICE_WORK,
    "hand_overs": frozenset({Office.DIRECTOR, Office.DEPUTY_HEAD, Office.SECRETARY}),
    "transfers": _OFFICE_WORK,
    "marks": _TEACHING,
    "results": _TEACHING,
    "achievements": _TEACHING,
    "awards": frozenset({Office.CLASS_TEACHER, Office.SECRETARY, *_LEADERS}),
    "credits": _OFFICE_WORK,
    "imports": frozenset({Office.DIRECTOR, Office.SYSTEM}),
    "log_keys": frozenset({Office.DIRECTOR, Office.SYSTEM}),
    "webhooks": frozenset({Office.DIRECTOR, Office.SYSTEM}),
    "offices": frozenset({Office.DIRECTOR}),
    "first_director": frozenset({Office.SYSTEM}),
    "logins": frozenset({Office.DIRECTOR, Office.SECRETARY}),
}
"""Which offices may record under which capability. A permission for late entries is the leadership's alone."""


def check_recording(actor: Actor, capability: str) -> None:
    """Passes if the actor's office may record under the capability.

    Raises:
        Forbidden: it may not; the message names the offices that may.
    """
    allowed = RECORDING[capability]
    if actor.office not in allowed:
        names = ", ".join(sorted(allowed))
        raise Forbidden(f"The office {actor.office} may not record {capability}.", help=f"Offices that may: {names}.")
