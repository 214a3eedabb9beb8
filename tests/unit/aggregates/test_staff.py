"""The register of the school's people: who holds which office on which day, and whose which login is."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.aggregates import staff
from ledger.aggregates.staff import CAPACITIES, MANDATES, OFFICES, Login
from tests.support.staff import NOW, OTHER, PERSON, REF, TOMORROW, YESTERDAY, Book
from tests.support.world import TODAY, refuses


def test_register_is_opened_with_the_first_thing_that_is_written_into_it() -> None:
    book = Book()
    book.assumes()
    book.assumes("secretary")
    assert book.topics(REF) == ["staff.register_opened", "staff.office_assumed", "staff.office_assumed"]
    assert book.rebuild().states() == book.states()


def test_office_is_held_from_its_first_to_its_last_day() -> None:
    book = Book()
    book.assumes(begin=YESTERDAY, end=TODAY)
    days = [YESTERDAY - timedelta(days=1), YESTERDAY, TODAY, TOMORROW]
    assert ["deputy_head" in book.offices("staff", day=day) for day in days] == [False, True, True, False]


def test_office_that_was_left_yesterday_is_gone_today() -> None:
    book = Book()
    tenure = book.assumes()
    book.leaves(tenure, YESTERDAY)
    assert book.offices("staff") == ["class_teacher", "teacher"]
    with refuses("office_over"):
        book.leaves(tenure, TOMORROW)


def test_last_day_that_is_still_to_come_may_be_moved() -> None:
    book = Book()
    tenure = book.assumes()
    book.leaves(tenure, TOMORROW)
    book.leaves(tenure, TODAY)
    assert "deputy_head" not in book.offices("staff", day=TOMORROW)


def test_same_office_is_not_given_twice_at_a_time_but_again_afterwards_and_for_another_level() -> None:
    book = Book()
    tenure = book.assumes(level="basic")
    with refuses("office_held"):
        book.assumes(level="basic", begin=TOMORROW)
    book.assumes(level="primary")
    book.leaves(tenure, TODAY)
    book.assumes(level="basic", begin=TOMORROW)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({"office": "king"}, ["office_unknown"]),
        ({"office": "teacher"}, ["office_unknown"]),
        ({"office": "director", "level": "basic"}, ["level_unknown"]),
        ({"level": "college"}, ["level_unknown"]),
        ({"begin": TODAY, "end": YESTERDAY}, ["dates_reversed"]),
        ({"document": " "}, ["document_missing"]),
        ({"document": "x" * 501}, ["document_missing"]),
    ],
)
def test_office_that_makes_no_sense_is_refused_and_leaves_no_event(values: dict[str, str], codes: list[str]) -> None:
    book = Book()
    with refuses(*codes):
        book.assumes(**values)  # type: ignore[arg-type]  # dates among them
    assert book.events == []


def test_office_of_somebody_else_is_not_ended() -> None:
    book = Book()
    tenure = book.assumes()
    with refuses("tenure_unknown"):
        book.leaves(tenure, TODAY, person=OTHER)


def test_mandate_is_in_force_from_day_to_day_until_it_is_withdrawn() -> None:
    book = Book()
    mandate = book.mandates()
    assert book.offices("external") == ["auditor"]
    assert book.offices("external", day=TOMORROW + timedelta(days=1)) == []
    withdraw = staff.withdraw_mandate(book.register, person=PERSON, mandate_id=mandate, reason="Закончена", context=NOW)
    book.writes(withdraw)
    assert book.offices("external") == []
    with refuses("mandate_over"):
        staff.withdraw_mandate(book.register, person=PERSON, mandate_id=mandate, reason="Ещё раз", context=NOW)
    with refuses("mandate_unknown", "reason_missing"):
        staff.withdraw_mandate(book.register, person=OTHER, mandate_id=mandate, reason=" ", context=NOW)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"kind": "king"}, "mandate_unknown"),
        ({"end": None}, "mandate_open"),
        ({"scope": "some"}, "scope_unknown"),
        ({"scope": "students"}, "scope_wrong"),
        ({"scope": "everything", "named": (OTHER,)}, "scope_wrong"),
        ({"scope": "students", "named": (OTHER, OTHER)}, "scope_wrong"),
        ({"scope": "students", "named": tuple(UUID(int=number) for number in range(201))}, "scope_wrong"),
    ],
)
def test_mandate_that_makes_no_sense_is_refused(values: dict[str, str], code: str) -> None:
    with refuses(code):
        Book().mandates(**values)  # type: ignore[arg-type]  # dates and ids among them


def test_program_may_have_a_mandate_without_an_end() -> None:
    book = Book()
    book.mandates("system", end=None)
    assert book.offices("external", day=date(2199, 1, 1)) == ["system"]


def test_login_is_one_persons_until_it_is_unlinked() -> None:
    book, login = Book(), uuid4()
    book.links(login, "staff")
    with refuses("login_linked"):
        book.links(login, "staff", person=OTHER)
    assert book.lane.login(login) == Login(PERSON, ["staff"])
    with refuses("reason_missing"):
        book.unlinks(login, " ")
    book.unlinks(login)
    assert book.lane.login(login) is None
    with refuses("login_unknown"):
        book.unlinks(login)
    book.links(login, "representative", person=OTHER)
    assert book.lane.login(login) == Login(OTHER, ["representative"])


@pytest.mark.parametrize("capacities", [(), ("king",), ("staff", "staff")])
def test_login_says_as_what_somebody_comes(capacities: tuple[str, ...]) -> None:
    with refuses("capacity_unknown"):
        Book().links(uuid4(), *capacities)


@given(
    st.sets(st.sampled_from(CAPACITIES)),
    st.sets(st.sampled_from(OFFICES)),
    st.sets(st.sampled_from(MANDATES)),
)
def test_offices_come_from_what_is_recorded_and_only_through_a_login_of_that_kind(
    capacities: set[str], held: set[str], mandated: set[str]
) -> None:
    book = Book()
    book.links(uuid4(), "staff", person=OTHER)
    for office in held:
        book.assumes(office)
    for kind in mandated:
        book.mandates(kind)
    offices = set(book.offices(*capacities))
    expected = {"representative", "student"} & capacities
    expected |= held | {"teacher", "class_teacher"} if "staff" in capacities else set()
    expected |= mandated if {"staff", "external"} & capacities else set()
    assert offices == expected
