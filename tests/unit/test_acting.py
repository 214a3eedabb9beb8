"""Which office a caller acts in: what the register opens, what the request asks for, what a token may add."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.aggregates import staff
from ledger.aggregates.staff import CAPACITIES, MANDATES, OFFICES, Register, staff_ref
from ledger.application.acting import Caller, Known, check_acting, open_to
from ledger.errors import Forbidden
from ledger.policy.offices import Actor, Office
from tests.support.world import TODAY, World, a_context

SCHOOL, PERSON, LOGIN = UUID(int=0x5C), UUID(int=1), UUID(int=2)
REF = staff_ref(SCHOOL)
NOW = a_context(office="director")


def a_world(capacities: tuple[str, ...], offices: set[str] = frozenset(), mandates: set[str] = frozenset()) -> World:  # type: ignore[assignment]  # never changed
    world = World()
    linked = staff.link_login(Register(REF, None), login=LOGIN, person=PERSON, capacities=capacities, context=NOW)
    world.record(linked)
    for office in sorted(offices):
        register = Register(REF, world.get(REF))
        world.record(
            staff.assume_office(
                register,
                person=PERSON,
                office=office,
                level=None,
                starts_on=TODAY,
                ends_on=None,
                document="Приказ",
                context=NOW,
            )
        )
    for kind in sorted(mandates):
        register = Register(REF, world.get(REF))
        world.record(
            staff.record_mandate(
                register,
                person=PERSON,
                kind=kind,
                document="Распоряжение",
                scope="everything",
                named=(),
                starts_on=TODAY,
                ends_on=TODAY,
                context=NOW,
            )
        )
    return world


def asks(world: World, wanted: Office | None = None, claimed: Office | None = None, *, program: bool = False) -> Known:
    return open_to(world.get(REF), Caller(LOGIN, wanted, claimed, program), TODAY)


def test_login_that_nobody_linked_acts_in_no_office() -> None:
    for world in (World(), a_world(("staff",))):
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
    known = asks(a_world(capacities, offices))
    assert (known.actor.office if known.actor else None) == chosen


def test_student_speaks_for_nobody_else() -> None:
    assert asks(a_world(("student",))).acts() == Actor(PERSON, Office.STUDENT, frozenset({PERSON}), LOGIN)
    assert asks(a_world(("staff",))).acts().students == frozenset()


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
    world = a_world(capacities, offices, mandates)
    register = world.the(REF)
    login = register.login(LOGIN)
    assert login is not None
    known = asks(world, wanted, claimed, program=program)
    if known.actor is None:
        assert known.why
        assert known.help
        return
    office = known.actor.office
    assert office in register.offices_of(login, TODAY)
    assert wanted in (None, office)
    assert (office is Office.SYSTEM) == program
    assert office not in (Office.AUDITOR, Office.INSPECTOR) or claimed is office
    check_acting(world, SCHOOL, known.actor, TODAY)


def test_command_is_refused_when_login_or_office_went_since_the_request_came() -> None:
    world = a_world(("staff",), {"director"})
    actor = asks(world).acts()
    check_acting(world, SCHOOL, actor, TODAY)
    [tenure] = world.the(REF).tenures_of(PERSON, TODAY)
    left = staff.leave_office(
        Register(REF, world.get(REF)),
        person=PERSON,
        tenure_id=tenure.tenure_id,
        last_day=TODAY.replace(day=1),
        document="Приказ",
        context=NOW,
    )
    world.record(left)
    with pytest.raises(Forbidden, match="not yours any more"):
        check_acting(world, SCHOOL, actor, TODAY)
    world.record(staff.unlink_login(Register(REF, world.get(REF)), login=LOGIN, reason="Уволен", context=NOW))
    with pytest.raises(Forbidden, match="not linked to you any more"):
        check_acting(world, SCHOOL, actor, TODAY)
    with pytest.raises(Forbidden, match="not linked to you any more"):
        check_acting(World(), SCHOOL, actor, TODAY)


def test_operator_and_development_tokens_are_not_in_the_register() -> None:
    check_acting(World(), SCHOOL, Actor(PERSON, Office.DIRECTOR), TODAY)
