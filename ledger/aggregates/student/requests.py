"""Requests of students and representatives, oral or written: registered, due, extended once, answered (S0-6.4, S1-5.4).

Each request is a stream of its own, so that a family that asks often makes no lane longer. The day on which an answer
is due is fixed when the request is registered (152-FZ art. 20).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import ClassVar
from uuid import UUID

from ledger.aggregates.days import not_yet
from ledger.aggregates.student.record import StudentRecord
from ledger.aggregates.student.standing import BY_REPRESENTATIVE, BY_STUDENT, INFORMATION
from ledger.aggregates.working_days import working_days_after
from ledger.errors import Violation
from ledger.ids import lane_id, new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State, judge
from ledger.streams.record_classes import RecordClass

INFORMATION_ASKED, COPIES, CORRECTION = "information", "copies", "correction"
TERMS: Mapping[str, int] = {INFORMATION_ASKED: 10, COPIES: 10, CORRECTION: 7}
"""Kinds of requests, and in how many working days an answer is due (152-FZ art. 20(1), 20(3))."""
KINDS: tuple[str, ...] = tuple(TERMS)
EXTENSION = 5
"""By how many working days a term may be extended, once, by a notice that says why (art. 20(1)); not a correction's."""
ELECTRONIC = "electronic"
FORMS: tuple[str, ...] = ("oral", "written", ELECTRONIC)
REFUSAL = "refusal"
ANSWERS: tuple[str, ...] = ("letter", "copy", "shown", "corrected", REFUSAL)
"""How a request is answered: by a letter, with copies, shown in person, corrected, or refused on a legal basis."""
BY_OTHER = "other"


class RequestState(State):
    """What decisions ask of a request."""

    by: UUID = UUID(int=0)
    by_kind: str = BY_OTHER
    kind: str = INFORMATION_ASKED
    received_on: date = date.min
    due_on: date = date.min
    extended: bool = False
    answered: bool = False


class StudentRequest(Lane):
    """A request about a student."""

    KIND = "request"
    STATE: ClassVar[type[State]] = RequestState

    @property
    def state(self) -> RequestState:
        """The decision state."""
        state: RequestState = self._state
        return state


def request_lane(student_id: UUID, request_id: UUID) -> LaneRef[StudentRequest]:
    """Names the stream of a student's request; of another student there is none by this id."""
    return LaneRef(lane_id(student_id, f"requests/{request_id}"), student_id, StudentRequest)


class RequestRegistered(OpeningEvent):
    """Somebody asked for something; `by_kind` is what they were to the student on the day of receipt.

    Its event id is the id of the request. `about_access` is the access that it asks about, where it is about one.
    """

    TOPIC = "request.registered"
    RECORD_CLASS = RecordClass.REQUESTS
    LANE: ClassVar[type[Lane]] = StudentRequest
    by: UUID
    by_kind: str
    kind: str
    form: str
    text: str
    received_on: date
    due_on: date
    about_access: UUID | None

    def apply(self, aggregate: StudentRequest) -> None:
        """Fills the state."""
        state = aggregate.state
        state.by, state.by_kind, state.kind = self.by, self.by_kind, self.kind
        state.received_on, state.due_on = self.received_on, self.due_on


class RequestExtended(LedgerEvent):
    """More time was taken, and whoever asked was told why; the old day is kept."""

    TOPIC = "request.extended"
    RECORD_CLASS = RecordClass.REQUESTS
    request_id: UUID
    reason: str
    effective_on: date
    old_due_on: date
    due_on: date

    def apply(self, aggregate: StudentRequest) -> None:
        """Moves the day."""
        aggregate.state.due_on = self.due_on
        aggregate.state.extended = True


class RequestAnswered(LedgerEvent):
    """The request was answered, or refused on a legal basis."""

    TOPIC = "request.answered"
    RECORD_CLASS = RecordClass.REQUESTS
    request_id: UUID
    how: str
    text: str
    legal_basis: str
    effective_on: date

    def apply(self, aggregate: StudentRequest) -> None:
        """Ends it."""
        aggregate.state.answered = True


# --- decisions ------------------------------------------------------------------------------------------------------


def register_request(
    ref: LaneRef[StudentRequest],
    record: StudentRecord,
    days: Mapping[str, bool],
    *,
    request_id: UUID,
    by: UUID,
    claimed: bool,
    kind: str,
    form: str,
    text: str,
    received_on: date,
    about_access: UUID | None,
    context: Context,
) -> list[Proposal]:
    """Registers a request, whoever asks: one who may not be told anything is answered, too, with a refusal.

    Args:
        days: the school's declared working days, by ISO date.
        claimed: whether their token says that they speak for the student (see `StudentRecord.represented_by`).
    """
    violations = []
    if kind not in TERMS:
        violations.append(Violation("kind_unknown", f"The kind is one of {', '.join(KINDS)}."))
    if form not in FORMS:
        violations.append(Violation("form_unknown", f"The form is one of {', '.join(FORMS)}."))
    if not text.strip():
        violations.append(Violation("text_missing", "Write down what is asked for."))
    violations += not_yet(received_on, context)
    judge(violations, context)
    by_kind = BY_OTHER
    if by == ref.subject_id:
        by_kind = BY_STUDENT
    elif record.represented_by(by, INFORMATION, received_on, claimed=claimed):
        by_kind = BY_REPRESENTATIVE
    values = {
        "by": by,
        "by_kind": by_kind,
        "kind": kind,
        "form": form,
        "text": text.strip(),
        "received_on": received_on,
        "due_on": working_days_after(received_on, TERMS[kind], days),
        "about_access": about_access,
    }
    return [Proposal(ref, RequestRegistered, values, request_id)]


def extend_request(
    ref: LaneRef[StudentRequest],
    request: StudentRequest,
    days: Mapping[str, bool],
    *,
    request_id: UUID,
    reason: str,
    context: Context,
) -> list[Proposal]:
    """Extends the term, once and while it runs; the notice that says why was sent today."""
    state = request.state
    violations = _open(request)
    if state.extended:
        violations.append(Violation("extended_already", "The term was extended already; that can be done once."))
    if state.kind == CORRECTION:
        violations.append(
            Violation("not_extendable", "The term of a correction cannot be extended (152-FZ art. 20(3)).")
        )
    if context.today > state.due_on:
        violations.append(
            Violation(
                "term_over",
                "The term is over; it is extended only while it runs. Answer: the list shows that it came late.",
            )
        )
    if not reason.strip():
        violations.append(Violation("reason_missing", "An extension needs the reason that whoever asked was told."))
    judge(violations, context)
    values = {
        "request_id": request_id,
        "reason": reason.strip(),
        "effective_on": context.today,
        "old_due_on": state.due_on,
        "due_on": working_days_after(state.due_on, EXTENSION, days),
    }
    return [Proposal(ref, RequestExtended, values, new_id())]


def answer_request(
    ref: LaneRef[StudentRequest],
    request: StudentRequest,
    record: StudentRecord,
    *,
    request_id: UUID,
    how: str,
    text: str,
    legal_basis: str,
    effective_on: date,
    context: Context,
) -> list[Proposal]:
    """Records the answer. Who is not the student and does not represent them on that day is told nothing but no."""
    state = request.state
    violations = _open(request)
    if how not in ANSWERS:
        violations.append(Violation("answer_unknown", f"The answer is one of {', '.join(ANSWERS)}."))
    if how == "corrected" and state.kind != CORRECTION:
        violations.append(Violation("answer_unfit", "Only a request for correction is answered by one."))
    if not text.strip():
        violations.append(Violation("text_missing", "Write down what the answer was."))
    if how == REFUSAL and not legal_basis.strip():
        violations.append(Violation("basis_missing", "A refusal names the law that it rests on (152-FZ art. 20(2))."))
    violations += not_yet(effective_on, context)
    if effective_on < state.received_on:
        violations.append(Violation("before_receipt", "The request had not come yet on that day."))
    # A claim was vouched for when the request came; nobody can have been recorded since without deciding it anew.
    vouched = state.by_kind == BY_REPRESENTATIVE
    stands = state.by_kind == BY_STUDENT or record.represented_by(state.by, INFORMATION, effective_on, claimed=vouched)
    if how in ANSWERS and how != REFUSAL and not stands:
        message = "Who asked does not represent the student on that day; the answer is a refusal (S0-6.2, S1-5.2)."
        violations.append(Violation("no_standing", message, str(ref.subject_id)))
    judge(violations, context)
    values = {
        "request_id": request_id,
        "how": how,
        "text": text.strip(),
        "legal_basis": legal_basis.strip(),
        "effective_on": effective_on,
    }
    return [Proposal(ref, RequestAnswered, values, new_id())]


def _open(request: StudentRequest) -> list[Violation]:
    if request.state.answered:
        return [Violation("answered_already", "The request was answered already.")]
    return []
