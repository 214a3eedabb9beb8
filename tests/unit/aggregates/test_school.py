"""The school: years and periods, scales as versioned data, local acts, closing, permissions."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest

from ledger.aggregates import school as decisions
from ledger.errors import InvalidInput
from ledger.ids import new_id
from tests.support.school import YEAR, YEAR_BEGINS, YEAR_ENDS, AClass, ASchool, a_school
from tests.support.world import TODAY, a_context, refuses

if TYPE_CHECKING:
    from ledger.aggregates.school import LocalActAdopted, MarkScaleDefined


def define_scale(
    school: ASchool,
    *,
    scale: str = "letters",
    symbols: tuple[str, ...] = (),
    minimum: Decimal | None = None,
    maximum: Decimal | None = None,
    passing: tuple[str, ...] = (),
) -> MarkScaleDefined:
    proposals = decisions.define_scale(
        school.ref,
        school.lane,
        scale=scale,
        title="Своя",
        symbols=symbols,
        minimum=minimum,
        maximum=maximum,
        passing=passing,
        context=school.context,
    )
    return cast("MarkScaleDefined", school.record(proposals)[0])


def adopt(
    school: ASchool,
    *,
    act: str = "assessment",
    consulted: tuple[str, ...] = ("Совет родителей",),
    approved_by: str = "Приказ 1",
    in_force_from: date = YEAR_BEGINS,
    window: int | None = None,
) -> LocalActAdopted:
    proposals = decisions.adopt_local_act(
        school.ref,
        school.lane,
        act=act,
        title="Положение",
        consulted=consulted,
        approved_by=approved_by,
        in_force_from=in_force_from,
        correction_window_days=window,
        context=school.context,
    )
    return cast("LocalActAdopted", school.record(proposals)[0])


# --- founding, years, periods ----------------------------------------------------------------------------------------


def test_school_is_founded_with_three_scales() -> None:
    school = ASchool()
    assert school.topics(school.ref) == ["school.founded"] + ["school.scale_defined"] * 3
    assert set(school.lane.state.scales) == {"five", "pass-fail", "hundred"}
    five = school.lane.scale("five")
    assert five is not None
    assert (five.version, five.symbols, five.passing) == (1, ("5", "4", "3", "2", "1"), ("5", "4", "3"))


def test_ledger_has_one_school_with_a_name() -> None:
    school = ASchool()
    with refuses("school_exists", "name_missing"):
        decisions.found_school(school.ref, school.lane, " ", school.context)


def test_year_is_opened_once_and_ends_after_it_begins() -> None:
    school = ASchool()
    school.opens_year()
    with refuses("year_exists"):
        school.opens_year()
    with refuses("dates_reversed"):
        school.opens_year("2026", YEAR_BEGINS, YEAR_BEGINS)


@pytest.mark.parametrize("code", ["", " ", "-1", "2025 2026", "год", "2025\n", "a" * 41, "a|b"])
def test_unusable_code_is_invalid_input_and_not_repeated(code: str) -> None:
    school = a_school()
    attempts = (
        lambda: school.opens_year(code),
        lambda: school.defines_period(code, YEAR_BEGINS, YEAR_ENDS),
        lambda: define_scale(school, scale=code, symbols=("A",)),
        lambda: adopt(school, act=code),
    )
    for attempt in attempts:
        with pytest.raises(InvalidInput) as caught:
            attempt()
        assert not code.strip() or code not in caught.value.detail


@pytest.mark.parametrize("kind", decisions.PERIOD_KINDS)
def test_period_of_every_kind_lies_within_its_year(kind: str) -> None:
    school = a_school()
    school.defines_period(kind, YEAR_BEGINS, YEAR_ENDS, kind=kind)
    day = timedelta(days=1)
    for begins, ends in (
        (YEAR_BEGINS - day, YEAR_ENDS),
        (YEAR_BEGINS, YEAR_ENDS + day),
        (YEAR_BEGINS + day, YEAR_BEGINS),
    ):
        with refuses("dates_outside"):
            school.defines_period(f"{kind}-2", begins, ends, kind=kind)


def test_period_needs_a_known_kind_a_new_code_and_an_open_year() -> None:
    school = a_school()
    with refuses("kind_unknown", "period_exists", "year_unknown"):
        school.defines_period("2025-2026/1", YEAR_BEGINS, YEAR_ENDS, kind="x", year="1999")
    school.closes_year()
    with refuses("year_closed"):
        school.defines_period("2025-2026/5", YEAR_BEGINS, YEAR_ENDS)


# --- closing ---------------------------------------------------------------------------------------------------------


def test_period_is_closed_once() -> None:
    school = a_school()
    school.closes_period("2025-2026/1")
    assert school.lane.state.periods["2025-2026/1"].closed_on == TODAY
    with refuses("period_closed"):
        school.closes_period("2025-2026/1")
    with refuses("period_unknown"):
        school.closes_period("2025-2026/9")


def test_year_is_closed_once() -> None:
    school = a_school()
    school.closes_year()
    assert school.lane.state.years[YEAR].closed_on == TODAY
    with refuses("year_closed"):
        school.closes_year()
    with refuses("year_unknown"):
        school.closes_year("1999")


def test_closed_for_says_what_is_closed() -> None:
    school = a_school()
    school.closes_period("2025-2026/1")
    assert school.lane.closed_for(YEAR, YEAR_BEGINS) == "period 2025-2026/1"
    assert school.lane.closed_for(YEAR, date(2025, 10, 27)) is None
    assert school.lane.closed_for("1999", YEAR_BEGINS) is None
    school.closes_year()
    assert school.lane.closed_for(YEAR, date(2025, 10, 27)) == f"year {YEAR}"


# --- permissions -----------------------------------------------------------------------------------------------------


def test_permission_needs_year_reason_and_a_day_to_come() -> None:
    school = a_school()
    with refuses("year_unknown", "reason_missing", "until_past"):
        school.permits(year="1999", reason=" ", until=TODAY - timedelta(days=1))


def test_permission_covers_its_year_course_and_days() -> None:
    school = a_school()
    course, other = new_id(), new_id()
    permit = school.permits(course_id=course, until=TODAY)
    everything = school.permits(until=TODAY)
    lane = school.lane
    assert lane.permits(permit, YEAR, course, TODAY)
    assert lane.permits(everything, YEAR, other, TODAY)
    assert not lane.permits(permit, YEAR, other, TODAY)
    assert not lane.permits(permit, "2024-2025", course, TODAY)
    assert not lane.permits(permit, YEAR, course, TODAY + timedelta(days=1))
    assert not lane.permits(new_id(), YEAR, course, TODAY)
    assert not lane.permits(None, YEAR, course, TODAY)


# --- scales ----------------------------------------------------------------------------------------------------------


def test_scale_is_defined_in_versions_and_the_newest_counts() -> None:
    school = ASchool()
    assert define_scale(school, symbols=("A", "B"), passing=("A",)).version == 1
    assert define_scale(school, minimum=Decimal(0), maximum=Decimal(12)).version == 2
    newest = school.lane.scale("letters")
    assert newest is not None
    assert (newest.version, newest.symbols, newest.maximum) == (2, (), Decimal(12))
    assert [scale.version for scale in school.lane.state.scales["letters"]] == [1, 2]
    assert school.lane.scale("stars") is None


@pytest.mark.parametrize(
    ("symbols", "minimum", "maximum"),
    [
        ((), None, None),
        ((), Decimal(0), None),
        ((), None, Decimal(1)),
        ((), Decimal(1), Decimal(1)),
        ((), Decimal(2), Decimal(1)),
        ((), Decimal("NaN"), Decimal(1)),
        ((), Decimal(0), Decimal("NaN")),
        ((), Decimal(0), Decimal("Infinity")),
        (("A",), Decimal(0), Decimal(1)),
        (("A",), Decimal(0), None),
        (("A",), None, Decimal(1)),
    ],
)
def test_scale_that_is_neither_symbols_nor_a_range_is_refused(
    symbols: tuple[str, ...], minimum: Decimal | None, maximum: Decimal | None
) -> None:
    with refuses("scale_shape"):
        define_scale(ASchool(), symbols=symbols, minimum=minimum, maximum=maximum)


@pytest.mark.parametrize("symbols", [("A", "A"), ("A", ""), ("A", " "), ("A", " B")])
def test_symbols_that_nobody_can_tell_apart_or_enter_are_refused(symbols: tuple[str, ...]) -> None:
    with refuses("scale_symbols"):
        define_scale(ASchool(), symbols=symbols)


def test_passing_symbol_that_is_none_of_the_scale_is_refused() -> None:
    with refuses("scale_passing"):
        define_scale(ASchool(), symbols=("A", "B"), passing=("A", "C"))


# --- local acts ------------------------------------------------------------------------------------------------------


def test_local_act_names_who_was_heard_and_who_approved() -> None:
    school = ASchool()
    event = adopt(school, consulted=("Совет родителей", "Совет учащихся"), approved_by=" Приказ 1 ")
    assert (event.version, event.consulted, event.approved_by) == (1, ("Совет родителей", "Совет учащихся"), "Приказ 1")
    assert adopt(school).version == 2
    assert adopt(school, act="transfers").version == 1


@pytest.mark.parametrize("consulted", [(), ("",), ("Совет родителей", " ")])
def test_local_act_without_hearing_anybody_is_refused(consulted: tuple[str, ...]) -> None:
    with refuses("not_consulted"):
        adopt(ASchool(), consulted=consulted)


def test_local_act_without_approval_or_with_a_negative_window_is_refused() -> None:
    with refuses("not_approved", "window_negative"):
        adopt(ASchool(), approved_by=" ", window=-1)


def test_local_act_in_force_is_the_newest_that_has_begun() -> None:
    school = ASchool()
    adopt(school, in_force_from=date(2025, 9, 1), window=10)
    adopt(school, in_force_from=date(2025, 11, 1), window=20)
    adopt(school, in_force_from=date(2025, 11, 1), window=30)
    windows = {
        day: act.correction_window_days if (act := school.lane.act_in_force("assessment", day)) else "none"
        for day in (date(2025, 8, 31), date(2025, 9, 1), date(2025, 10, 31), date(2025, 11, 1))
    }
    assert list(windows.values()) == ["none", 10, 10, 30]
    assert school.lane.act_in_force("transfers", date(2025, 11, 1)) is None


def test_rebuilt_school_is_the_living_school() -> None:
    school: AClass = a_school()
    school.adopts_window(3)
    school.permits()
    define_scale(school, symbols=("A",))
    school.closes_period("2025-2026/1")
    school.context = a_context(YEAR_ENDS)
    school.closes_year()
    assert school.rebuild().states() == school.states()
