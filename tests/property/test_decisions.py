"""Random people do random things in a school: whatever is accepted or refused, the promises hold.

The machine keeps its own, naive book of who belonged where on which day and of what was closed when, and never asks the
rules that it checks.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger.aggregates.student import StudentMarks, marks_lane
from ledger.aggregates.student.achievements import AchievementRecorded, AwardGranted, ResultCredited
from ledger.aggregates.student.marks import (
    AttendanceNoted,
    MarkCorrected,
    MarkRecorded,
    MarkVoided,
    PeriodMarkCorrected,
    PeriodMarkSet,
    WorkSubmitted,
)
from ledger.errors import Refused
from tests.support.examples import examples
from tests.support.school import QUARTERS, YEAR, YEAR_BEGINS, AClass
from tests.support.world import a_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.aggregates.student import StudentRecord
    from ledger.streams.base import Context, LaneRef, LedgerEvent

SCALES = ("five", "pass-fail", "hundred")
VALUES = ("5", "4", "2", "6", "зачёт", "незачёт", "78.50", "100", "101", "50.001", "NaN", "1e2", "н/а", "")
SYMBOLS = {"five": {"5", "4", "3", "2", "1"}, "pass-fail": {"зачёт", "незачёт"}}
HUNDREDTHS = {str(n // 100) + f".{n % 100:02}".rstrip("0").rstrip(".") for n in range(10_001)}
REASONS = ("Описка", "Пересчёт", "Пересдача", "", "  ")
CODES = ("н", "б", "осв", "п", "x")
OFFICES = ("teacher", "deputy_head", "class_teacher", "secretary", "import")
DAYS = tuple(YEAR_BEGINS + timedelta(days=n) for n in range(-3, 200))
STUDENTS = 3

people = st.builds(UUID, int=st.integers(1, 5))
which = st.integers(0, 50)
values = st.sampled_from(VALUES)
reasons = st.sampled_from(REASONS)
ago = st.integers(-1, 3) | st.integers(0, 50)
"""How many days before today something happened; -1 is tomorrow."""
fitting = st.sampled_from([(0, "5"), (0, "4"), (1, "зачёт"), (1, "незачёт"), (2, "78.50"), (2, "100")])
tries = fitting | fitting | st.tuples(st.integers(0, 2), values)
"""A work and a value: two of three fit together, so that much is accepted and much refused."""


def on_scale(scale: str, value: str) -> bool:
    """Tells whether a stored value stands on a scale that every school starts with, by other means than the scale's."""
    if scale in SYMBOLS:
        return value in SYMBOLS[scale]
    return value in HUNDREDTHS


class School(RuleBasedStateMachine):
    """Commands of random people on random days; each is accepted whole or refused whole."""

    def __init__(self) -> None:
        super().__init__()
        self.today = date(2025, 10, 15)
        self.school = AClass(a_context(self.today))
        self.works = [self.school.adds_work(self.school.course, scale=scale) for scale in SCALES]
        self.groups = [self.school.group, self.school.forms_group("5Б")]
        self.students = [self.school.student, self.school.joined(), self.school.enrols()]
        self.marks: list[tuple[int, UUID]] = []
        self.achievements: list[tuple[int, UUID]] = []
        self.permits: dict[UUID, date] = {}
        self.closed: set[str] = set()
        self.at_school = [{day for day in DAYS if day >= YEAR_BEGINS} for _ in self.students]
        self.member: dict[tuple[int, int], set[date]] = defaultdict(set)
        self.member[0, 0], self.member[1, 0] = set(self.at_school[0]), set(self.at_school[1])
        self.left: set[int] = set()

    # --- how a command is tried --------------------------------------------------------------------------------------

    def attempt(self, command: Callable[[], object], context: Context) -> list[LedgerEvent] | None:
        """Returns what was recorded, or None for a refusal that must have left nothing."""
        before, count = self.school.states(), len(self.school.events)
        self.school.context = context
        try:
            command()
        except Refused:
            assert self.school.states() == before
            assert len(self.school.events) == count
            return None
        recorded = [event for _, event in self.school.events[count:]]
        assert recorded
        return recorded

    def who(self, person: UUID, office: str, *, imported: bool = False) -> Context:
        return a_context(self.today, actor=person, office=office, imported=imported)

    def permit(self, number: int) -> UUID | None:
        return [None, *self.permits][number % (len(self.permits) + 1)]

    def valid(self, permit: UUID | None) -> bool:
        return permit is not None and self.today <= self.permits[permit]

    def is_closed(self, day: date) -> bool:
        periods = {period: (begins, ends) for period, begins, ends in QUARTERS}
        return YEAR in self.closed or any(
            begins <= day <= ends for period, (begins, ends) in periods.items() if period in self.closed
        )

    def entered(self, student: int, day: date, permit: UUID | None, flags: tuple[str, ...]) -> None:
        """Checks an accepted entry for a day against the naive book."""
        assert day <= self.today
        outside = day not in self.member[student, 0]
        assert outside == ("outside_enrolment" in flags)
        if self.is_closed(day) and not self.valid(permit):
            assert "period_closed" in flags
        else:
            assert "period_closed" not in flags

    # --- time and the school -----------------------------------------------------------------------------------------

    @rule(by=st.integers(1, 25))
    def time_passes(self, by: int) -> None:
        self.today = min(self.today + timedelta(days=by), DAYS[-1])

    @rule(number=which)
    def period_is_closed(self, number: int) -> None:
        period = QUARTERS[number % len(QUARTERS)][0]
        if self.attempt(lambda: self.school.closes_period(period), self.who(UUID(int=9), "deputy_head")):
            assert period not in self.closed
            self.closed.add(period)
        else:
            assert period in self.closed

    @precondition(lambda self: self.today > date(2026, 1, 15))
    @rule()
    def year_is_closed(self) -> None:
        if self.attempt(self.school.closes_year, self.who(UUID(int=9), "deputy_head")):
            self.closed.add(YEAR)

    @rule(ahead=st.integers(-1, 6), reason=reasons)
    def late_entry_is_permitted(self, ahead: int, reason: str) -> None:
        until = self.today + timedelta(days=ahead)
        recorded = self.attempt(
            lambda: self.school.permits(until=until, reason=reason), self.who(UUID(int=9), "deputy_head")
        )
        assert bool(recorded) == (ahead >= 0 and bool(reason.strip()))
        if recorded:
            self.permits[recorded[0].event_id] = until

    @rule(days=st.sampled_from((None, 0, 7)))
    def correction_window_is_set(self, days: int | None) -> None:
        self.attempt(lambda: self.school.adopts_window(days), self.who(UUID(int=9), "deputy_head"))

    # --- the student's way -------------------------------------------------------------------------------------------

    @rule(number=which, group=st.integers(0, 1), out=st.booleans(), ago=ago)
    def student_moves(self, number: int, group: int, ago: int, *, out: bool) -> None:
        student, day = number % STUDENTS, self.today - timedelta(days=ago)
        out_of = self.groups[1 - group] if out else None
        recorded = self.attempt(
            lambda: self.school.moves(self.students[student], self.groups[group], on=day, out_of=out_of),
            self.who(UUID(int=8), "secretary"),
        )
        if recorded:
            assert day in self.at_school[student]
            self.member[student, group] |= {one for one in self.at_school[student] if one >= day}
            if out:
                assert day in self.member[student, 1 - group]
                self.member[student, 1 - group] -= {one for one in DAYS if one >= day}
            self.check_memberships(student)

    @rule(number=which, group=st.integers(0, 1), ago=ago)
    def student_leaves_group(self, number: int, group: int, ago: int) -> None:
        student, day = number % STUDENTS, self.today - timedelta(days=ago)
        recorded = self.attempt(
            lambda: self.school.leaves_group(self.students[student], self.groups[group], on=day),
            self.who(UUID(int=8), "secretary"),
        )
        if recorded:
            self.member[student, group] -= {one for one in DAYS if one > day}
            self.check_memberships(student)

    @rule(number=which, ago=ago, out=st.booleans())
    def student_leaves_school(self, number: int, ago: int, *, out: bool) -> None:
        student, day = number % STUDENTS, self.today - timedelta(days=ago)
        leave = self.school.transfers_out if out else self.school.leaves
        recorded = self.attempt(lambda: leave(self.students[student], on=day), self.who(UUID(int=8), "secretary"))
        if recorded:
            assert student not in self.left
            assert day in self.at_school[student]
            gone = {one for one in DAYS if one > day}
            self.left.add(student)
            self.at_school[student] -= gone
            for group in (0, 1):
                self.member[student, group] -= gone
            self.check_memberships(student)

    @rule(number=which, ago=ago)
    def student_comes_back(self, number: int, ago: int) -> None:
        student, day = number % STUDENTS, self.today - timedelta(days=ago)
        recorded = self.attempt(
            lambda: self.school.transfers_in(self.students[student], on=day), self.who(UUID(int=8), "secretary")
        )
        if recorded and student in self.left:
            self.left.discard(student)
            self.at_school[student] |= {one for one in DAYS if one >= day}
            self.check_memberships(student)

    # --- marks -------------------------------------------------------------------------------------------------------

    @rule(
        person=people,
        office=st.sampled_from(OFFICES),
        number=which,
        tried=tries,
        ago=ago,
        permit=which,
        imported=st.booleans(),
    )
    def mark_is_set(
        self,
        person: UUID,
        office: str,
        number: int,
        tried: tuple[int, str],
        ago: int,
        permit: int,
        *,
        imported: bool,
    ) -> None:
        day = self.today - timedelta(days=ago)
        self.try_mark(self.who(person, office, imported=imported), number % STUDENTS, tried, day, self.permit(permit))

    @precondition(lambda self: self.closed and self.permits)
    @rule(number=which, tried=fitting, days_in=st.integers(0, 40), permit=which)
    def mark_is_set_late(self, number: int, tried: tuple[int, str], days_in: int, permit: int) -> None:
        """Aims at closed days with permissions that may have expired."""
        begins = next((begins for period, begins, _ in QUARTERS if period in self.closed), YEAR_BEGINS)
        self.try_mark(
            self.who(UUID(int=1), "teacher"),
            number % STUDENTS,
            tried,
            begins + timedelta(days=days_in),
            self.permit(permit),
        )

    def try_mark(self, context: Context, student: int, tried: tuple[int, str], day: date, cited: UUID | None) -> None:
        work, value = self.works[tried[0]], tried[1]
        recorded = self.attempt(
            lambda: self.school.marks(self.students[student], value, on=day, work=work, permit=cited), context
        )
        if recorded:
            event = recorded[-1]
            assert isinstance(event, MarkRecorded)
            assert context.imported or event.flags == ()
            assert event.permit_id == cited
            self.entered(student, day, cited, event.flags)
            self.marks.append((student, event.event_id))

    @precondition(lambda self: self.marks)
    @rule(
        person=people,
        mark=which,
        of=st.none() | st.none() | which,
        any_value=values,
        reason=reasons,
        permit=which,
        fits=st.booleans(),
        void=st.booleans(),
    )
    def mark_is_changed(
        self,
        person: UUID,
        mark: int,
        of: int | None,
        any_value: str,
        reason: str,
        permit: int,
        *,
        fits: bool,
        void: bool,
    ) -> None:
        owner, mark_id = self.marks[mark % len(self.marks)]
        student, cited = owner if of is None else of % STUDENTS, self.permit(permit)
        lane = self.school.get(marks_lane(self.students[owner].subject_id, YEAR))
        assert lane is not None
        old = lane.state.marks[mark_id.bytes]
        before, day, dead = old.value, old.effective_on, old.voided
        where = self.students[student]
        value = {"five": "3", "pass-fail": "зачёт", "hundred": "64.25"}[old.scale] if fits else any_value
        recorded = self.attempt(
            (lambda: self.school.voids(where, mark_id, reason=reason, permit=cited))
            if void
            else (lambda: self.school.corrects(where, mark_id, value, reason=reason, permit=cited)),
            self.who(person, "teacher"),
        )
        if recorded:
            (event,) = recorded
            assert isinstance(event, MarkVoided if void else MarkCorrected)
            assert isinstance(event, MarkCorrected | MarkVoided)
            assert student == owner
            assert not dead
            assert event.reason.strip()
            assert event.old_value == before
            assert not self.is_closed(day) or self.valid(cited)
            if isinstance(event, MarkCorrected):
                assert event.value != before

    @rule(number=which, code=st.sampled_from(CODES), ago=ago, permit=which, submit=st.booleans())
    def attendance_is_noted_or_a_work_handed_in(
        self, number: int, code: str, ago: int, permit: int, *, submit: bool
    ) -> None:
        student, day, cited = number % STUDENTS, self.today - timedelta(days=ago), self.permit(permit)
        where = self.students[student]
        recorded = self.attempt(
            (lambda: self.school.submits(where, on=day))
            if submit
            else (lambda: self.school.notes(where, code, on=day, permit=cited)),
            self.who(UUID(int=1), "teacher"),
        )
        if recorded:
            assert isinstance(recorded[-1], WorkSubmitted if submit else AttendanceNoted)
            self.entered(student, day, None if submit else cited, ())

    @rule(number=which, period=which, value=values, scale=st.none() | st.sampled_from(SCALES), permit=which)
    def result_is_set_or_corrected(self, number: int, period: int, value: str, scale: str | None, permit: int) -> None:
        student, cited = number % STUDENTS, self.permit(permit)
        code = QUARTERS[period % len(QUARTERS)][0]
        where = self.students[student]
        lane = self.school.get(marks_lane(where.subject_id, YEAR))
        known = {name: result.value for name, result in lane.state.results.items()} if lane else {}
        key = next((name for name in known if f"|{code}|" in name), None)
        recorded = self.attempt(
            (lambda: self.school.sets_result(where, value, period=code, scale=scale, permit=cited))
            if key is None
            else (lambda: self.school.corrects_result(where, value, period=code, scale=scale, permit=cited)),
            self.who(UUID(int=1), "teacher"),
        )
        if recorded:
            event = recorded[-1]
            assert isinstance(event, PeriodMarkSet | PeriodMarkCorrected)
            assert event.value == "н/а" or on_scale(event.scale, event.value)
            assert YEAR not in self.closed or self.valid(cited)
            assert event.permit_id == cited
            if isinstance(event, PeriodMarkCorrected):
                assert key is not None
                assert event.old_value == known[key]
            else:
                assert event.effective_on in self.member[student, 0]

    # --- achievements, awards, credits -------------------------------------------------------------------------------

    @rule(number=which, ago=ago, evidence=st.sampled_from(("Диплом", " ")))
    def student_achieves(self, number: int, ago: int, evidence: str) -> None:
        student, day = number % STUDENTS, self.today - timedelta(days=ago)
        recorded = self.attempt(
            lambda: self.school.achieves(self.students[student], on=day, evidence=evidence),
            self.who(UUID(int=2), "class_teacher"),
        )
        if recorded:
            (event,) = recorded
            assert isinstance(event, AchievementRecorded)
            assert event.evidence
            assert day <= self.today
            assert day < YEAR_BEGINS or day in self.at_school[student]
            self.achievements.append((student, event.event_id))

    @rule(number=which, basis=st.lists(which, max_size=2))
    def student_is_rewarded(self, number: int, basis: list[int]) -> None:
        student = number % STUDENTS
        rests_on = [self.achievements[one % len(self.achievements)] for one in basis if self.achievements]
        recorded = self.attempt(
            lambda: self.school.rewards(self.students[student], *(event for _, event in rests_on), on=self.today),
            self.who(UUID(int=9), "deputy_head"),
        )
        own = bool(rests_on) and all(owner == student for owner, _ in rests_on)
        assert bool(recorded) == own
        assert not recorded or isinstance(recorded[0], AwardGranted)

    @rule(number=which, value=st.none() | values, will=st.booleans(), order=reasons, imported=st.booleans())
    def result_is_credited(self, number: int, value: str | None, order: str, *, will: bool, imported: bool) -> None:
        student = number % STUDENTS
        recorded = self.attempt(
            lambda: self.school.credits(
                self.students[student],
                value,
                will_of="student" if will else None,
                will_on=self.today if will else None,
                order=order,
                on=self.today,
            ),
            self.who(UUID(int=9), "deputy_head", imported=imported),
        )
        if recorded:
            (event,) = recorded
            assert isinstance(event, ResultCredited)
            assert ("no_will_recorded" in event.flags) == (not will)
            assert ("no_order_recorded" in event.flags) == (not order.strip())
            assert imported or event.flags == ()
            assert event.value is None or on_scale("five", event.value)

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def every_mark_stands_on_its_scale(self) -> None:
        for student in self.students:
            lane = self.school.get(marks_lane(student.subject_id, YEAR))
            for mark in lane.state.marks.values() if lane else ():
                assert on_scale(mark.scale, mark.value)

    def check_memberships(self, student: int) -> None:
        """Holds the rules to the naive book: on which days does the student belong where?"""
        lane = self.school.the(self.students[student])
        for group in (0, 1):
            inside = {day for day in DAYS if lane.in_group(self.groups[group].stream_id, day)}
            assert inside == self.member[student, group]

    def teardown(self) -> None:
        """Rebuilds everything from the events, and reads the values back out of them alone."""
        assert self.school.rebuild().states() == self.school.states()
        for student in self.students:
            self.check_story(student)

    def check_story(self, student: LaneRef[StudentRecord]) -> None:
        told: dict[UUID, list[str]] = {}
        void: set[UUID] = set()
        ref: LaneRef[StudentMarks] = marks_lane(student.subject_id, YEAR)
        for event in self.school.history(ref):
            if isinstance(event, MarkRecorded):
                told[event.event_id] = [event.value]
            elif isinstance(event, MarkCorrected):
                assert event.old_value == told[event.mark_id][-1]
                told[event.mark_id].append(event.value)
            elif isinstance(event, MarkVoided):
                assert event.old_value == told[event.mark_id][-1]
                void.add(event.mark_id)
        lane = self.school.get(ref)
        living: dict[bytes, Any] = lane.state.marks if lane else {}
        stands = {one.bytes: values[-1] for one, values in told.items()}
        assert {name: mark.value for name, mark in living.items()} == stands
        assert {name for name, mark in living.items() if mark.voided} == {one.bytes for one in void}


TestSchool = School.TestCase
TestSchool.settings = settings(
    max_examples=examples(200),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
