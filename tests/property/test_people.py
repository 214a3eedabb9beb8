"""Random families: who speaks and what is agreed to on which day equals a naive book that never asks the rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.aggregates.student.consents import Consented, allows
from ledger.aggregates.student.standing import DECISIONS, INFORMATION, POWERS
from ledger.application.disclose.representation import lane_of
from ledger.errors import Refused
from tests.support.examples import examples
from tests.support.people import (
    FATHER,
    GRANDMOTHER,
    MOTHER,
    born,
    consents_to,
    ends,
    limits,
    names,
    restricts,
    withdraws,
)
from tests.support.school import a_school
from tests.support.views import facts_of
from tests.support.world import TODAY, World

BEGIN = TODAY - timedelta(days=6)
DAYS = [BEGIN + timedelta(days=number) for number in range(12)]
PEOPLE = (MOTHER, FATHER, GRANDMOTHER)
DATA = ("marks", "awards", "achievements")
ADULT_ON = TODAY + timedelta(days=2)


@dataclass(frozen=True)
class Step:
    """One thing that is tried: who, about which earlier thing, on which day, up to which."""

    action: str
    person: int
    number: int
    day: int
    until: int | None
    powers: tuple[str, ...]
    data: tuple[str, ...]


steps = st.builds(
    Step,
    st.sampled_from(("name", "name", "restrict", "end", "consent", "consent", "limit", "withdraw", "birth")),
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, 7),
    st.none() | st.integers(0, 11),
    st.sampled_from(((INFORMATION,), (DECISIONS,), POWERS)),
    st.lists(st.sampled_from(DATA), min_size=1, unique=True).map(tuple),
)


class Book:
    """A school, and for each day what is true of it, day by day and fact by fact."""

    def __init__(self) -> None:
        self.school = a_school()
        self.named: list[tuple[UUID, UUID]] = []
        self.given: list[UUID] = []
        self.speaks: dict[UUID, set[tuple[UUID, str, date]]] = {}
        self.agreed: dict[UUID, set[tuple[str, date]]] = {}
        self.of_parent: set[UUID] = set()
        self.adult = False

    def tries(self, step: Step) -> None:
        """Tries a step; what is refused must have left nothing."""
        before, count = self.school.states(), len(self.school.events)
        try:
            getattr(self, f"_{step.action}")(step)
        except Refused:
            assert self.school.states() == before
            assert len(self.school.events) == count

    def who(self, step: Step) -> UUID:
        return (*PEOPLE, self.school.student.subject_id)[step.person]

    def _name(self, step: Step) -> None:
        person, first = self.who(step), DAYS[step.day]
        last = DAYS[step.until] if step.until is not None else DAYS[-1]
        until = DAYS[step.until] if step.until is not None else None
        named = names(
            self.school, self.school.student, person, effective_on=first, until=until, document_kind="court_decision"
        )
        self.named.append((named, person))
        self.speaks[named] = {(person, power, day) for power in POWERS for day in DAYS if first <= day <= last}

    def _restrict(self, step: Step) -> None:
        named, person = self.named[step.number % len(self.named)] if self.named else (UUID(int=9), MOTHER)
        first, until = DAYS[step.day], DAYS[step.until] if step.until is not None else None
        restricts(self.school, self.school.student, named, *step.powers, effective_on=first, until=until)
        gone = {day for day in DAYS if first <= day <= (until or DAYS[-1])}
        self.speaks[named] -= {(person, power, day) for power in step.powers for day in gone}

    def _end(self, step: Step) -> None:
        named, _ = self.named[step.number % len(self.named)] if self.named else (UUID(int=9), MOTHER)
        ends(self.school, self.school.student, named, on=DAYS[step.day])
        self.speaks[named] = {fact for fact in self.speaks[named] if fact[2] < DAYS[step.day]}

    def _birth(self, _: Step) -> None:
        born(self.school, self.school.student, ADULT_ON.replace(year=ADULT_ON.year - 18))
        self.adult = True

    def may(self, person: UUID, day: date) -> bool:
        """Tells whether a person decides on `day`, by the book: the student here is nearly 18, where that is known."""
        if person == self.school.student.subject_id:
            return self.adult
        return self.speaking(person, DECISIONS, day)

    def speaking(self, person: UUID, power: str, day: date) -> bool:
        if self.adult and day >= ADULT_ON:
            return False
        return any((person, power, day) in facts for facts in self.speaks.values())

    def _consent(self, step: Step) -> None:
        by, first = self.who(step), DAYS[step.day]
        until = DAYS[step.until] if step.until is not None else None
        allowed = self.may(by, first)
        consent = consents_to(
            self.school, self.school.student, by, categories=step.data, effective_on=first, until=until
        )
        assert allowed
        self.given.append(consent)
        self.agreed[consent] = {
            (name, day) for name in step.data for day in DAYS if first <= day <= (until or DAYS[-1])
        }
        if by in PEOPLE:
            self.of_parent.add(consent)

    def consent(self, step: Step) -> UUID:
        return self.given[step.number % len(self.given)] if self.given else UUID(int=9)

    def _limit(self, step: Step) -> None:
        consent, by = self.consent(step), self.who(step)
        limits(self.school, self.school.student, consent, by, categories=step.data)
        assert self.may(by, TODAY)
        self.agreed[consent] = {fact for fact in self.agreed[consent] if fact[0] in step.data}

    def _withdraw(self, step: Step) -> None:
        consent, by = self.consent(step), self.who(step)
        withdraws(self.school, self.school.student, consent, by)
        assert self.may(by, TODAY)
        self.agreed[consent] = {fact for fact in self.agreed[consent] if fact[1] < TODAY}

    def agrees(self, name: str, day: date) -> bool:
        over = self.adult and day >= ADULT_ON
        return any((name, day) in facts and not (over and one in self.of_parent) for one, facts in self.agreed.items())


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(steps, min_size=5, max_size=30))
def test_who_speaks_and_what_is_agreed_to_on_each_day_is_what_a_naive_book_says(history: list[Step]) -> None:
    book = Book()
    for step in history:
        book.tries(step)
    record = book.school.the(book.school.student)
    for day in DAYS:
        for person in PEOPLE:
            for power in POWERS:
                assert record.represented_by(person, power, day) == book.speaking(person, power, day)
        for name in DATA:
            answer = allows(record, purpose="contests", categories=(name,), recipient="Оргкомитет", day=day)
            assert isinstance(answer, Consented) == book.agrees(name, day)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(steps, min_size=5, max_size=30))
def test_rebuilt_from_events_it_is_the_same_and_so_is_what_is_shown(history: list[Step]) -> None:
    book = Book()
    for step in history:
        book.tries(step)
    live = book.school
    rebuilt: World = live.rebuild()
    assert rebuilt.states() == live.states()
    student = live.student.subject_id
    shown = lane_of([fact for fact in facts_of(live) if fact.entry.stream_id == student], student)
    assert shown.state == live.the(live.student).state
