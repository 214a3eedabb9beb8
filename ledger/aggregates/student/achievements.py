"""Achievements, awards with their basis, and credited results: more facets of the student's record lane."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from ledger.aggregates.days import not_yet
from ledger.aggregates.scales import Scale
from ledger.aggregates.student.record import StudentRecord
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, LaneRef, LedgerEvent, Proposal, judge
from ledger.streams.record_classes import RecordClass

ACHIEVEMENT_KINDS: tuple[str, ...] = (
    "olympiad",
    "contest",
    "sport",
    "gto",
    "title",
    "project",
    "research",
    "personal",
    "other",
)
"""S0-3.2.1 to 3.2.3: olympiads and contests, sport, ГТО norms, titles, projects, research, personal results."""

ACHIEVEMENT_LEVELS: tuple[str, ...] = ("school", "municipal", "regional", "federal", "international")
OUTCOMES: tuple[str, ...] = ("winner", "prize", "participant", "fulfilled")

AWARD_FORMS: tuple[str, ...] = ("commendation", "letter", "diploma", "prize", "gift", "medal")
"""Public commendation, letter of commendation, diploma, prize, commemorative gift, medal (S0-1.3)."""

SPHERES: tuple[str, ...] = (
    "study",
    "physical_culture",
    "sport",
    "social",
    "scientific",
    "technical",
    "creative",
    "experimental",
    "innovative",
)
"""The spheres of activity for which a student is rewarded (S0-3.3)."""

OUTSIDE_ENROLMENT = "outside_enrolment"
NO_WILL = "no_will_recorded"
NO_ORDER = "no_order_recorded"


class AchievementRecorded(LedgerEvent):
    """The student achieved something, with the evidence that confirms it (S0-4.7, S1-4.8)."""

    TOPIC = "student.achievement_recorded"
    RECORD_CLASS = RecordClass.ACHIEVEMENTS
    kind: str
    level: str
    outcome: str
    title: str
    achieved_on: date
    evidence: str

    def apply(self, aggregate: StudentRecord) -> None:
        """Remembers that it exists, as a possible basis of an award."""
        aggregate.state.achievements.append(str(self.event_id))


class AwardGranted(LedgerEvent):
    """The student was rewarded for achievements, by an order (S0-3.3)."""

    TOPIC = "student.award_granted"
    RECORD_CLASS = RecordClass.AWARDS
    form: str
    sphere: str
    title: str
    basis: tuple[UUID, ...]
    order: str
    granted_on: date

    def apply(self, aggregate: StudentRecord) -> None:
        """Counts it."""
        aggregate.state.awards += 1


class ResultCredited(LedgerEvent):
    """A result from another organisation was credited (S0-5.1, S0-5.2, S1-4.10).

    `will_of` and `will_on` say whose recorded will it rests on, `order` which order decided. `value` is None where
    only the fact was credited. `work_id` names the work it stands for, where it does.
    """

    TOPIC = "student.result_credited"
    RECORD_CLASS = RecordClass.CREDITS
    subject: str
    course_id: UUID | None
    work_id: UUID | None
    scale: str | None
    scale_version: int | None
    value: str | None
    from_organisation: str
    will_of: str | None
    will_on: date | None
    order: str | None
    effective_on: date
    flags: tuple[str, ...]

    def apply(self, aggregate: StudentRecord) -> None:
        """Remembers that it exists."""
        aggregate.state.credits.append(str(self.event_id))


WILLS: tuple[str, ...] = ("student", "representative")


def record_achievement(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    kind: str,
    level: str,
    outcome: str,
    title: str,
    achieved_on: date,
    evidence: str,
    context: Context,
) -> list[Proposal]:
    """Records an achievement; each needs evidence."""
    student = str(ref.subject_id)
    violations = []
    if kind not in ACHIEVEMENT_KINDS:
        violations.append(Violation("kind_unknown", f"The kind is one of {', '.join(ACHIEVEMENT_KINDS)}."))
    if level not in ACHIEVEMENT_LEVELS:
        violations.append(Violation("level_unknown", f"The level is one of {', '.join(ACHIEVEMENT_LEVELS)}."))
    if outcome not in OUTCOMES:
        violations.append(Violation("outcome_unknown", f"The outcome is one of {', '.join(OUTCOMES)}."))
    if not title.strip():
        violations.append(Violation("title_missing", "An achievement needs a title."))
    if not evidence.strip():
        violations.append(Violation("evidence_missing", "Name the document that confirms the achievement.", student))
    violations += not_yet(achieved_on, context)
    if not record.is_enrolled(achieved_on):
        violations.append(Violation("student_left", "The student had left the school on that day.", student))
    judge(violations, context)
    values = {
        "kind": kind,
        "level": level,
        "outcome": outcome,
        "title": title.strip(),
        "achieved_on": achieved_on,
        "evidence": evidence.strip(),
    }
    return [Proposal(ref, AchievementRecorded, values, new_id())]


def grant_award(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    form: str,
    sphere: str,
    title: str,
    basis: tuple[UUID, ...],
    order: str,
    granted_on: date,
    context: Context,
) -> list[Proposal]:
    """Grants an award that rests on recorded achievements or credited results, by an order."""
    student = str(ref.subject_id)
    violations = []
    if form not in AWARD_FORMS:
        violations.append(Violation("form_unknown", f"The form is one of {', '.join(AWARD_FORMS)}."))
    if sphere not in SPHERES:
        violations.append(Violation("sphere_unknown", f"The sphere is one of {', '.join(SPHERES)}."))
    if not title.strip():
        violations.append(Violation("title_missing", "An award needs a title."))
    if not basis:
        violations.append(Violation("basis_missing", "An award needs the achievement that it rests on.", student))
    known = {*record.state.achievements, *record.state.credits}
    if any(str(entry) not in known for entry in basis):
        violations.append(
            Violation("basis_unknown", "The basis is not a recorded achievement of this student.", student)
        )
    if not order.strip():
        violations.append(Violation("order_missing", "An award needs the number and date of its order."))
    violations += not_yet(granted_on, context)
    judge(violations, context)
    values = {
        "form": form,
        "sphere": sphere,
        "title": title.strip(),
        "basis": basis,
        "order": order.strip(),
        "granted_on": granted_on,
    }
    return [Proposal(ref, AwardGranted, values, new_id())]


def credit_result(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    subject: str,
    course_id: UUID | None,
    group_id: UUID | None,
    work_id: UUID | None,
    scale: Scale | None,
    value: str | None,
    from_organisation: str,
    will_of: str | None,
    will_on: date | None,
    order: str | None,
    effective_on: date,
    context: Context,
) -> list[Proposal]:
    """Credits a result from elsewhere: only on a recorded will (S0-5.1) and by an order (S0-5.2).

    Imported history may lack both; it is flagged then. So is a day outside the student's time in `group_id`.
    """
    student = str(ref.subject_id)
    violations = []
    if not subject.strip():
        violations.append(Violation("subject_missing", "Name the subject that is credited."))
    if not from_organisation.strip():
        violations.append(Violation("organisation_missing", "Name the organisation that the result comes from."))
    if will_of not in WILLS or will_on is None:
        violations.append(
            Violation(NO_WILL, "Crediting needs the recorded will of the student or a representative.", student)
        )
    if not (order or "").strip():
        violations.append(Violation(NO_ORDER, "Crediting needs the number and date of an order.", student))
    violations += not_yet(effective_on, context)
    inside = record.in_group(group_id, effective_on) if group_id else record.is_enrolled(effective_on)
    if not inside:
        violations.append(
            Violation(OUTSIDE_ENROLMENT, "The student did not belong to the class group on that day.", student)
        )
    mark = None
    if value is not None:
        mark = scale.read(value) if scale else None
        if mark is None:
            allowed = scale.describe() if scale else "a value on a named scale"
            violations.append(Violation("off_scale", f"The result must be {allowed}.", student))
    flags = judge(violations, context, may_flag=frozenset({NO_WILL, NO_ORDER, OUTSIDE_ENROLMENT}))
    values = {
        "subject": subject.strip(),
        "course_id": course_id,
        "work_id": work_id,
        "scale": scale.code if scale else None,
        "scale_version": scale.version if scale else None,
        "value": mark,
        "from_organisation": from_organisation.strip(),
        "will_of": will_of,
        "will_on": will_on,
        "order": order,
        "effective_on": effective_on,
        "flags": tuple(flags),
    }
    return [Proposal(ref, ResultCredited, values, new_id())]
