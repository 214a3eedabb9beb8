"""Consents: who may give them, what they allow, how they are narrowed, withdrawn, and end."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from ledger.aggregates.student.consents import Consented, NotConsented, all_ended_on, allows
from ledger.aggregates.student.standing import DECISIONS
from ledger.ids import new_id
from tests.support.people import (
    FATHER,
    MOTHER,
    SEPTEMBER,
    STRANGER,
    born,
    consents_to,
    ends,
    limits,
    names,
    publishes,
    restricts,
    withdraws,
)
from tests.support.school import a_school
from tests.support.world import TODAY, a_context, refuses

if TYPE_CHECKING:
    from tests.support.school import AClass

TOMORROW, YESTERDAY = TODAY + timedelta(days=1), TODAY - timedelta(days=1)


def a_family() -> AClass:
    """Returns a school with a student of 13 whose mother is on record."""
    school = a_school()
    born(school, school.student)
    names(school, school.student, MOTHER)
    return school


def asks(school: AClass, day: date = TODAY, **changes: Any) -> Consented | NotConsented:  # noqa: ANN401 - by name
    values: dict[str, Any] = {"purpose": "contests", "categories": ("achievements",), "recipient": "Оргкомитет"}
    return allows(school.the(school.student), day=day, **{**values, **changes})


def board(school: AClass, day: date = TODAY, **changes: Any) -> bool:  # noqa: ANN401 - by name
    values = {"purpose": "honours_board", "categories": ("awards",), "recipient": "Доска почёта"}
    return isinstance(asks(school, day, **{**values, **changes}), Consented)


# --- what a consent allows -------------------------------------------------------------------------------------------


def test_consent_allows_what_it_names_and_nothing_else() -> None:
    school = a_family()
    consent = consents_to(school, school.student, MOTHER)
    assert asks(school) == asks(school, recipient=None) == Consented((str(consent),))
    for other in (
        {"purpose": "support"},
        {"categories": ("achievements", "marks")},
        {"categories": ()},
        {"recipient": "Кто-то ещё"},
        {"day": YESTERDAY},
    ):
        assert isinstance(asks(school, **other), NotConsented), other


def test_recipient_is_the_same_however_many_blanks_were_typed() -> None:
    school = a_family()
    consents_to(school, school.student, MOTHER, recipients=("  Оргкомитет   олимпиады ",))
    assert isinstance(asks(school, recipient="Оргкомитет олимпиады"), Consented)
    with refuses("recipients_empty"):
        consents_to(school, school.student, MOTHER, recipients=("Кто-то  ещё", "Кто-то ещё "))


def test_refusal_says_why() -> None:
    school = a_family()
    consents_to(school, school.student, MOTHER)
    told = [
        asks(school, purpose="support"),
        asks(school, recipient="Кто-то ещё"),
        asks(school, categories=("marks", "achievements", "health")),
    ]
    assert [one.reason for one in told if isinstance(one, NotConsented)] == [
        "No consent to this purpose is in force on that day.",
        "No consent in force names this recipient.",
        "The consents in force do not cover: health, marks.",
    ]


def test_two_consents_to_one_purpose_allow_together_what_neither_does_alone() -> None:
    school = a_family()
    first = consents_to(school, school.student, MOTHER)
    second = consents_to(school, school.student, MOTHER, categories=("marks",))
    assert asks(school, categories=("achievements", "marks")) == Consented((str(first), str(second)))


def test_dissemination_is_agreed_to_apart_with_places_and_a_term() -> None:
    school = a_family()
    consents_to(school, school.student, MOTHER, categories=("awards",), recipients=("Доска почёта",))
    assert not board(school)
    publishes(school, school.student, MOTHER)
    assert board(school)
    assert board(school, date(2026, 8, 31))
    assert not board(school, date(2026, 9, 1))
    assert not board(school, recipient="Газета")
    with refuses("purpose_unfit"):
        consents_to(school, school.student, MOTHER, purpose="honours_board")
    with refuses("purpose_unfit"):
        publishes(school, school.student, MOTHER, purpose="contests")
    with refuses("resources_missing", "term_missing"):
        publishes(school, school.student, MOTHER, recipients=(), until=None)
    with refuses("conditions_unfit"):
        consents_to(school, school.student, MOTHER, conditions=("no_transfer",))


def test_consent_without_sense_is_told_everything_at_once() -> None:
    school = a_family()
    with refuses("kind_unknown", "categories_unknown", "form_unknown", "document_missing", "dates_reversed"):
        consents_to(
            school, school.student, MOTHER, kind="all", categories=(), form="oral", document=" ", until=YESTERDAY
        )
    with refuses("categories_unknown", "recipients_empty", "conditions_unknown"):
        publishes(school, school.student, MOTHER, categories=("iq",), recipients=(" ",), conditions=("no_way",))
    with refuses("in_future"):
        consents_to(school, school.student, MOTHER, effective_on=TOMORROW)
    with refuses("recipients_many"):
        consents_to(school, school.student, MOTHER, recipients=tuple(str(number) for number in range(21)))


def test_health_needs_writing() -> None:
    school = a_family()
    with refuses("written_only"):
        consents_to(school, school.student, MOTHER, purpose="support", categories=("health",), form="electronic")
    consents_to(school, school.student, MOTHER, purpose="support", categories=("health",))


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "kind", "code"),
    [
        (13, "contests", "too_young"),
        (14, "contests", None),
        (17, "board", "too_young"),
        (18, "board", None),
        (17, "health", "too_young"),
        (18, "health", None),
        (None, "contests", "age_unknown"),
    ],
)
def test_student_decides_from_14_on_and_on_what_is_sensitive_from_18_on(
    age: int | None, kind: str, code: str | None
) -> None:
    school = a_school()
    if age is not None:
        born(school, school.student, date(TODAY.year - age, TODAY.month, TODAY.day))
    student = school.student.subject_id
    more: dict[str, Any] = {"purpose": "support", "categories": ("health",)} if kind == "health" else {}
    give = publishes if kind == "board" else consents_to
    if code is None:
        give(school, school.student, student, **more)
        return
    with refuses(code):
        give(school, school.student, student, **more)


def test_representative_decides_while_they_represent_and_are_not_restricted() -> None:
    school = a_school()
    with refuses("no_standing"):
        consents_to(school, school.student, MOTHER)
    mother = names(school, school.student, MOTHER, effective_on=YESTERDAY)
    with refuses("no_standing"):
        consents_to(school, school.student, MOTHER, effective_on=SEPTEMBER)
    with refuses("no_standing"):
        consents_to(school, school.student, STRANGER, claimed=True)
    restricts(school, school.student, mother, DECISIONS)
    with refuses("no_standing"):
        consents_to(school, school.student, MOTHER)
    consents_to(school, school.student, MOTHER, effective_on=YESTERDAY)


def test_claim_of_a_token_counts_where_nobody_was_ever_recorded() -> None:
    school = a_school()
    consents_to(school, school.student, MOTHER, claimed=True)
    assert isinstance(asks(school), Consented)


# --- narrowed and withdrawn ------------------------------------------------------------------------------------------


def test_consent_is_narrowed_and_never_widened() -> None:
    school = a_family()
    consent = publishes(school, school.student, MOTHER)
    for wider in (
        {"categories": ("personal_file", "awards", "photo", "marks")},
        {"recipients": ("Доска почёта", "Сайт школы", "Газета")},
        {"conditions": ()},
        {"until": date(2026, 9, 1)},
        {},
    ):
        with refuses("not_narrower"):
            limits(school, school.student, consent, MOTHER, **wider)
    limits(school, school.student, consent, MOTHER, categories=("personal_file", "awards"))
    limits(
        school,
        school.student,
        consent,
        MOTHER,
        recipients=("Доска почёта",),
        conditions=("no_transfer", "no_processing"),
    )
    limits(school, school.student, consent, MOTHER, until=TOMORROW)
    assert board(school)
    assert not board(school, categories=("photo",))
    assert not board(school, recipient="Сайт школы")
    assert not board(school, TOMORROW + timedelta(days=1))
    with refuses("resources_missing", "term_missing", "not_narrower"):
        limits(school, school.student, consent, MOTHER, recipients=(), until=None)


def test_withdrawal_takes_effect_at_once_and_once() -> None:
    school = a_family()
    consent = consents_to(school, school.student, MOTHER, effective_on=SEPTEMBER)
    names(school, school.student, FATHER)
    withdraws(school, school.student, consent, FATHER)
    assert isinstance(asks(school, YESTERDAY), Consented)
    assert isinstance(asks(school, TODAY), NotConsented)
    with refuses("consent_withdrawn"):
        withdraws(school, school.student, consent, MOTHER)
    with refuses("consent_withdrawn", "not_narrower"):
        limits(school, school.student, consent, MOTHER)
    with refuses("consent_unknown"):
        withdraws(school, school.student, new_id(), MOTHER)
    with refuses("no_standing", "consent_unknown"):
        withdraws(school, school.student, UUID(int=3), STRANGER)


def test_consent_outlives_the_representation_of_who_gave_it_and_not_the_childhood() -> None:
    school = a_family()
    mother = names(school, school.student, FATHER)
    consents_to(school, school.student, FATHER)
    ends(school, school.student, mother, reason="died")
    assert isinstance(asks(school, date(2030, 4, 30)), Consented)
    assert isinstance(asks(school, date(2030, 5, 1)), NotConsented)
    school.context = replace(a_context(), today=date(2030, 5, 1))
    consents_to(school, school.student, school.student.subject_id, effective_on=date(2030, 5, 1))
    assert isinstance(asks(school, date(2030, 5, 1)), Consented)


def test_term_of_keeping_runs_when_the_last_one_has_an_end() -> None:
    school = a_school()
    names(school, school.student, MOTHER)
    record = school.the(school.student)
    assert all_ended_on(record) is None
    consent = consents_to(school, school.student, MOTHER, effective_on=SEPTEMBER)
    publishes(school, school.student, MOTHER)
    assert all_ended_on(record) is None
    withdraws(school, school.student, consent, MOTHER)
    assert all_ended_on(record) == date(2026, 8, 31)
