"""The student's record lane: enrolment and groups, leaving, transfers, and where they stand on a given day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import ClassVar
from uuid import UUID

import msgspec

from ledger.aggregates.days import not_yet
from ledger.aggregates.file_plan import years_after
from ledger.aggregates.student.standing import MAJORITY, Consent, Representative
from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State, judge
from ledger.streams.record_classes import RecordClass

LEAVING_REASONS: tuple[str, ...] = ("completed", "own_wish", "moved_away", "other")
"""Why a student left; `completed` starts the term of the personal file (S1-6.4)."""

RELEASABLE: tuple[str, ...] = ("personal_file", "portfolio")
"""What is handed to the parents on a transfer (S1-4.5.1, S1-4.5.4)."""

BEGIN_UNKNOWN = "begin_unknown"
MAX_NAME = 200


class Membership(msgspec.Struct):
    """From when to when the student belongs to a class group; both days count. None: unknown, or not ended."""

    group_id: UUID
    starts_on: date | None
    ends_on: date | None = None

    def covers(self, day: date) -> bool:
        """Tells whether the membership holds on `day`."""
        return (self.starts_on is None or self.starts_on <= day) and (self.ends_on is None or day <= self.ends_on)


class Absence(msgspec.Struct):
    """A time away from the school: the last day before it, and the first day after it."""

    left_on: date
    returned_on: date


class RecordState(State):
    """What decisions ask of the student's record. Names are not among it: no rule depends on them."""

    enrolled_on: date | None = None
    left_on: date | None = None
    born: date | None = None
    card: int = 0
    """Version of the lane's event that changed the student's card last (enrolment, groups, leaving, transfers)."""
    absences: list[Absence] = msgspec.field(default_factory=list)
    memberships: list[Membership] = msgspec.field(default_factory=list)
    achievements: list[str] = msgspec.field(default_factory=list)
    awards: int = 0
    credits: list[str] = msgspec.field(default_factory=list)
    representatives: list[Representative] = msgspec.field(default_factory=list)
    consents: list[Consent] = msgspec.field(default_factory=list)


class StudentRecord(Lane):
    """The student's record lane."""

    KIND = "student_record"
    STATE: ClassVar[type[State]] = RecordState
    SHAPE: ClassVar[int] = 4

    @property
    def state(self) -> RecordState:
        """The decision state."""
        state: RecordState = self._state
        return state

    def in_group(self, group_id: UUID, day: date) -> bool:
        """Tells whether the student belongs to the group on `day`."""
        wanted = group_id.int  # comparing UUIDs runs in Python
        for entry in self.state.memberships:  # noqa: SIM110 - a generator costs more than the question
            if entry.group_id.int == wanted and entry.covers(day):
                return True
        return False

    def was_in_group(self, group_id: UUID) -> bool:
        """Tells whether the student belongs to the group or belonged to it, on whatever day."""
        wanted = group_id.int  # as above
        return any(entry.group_id.int == wanted for entry in self.state.memberships)

    def is_enrolled(self, day: date) -> bool:
        """Tells whether the student is at the school on `day`."""
        left = self.state.left_on
        away = any(entry.left_on < day < entry.returned_on for entry in self.state.absences)
        return not away and (left is None or day <= left)

    def reaches(self, age: int) -> date | None:
        """Returns the day on which the student is so old; None where the birth date is not known."""
        return years_after(self.state.born, age) if self.state.born is not None else None

    def has_reached(self, age: int, day: date) -> bool:
        """Tells whether the student is known to be so old on `day`."""
        reached = self.reaches(age)
        return reached is not None and day >= reached

    def represented_by(self, person: UUID, power: str, day: date, *, claimed: bool = False) -> bool:
        """Tells whether a person speaks for the student on `day`, with a power (see `standing.POWERS`).

        Nobody does once the student is 18. What the school has recorded decides alone; only where it never recorded
        anybody who speaks for this student, a claim that somebody else vouches for (a token's) counts.
        """
        if self.has_reached(MAJORITY, day):
            return False
        known = self.state.representatives
        if not known:
            return claimed
        return any(entry.person.int == person.int and entry.holds(power, day) for entry in known)

    def end_memberships(self, last_day: date, group_id: UUID | None = None) -> None:
        """Ends the open memberships (of one group, or all) on `last_day`; part of replay, so it never refuses."""
        for entry in self.state.memberships:
            if (group_id is None or entry.group_id == group_id) and (entry.ends_on is None or entry.ends_on > last_day):
                entry.ends_on = last_day


# --- events ---------------------------------------------------------------------------------------------------------


class StudentEnrolled(OpeningEvent):
    """A student was enrolled; foreign ids are pairs of source and id, for finding the student again."""

    TOPIC = "student.enrolled"
    RECORD_CLASS = RecordClass.PERSONAL_FILE
    LANE: ClassVar[type[Lane]] = StudentRecord
    family_name: str
    given_name: str
    patronymic: str
    birth_date: date | None
    enrolled_on: date | None
    foreign_ids: tuple[tuple[str, str], ...]

    def apply(self, aggregate: StudentRecord) -> None:
        """Fills the state."""
        aggregate.state.card = self.originator_version
        aggregate.state.enrolled_on = self.enrolled_on
        aggregate.state.born = self.birth_date


class BirthDateRecorded(LedgerEvent):
    """The student's birth date became known, or was corrected; the old one is kept (None: it was not known)."""

    TOPIC = "student.birth_date_recorded"
    RECORD_CLASS = RecordClass.PERSONAL_FILE
    birth_date: date
    old_value: date | None
    reason: str
    corrected_on: date

    def apply(self, aggregate: StudentRecord) -> None:
        """Fills it in."""
        aggregate.state.card = self.originator_version
        aggregate.state.born = self.birth_date


class StudentMovedToGroup(LedgerEvent):
    """The student joined a class group, coming from another one where `from_group` says so."""

    TOPIC = "student.moved_to_group"
    RECORD_CLASS = RecordClass.PERSONAL_FILE
    group_id: UUID
    from_group: UUID | None
    effective_on: date | None
    flags: tuple[str, ...]

    def apply(self, aggregate: StudentRecord) -> None:
        """Ends the old membership the day before and adds the new one."""
        aggregate.state.card = self.originator_version
        if self.from_group is not None and self.effective_on is not None:
            aggregate.end_memberships(self.effective_on - timedelta(days=1), self.from_group)
        aggregate.state.memberships.append(Membership(self.group_id, self.effective_on))


class StudentLeftGroup(LedgerEvent):
    """The student left a class group and stayed at the school; `effective_on` is the last day."""

    TOPIC = "student.left_group"
    RECORD_CLASS = RecordClass.PERSONAL_FILE
    group_id: UUID
    effective_on: date

    def apply(self, aggregate: StudentRecord) -> None:
        """Ends the membership."""
        aggregate.state.card = self.originator_version
        aggregate.end_memberships(self.effective_on, self.group_id)


class StudentLeft(LedgerEvent):
    """The student left the school."""

    TOPIC = "student.left"
    RECORD_CLASS = RecordClass.PERSONAL_FILE
    effective_on: date
    reason: str

    def apply(self, aggregate: StudentRecord) -> None:
        """Ends every membership."""
        aggregate.state.card = self.originator_version
        aggregate.state.left_on = self.effective_on
        aggregate.end_memberships(self.effective_on)


class StudentTransferredOut(LedgerEvent):
    """The student was transferred to another organisation, on an application; what was released is named."""

    TOPIC = "student.transferred_out"
    RECORD_CLASS = RecordClass.PERSONAL_FILE
    to_organisation: str
    application: str
    order: str
    effective_on: date
    released: tuple[str, ...]

    def apply(self, aggregate: StudentRecord) -> None:
        """Ends every membership."""
        aggregate.state.card = self.originator_version
        aggregate.state.left_on = self.effective_on
        aggregate.end_memberships(self.effective_on)


class StudentTransferredIn(LedgerEvent):
    """The student came from another organisation (or came back)."""

    TOPIC = "student.transferred_in"
    RECORD_CLASS = RecordClass.PERSONAL_FILE
    from_organisation: str
    order: str
    effective_on: date

    def apply(self, aggregate: StudentRecord) -> None:
        """Opens the student's time at the school again, and remembers the time away."""
        aggregate.state.card = self.originator_version
        state = aggregate.state
        if state.left_on is not None:
            state.absences.append(Absence(state.left_on, self.effective_on))
        state.left_on = None


# --- decisions ------------------------------------------------------------------------------------------------------


def _future(day: date | None, context: Context) -> list[Violation]:
    return not_yet(day, context) if day is not None and not context.imported else []


def _gone(record: StudentRecord, day: date | None, student_id: UUID) -> list[Violation]:
    state = record.state
    left = state.left_on is not None and (day is None or day > state.left_on)
    if left or (state.absences and (day is None or day < state.absences[-1].returned_on)):
        return [Violation("student_left", "The student had left the school on that day.", str(student_id))]
    return []


def enrol_student(
    ref: LaneRef[StudentRecord],
    *,
    family_name: str,
    given_name: str,
    patronymic: str,
    birth_date: date | None,
    enrolled_on: date | None,
    foreign_ids: tuple[tuple[str, str], ...],
    context: Context,
) -> list[Proposal]:
    """Enrols a student under a new random id."""
    violations = _future(enrolled_on, context)
    if not family_name.strip() and not given_name.strip():
        violations.append(Violation("name_missing", "A student needs a family name or a given name."))
    if any(len(name) > MAX_NAME for name in (family_name, given_name, patronymic)):
        violations.append(Violation("name_long", f"A name has at most {MAX_NAME} characters."))
    if birth_date is not None and birth_date >= (enrolled_on or context.today):
        violations.append(Violation("birth_date", "The birth date must lie before the enrolment."))
    if len({source for source, _ in foreign_ids}) != len(foreign_ids):
        violations.append(Violation("foreign_ids", "A student has one id in each foreign system."))
    judge(violations, context)
    values = {
        "family_name": family_name.strip(),
        "given_name": given_name.strip(),
        "patronymic": patronymic.strip(),
        "birth_date": birth_date,
        "enrolled_on": enrolled_on,
        "foreign_ids": foreign_ids,
    }
    return [Proposal(ref, StudentEnrolled, values, new_id())]


def record_birth_date(
    ref: LaneRef[StudentRecord], record: StudentRecord, *, birth_date: date, reason: str, context: Context
) -> list[Proposal]:
    """Records or corrects the birth date; `reason` names the document that says so."""
    violations = []
    known = record.state.born
    if birth_date >= (record.state.enrolled_on or context.today):
        violations.append(Violation("birth_date", "The birth date must lie before the enrolment."))
    if birth_date == known:
        violations.append(Violation("birth_date_known", "This birth date is recorded already.", str(ref.subject_id)))
    if not reason.strip():
        violations.append(Violation("reason_missing", "Name the document that says the birth date."))
    judge(violations, context)
    values = {
        "birth_date": birth_date,
        "old_value": known,
        "reason": reason.strip(),
        "corrected_on": context.today,
    }
    return [Proposal(ref, BirthDateRecorded, values, new_id())]


def move_to_group(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    group_id: UUID,
    from_group: UUID | None,
    effective_on: date | None,
    context: Context,
) -> list[Proposal]:
    """Puts the student into a class group, out of `from_group` where it is given.

    Only imported history may lack the day; it is flagged then and counts from the beginning. What is recorded after
    the student left the school ends with the leaving, so that nobody who left belongs to a group.
    """
    student = str(ref.subject_id)
    violations = _future(effective_on, context) + _gone(record, effective_on, ref.subject_id)
    if effective_on is None:
        violations.append(Violation(BEGIN_UNKNOWN, "The first day in the group is not known.", student))
    day = effective_on or date.min
    if record.in_group(group_id, day):
        violations.append(Violation("member_already", "The student belongs to this group on that day.", student))
    if from_group is not None and not record.in_group(from_group, day):
        violations.append(Violation("not_member", "The student does not belong to the group to be left.", student))
    enrolled_on = record.state.enrolled_on
    if effective_on is not None and enrolled_on is not None and effective_on < enrolled_on:
        violations.append(Violation("before_enrolment", "The student was not enrolled yet on that day.", student))
    flags = judge(violations, context, may_flag=frozenset({BEGIN_UNKNOWN}))
    values = {
        "group_id": group_id,
        "from_group": from_group,
        "effective_on": effective_on,
        "flags": tuple(flags),
    }
    proposals = [Proposal(ref, StudentMovedToGroup, values, new_id())]
    if record.state.left_on is not None:
        ended = {"group_id": group_id, "effective_on": record.state.left_on}
        proposals.append(Proposal(ref, StudentLeftGroup, ended, new_id()))
    return proposals


def leave_group(
    ref: LaneRef[StudentRecord], record: StudentRecord, *, group_id: UUID, effective_on: date, context: Context
) -> list[Proposal]:
    """Ends the student's membership of a group with `effective_on` as the last day."""
    student = str(ref.subject_id)
    violations = _future(effective_on, context)
    member = any(
        entry.group_id == group_id
        and entry.ends_on is None
        and (entry.starts_on is None or entry.starts_on <= effective_on)
        for entry in record.state.memberships
    )
    if not member:
        violations.append(Violation("not_member", "The student does not belong to this group.", student))
    judge(violations, context)
    return [Proposal(ref, StudentLeftGroup, {"group_id": group_id, "effective_on": effective_on}, new_id())]


def leave_school(
    ref: LaneRef[StudentRecord], record: StudentRecord, *, effective_on: date, reason: str, context: Context
) -> list[Proposal]:
    """Ends the student's time at the school; `completed` means that the programme was completed."""
    violations = _future(effective_on, context) + _leaving(record, effective_on, ref.subject_id)
    if reason not in LEAVING_REASONS:
        violations.append(Violation("reason_unknown", f"The reason is one of {', '.join(LEAVING_REASONS)}."))
    judge(violations, context)
    return [Proposal(ref, StudentLeft, {"effective_on": effective_on, "reason": reason}, new_id())]


def transfer_out(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    to_organisation: str,
    application: str,
    order: str,
    effective_on: date,
    released: tuple[str, ...],
    context: Context,
) -> list[Proposal]:
    """Transfers the student to another organisation, on an application to the director (S1-4.5.4)."""
    violations = _future(effective_on, context) + _leaving(record, effective_on, ref.subject_id)
    if not to_organisation.strip():
        violations.append(Violation("organisation_missing", "Name the organisation that the student goes to."))
    if not application.strip():
        violations.append(Violation("application_missing", "A transfer needs an application to the director."))
    if not order.strip():
        violations.append(Violation("order_missing", "A transfer needs the number and date of an order."))
    if not set(released) <= set(RELEASABLE) or len(set(released)) != len(released):
        violations.append(Violation("released_unknown", f"Only {' and '.join(RELEASABLE)} can be released, each once."))
    judge(violations, context)
    values = {
        "to_organisation": to_organisation.strip(),
        "application": application.strip(),
        "order": order.strip(),
        "effective_on": effective_on,
        "released": released,
    }
    return [Proposal(ref, StudentTransferredOut, values, new_id())]


def transfer_in(
    ref: LaneRef[StudentRecord],
    record: StudentRecord,
    *,
    from_organisation: str,
    order: str,
    effective_on: date,
    context: Context,
) -> list[Proposal]:
    """Records that the student came from another organisation, after enrolment or after having left."""
    violations = _future(effective_on, context)
    if not from_organisation.strip():
        violations.append(Violation("organisation_missing", "Name the organisation that the student comes from."))
    if not order.strip():
        violations.append(Violation("order_missing", "A transfer needs the number and date of an order."))
    left_on = record.state.left_on
    if left_on is not None and effective_on <= left_on:
        violations.append(
            Violation("not_left", "The student was still at the school on that day.", str(ref.subject_id))
        )
    judge(violations, context)
    values = {
        "from_organisation": from_organisation.strip(),
        "order": order.strip(),
        "effective_on": effective_on,
    }
    return [Proposal(ref, StudentTransferredIn, values, new_id())]


def _leaving(record: StudentRecord, day: date, student_id: UUID) -> list[Violation]:
    if record.state.left_on is not None:
        return [Violation("student_left", "The student has left the school already.", str(student_id))]
    if _gone(record, day, student_id):
        return [Violation("student_left", "The student was away from the school on that day.", str(student_id))]
    if record.state.enrolled_on is not None and day < record.state.enrolled_on:
        return [Violation("before_enrolment", "The student was not enrolled yet on that day.", str(student_id))]
    return []
