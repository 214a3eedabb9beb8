"""Which office a caller acts in: what the register opens, what the request asks for, what a token may add."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.aggregates.staff import CAPACITIES, MANDATES, OFFICES
from ledger.application.acting import Caller, Known, check_acting, open_to
from ledger.errors import Forbidden
from ledger.policy.offices import Actor, Office
from tests.support.staff import PERSON, REF, SCHOOL, Book
from tests.support.world import TODAY, World

if TYPE_CHECKING:
    from collections.abc import Iterable

LOGIN = UUID(int=2)


def a_book(capacities: tuple[str, ...], offices: Iterable[str] = (), mandates: Iterable[str] = ()) -> Book:
    """Returns a register in which PERSON has a login, and from today on these offices and mandates."""
    book = Book()
    book.links(LOGIN, *capacities)
    for office in sorted(offices):
        book.assumes(office, begin=TODAY)
    for kind in sorted(mandates):
        book.mandates(kind)
    return book


def asks(book: Book, wanted: Office | None = None, claimed: Office | None = None, *, program: bool = False) -> Known:
    return open_to(book.get(REF), Caller(LOGIN, wanted, claimed, program), TODAY)


def test_login_that_nobody_linked_acts_in_no_office() -> None:
    for world in (World(), a_book(("staff",))):
        known = open_to(world.get(REF), Caller(uuid4(), Office.TEACHER, None, program=False), TODAY)
        assert (known.person, known.offices) == (None, ())
        with pytest.raises(Forbidden, match="not linked"):
            known.acts()


@pytest.mark.parametrize(
    ("capacities", "offices", "chosen"),
    [
        (("staff",), set(), Office.TEACHER),
        (("staff",), {"director"}, Office.DIRECTOR),
        (("staff",), {"director", "deputy_head"}, None),
        (("student",), set(), Office.STUDENT),
        (("representative",), set(), Office.REPRESENTATIVE),
        (("representative", "student"), set(), None),
        (("external",), set(), None),
    ],
)
def test_who_names_no_office_acts_in_the_one_that_they_have(
    capacities: tuple[str, ...], offices: set[str], chosen: Office | None
) -> None:
    known = asks(a_book(capacities, offices))
    assert (known.actor.office if known.actor else None) == chosen


def test_student_speaks_for_nobody_else() -> None:
    assert asks(a_book(("student",))).acts() == Actor(PERSON, Office.STUDENT, frozenset({PERSON}), LOGIN)
    assert asks(a_book(("staff",))).acts().students == frozenset()


@given(
    st.lists(st.sampled_from(CAPACITIES), min_size=1, unique=True).map(tuple),
    st.sets(st.sampled_from(OFFICES)),
    st.sets(st.sampled_from(MANDATES)),
    st.none() | st.sampled_from(Office),
    st.none() | st.sampled_from(Office),
    st.booleans(),
)
def test_nobody_ever_acts_in_an_office_that_the_register_does_not_open(
    capacities: tuple[str, ...],
    offices: set[str],
    mandates: set[str],
    wanted: Office | None,
    claimed: Office | None,
    program: bool,  # noqa: FBT001 - drawn
) -> None:
    book = a_book(capacities, offices, mandates)
    register = book.the(REF)
    login = register.login(LOGIN)
    assert login is not None
    known = asks(book, wanted, claimed, program=program)
    if known.actor is None:
        assert known.why
        assert known.help
        return
    office = known.actor.office
    assert office in register.offices_of(login, TODAY)
    assert wanted in (None, office)
    assert (office is Office.SYSTEM) == program
    assert office not in (Office.AUDITOR, Office.INSPECTOR) or claimed is office
    check_acting(book, SCHOOL, known.actor, TODAY)


def test_command_is_refused_when_login_or_office_went_since_the_request_came() -> None:
    book = a_book(("staff",), {"director"})
    actor = asks(book).acts()
    check_acting(book, SCHOOL, actor, TODAY)
    [tenure] = book.lane.tenures_of(PERSON, TODAY)
    book.leaves(tenure.tenure_id, TODAY.replace(day=1))
    with pytest.raises(Forbidden, match="not yours any more"):
        check_acting(book, SCHOOL, actor, TODAY)
    book.unlinks(LOGIN)
    with pytest.raises(Forbidden, match="not linked to you any more"):
        check_acting(book, SCHOOL, actor, TODAY)
    with pytest.raises(Forbidden, match="not linked to you any more"):
        check_acting(World(), SCHOOL, actor, TODAY)


def test_operator_and_development_tokens_are_not_in_the_register() -> None:
    check_acting(World(), SCHOOL, Actor(PERSON, Office.DIRECTOR), TODAY)
