"""Mark scales: what is a mark, what is none, and how a mark is written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.aggregates.scales import DEFAULT_SCALES, Scale
from tests.support.school import AClass
from tests.support.world import refuses

SCALES = {
    code: Scale(code, 1, title, symbols, minimum, maximum, passing)
    for code, title, symbols, minimum, maximum, passing in DEFAULT_SCALES
}
HUNDRED = SCALES["hundred"]


@pytest.mark.parametrize("value", ["5", "4", "3", "2", "1", " 5", "5\n"])
def test_five_point_scale_takes_its_symbols(value: str) -> None:
    assert SCALES["five"].read(value) == value.strip()


@pytest.mark.parametrize("value", ["", "0", "6", "5.0", "5+", "4/5", "зачёт", "н", "н/а", "NaN", "٥"])
def test_five_point_scale_takes_nothing_else(value: str) -> None:
    assert SCALES["five"].read(value) is None


def test_pass_or_fail_takes_two_words() -> None:
    scale = SCALES["pass-fail"]
    assert scale.read("зачёт") == "зачёт"
    assert scale.read("незачёт") == "незачёт"
    for value in ("зачет", "Зачёт", "pass", "5", "н/а"):
        assert scale.read(value) is None


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.00", "0"),
        ("78", "78"),
        ("78.0", "78"),
        ("78.50", "78.5"),
        ("78.55", "78.55"),
        ("78.5500000", "78.55"),
        ("+5", "5"),
        ("007", "7"),
        ("100", "100"),
        ("100.00", "100"),
        (" 42 ", "42"),
    ],
)
def test_number_is_stored_without_trailing_zeros(value: str, mark: str) -> None:
    assert HUNDRED.read(value) == mark


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "101",
        "100.01",
        "-1",
        "-0.01",
        "78.555",
        "78,5",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1e2",
        "1E1",
        "1_0",
        "٧٨",
        "0x10",
        "5.",
        ".5",
        "5 0",
        "н/а",
        "зачёт",
        "99.999999999999",
        "1e-99999999999999999999",
    ],
)
def test_what_is_no_number_on_the_scale_is_no_mark(value: str) -> None:
    assert HUNDRED.read(value) is None


@pytest.mark.parametrize("value", ["99.99999999999999999999999999999999", "50.0000000000000000000000000000000000001"])
def test_number_is_never_rounded_to_a_mark_that_nobody_set(value: str) -> None:
    assert HUNDRED.read(value) is None


def test_scale_may_reach_below_zero() -> None:
    scale = Scale("signed", 1, "", (), Decimal(-10), Decimal(10))
    assert scale.read("-2.50") == "-2.5"
    assert scale.read("-10.01") is None


def test_scale_without_symbols_and_range_takes_nothing() -> None:
    assert Scale("empty", 1, "").read("5") is None


def test_scale_describes_itself() -> None:
    assert SCALES["five"].describe() == "one of 5, 4, 3, 2, 1"
    assert HUNDRED.describe() == "a number from 0 to 100"


@given(st.text(max_size=12) | st.decimals(allow_nan=True).map(str))
def test_what_is_read_reads_as_itself(value: str) -> None:
    for scale in SCALES.values():
        mark = scale.read(value)
        if mark is not None:
            assert scale.read(mark) == mark


@given(st.integers(0, 10_000))
def test_every_hundredth_of_the_scale_is_a_mark_of_the_same_worth(hundredths: int) -> None:
    number = Decimal(hundredths) / 100
    mark = HUNDRED.read(f"{number:.2f}")
    assert mark is not None
    assert Decimal(mark) == number


@pytest.mark.parametrize(("scale", "value"), [("five", "6"), ("pass-fail", "5"), ("hundred", "101"), ("five", "н/а")])
def test_mark_off_the_scale_of_its_work_is_refused(scale: str, value: str) -> None:
    school = AClass()
    work = school.adds_work(school.course, scale=scale)
    with refuses("off_scale"):
        school.marks(school.student, value, work=work)
