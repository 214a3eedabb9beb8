"""The policies, read from their files and parsed once: Cedar decides, and names the policies that decided.

A file a subject under `policies/`. Each policy is annotated: `@id`, its one `@purpose` from the closed list, its
`@legal_basis`, in words what it allows or forbids (`@ru`, `@en`) and what is said where it does not apply
(`@otherwise_ru`, `@otherwise_en`). A permit counts for its own purpose alone.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import cedarpy

from ledger.policy.offices import GROUPS, Office

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUBJECTS = (
    "students",
    "representatives",
    "teachers",
    "class_teachers",
    "leadership",
    "secretaries",
    "systems",
    "oversight",
    "others",
    "special",
    "exceptional",
)
"""The files, in the order in which their policies are looked at: of several that allow, the first is named."""

KNOW_OF = "know_of"
ACTIONS = (
    "read_student",
    "read_students",
    "read_journal",
    "read_marks",
    "read_portfolio",
    "read_retention",
    "read_disclosures",
    "read_register",
    "read_history",
    "read_state",
    "read_feed",
    "read_representatives",
    "read_consents",
    "read_requests",
    "read_access",
    KNOW_OF,
)
"""What the schema declares; a test compares."""

_FOLDER = files("ledger.policy") / "policies"


class Purpose(StrEnum):
    """What students' data are read for: a closed list (S0-6.1 to 6.4, S1-5.1 to 5.4)."""

    TRAJECTORY = "trajectory"
    QUALITY_CONTROL = "quality_control"
    AWARD = "award"
    MATERIAL_AID = "material_aid"
    SPECIAL_CONDITIONS = "special_conditions"
    RECORD_KEEPING = "record_keeping"
    CUSTODY = "custody"
    OWN_REQUEST = "own_request"
    STATUTORY_DUTY = "statutory_duty"
    CONSENT = "consent"
    AUDIT = "audit"
    INSPECTION = "inspection"
    PROTECTION = "protection"


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence in both languages."""

    ru: str
    en: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as its file has it.

    Args:
        offices: whom its head names; everybody where it names nobody.
        actions: what its head names; everything where it names nothing.
        otherwise: what is said where it does not apply; None where it always does.
    """

    id: str
    subject: str
    permits: bool
    offices: frozenset[Office]
    actions: frozenset[str]
    purpose: Purpose
    legal_basis: str
    words: Words
    otherwise: Words | None

    @property
    def bases(self) -> list[str]:
        """The entries of the register of legal bases that it names."""
        return [basis.strip() for part in self.legal_basis.split(";") for basis in part.split(",")]

    def concerns(self, office: Office, action: str) -> bool:
        """Tells whether its head names the office and the action."""
        return office in self.offices and action in self.actions


@dataclass(frozen=True, slots=True)
class Ruling:
    """What Cedar said, and the policies that decided, in order."""

    allowed: bool
    by: Sequence[Policy]


@dataclass(frozen=True, slots=True)
class Book:
    """All policies, parsed."""

    policies: Sequence[Policy]
    parsed: cedarpy.PolicySet
    offices: cedarpy.Entities

    def rule(self, office: Office, action: str, *, special: bool, asked: Mapping[str, bool | str]) -> Ruling:
        """Returns whether Cedar allows what is asked, and which policies say so.

        Raises:
            ValueError: a policy could not be evaluated; nothing is decided then.
        """
        request = {
            "principal": {"type": "Office", "id": office.value},
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Records", "id": "special" if special else "ordinary"},
            "context": dict(asked),
        }
        answer = cedarpy.is_authorized(request, self.parsed, self.offices)
        if answer.diagnostics.errors:
            message = f"Policies could not be evaluated: {len(answer.diagnostics.errors)} errors."
            raise ValueError(message)
        ids = set(answer.diagnostics.id_annotations_by_reason.values())
        return Ruling(answer.allowed, [policy for policy in self.policies if policy.id in ids])


@cache
def book() -> Book:
    """Returns the policies that are in force, read on the first call."""
    return read_book({subject: (_FOLDER / f"{subject}.cedar").read_text(encoding="utf-8") for subject in SUBJECTS})


def read_book(texts: Mapping[str, str]) -> Book:
    """Returns policies, parsed, from their texts by subject; in this order."""
    policies = [policy for subject, text in texts.items() for policy in _read(subject, text)]
    parsed = cedarpy.PolicySet.from_str("\n".join(texts.values()))
    return Book(policies, parsed, cedarpy.Entities.from_json_str(json.dumps(_offices())))


def schema() -> str:
    """Returns the Cedar schema: the offices' type, actions, and the facts that policies may speak of."""
    return (_FOLDER / "schema.cedarschema").read_text(encoding="utf-8")


@cache
def register() -> Mapping[str, Mapping[str, Any]]:
    """Returns the register of legal bases and purposes: `bases` and `purposes`, each with its words."""
    return tomllib.loads((_FOLDER / "bases.toml").read_text(encoding="utf-8"))


def purpose_words(purpose: Purpose) -> Words:
    """Returns a purpose in words."""
    found = register()["purposes"][purpose.value]
    return Words(found["ru"], found["en"])


def _offices() -> list[dict[str, object]]:
    def entity(name: str, parents: Sequence[str] = ()) -> dict[str, object]:
        inside = [{"type": "Office", "id": parent} for parent in parents]
        return {"uid": {"type": "Office", "id": name}, "attrs": {}, "parents": inside}

    groups = [entity(group) for group in GROUPS]
    return groups + [
        entity(office.value, [name for name, held in GROUPS.items() if office in held]) for office in Office
    ]


def _read(subject: str, text: str) -> list[Policy]:
    """Returns the policies of a file with their heads and annotations, in its order."""
    parsed: dict[str, Any] = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    in_order = sorted(parsed.items(), key=lambda item: int(item[0].removeprefix("policy")))
    return [_policy(subject, found) for _, found in in_order]


def _policy(subject: str, found: Mapping[str, Any]) -> Policy:
    said = found["annotations"]
    otherwise = Words(said["otherwise_ru"], said["otherwise_en"]) if "otherwise_ru" in said else None
    return Policy(
        said["id"],
        subject,
        found["effect"] == "permit",
        _held_by(found["principal"]),
        _named(found["action"]),
        Purpose(said["purpose"]),
        said["legal_basis"],
        Words(said["ru"], said["en"]),
        otherwise,
    )


def _held_by(scope: Mapping[str, Any]) -> frozenset[Office]:
    if scope["op"] == "All":
        return frozenset(Office)
    name: str = scope["entity"]["id"]
    return frozenset({Office(name)}) if scope["op"] == "==" else GROUPS[name]


def _named(scope: Mapping[str, Any]) -> frozenset[str]:
    if scope["op"] == "All":
        return frozenset(ACTIONS)
    entities = scope["entities"] if "entities" in scope else [scope["entity"]]
    return frozenset(entity["id"] for entity in entities)
