"""Random histories: steps that somebody tries at a school, and how to record them again in a real ledger.

story = told(history)                       # in memory; `story.proposals` is all that was recorded, in order
await executor.execute(again(proposal))     # one of them, in a ledger
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from ledger.aggregates.disclosures import AccessOpened, AccessRefused, DocumentHandedOver, Grounds, disclose
from ledger.aggregates.student import record
from ledger.errors import Refused
from ledger.ids import new_id
from ledger.store.commands import Envelope
from ledger.streams.base import Context
from tests.support import people
from tests.support.commands import Scripted, header
from tests.support.school import QUARTERS, YEAR_BEGINS, AClass
from tests.support.world import TEACHER, TODAY, a_context

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ledger.streams.base import Lanes, LedgerEvent, Proposal
    from tests.support.school import Student

ACTIONS = (
    "mark", "mark", "correct", "void", "submit", "attend", "result", "correct_result", "achieve", "reward", "credit",
    "move", "leave_group", "leave", "transfer_out", "come_back", "enrol", "close", "permit", "open_access", "refuse",
    "name", "consent", "ask", "answer", "hand_over",
)  # fmt: skip
STUDENTS = 3
PEOPLE = (people.MOTHER, people.FATHER, people.GRANDMOTHER)
CONTEXT = Context(TODAY, TEACHER, "teacher")
"""How the proposals of a story are recorded again."""


@dataclass(frozen=True)
class Step:
    """One thing that somebody tries; the numbers choose among whatever there is."""

    action: str
    student: int
    number: int
    ago: int

    @property
    def day(self) -> date:
        return TODAY - timedelta(days=self.ago)


steps = st.builds(Step, st.sampled_from(ACTIONS), st.integers(0, STUDENTS - 1), st.integers(0, 9), st.integers(0, 40))
histories = st.lists(steps, min_size=25, max_size=80)


class Story(AClass):
    """A school in which random steps are tried; what is refused leaves nothing."""

    def __init__(self) -> None:
        self.proposals: list[Proposal] = []
        super().__init__(a_context(imported=True))
        self.groups = [self.group, self.forms_group("5Б"), self.forms_group("Кружок")]
        self.students = [self.student, self.joined(), self.enrols()]
        self.known: list[tuple[Student, UUID]] = []
        self.won: list[tuple[Student, UUID]] = []
        self.asked: list[tuple[Student, UUID]] = []

    def record(self, proposals: Sequence[Proposal]) -> list[LedgerEvent]:
        """Records proposals, and keeps them for the executor to record as they are."""
        recorded = super().record(proposals)
        self.proposals.extend(proposals)
        return recorded

    def tries(self, step: Step) -> None:
        """Tries a step."""
        try:
            getattr(self, f"_{step.action}")(step, self.students[step.student % len(self.students)])
        except Refused:
            return

    def one(self, known: list[tuple[Student, UUID]], step: Step) -> tuple[Student, UUID]:
        return known[step.number % len(known)] if known else (self.student, new_id())

    def _mark(self, step: Step, student: Student) -> None:
        self.known.append((student, self.marks(student, "54321"[step.number % 5], on=step.day)))

    def _correct(self, step: Step, _: Student) -> None:
        self.corrects(*self.one(self.known, step), "54321"[step.ago % 5])

    def _void(self, step: Step, _: Student) -> None:
        self.voids(*self.one(self.known, step))

    def _submit(self, step: Step, student: Student) -> None:
        self.submits(student, on=step.day)

    def _attend(self, step: Step, student: Student) -> None:
        self.notes(student, "н", on=step.day)

    def _result(self, step: Step, student: Student) -> None:
        self.sets_result(student, "54321"[step.number % 5], period=QUARTERS[step.number % 2][0], on=step.day)

    def _correct_result(self, step: Step, student: Student) -> None:
        self.corrects_result(student, "54321"[step.ago % 5], period=QUARTERS[step.number % 2][0])

    def _achieve(self, step: Step, student: Student) -> None:
        self.won.append((student, self.achieves(student, on=step.day)))

    def _reward(self, step: Step, _: Student) -> None:
        self.rewards(*self.one(self.won, step), on=step.day)

    def _credit(self, step: Step, student: Student) -> None:
        self.credits(student, "5", on=step.day)

    def _move(self, step: Step, student: Student) -> None:
        target, other = self.groups[step.number % 3], self.groups[(step.number + 1) % 3]
        self.moves(student, target, on=step.day, out_of=other if step.number % 2 else None)

    def _leave_group(self, step: Step, student: Student) -> None:
        self.leaves_group(student, self.groups[step.number % 3], on=step.day)

    def _leave(self, step: Step, student: Student) -> None:
        self.leaves(student, on=step.day, reason=record.LEAVING_REASONS[step.number % 4])

    def _transfer_out(self, step: Step, student: Student) -> None:
        self.transfers_out(student, on=step.day, released=record.RELEASABLE[: step.number % 3])

    def _come_back(self, step: Step, student: Student) -> None:
        self.transfers_in(student, on=step.day)

    def _enrol(self, step: Step, _: Student) -> None:
        self.students.append(self.enrols(on=YEAR_BEGINS if step.number % 2 else None))

    def _name(self, step: Step, student: Student) -> None:
        people.names(self, student, PEOPLE[step.number % 3], effective_on=step.day)

    def _consent(self, step: Step, student: Student) -> None:
        people.consents_to(self, student, PEOPLE[step.number % 3], effective_on=step.day)

    def _ask(self, step: Step, student: Student) -> None:
        self.asked.append((student, people.requests_of(self, student, PEOPLE[step.number % 3], received_on=step.day)))

    def _answer(self, step: Step, _: Student) -> None:
        if self.asked:
            student, request = self.one(self.asked, step)
            if step.ago % 2:
                people.extends(self, student, request)
            else:
                people.answers(self, student, request, "refusal", legal_basis="152-ФЗ, ст. 7")

    def _close(self, step: Step, _: Student) -> None:
        self.closes_period(QUARTERS[step.number % 2][0])

    def _permit(self, _: Step, __: Student) -> None:
        self.permits()

    def _open_access(self, step: Step, student: Student, *, granted: bool = True) -> None:
        values: dict[str, object] = {"office": "teacher", "policy": "p", "channel": "api", "resource": "journal"}
        values["purpose"] = "x"
        if granted:
            values |= {"legal_basis": "y", "on_behalf_of": None, "recipient": None}
        self.record(
            disclose(
                AccessOpened if granted else AccessRefused,
                values,
                access_id=new_id(),
                actor=TEACHER,
                students=tuple({student.subject_id, self.students[step.number % len(self.students)].subject_id}),
                categories=("marks",),
                grounds=Grounds(reason="Синтетическая причина исключительного доступа")
                if step.number % 3 == 0
                else Grounds(),
            )
        )

    def _hand_over(self, step: Step, student: Student) -> None:
        values: dict[str, object] = {
            "office": "secretary", "policy": "p", "channel": "paper", "resource": "student", "purpose": "x",
            "legal_basis": "y", "recipient": None, "received_by": PEOPLE[step.number % 3], "handed_by": TEACHER,
            "document_kind": "extract", "document_number": str(step.number), "effective_on": step.day,
        }  # fmt: skip
        self.record(
            disclose(
                DocumentHandedOver,
                values,
                access_id=new_id(),
                actor=TEACHER,
                students=(student.subject_id,),
                categories=("personal_file",),
                grounds=Grounds(document="Синтетический запрос") if step.number % 2 else Grounds(),
            )
        )

    def _refuse(self, step: Step, student: Student) -> None:
        self._open_access(step, student, granted=False)


def told(history: list[Step]) -> Story:
    """Returns the school in which the steps were tried."""
    story = Story()
    for step in history:
        story.tries(step)
    return story


def _as_it_was(proposal: Proposal, lanes: Lanes) -> list[Proposal]:
    """Decides what was decided before, on the lane that is there by now."""
    if proposal.lane.kind.LOADED:
        lanes.get(proposal.lane)
    return [proposal]


def again(proposal: Proposal) -> Envelope:
    """Returns the command that records a proposal as it was decided in memory."""
    return Envelope(Scripted(partial(_as_it_was, proposal)), header(), CONTEXT)
