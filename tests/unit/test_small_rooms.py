"""Errors, ids, the school's calendar and the receipt of a disclosure: small, and everything stands on them."""

from __future__ import annotations

import inspect
import pickle
from contextvars import Context, copy_context
from copy import copy, deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger import errors
from ledger.application.disclose.minting import KEPT, is_of_this_request, mint
from ledger.clock import school_calendar, utc_now
from ledger.errors import InvalidInput, LedgerError, Refused, SettingsError, Violation, trace
from ledger.ids import check_code, lane_id, new_id
from ledger.receipt import LIFETIME, Disclosure
from ledger.store.commands import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable

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


def test_nobody_makes_a_receipt() -> None:
    with pytest.raises(TypeError, match="gate mints"):
        Disclosure()
    with pytest.raises(TypeError, match="one kind"):
        type("Mine", (Disclosure,), {})
    assert timedelta(minutes=1) == LIFETIME


def test_receipt_is_not_changed_copied_or_stored() -> None:
    recorded = Recorded(5, 2, NOW, ())
    receipt = mint(UUID(int=1), UUID(int=2), [UUID(int=11)], ["marks"], recorded)
    assert (receipt.first, receipt.position, receipt.students) == (5, 6, frozenset({UUID(int=11)}))
    changes: tuple[Callable[[], None], ...] = (
        lambda: setattr(receipt, "students", frozenset()),
        lambda: setattr(receipt, "more", 1),
        lambda: delattr(receipt, "students"),
    )
    for change in changes:
        with pytest.raises(AttributeError, match="never changed"):
            change()
    stores: tuple[Callable[[object], object], ...] = (copy, deepcopy, pickle.dumps)
    for store in stores:
        with pytest.raises(TypeError, match="never copied"):
            store(receipt)


def test_receipt_is_good_in_the_request_for_which_it_was_minted() -> None:
    recorded = Recorded(5, 2, NOW, ())
    mine = mint(UUID(int=1), UUID(int=2), [], [], recorded)
    theirs = copy_context().run(lambda: mint(UUID(int=3), UUID(int=4), [], [], recorded))
    assert is_of_this_request(mine)
    assert not is_of_this_request(theirs)
    assert not Context().run(is_of_this_request, mine)
    for _ in range(KEPT):
        mint(UUID(int=1), UUID(int=2), [], [], recorded)
    assert not is_of_this_request(mine)


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
