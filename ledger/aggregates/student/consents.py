"""Consents: who agreed to what, for which purpose, of which data, to whom, until when; limited and withdrawn.

152-FZ art. 9 (processing), 10 (special categories), 10.1 (dissemination, apart from everything else). What the school
does by law needs none of these (art. 6(1)(2)); what needs one and has none in force is not done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from ledger.aggregates.days import backwards, not_yet
from ledger.aggregates.student.record import StudentRecord
from ledger.aggregates.student.standing import (
    BY_REPRESENTATIVE,
    BY_STUDENT,
    DECISIONS,
    MAJORITY,
    OWN_ACTS,
    Consent,
)
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, LaneRef, LedgerEvent, Proposal, judge
from ledger.streams.record_classes import RecordClass

PROCESSING, DISSEMINATION = "processing", "dissemination"
KINDS: tuple[str, ...] = (PROCESSING, DISSEMINATION)
HANDING_OVER = "handing_over"
PROCESSING_PURPOSES: tuple[str, ...] = (
    "results_from_elsewhere", "contests", "support", "electronic_services", HANDING_OVER,
)  # fmt: skip
"""What consents to processing are for: results of other organisations (S0-5.1), handing data to organisers of contests,
psychological and pedagogical support, electronic services of others, and any other recipient outside the school."""
DISSEMINATION_PURPOSES: tuple[str, ...] = ("public_commendation", "honours_board", "website")
PURPOSES: tuple[str, ...] = PROCESSING_PURPOSES + DISSEMINATION_PURPOSES

HEALTH = "health"
CATEGORIES: tuple[str, ...] = (
    RecordClass.PERSONAL_FILE.value,
    RecordClass.MARKS.value,
    RecordClass.FINAL_RESULTS.value,
    RecordClass.ACHIEVEMENTS.value,
    RecordClass.AWARDS.value,
    RecordClass.CREDITS.value,
    "photo",
    HEALTH,
)
"""Of which data: record classes, photographs, and health (a special category: in writing only)."""

CONDITIONS: tuple[str, ...] = ("no_transfer", "no_processing", "internal_network")
"""What those who see disseminated data may not do with them (art. 10.1(9)): hand them on, process them; or (the third)
that they are shown in the school's own network only."""

WRITTEN, ELECTRONIC = "written", "electronic"
FORMS: tuple[str, ...] = (WRITTEN, ELECTRONIC)
MAX_RECIPIENTS = 20


# --- events ---------------------------------------------------------------------------------------------------------


class ConsentGiven(LedgerEvent):
    """Somebody who may decide for the student agreed; `by_kind` is what they were then."""

    TOPIC = "consent.given"
    RECORD_CLASS = RecordClass.CONSENTS
    by: UUID
    by_kind: str
    kind: str
    purpose: str
    categories: tuple[str, ...]
    recipients: tuple[str, ...]
    conditions: tuple[str, ...]
    form: str
    document: str
    effective_on: date
    until: date | None

    def apply(self, aggregate: StudentRecord) -> None:
        """Adds it."""
        aggregate.state.consents.append(
            Consent(
                str(self.event_id),
                self.kind,
                self.purpose,
                list(self.categories),
                list(self.recipients),
                list(self.conditions),
                self.effective_on,
                self.until,
                self.by_kind == BY_STUDENT,
            )
        )


class ConsentLimited(LedgerEvent):
    """A consent was narrowed; the fields say what it covers from `effective_on` on."""

    TOPIC = "consent.limited"
    RECORD_CLASS = RecordClass.CONSENTS
    consent_id: UUID
    by: UUID
    categories: tuple[str, ...]
    recipients: tuple[str, ...]
    conditions: tuple[str, ...]
    until: date | None
    effective_on: date

    def apply(self, aggregate: StudentRecord) -> None:
        """Narrows it."""
        found = find(aggregate, self.consent_id)
        if found is not None:
            found.categories, found.recipients = list(self.categories), list(self.recipients)
            found.conditions, found.until = list(self.conditions), self.until


class ConsentWithdrawn(LedgerEvent):
    """A consent was withdrawn: from `effective_on` on it does not hold (art. 9(2), 10.1(12))."""

    TOPIC = "consent.withdrawn"
    RECORD_CLASS = RecordClass.CONSENTS
    consent_id: UUID
    by: UUID
    document: str
    effective_on: date

    def apply(self, aggregate: StudentRecord) -> None:
        """Ends it."""
        found = find(aggregate, self.consent_id)
        if found is not None:
            found.withdrawn_on = self.effective_on


def find(record: StudentRecord, consent_id: UUID) -> Consent | None:
    """Returns a consent by the id of the event that gave it."""
    wanted = str(consent_id)
    return next((one for one in record.state.consents if one.consent_id == wanted), None)


# --- the question ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Consented:
    """Allowed by these consents."""

    consents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotConsented:
    """Not allowed, and why."""

    reason: str


def allows(
    record: StudentRecord, *, purpose: str, categories: Collection[str], recipient: str | None, day: date
) -> Consented | NotConsented:
    """Returns whether consents in force on `day` allow this, together; and which, or why not.

    Args:
        record: of the student.
        purpose: one of PURPOSES. A consent counts for its own purpose alone.
        categories: of which data; each of them must be covered.
        recipient: to whom, or (dissemination) where; None where nothing leaves the school.
    """
    standing = [
        one for one in record.state.consents if one.purpose == purpose and one.covers(day, record.reaches(MAJORITY))
    ]
    if not standing or not categories:
        return NotConsented("No consent to this purpose is in force on that day.")
    named = [one for one in standing if recipient is None or recipient in one.recipients]
    if not named:
        return NotConsented("No consent in force names this recipient.")
    missing = [name for name in categories if not any(name in one.categories for one in named)]
    if missing:
        return NotConsented(f"The consents in force do not cover: {', '.join(sorted(missing))}.")
    wanted = set(categories)
    return Consented(tuple(one.consent_id for one in named if wanted.intersection(one.categories)))


def all_ended_on(record: StudentRecord) -> date | None:
    """Returns the day on which the last consent ended or will end; None where one has no end, or there is none."""
    ends = [one.last_day(record.reaches(MAJORITY)) for one in record.state.consents]
    known = [day for day in ends if day is not None]
    return max(known) if known and len(known) == len(ends) else None


# --- decisions ------------------------------------------------------------------------------------------------------


def give_consent(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    by: UUID,
    claimed: bool,
    kind: str,
    purpose: str,
    categories: tuple[str, ...],
    recipients: tuple[str, ...],
    conditions: tuple[str, ...],
    form: str,
    document: str,
    effective_on: date,
    until: date | None,
    context: Context,
) -> list[Proposal]:
    """Records a consent of the student (14 and more; to dissemination and health 18) or of a representative.

    Args:
        by: the student's own id, or who speaks for them.
        claimed: whether their token says that they speak for the student (see `StudentRecord.represented_by`).
    """
    recipients = _plain(recipients)
    sensitive = kind == DISSEMINATION or HEALTH in categories
    by_kind, violations = _who(ref, record, by, effective_on, claimed=claimed, age=MAJORITY if sensitive else OWN_ACTS)
    violations += not_yet(effective_on, context) + backwards(effective_on, until)
    violations += _scope(categories, recipients, conditions)
    ours = {PROCESSING: PROCESSING_PURPOSES, DISSEMINATION: DISSEMINATION_PURPOSES}.get(kind, ())
    if not ours:
        violations.append(Violation("kind_unknown", f"The kind is one of {', '.join(KINDS)}."))
    elif purpose not in ours:
        message = f"Consents to {kind} are for one of {', '.join(ours)}; to anything else they are given apart."
        violations.append(Violation("purpose_unfit", message))
    if form not in FORMS:
        violations.append(Violation("form_unknown", f"The form is one of {', '.join(FORMS)}."))
    elif HEALTH in categories and form != WRITTEN:
        violations.append(Violation("written_only", "Consent to the processing of health data is given in writing."))
    if not document.strip():
        violations.append(Violation("document_missing", "Name the document (or the record) that holds the consent."))
    violations += _of_dissemination(recipients, until) if kind == DISSEMINATION else _of_processing(conditions)
    judge(violations, context)
    values = {
        "by": by,
        "by_kind": by_kind,
        "kind": kind,
        "purpose": purpose,
        "categories": tuple(sorted(categories)),
        "recipients": recipients,
        "conditions": tuple(sorted(conditions)),
        "form": form,
        "document": document.strip(),
        "effective_on": effective_on,
        "until": until,
    }
    return [Proposal(ref, ConsentGiven, values, new_id())]


def limit_consent(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    consent_id: UUID,
    by: UUID,
    claimed: bool,
    categories: tuple[str, ...],
    recipients: tuple[str, ...],
    conditions: tuple[str, ...],
    until: date | None,
    context: Context,
) -> list[Proposal]:
    """Narrows a consent from today on: fewer data, fewer recipients, more conditions, an earlier end; never wider."""
    recipients = _plain(recipients)
    _, violations = _who(ref, record, by, context.today, claimed=claimed, age=OWN_ACTS)
    found, missing = _standing(record, consent_id, context.today)
    violations += missing + backwards(context.today, until) + _scope(categories, recipients, conditions)
    if found is not None:
        old, new = (
            _extent(found.categories, found.recipients, found.conditions, found.until),
            _extent(categories, recipients, conditions, until),
        )
        within = new[0] <= old[0] and new[1] <= old[1] and new[2] >= old[2] and new[3] <= old[3]
        if not within or new == old:
            violations.append(Violation("not_narrower", "A consent can only be narrowed; for more, one is given anew."))
        if found.kind == DISSEMINATION:
            violations += _of_dissemination(recipients, until)
        else:
            violations += _of_processing(conditions)
    judge(violations, context)
    values = {
        "consent_id": consent_id,
        "by": by,
        "categories": tuple(sorted(categories)),
        "recipients": recipients,
        "conditions": tuple(sorted(conditions)),
        "until": until,
        "effective_on": context.today,
    }
    return [Proposal(ref, ConsentLimited, values, new_id())]


def withdraw_consent(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    consent_id: UUID,
    by: UUID,
    claimed: bool,
    document: str,
    context: Context,
) -> list[Proposal]:
    """Withdraws a consent, whoever of those who may decide gave it: from today on it does not hold."""
    _, violations = _who(ref, record, by, context.today, claimed=claimed, age=OWN_ACTS)
    violations += _standing(record, consent_id, context.today)[1]
    judge(violations, context)
    values = {"consent_id": consent_id, "by": by, "document": document.strip(), "effective_on": context.today}
    return [Proposal(ref, ConsentWithdrawn, values, new_id())]


def _who(
    ref: LaneRef[StudentRecord], record: StudentRecord, by: UUID, day: date, *, claimed: bool, age: int
) -> tuple[str, list[Violation]]:
    """Returns as what somebody decides for the student on `day`, or why they do not."""
    student = str(ref.subject_id)
    if by == ref.subject_id:
        if record.state.born is None:
            message = (
                "The student's birth date is not recorded, so nobody knows whether they may decide; record it first."
            )
            return BY_STUDENT, [Violation("age_unknown", message, student)]
        if not record.has_reached(age, day):
            message = f"A student decides this from {age} on; before that a representative does."
            return BY_STUDENT, [Violation("too_young", message, student)]
        return BY_STUDENT, []
    if record.represented_by(by, DECISIONS, day, claimed=claimed):
        return BY_REPRESENTATIVE, []
    message = "This person does not decide for the student on that day; record the representation first."
    return BY_REPRESENTATIVE, [Violation("no_standing", message, student)]


def _standing(record: StudentRecord, consent_id: UUID, day: date) -> tuple[Consent | None, list[Violation]]:
    found = find(record, consent_id)
    if found is None:
        return None, [Violation("consent_unknown", "The student has no such consent; GET …/consents lists them.")]
    if found.withdrawn_on is not None:
        return found, [Violation("consent_withdrawn", "The consent was withdrawn already.")]
    if not found.covers(day, record.reaches(MAJORITY)):
        return found, [Violation("consent_ended", "The consent does not hold any more.")]
    return found, []


def _plain(recipients: Sequence[str]) -> tuple[str, ...]:
    """Returns the names as the gate compares them: one space between words, whoever typed more."""
    return tuple(" ".join(one.split()) for one in recipients)


def _scope(categories: Sequence[str], recipients: Sequence[str], conditions: Sequence[str]) -> list[Violation]:
    violations = []
    if not categories or not set(categories) <= set(CATEGORIES) or len(set(categories)) != len(categories):
        violations.append(Violation("categories_unknown", f"Name the data, each once: {', '.join(CATEGORIES)}."))
    if not all(recipients) or len(set(recipients)) != len(recipients):
        violations.append(Violation("recipients_empty", "Name each recipient once, and none without a name."))
    if len(recipients) > MAX_RECIPIENTS:
        violations.append(Violation("recipients_many", f"A consent names at most {MAX_RECIPIENTS} recipients."))
    if not set(conditions) <= set(CONDITIONS) or len(set(conditions)) != len(conditions):
        violations.append(Violation("conditions_unknown", f"Conditions are {', '.join(CONDITIONS)}, each once."))
    return violations


def _of_dissemination(recipients: Sequence[str], until: date | None) -> list[Violation]:
    violations = []
    if not recipients:
        violations.append(Violation("resources_missing", "Name where the data are published (152-FZ art. 10.1)."))
    if until is None:
        violations.append(Violation("term_missing", "A consent to dissemination says until when it holds."))
    return violations


def _of_processing(conditions: Sequence[str]) -> list[Violation]:
    if conditions:
        return [Violation("conditions_unfit", "Conditions are of consents to dissemination only.")]
    return []


def _extent(
    categories: Collection[str], recipients: Collection[str], conditions: Collection[str], until: date | None
) -> tuple[frozenset[str], frozenset[str], frozenset[str], date]:
    return frozenset(categories), frozenset(recipients), frozenset(conditions), until or date.max
