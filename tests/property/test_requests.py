"""Random requests: deadlines and answers equal those of a naive book; the view shows them, refusals leave nothing.

All in weeks without holidays, so that the naive calendar is Monday to Friday and what the school declared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.errors import Refused
from ledger.projections.requests.projection import REQUESTS
from tests.support.examples import examples
from tests.support.people import FATHER, MOTHER, answers, declares, extends, names, requests_of
from tests.support.school import a_school
from tests.support.views import facts_of, in_batches, replay
from tests.support.world import a_context

BEGIN = date(2025, 9, 1)
TERMS = {"information": 10, "copies": 10, "correction": 7}
SATURDAY = 5


@dataclass(frozen=True)
class Step:
    """One thing that is tried: about which earlier request, how many days off."""

    action: str
    number: int
    days: int
    kind: str
    known: bool


steps = st.builds(
    Step,
    st.sampled_from(("ask", "ask", "extend", "answer", "declare", "wait")),
    st.integers(0, 5),
    st.integers(0, 9),
    st.sampled_from(sorted(TERMS)),
    st.booleans(),
)


@dataclass
class Told:
    """A request as the naive book has it."""

    kind: str
    due: date
    known: bool
    extended: bool = False
    answered: date | None = None


class Book:
    """A school in September, and a naive book of its requests."""

    def __init__(self) -> None:
        self.school = a_school(a_context(BEGIN))
        names(self.school, self.school.student, MOTHER)
        self.told: dict[UUID, Told] = {}
        self.days: dict[date, bool] = {}

    @property
    def today(self) -> date:
        return self.school.context.today

    def works(self, day: date) -> bool:
        return self.days.get(day, day.weekday() < SATURDAY)

    def counted(self, day: date, term: int) -> date:
        following = (day + timedelta(days=number) for number in range(1, 200))
        return [one for one in following if self.works(one)][term - 1]

    def tries(self, step: Step) -> bool:
        """Tries a step; returns whether it was recorded. What is refused must have left nothing."""
        before, count = self.school.states(), len(self.school.events)
        try:
            getattr(self, f"_{step.action}")(step)
        except Refused:
            assert self.school.states() == before
            assert len(self.school.events) == count
            return False
        return True

    def _wait(self, step: Step) -> None:
        later = min(self.today + timedelta(days=step.days), date(2025, 9, 26))
        self.school.context = replace(self.school.context, today=later)

    def _declare(self, step: Step) -> None:
        day = BEGIN + timedelta(days=step.days * 3)
        declares(self.school, day, working=not self.works(day))
        self.days[day] = not self.works(day)

    def _ask(self, step: Step) -> None:
        received = max(self.today - timedelta(days=step.days), BEGIN)
        by = MOTHER if step.known else FATHER
        asked = requests_of(self.school, self.school.student, by, kind=step.kind, received_on=received)
        self.told[asked] = Told(step.kind, self.counted(received, TERMS[step.kind]), step.known)

    def one(self, step: Step) -> tuple[UUID, Told] | None:
        known = list(self.told.items())
        return known[step.number % len(known)] if known else None

    def _extend(self, step: Step) -> None:
        found = self.one(step)
        if found is None:
            return
        asked, told = found
        may = not told.extended and told.answered is None and told.kind != "correction" and self.today <= told.due
        try:
            extends(self.school, self.school.student, asked)
        except Refused:
            assert not may
            raise
        assert may
        told.extended, told.due = True, self.counted(told.due, 5)

    def _answer(self, step: Step) -> None:
        found = self.one(step)
        if found is None:
            return
        asked, told = found
        refusing = step.days % 2 == 0
        may = told.answered is None and (told.known or refusing)
        how = ("refusal", "152-ФЗ, ст. 7") if refusing else ("letter", "")
        try:
            answers(self.school, self.school.student, asked, how[0], legal_basis=how[1])
        except Refused:
            assert not may
            raise
        assert may
        told.answered = self.today


@settings(max_examples=examples(120), deadline=None)
@given(st.lists(steps, min_size=5, max_size=40), st.lists(st.integers(1, 6), max_size=10))
def test_deadlines_and_answers_are_those_of_a_naive_book_live_rebuilt_and_shown(
    history: list[Step], sizes: list[int]
) -> None:
    book = Book()
    for step in history:
        book.tries(step)
    assert book.school.rebuild().states() == book.school.states()
    facts = facts_of(book.school)
    rows = replay(REQUESTS, facts)
    assert in_batches(REQUESTS, facts, sizes) == rows
    shown = {key[1]: row for (_, key), row in rows.items()}
    assert shown.keys() == book.told.keys()
    for asked, told in book.told.items():
        row = shown[asked]
        assert (row.clear[1], row.clear[2]) == (told.due, told.answered)
        assert (row.body.extended_on is not None) == told.extended
        assert row.body.by_kind == ("representative" if told.known else "other")
