"""Requests: registered, due, extended once, answered; and the calendar that the days are counted by."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.aggregates.student import requests
from ledger.aggregates.student.requests import TERMS, RequestExtended, RequestRegistered
from ledger.aggregates.student.standing import INFORMATION
from ledger.aggregates.working_days import is_working, working_days_after
from ledger.projections.requests.projection import REQUESTS
from tests.support.examples import examples
from tests.support.people import (
    MOTHER,
    SEPTEMBER,
    STRANGER,
    answers,
    born,
    declares,
    ends,
    extends,
    names,
    requests_of,
    restricts,
)
from tests.support.school import a_school
from tests.support.views import body, facts_of, in_batches, replay, the
from tests.support.world import TODAY, a_context, refuses

if TYPE_CHECKING:
    from uuid import UUID

    from tests.support.school import AClass

NOTHING: dict[str, bool] = {}


def due_of(school: AClass, request: UUID) -> date:
    return school.the(requests.request_lane(school.student.subject_id, request)).state.due_on


# --- the calendar ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "working"),
    [
        (date(2025, 10, 15), True),
        (date(2025, 10, 18), False),
        (date(2025, 11, 1), True),  # a Saturday that is worked for the 3rd
        (date(2025, 11, 3), False),
        (date(2025, 11, 4), False),
        (date(2026, 1, 8), False),
        (date(2026, 1, 12), True),
        (date(2027, 5, 3), False),
    ],
)
def test_calendar_is_that_of_the_country_with_its_moved_days(day: date, *, working: bool) -> None:
    assert is_working(day, NOTHING) is working
    assert is_working(day, {day.isoformat(): not working}) is not working


@pytest.mark.parametrize(
    ("received", "kind", "due"),
    [
        (date(2025, 10, 15), "information", date(2025, 10, 29)),
        (date(2025, 10, 15), "correction", date(2025, 10, 24)),
        (date(2025, 10, 18), "copies", date(2025, 10, 31)),  # came on a Saturday
        (date(2025, 10, 24), "information", date(2025, 11, 10)),  # over 1 to 4 November
        (date(2025, 12, 29), "information", date(2026, 1, 22)),  # over the new year
    ],
)
def test_due_day_is_counted_from_the_day_after_receipt(received: date, kind: str, due: date) -> None:
    assert working_days_after(received, TERMS[kind], NOTHING) == due


days = st.dates(date(2020, 1, 1), date(2030, 12, 31))
declared = st.dictionaries(st.integers(1, 40).map(lambda ahead: timedelta(days=ahead)), st.booleans(), max_size=8)


@settings(max_examples=examples(200), deadline=None)
@given(days, st.integers(1, 15), declared)
def test_due_day_is_a_working_day_with_exactly_so_many_in_between(
    day: date, count: int, said: dict[timedelta, bool]
) -> None:
    own = {(day + ahead).isoformat(): working for ahead, working in said.items()}
    due = working_days_after(day, count, own)
    between = [day + timedelta(days=number) for number in range(1, (due - day).days + 1)]
    assert is_working(due, own)
    assert sum(is_working(one, own) for one in between) == count
    assert working_days_after(working_days_after(day, count, own), 5, own) == working_days_after(day, count + 5, own)
    assert working_days_after(day + timedelta(days=1), count, own) >= due


def test_school_declares_days_and_deadlines_told_before_stay() -> None:
    school = a_school()
    before = requests_of(school, school.student, MOTHER)
    declares(school, date(2025, 10, 16), working=False)
    declares(school, date(2025, 10, 18), working=True)
    declares(school, date(2025, 10, 17), working=False)
    after = requests_of(school, school.student, MOTHER)
    assert (due_of(school, before), due_of(school, after)) == (date(2025, 10, 29), date(2025, 10, 30))
    with refuses("day_is_so", "reason_missing"):
        declares(school, date(2025, 10, 18), working=True, reason=" ")
    declares(school, date(2025, 10, 18), working=False)
    assert school.rebuild().states() == school.states()


# --- registered ------------------------------------------------------------------------------------------------------


def test_everybody_is_registered_as_what_they_are_to_the_student() -> None:
    school = a_school()
    names(school, school.student, MOTHER)
    student = school.student.subject_id
    for by, claimed in ((student, False), (MOTHER, False), (STRANGER, True)):
        requests_of(school, school.student, by, claimed=claimed)
    found = [event.by_kind for _, event in school.events if isinstance(event, RequestRegistered)]
    assert found == ["student", "representative", "other"]


def test_request_without_sense_is_told_everything_at_once() -> None:
    school = a_school()
    count = len(school.events)
    with refuses("kind_unknown", "form_unknown", "text_missing", "in_future"):
        requests_of(
            school, school.student, MOTHER, kind="secrets", form="loud", text=" ", received_on=TODAY + timedelta(days=1)
        )
    assert len(school.events) == count


# --- extended --------------------------------------------------------------------------------------------------------


def test_term_is_extended_once_by_five_working_days_and_keeps_the_old_day() -> None:
    school = a_school()
    request = requests_of(school, school.student, MOTHER)
    extends(school, school.student, request)
    assert due_of(school, request) == date(2025, 11, 6)
    last = school.events[-1][1]
    assert isinstance(last, RequestExtended)
    assert (last.old_due_on, last.due_on) == (date(2025, 10, 29), date(2025, 11, 6))
    with refuses("extended_already", "reason_missing"):
        extends(school, school.student, request, reason="")


def test_term_that_is_over_and_that_of_a_correction_are_not_extended() -> None:
    school = a_school()
    late = requests_of(school, school.student, MOTHER, received_on=SEPTEMBER)
    correction = requests_of(school, school.student, MOTHER, kind="correction")
    with refuses("term_over"):
        extends(school, school.student, late)
    with refuses("not_extendable"):
        extends(school, school.student, correction)


# --- answered --------------------------------------------------------------------------------------------------------


def test_request_is_answered_once_and_a_refusal_names_the_law() -> None:
    school = a_school()
    names(school, school.student, MOTHER)
    request = requests_of(school, school.student, MOTHER)
    with refuses("answer_unknown", "text_missing"):
        answers(school, school.student, request, "shrug", text=" ")
    with refuses("answer_unfit"):
        answers(school, school.student, request, "corrected")
    with refuses("basis_missing"):
        answers(school, school.student, request, "refusal")
    with refuses("before_receipt"):
        answers(school, school.student, request, effective_on=TODAY - timedelta(days=1))
    with refuses("in_future"):
        answers(school, school.student, request, effective_on=TODAY + timedelta(days=1))
    answers(school, school.student, request)
    with refuses("answered_already"):
        answers(school, school.student, request)
    with refuses("answered_already"):
        extends(school, school.student, request)


@pytest.mark.parametrize("how", ["letter", "copy", "shown"])
def test_who_does_not_represent_the_student_is_told_nothing_but_no(how: str) -> None:
    school = a_school()
    mother = names(school, school.student, MOTHER)
    of_stranger = requests_of(school, school.student, STRANGER, claimed=True)
    with refuses("no_standing"):
        answers(school, school.student, of_stranger, how)
    answers(school, school.student, of_stranger, "refusal", legal_basis="152-ФЗ, ст. 7")
    before = requests_of(school, school.student, MOTHER)
    restricts(school, school.student, mother, INFORMATION)
    with refuses("no_standing"):
        answers(school, school.student, before, how)


def test_answer_to_who_stopped_representing_meanwhile_is_a_refusal() -> None:
    school = a_school()
    mother = names(school, school.student, MOTHER)
    request = requests_of(school, school.student, MOTHER)
    ends(school, school.student, mother)
    with refuses("no_standing"):
        answers(school, school.student, request)
    born(school, school.student)
    school.context = replace(a_context(), today=date(2030, 5, 1))
    own = requests_of(school, school.student, school.student.subject_id)
    answers(school, school.student, own)


def test_claim_that_was_vouched_for_when_it_came_is_answered() -> None:
    school = a_school()
    request = requests_of(school, school.student, MOTHER, claimed=True)
    answers(school, school.student, request)


def test_request_of_another_student_is_none_by_this_id() -> None:
    school = a_school()
    other = school.joined()
    request = requests_of(school, school.student, MOTHER)
    assert school.get(requests.request_lane(other.subject_id, request)) is None


# --- the view --------------------------------------------------------------------------------------------------------


def test_view_has_a_row_a_request_with_its_days_in_clear_and_its_words_sealed() -> None:
    school = a_school()
    names(school, school.student, MOTHER)
    first = requests_of(school, school.student, MOTHER, kind="copies", text="Копии грамот")
    second = requests_of(school, school.student, MOTHER, received_on=SEPTEMBER)
    extends(school, school.student, first)
    answers(school, school.student, first, "copy", text="Выданы")
    rows = replay(REQUESTS, facts_of(school))
    student = school.student.subject_id
    assert the(rows, "requests", student, first).clear == (TODAY, date(2025, 11, 6), TODAY)
    assert the(rows, "requests", student, second).clear == (SEPTEMBER, date(2025, 9, 15), None)
    told = body(rows, "requests", student, first)
    assert (told.text, told.extension, told.how, told.answer) == (
        "Копии грамот",
        "Документы в архиве",
        "copy",
        "Выданы",
    )
    assert {row.record_class for row in rows.values()} == {"requests"}
    assert in_batches(REQUESTS, facts_of(school), [3, 1, 1, 2]) == rows
