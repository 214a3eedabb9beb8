"""Errors, ids, the school's calendar and the receipt of a disclosure: small, and everything stands on them."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from ledger import errors
from ledger.clock import school_calendar, utc_now
from ledger.errors import InvalidInput, LedgerError, Refused, SettingsError, UndisclosedAccess, Violation, trace
from ledger.ids import check_code, lane_id, new_id
from ledger.receipt import LIFETIME, Disclosure

NOW = datetime(2025, 10, 15, 9, 30, tzinfo=UTC)

# --- errors ----------------------------------------------------------------------------------------------------------


def every_error() -> list[type[LedgerError]]:
    return [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, LedgerError)]


def test_every_error_has_a_stable_code_of_its_own() -> None:
    codes = [error.code for error in every_error()]
    assert len(set(codes)) == len(codes)
    for code in codes:
        assert code.replace("-", "").isalpha()
        assert code.islower()


def test_error_says_what_happened_and_what_to_do() -> None:
    assert str(InvalidInput("It is broken.", help="Mend it.")) == "It is broken. Mend it."
    assert str(InvalidInput("It is broken.")) == "It is broken."


def test_refusal_carries_every_violation() -> None:
    violations = [Violation("one", "First.", "a"), Violation("two", "Second.")]
    refused = Refused(violations)
    assert refused.violations == tuple(violations)
    assert str(refused) == "First. (and 1 more) Nothing was recorded; mend what is named and send it again."
    assert Refused(violations[:1]).detail == "First."


# --- ids -------------------------------------------------------------------------------------------------------------


def test_new_ids_are_version_7_and_differ() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {(type(one), one.version) for one in ids} == {(UUID, 7)}


def test_lane_follows_from_the_student_and_its_name() -> None:
    student = UUID(int=1)
    assert lane_id(student, "marks/2025-2026") == UUID("7ee95811-0ca4-5d2d-a8a2-0757c8bffa41")
    assert lane_id(student, "marks/2025-2026") != lane_id(student, "marks/2026-2027")
    assert lane_id(student, "disclosures") != lane_id(UUID(int=2), "disclosures")


@pytest.mark.parametrize("code", ["5", "2025-2026", "2025-2026/1", "five", "a.b_c", "A" * 40])
def test_usable_code_is_returned(code: str) -> None:
    assert check_code(code, "year") == code


@pytest.mark.parametrize("code", ["", "-a", "/a", "a b", "a\n", "\na", "оценка", "a" * 41, "a|b", "a;b", "a\x00"])
def test_unusable_code_is_refused(code: str) -> None:
    with pytest.raises(InvalidInput, match="code of the year"):
        check_code(code, "year")


# --- the calendar ----------------------------------------------------------------------------------------------------


def test_school_day_is_that_of_its_own_zone() -> None:
    assert utc_now().tzinfo is UTC
    west, east = school_calendar("Etc/GMT+12")(), school_calendar("Etc/GMT-14")()
    assert east - west in {timedelta(days=1), timedelta(days=2)}  # 26 hours apart: never the same day
    assert isinstance(school_calendar("Europe/Moscow")(), date)


@pytest.mark.parametrize("zone", ["", "Europe/Canary", "Europe", "../canary", "canary\x00", "x" * 400])
def test_unknown_time_zone_is_refused_without_repeating_it(zone: str) -> None:
    with pytest.raises(SettingsError, match="LEDGER_TIMEZONE") as caught:
        school_calendar(zone)
    assert "anary" not in str(caught.value)


# --- the receipt -----------------------------------------------------------------------------------------------------

STUDENT, OTHER = UUID(int=11), UUID(int=12)
RECEIPT = Disclosure(
    access_id=UUID(int=1),
    actor=UUID(int=2),
    students=frozenset({STUDENT}),
    categories=frozenset({"marks", "awards"}),
    position=7,
    committed_at=NOW,
)


def test_receipt_opens_what_it_names() -> None:
    RECEIPT.check([(STUDENT, "marks"), (STUDENT, "awards")], NOW)
    RECEIPT.check([], NOW)


@pytest.mark.parametrize("row", [(OTHER, "marks"), (STUDENT, "credits"), (OTHER, "credits")])
def test_receipt_opens_nothing_that_it_does_not_name(row: tuple[UUID, str]) -> None:
    with pytest.raises(UndisclosedAccess, match="does not cover"):
        RECEIPT.check([(STUDENT, "marks"), row], NOW)


def test_receipt_lives_for_a_minute() -> None:
    RECEIPT.check([(STUDENT, "marks")], NOW + LIFETIME)
    with pytest.raises(UndisclosedAccess, match="too old"):
        RECEIPT.check([(STUDENT, "marks")], NOW + LIFETIME + timedelta(microseconds=1))
    assert timedelta(minutes=1) == LIFETIME


def test_trace_of_an_error_names_its_kind_and_place_and_quotes_no_value() -> None:
    def choke() -> None:
        try:
            int("Канареева")
        except ValueError as error:
            raise KeyError("Канареева") from error

    with pytest.raises(KeyError) as caught:
        choke()
    text = trace(caught.value)
    assert "builtins.KeyError" in text
    assert "builtins.ValueError" in text
    assert "in choke" in text
    assert "Канареева" not in text.replace('int("Канареева")', "").replace('KeyError("Канареева")', "")
