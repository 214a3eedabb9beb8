"""Representation: who speaks for a student, by which document, from when to when, and what a court took away.

Family Code art. 61, 64 (parents, each of them), Civil Code art. 32, 33, 40 (guardian up to 14, trustee up to 18),
273-FZ art. 44. It ends by itself when the student is 18. Topics say nothing of courts: they stand in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from ledger.aggregates.days import backwards, not_yet
from ledger.aggregates.student.record import StudentRecord
from ledger.aggregates.student.standing import MAJORITY, OWN_ACTS, POWERS, Representative, Restriction
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, LaneRef, LedgerEvent, Proposal, judge
from ledger.streams.record_classes import RecordClass

PARENT, GUARDIAN, TRUSTEE = "parent", "guardian", "trustee"
COURT_DECISION = "court_decision"
DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    PARENT: ("birth_certificate", "paternity_certificate", "adoption_certificate", COURT_DECISION, "foreign_document"),
    GUARDIAN: ("guardianship_act", COURT_DECISION),
    TRUSTEE: ("guardianship_act", COURT_DECISION),
}
"""Kinds of representatives, and the documents that prove each."""
KINDS: tuple[str, ...] = tuple(DOCUMENTS)
DOCUMENT_KINDS: tuple[str, ...] = tuple(dict.fromkeys(name for names in DOCUMENTS.values() for name in names))

RIGHTS_TAKEN = "rights_taken"
END_REASONS: tuple[str, ...] = (RIGHTS_TAKEN, "adopted", "relieved", "emancipated", "died", "entered_in_error")
"""Why it ended before 18: by a court for good (Family Code art. 69), adoption by others, a guardian or trustee relieved
(Civil Code art. 39), full capacity before 18 (art. 21, 27), death, or because it should never have been recorded."""

MAX_PARENTS = 2


# --- events ---------------------------------------------------------------------------------------------------------


class RepresentativeNamed(LedgerEvent):
    """Somebody speaks for the student, proved by a document; `person` is the opaque id that their tokens bear."""

    TOPIC = "representation.named"
    RECORD_CLASS = RecordClass.REPRESENTATION
    person: UUID
    kind: str
    document_kind: str
    document: str
    document_on: date
    effective_on: date
    until: date | None
    contact: str

    def apply(self, aggregate: StudentRecord) -> None:
        """Adds them."""
        aggregate.state.representatives.append(
            Representative(str(self.event_id), self.person, self.kind, self.effective_on, self.until)
        )


class RepresentationRestricted(LedgerEvent):
    """A court took powers away from a representative (Family Code art. 66, 73), on a decision that is named."""

    TOPIC = "representation.revised"
    RECORD_CLASS = RecordClass.REPRESENTATION
    representation_id: UUID
    powers: tuple[str, ...]
    document: str
    document_on: date
    effective_on: date
    until: date | None

    def apply(self, aggregate: StudentRecord) -> None:
        """Adds the restriction; nothing where the naming was erased."""
        found = find(aggregate, self.representation_id)
        if found is not None:
            found.restrictions.append(Restriction(list(self.powers), self.effective_on, self.until))


class RepresentationEnded(LedgerEvent):
    """Somebody no longer speaks for the student, from `effective_on` on."""

    TOPIC = "representation.ended"
    RECORD_CLASS = RecordClass.REPRESENTATION
    representation_id: UUID
    reason: str
    document: str
    effective_on: date

    def apply(self, aggregate: StudentRecord) -> None:
        """Ends it; nothing where the naming was erased."""
        found = find(aggregate, self.representation_id)
        if found is not None:
            found.ended_on = self.effective_on
            found.by_court = self.reason == RIGHTS_TAKEN


def find(record: StudentRecord, representation_id: UUID) -> Representative | None:
    """Returns a representation by the id of the event that named it."""
    wanted = str(representation_id)
    return next((one for one in record.state.representatives if one.representation_id == wanted), None)


# --- decisions ------------------------------------------------------------------------------------------------------


def name_representative(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    person: UUID,
    kind: str,
    document_kind: str,
    document: str,
    document_on: date,
    effective_on: date,
    until: date | None,
    contact: str,
    context: Context,
) -> list[Proposal]:
    """Names a representative: from `effective_on` to `until` or, without one, until the student is 18."""
    student = str(ref.subject_id)
    violations = not_yet(max(effective_on, document_on), context) + backwards(effective_on, until)
    if kind not in DOCUMENTS:
        violations.append(Violation("kind_unknown", f"The kind is one of {', '.join(KINDS)}."))
    elif document_kind not in DOCUMENTS[kind]:
        violations.append(Violation("document_unfit", f"A {kind} is proved by one of {', '.join(DOCUMENTS[kind])}."))
    if not document.strip():
        violations.append(Violation("document_missing", "Give the number of the document that proves it."))
    if person == ref.subject_id:
        violations.append(Violation("own_representative", "A student is not their own representative.", student))
    violations += _age(record, kind, effective_on, student)
    known = record.state.representatives
    if any(one.person == person and one.overlaps(effective_on, until) for one in known):
        violations.append(Violation("named_already", "This person represents the student already; end that first."))
    if kind == PARENT and _parents_at_once(known, effective_on, until) >= MAX_PARENTS:
        violations.append(
            Violation(
                "two_parents", "The student has two parents on record on one of these days; end one first.", student
            )
        )
    barred = any(one.person == person and one.barred(effective_on) for one in known)
    if barred and document_kind != COURT_DECISION:
        message = "A court took rights from this person; only a court's decision gives them back."
        violations.append(Violation("court_decision_needed", message))
    judge(violations, context)
    values = {
        "person": person,
        "kind": kind,
        "document_kind": document_kind,
        "document": document.strip(),
        "document_on": document_on,
        "effective_on": effective_on,
        "until": until,
        "contact": contact.strip(),
    }
    return [Proposal(ref, RepresentativeNamed, values, new_id())]


def restrict_representation(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    representation_id: UUID,
    powers: tuple[str, ...],
    document: str,
    document_on: date,
    effective_on: date,
    until: date | None,
    context: Context,
) -> list[Proposal]:
    """Records that a court took powers away. To give them back: end the representation, and name the person anew."""
    found = find(record, representation_id)
    violations = not_yet(max(effective_on, document_on), context) + backwards(effective_on, until)
    violations += _there(found, effective_on)
    if not powers or len(set(powers)) != len(powers) or not set(powers) <= set(POWERS):
        violations.append(Violation("powers_unknown", f"Name what is restricted: {' and '.join(POWERS)}, each once."))
    if not document.strip():
        violations.append(Violation("document_missing", "Give the number of the court's decision."))
    judge(violations, context)
    values = {
        "representation_id": representation_id,
        "powers": tuple(sorted(powers)),
        "document": document.strip(),
        "document_on": document_on,
        "effective_on": effective_on,
        "until": until,
    }
    return [Proposal(ref, RepresentationRestricted, values, new_id())]


def end_representation(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    representation_id: UUID,
    reason: str,
    document: str,
    effective_on: date,
    context: Context,
) -> list[Proposal]:
    """Ends a representation; `effective_on` is the first day on which it does not hold."""
    found = find(record, representation_id)
    violations = not_yet(effective_on, context) + _there(found, effective_on, ending=True)
    if reason not in END_REASONS:
        violations.append(Violation("reason_unknown", f"The reason is one of {', '.join(END_REASONS)}."))
    if not document.strip():
        violations.append(Violation("document_missing", "Name the document on which it ends."))
    judge(violations, context)
    values = {
        "representation_id": representation_id,
        "reason": reason,
        "document": document.strip(),
        "effective_on": effective_on,
    }
    return [Proposal(ref, RepresentationEnded, values, new_id())]


def _parents_at_once(known: list[Representative], since: date, until: date | None) -> int:
    """Returns how many parents hold at most on one day: one after the other they are no more than one."""
    parents = [one for one in known if one.kind == PARENT and one.overlaps(since, until)]
    begins = {max(since, one.since) for one in parents}
    return max((sum(one.covers(day) for one in parents) for day in begins), default=0)


def _age(record: StudentRecord, kind: str, day: date, student: str) -> list[Violation]:
    if record.has_reached(MAJORITY, day):
        return [Violation("student_adult", "The student is 18 on that day and speaks for themselves.", student)]
    if kind == GUARDIAN and record.has_reached(OWN_ACTS, day):
        return [Violation("guardian_late", "From 14 on a student has a trustee and no guardian.", student)]
    if kind == TRUSTEE and record.state.born is not None and not record.has_reached(OWN_ACTS, day):
        return [Violation("trustee_early", "Up to 14 a student has a guardian and no trustee.", student)]
    return []


def _there(found: Representative | None, day: date, *, ending: bool = False) -> list[Violation]:
    if found is None:
        return [
            Violation(
                "representation_unknown", "The student has no such representation; GET …/representatives lists them."
            )
        ]
    if day < found.since:
        return [Violation("before_begin", "The representation had not begun on that day.")]
    if found.ended_on is not None and (ending or day >= found.ended_on):
        return [Violation("representation_ended", "The representation has ended already.")]
    return []
