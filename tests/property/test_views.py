"""Random histories: whatever happened, and in whatever batches it was applied, the views are the same."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.aggregates.disclosures import AccessOpened, AccessRefused, disclose
from ledger.aggregates.student import record
from ledger.errors import Refused
from ledger.ids import new_id
from ledger.projections import runner as runner_module
from ledger.projections.views import all_views
from ledger.store.commands import Envelope
from ledger.streams.base import Context
from tests.support.commands import Scripted, header
from tests.support.desk import a_base, an_audit, at_desk, positions_of
from tests.support.postgres import fresh_ledger
from tests.support.school import QUARTERS, YEAR_BEGINS, AClass
from tests.support.views import body, facts_of, in_batches, keys, replay, the
from tests.support.world import TEACHER, TODAY, a_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from uuid import UUID

    from ledger.aggregates.student import StudentRecord
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper
    from ledger.streams.base import Lanes, LedgerEvent, Proposal
    from tests.support.school import Student

VIEWS = all_views(lambda field, value: f"{field}|{value}".encode())
ACTIONS = (
    "mark", "mark", "correct", "void", "submit", "attend", "result", "correct_result", "achieve", "reward", "credit",
    "move", "leave_group", "leave", "transfer_out", "come_back", "enrol", "close", "permit", "open_access", "refuse",
)  # fmt: skip
STUDENTS = 3
CONTEXT = Context(TODAY, TEACHER, "teacher")


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
batches = st.lists(st.integers(1, 20), max_size=20)


class Story(AClass):
    """A school in which random steps are tried; what is refused leaves nothing."""

    def __init__(self) -> None:
        self.proposals: list[Proposal] = []
        super().__init__(a_context(imported=True))
        self.groups = [self.group, self.forms_group("5Б"), self.forms_group("Кружок")]
        self.students = [self.student, self.joined(), self.enrols()]
        self.known: list[tuple[Student, UUID]] = []
        self.won: list[tuple[Student, UUID]] = []

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


@settings(max_examples=150, deadline=None)
@given(histories, batches)
def test_batches_of_any_sizes_give_the_rows_of_one_replay(history: list[Step], sizes: list[int]) -> None:
    facts = facts_of(told(history))
    for view in VIEWS:
        assert in_batches(view, facts, sizes) == replay(view, facts), view.name


@settings(max_examples=150, deadline=None)
@given(histories)
def test_roster_shows_what_the_lanes_decide_by(history: list[Step]) -> None:
    """Memberships, leaving and the day of enrolment are in the view exactly what the rules believe."""
    story = told(history)
    rows = replay(VIEWS[0], facts_of(story))
    for student in story.students:
        lane: StudentRecord = story.the(student)
        wanted = [(entry.group_id, entry.starts_on, entry.ends_on) for entry in lane.state.memberships]
        shown = body(rows, "students", student.subject_id).memberships
        assert [(entry.group_id, entry.starts_on, entry.ends_on) for entry in shown] == wanted
        listed = [
            (key[0], *the(rows, "memberships", *key).clear)
            for key in keys(rows, "memberships")
            if key[1] == student.subject_id
        ]
        assert sorted(listed, key=str) == sorted(wanted, key=str)
        assert the(rows, "students", student.subject_id).clear == (lane.state.enrolled_on, lane.state.left_on)


@settings(max_examples=100, deadline=None)
@given(histories)
def test_journal_shows_every_mark_with_its_value_and_no_change_is_lost(history: list[Step]) -> None:
    story = told(history)
    facts = facts_of(story)
    rows = replay(VIEWS[1], facts)
    events = [event for _, event in story.events]
    for topic, table in (("marks.recorded", "entries"), ("results.set", "results")):
        shown = [key for key in keys(rows, table) if table == "results" or body(rows, table, *key).kind == "mark"]
        assert len(shown) == sum(topic == event.TOPIC for event in events)
    changes = sum(len(row.body.changes) for row in rows.values())
    assert changes == sum(event.TOPIC in {"marks.corrected", "marks.voided", "results.corrected"} for event in events)
    assert all(row.position <= len(facts) for row in rows.values())


# --- against the database ---------------------------------------------------------------------------------------------


@contextmanager
def batch_of(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner_module, "BATCH", size)
        yield


def as_it_was(proposal: Proposal, lanes: Lanes) -> list[Proposal]:
    """Decides what was decided before, on the lane that is there by now."""
    if proposal.lane.kind.LOADED:
        lanes.get(proposal.lane)
    return [proposal]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories, st.lists(st.tuples(st.integers(1, 25), st.integers(1, 30)), min_size=1, max_size=4))
def test_live_views_equal_replayed_and_rebuilt_ones(
    postgres_url: str,
    keks: KeyEncryptionKeys,
    mapper: EventMapper,
    tmp_path: Path,
    history: list[Step],
    parts: list[tuple[int, int]],
) -> None:
    """The history is recorded part by part; after each part the views catch up in batches of another size."""
    story = told(history)

    async def scenario() -> None:
        with fresh_ledger(postgres_url, keks) as database:
            base = a_base(database, keks, mapper, tmp_path)
            async with at_desk(base) as desk:
                rest = story.proposals
                for many, size in [*parts, (len(rest), 1_000)]:
                    part, rest = rest[:many], rest[many:]
                    for proposal in part:
                        command = Scripted(partial(as_it_was, proposal))
                        await desk.ledger.executor.execute(Envelope(command, header(), CONTEXT))
                    with batch_of(size):
                        await desk.catches_up()
                live = await asyncio.to_thread(an_audit, base)
                assert live.equal, live.findings[:3]
                assert set(positions_of(database).values()) == {len(story.events)}
                with batch_of(parts[0][1]):
                    for view in base.views:
                        await asyncio.to_thread(base.runner().rebuild, view)
                assert (await asyncio.to_thread(an_audit, base)) == live

    asyncio.run(scenario())
