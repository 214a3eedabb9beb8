"""The file plan: every term of the two regulations, and a visible gap where they give none."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.aggregates.file_plan import (
    CARRIERS,
    CARRIERS_OF,
    Clock,
    Due,
    Term,
    TermKind,
    due,
    year_end,
    years_after,
)
from ledger.streams.record_classes import STUDENT_CLASSES, RecordClass

LAST = date(2026, 5, 25)
COMPLETED = date(2026, 6, 20)


def due_of(
    record_class: RecordClass,
    *,
    last_on: date = LAST,
    completed_on: date | None = None,
    released_on: date | None = None,
    ended_on: date | None = None,
) -> Due:
    return due(record_class, last_on=last_on, completed_on=completed_on, released_on=released_on, ended_on=ended_on)


# --- the terms of the regulations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "years", "kind", "clock", "source"),
    [
        ("certificate_book", 50, TermKind.AT_LEAST, Clock.YEAR_END, "S1-6.1"),
        ("summary_sheets", 75, TermKind.AT_LEAST, Clock.YEAR_END, "S1-6.3"),
        ("personal_file", 5, TermKind.EXACT, Clock.COMPLETION, "S1-6.4"),
        ("consents", 3, TermKind.AT_LEAST, Clock.ENDED, "Rosarchiv 236 of 20.12.2019, 441"),
        (
            "requests",
            5,
            TermKind.AT_LEAST,
            Clock.CALENDAR_YEAR_END,
            "Rosarchiv 236 of 20.12.2019, 154 (to be confirmed)",
        ),
        ("control_works", 0, TermKind.AT_LEAST, Clock.YEAR_END, "S1-4.5.2"),
    ],
)
def test_carrier_has_the_term_of_its_paragraph(
    carrier: str, years: int, kind: TermKind, clock: Clock, source: str
) -> None:
    assert CARRIERS[carrier].term == Term(years, kind, clock, source)


@pytest.mark.parametrize(
    "carrier",
    [
        "class_journal",
        "extracurricular_journal",
        "supplementary_journal",
        "diary",
        "portfolio",
        "award_orders",
        "disclosure_register",
    ],
)
def test_carrier_without_a_term_in_the_regulations_has_none_here(carrier: str) -> None:
    assert CARRIERS[carrier].term is None


def test_every_carrier_is_judged_above_and_named_in_two_languages() -> None:
    assert len(CARRIERS) == 6 + 7
    for code, carrier in CARRIERS.items():
        assert code == carrier.code
        assert carrier.title_ru
        assert carrier.title_en
        assert not carrier.title_ru.isascii()


def test_every_class_of_a_student_has_carriers_that_exist() -> None:
    assert set(CARRIERS_OF) == set(STUDENT_CLASSES)
    for carriers in CARRIERS_OF.values():
        assert carriers
        assert set(carriers) <= set(CARRIERS)
    assert {code for carriers in CARRIERS_OF.values() for code in carriers} == set(CARRIERS)


# --- no term set -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record_class", [RecordClass.MARKS, RecordClass.ACHIEVEMENTS, RecordClass.AWARDS, RecordClass.DISCLOSURES]
)
def test_class_with_a_carrier_without_term_is_never_eligible(record_class: RecordClass) -> None:
    for completed_on in (None, COMPLETED):
        found = due_of(record_class, completed_on=completed_on)
        assert (found.status, found.due_on, found.destroy_by) == ("no_term", None, None)
        assert not found.eligible(date.max)
        assert found.carriers == CARRIERS_OF[record_class]


# --- final results ---------------------------------------------------------------------------------------------------


def test_final_results_are_due_with_their_last_carrier_75_years_after_the_year_end() -> None:
    found = due_of(RecordClass.FINAL_RESULTS)
    assert found.status == "running"
    assert found.due_on == date(2101, 8, 31)
    assert found.carriers == ("summary_sheets", "certificate_book")
    assert found.sources == ("S1-6.3", "S1-6.1")


def test_minimum_makes_a_record_eligible_after_its_last_day_and_never_says_when_it_must_go() -> None:
    found = due_of(RecordClass.FINAL_RESULTS)
    assert found.destroy_by is None
    assert not found.eligible(LAST)
    assert not found.eligible(date(2076, 9, 1))  # the certificate book's 50 years are over, the sheets' are not
    assert not found.eligible(date(2101, 8, 31))
    assert found.eligible(date(2101, 9, 1))


def test_completion_does_not_move_the_clock_of_the_year_end() -> None:
    assert due_of(RecordClass.FINAL_RESULTS, completed_on=date(2030, 6, 20)) == due_of(RecordClass.FINAL_RESULTS)


# --- the personal file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record_class", [RecordClass.PERSONAL_FILE, RecordClass.CREDITS, RecordClass.REPRESENTATION])
def test_personal_file_is_kept_exactly_five_years_after_completion(record_class: RecordClass) -> None:
    found = due_of(record_class, completed_on=COMPLETED)
    assert found == Due("running", date(2031, 6, 20), date(2031, 6, 20), ("personal_file",), ("S1-6.4",))
    assert not found.eligible(date(2031, 6, 20))
    assert found.eligible(date(2031, 6, 21))


def test_personal_file_of_who_left_without_completing_waits_for_ever() -> None:
    found = due_of(RecordClass.PERSONAL_FILE)
    assert (found.status, found.due_on, found.destroy_by) == ("waiting", None, None)
    assert not found.eligible(date.max)


def test_personal_file_completed_on_29_february_is_due_on_the_28th() -> None:
    found = due_of(RecordClass.PERSONAL_FILE, completed_on=date(2028, 2, 29))
    assert found.due_on == found.destroy_by == date(2033, 2, 28)


# --- consents and requests -------------------------------------------------------------------------------------------


def test_consents_are_kept_three_years_after_the_last_one_ended_and_wait_while_one_has_no_end() -> None:
    assert due_of(RecordClass.CONSENTS).status == "waiting"
    found = due_of(RecordClass.CONSENTS, ended_on=date(2026, 2, 1))
    assert (found.status, found.due_on, found.destroy_by) == ("running", date(2029, 2, 1), None)


def test_requests_are_kept_five_years_after_the_calendar_year_of_the_last() -> None:
    found = due_of(RecordClass.REQUESTS, last_on=date(2026, 1, 1))
    assert (found.due_on, found.destroy_by) == (date(2031, 12, 31), None)


# --- released --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record_class", "source"), [(RecordClass.PERSONAL_FILE, "S1-4.5.4"), (RecordClass.ACHIEVEMENTS, "S1-4.5.1")]
)
def test_what_was_handed_to_the_parents_is_released_and_never_eligible(record_class: RecordClass, source: str) -> None:
    found = due_of(record_class, completed_on=COMPLETED, released_on=date(2026, 7, 1))
    assert found == Due("released", None, None, CARRIERS_OF[record_class], (source,))
    assert not found.eligible(date.max)


# --- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "end"),
    [
        (date(2025, 8, 30), date(2025, 8, 31)),
        (date(2025, 8, 31), date(2025, 8, 31)),
        (date(2025, 9, 1), date(2026, 8, 31)),
        (date(2025, 12, 31), date(2026, 8, 31)),
        (date(2026, 1, 1), date(2026, 8, 31)),
    ],
)
def test_school_year_ends_on_31_august(day: date, end: date) -> None:
    assert year_end(day) == end


def test_last_record_on_1_september_keeps_the_class_a_year_longer() -> None:
    before = due_of(RecordClass.FINAL_RESULTS, last_on=date(2026, 8, 31))
    after = due_of(RecordClass.FINAL_RESULTS, last_on=date(2026, 9, 1))
    assert (before.due_on, after.due_on) == (date(2101, 8, 31), date(2102, 8, 31))


@pytest.mark.parametrize(
    ("start", "years", "end"),
    [
        (date(2028, 2, 29), 4, date(2032, 2, 29)),
        (date(2028, 2, 29), 1, date(2029, 2, 28)),
        (date(2028, 2, 29), 72, date(2100, 2, 28)),
        (date(2028, 2, 28), 1, date(2029, 2, 28)),
        (date(2028, 3, 1), 1, date(2029, 3, 1)),
        (date(2028, 2, 29), 0, date(2028, 2, 29)),
    ],
)
def test_same_day_years_later(start: date, years: int, end: date) -> None:
    assert years_after(start, years) == end


@given(st.dates(date(1950, 1, 1), date(2150, 12, 31)), st.integers(0, 80))
def test_term_is_never_shorter_than_its_years_less_a_day(start: date, years: int) -> None:
    end = years_after(start, years)
    assert end.year == start.year + years
    assert (end.month, end.day) == (start.month, start.day) or (start.month, start.day) == (2, 29)


@given(st.dates(date(1950, 1, 1), date(2150, 12, 31)))
def test_year_end_is_the_next_31_august(day: date) -> None:
    end = year_end(day)
    assert (end.month, end.day) == (8, 31)
    assert timedelta(0) <= end - day < timedelta(days=366)


@pytest.mark.parametrize("record_class", STUDENT_CLASSES)
@pytest.mark.parametrize("day", [date(9999, 12, 31), date(9998, 2, 28)])
def test_day_at_the_end_of_the_calendar_is_due_then_and_breaks_nothing(record_class: RecordClass, day: date) -> None:
    found = due_of(record_class, last_on=day, completed_on=day)
    assert found.due_on in (None, date.max)
    assert not found.eligible(date(9999, 12, 30))
