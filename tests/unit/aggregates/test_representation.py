"""Who speaks for a student: naming, restricting, ending, and the end at 18."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.aggregates.registry import EVENTS
from ledger.aggregates.student.representation import DOCUMENTS, END_REASONS
from ledger.aggregates.student.standing import DECISIONS, INFORMATION, POWERS
from ledger.ids import new_id
from tests.support.people import BORN, FATHER, GRANDMOTHER, MOTHER, SEPTEMBER, STRANGER, born, ends, names, restricts
from tests.support.school import a_school
from tests.support.world import TODAY, a_context, refuses

if TYPE_CHECKING:
    from tests.support.school import AClass

TOMORROW, YESTERDAY = TODAY + timedelta(days=1), TODAY - timedelta(days=1)


def speaks(school: AClass, person: UUID, day: date = TODAY, power: str = INFORMATION, *, claimed: bool = False) -> bool:
    return school.the(school.student).represented_by(person, power, day, claimed=claimed)


# --- naming ----------------------------------------------------------------------------------------------------------


def test_both_parents_speak_each_alone_from_their_first_day_on() -> None:
    school = a_school()
    names(school, school.student, MOTHER)
    names(school, school.student, FATHER, effective_on=TODAY)
    assert speaks(school, MOTHER, SEPTEMBER)
    assert not speaks(school, MOTHER, SEPTEMBER - timedelta(days=1))
    assert speaks(school, FATHER)
    assert not speaks(school, FATHER, YESTERDAY)
    assert all(speaks(school, person, power=power) for person in (MOTHER, FATHER) for power in POWERS)
    assert not speaks(school, STRANGER)


def test_third_parent_is_refused_while_two_are_there() -> None:
    school = a_school()
    names(school, school.student, MOTHER)
    father = names(school, school.student, FATHER)
    with refuses("two_parents"):
        names(school, school.student, STRANGER)
    ends(school, school.student, father, reason="adopted", on=TODAY)
    names(school, school.student, STRANGER, effective_on=TODAY, document_kind="adoption_certificate")
    names(school, school.student, GRANDMOTHER, kind="guardian", document_kind="guardianship_act")


def test_parents_one_after_the_other_are_one_at_a_time() -> None:
    school = a_school()
    names(school, school.student, MOTHER, until=YESTERDAY)
    names(school, school.student, FATHER, effective_on=TODAY)
    names(school, school.student, STRANGER, document_kind="adoption_certificate")
    with refuses("two_parents"):
        names(school, school.student, GRANDMOTHER, effective_on=TODAY)
    with refuses("two_parents"):
        names(school, school.student, GRANDMOTHER, until=SEPTEMBER)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_kind_is_proved_by_its_own_documents_only(kind: str) -> None:
    everything = {name for names_ in DOCUMENTS.values() for name in names_}
    for number, document in enumerate(sorted(everything)):
        school = a_school()
        if document in DOCUMENTS[kind]:
            names(school, school.student, UUID(int=number + 1), kind=kind, document_kind=document)
        else:
            with refuses("document_unfit"):
                names(school, school.student, MOTHER, kind=kind, document_kind=document)


def test_naming_without_sense_is_told_everything_at_once() -> None:
    school = a_school()
    with refuses("kind_unknown", "document_missing", "in_future", "dates_reversed"):
        names(school, school.student, MOTHER, kind="aunt", document=" ", effective_on=TOMORROW, until=TODAY)
    with refuses("own_representative"):
        names(school, school.student, school.student.subject_id)
    with refuses("in_future"):
        names(school, school.student, MOTHER, document_on=TOMORROW)


def test_same_person_is_named_once_at_a_time() -> None:
    school = a_school()
    named = names(school, school.student, MOTHER, until=YESTERDAY)
    with refuses("named_already"):
        names(school, school.student, MOTHER, effective_on=YESTERDAY)
    again = names(school, school.student, MOTHER, effective_on=TODAY)
    assert again != named
    assert speaks(school, MOTHER)


def test_guardian_is_for_those_under_14_and_trustee_for_those_above() -> None:
    school = a_school()
    born(school, school.student, date(2011, 10, 15))  # of 14 today
    with refuses("guardian_late"):
        names(school, school.student, MOTHER, kind="guardian", document_kind="guardianship_act", effective_on=TODAY)
    with refuses("trustee_early"):
        names(school, school.student, MOTHER, kind="trustee", document_kind="guardianship_act", effective_on=YESTERDAY)
    names(school, school.student, MOTHER, kind="guardian", document_kind="guardianship_act", effective_on=YESTERDAY)
    assert speaks(school, MOTHER), "A guardian goes on as a trustee, without another decision."


# --- the end at 18 ---------------------------------------------------------------------------------------------------


def test_representation_ends_by_itself_when_the_student_is_18() -> None:
    school = a_school()
    names(school, school.student, MOTHER)
    assert speaks(school, MOTHER, date(2099, 1, 1)), "Nobody knows yet when the student is 18."
    born(school, school.student)
    assert speaks(school, MOTHER, date(2030, 4, 30))
    assert not speaks(school, MOTHER, date(2030, 5, 1))
    assert not speaks(school, STRANGER, date(2030, 5, 1), claimed=True)


def test_nobody_is_named_for_an_adult() -> None:
    school = a_school()
    born(school, school.student, date(2007, 10, 15))
    with refuses("student_adult"):
        names(school, school.student, MOTHER, effective_on=TODAY)
    names(school, school.student, MOTHER, effective_on=YESTERDAY)
    assert not speaks(school, MOTHER)


def test_birth_date_is_corrected_and_keeps_the_old_one() -> None:
    school = a_school()
    born(school, school.student)
    with refuses("birth_date_known", "reason_missing"):
        born(school, school.student, reason=" ")
    with refuses("birth_date"):
        born(school, school.student, SEPTEMBER)
    born(school, school.student, date(2012, 5, 11))
    last = school.history(school.student)[-1]
    assert (last.birth_date, last.old_value) == (date(2012, 5, 11), BORN)  # type: ignore[attr-defined]  # of this event
    assert school.the(school.student).state.card == last.originator_version


# --- restricted and ended --------------------------------------------------------------------------------------------


def test_court_takes_away_what_it_names_from_its_day_to_its_day() -> None:
    school = a_school()
    mother = names(school, school.student, MOTHER)
    restricts(school, school.student, mother, DECISIONS, effective_on=YESTERDAY, until=TODAY)
    restricts(school, school.student, mother, INFORMATION)
    held = {
        day: [power for power in POWERS if speaks(school, MOTHER, day, power)] for day in (YESTERDAY, TODAY, TOMORROW)
    }
    assert held == {YESTERDAY: [INFORMATION], TODAY: [], TOMORROW: [DECISIONS]}
    assert speaks(school, MOTHER, YESTERDAY - timedelta(days=1), DECISIONS)


def test_restriction_and_end_without_sense_are_refused() -> None:
    school = a_school()
    mother = names(school, school.student, MOTHER)
    with refuses("representation_unknown", "powers_unknown", "document_missing", "dates_reversed"):
        restricts(school, school.student, new_id(), document="", until=YESTERDAY)
    with refuses("powers_unknown", "before_begin"):
        restricts(school, school.student, mother, "contact", effective_on=SEPTEMBER - timedelta(days=1))
    with refuses("representation_unknown", "reason_unknown", "document_missing", "in_future"):
        ends(school, school.student, new_id(), reason="bored", on=TOMORROW, document="")
    ends(school, school.student, mother, on=YESTERDAY)
    with refuses("representation_ended"):
        ends(school, school.student, mother, on=YESTERDAY)
    with refuses("representation_ended"):
        restricts(school, school.student, mother, INFORMATION)


@pytest.mark.parametrize("reason", END_REASONS)
def test_end_holds_from_its_day_on_whatever_a_token_claims(reason: str) -> None:
    school = a_school()
    mother = names(school, school.student, MOTHER)
    ends(school, school.student, mother, reason=reason)
    assert speaks(school, MOTHER, YESTERDAY)
    assert not speaks(school, MOTHER, TODAY, claimed=True)


@pytest.mark.parametrize("taken", ["rights", "information"])
def test_who_lost_rights_by_a_court_is_named_again_only_by_a_court(taken: str) -> None:
    school = a_school()
    mother = names(school, school.student, MOTHER)
    if taken == "information":
        restricts(school, school.student, mother, INFORMATION, effective_on=YESTERDAY)
    ends(school, school.student, mother, reason="rights_taken" if taken == "rights" else "entered_in_error")
    with refuses("court_decision_needed"):
        names(school, school.student, MOTHER, effective_on=TODAY)
    names(school, school.student, MOTHER, effective_on=TODAY, document_kind="court_decision")
    assert speaks(school, MOTHER)


# --- claims ----------------------------------------------------------------------------------------------------------


def test_claim_counts_only_where_the_school_never_recorded_anybody() -> None:
    school = a_school()
    assert speaks(school, MOTHER, claimed=True)
    assert not speaks(school, MOTHER)
    names(school, school.student, FATHER)
    assert not speaks(school, MOTHER, claimed=True)
    assert speaks(school, FATHER)


def test_topics_tell_nothing_of_courts_or_ages() -> None:
    topics = [topic for topic in EVENTS if topic.startswith("representation.")]
    assert sorted(topics) == ["representation.ended", "representation.named", "representation.revised"]


def test_refusal_leaves_no_event() -> None:
    school = a_school()
    before, count = school.states(), len(school.events)
    with refuses("representation_unknown"):
        ends(school, school.student, new_id())
    assert (school.states(), len(school.events)) == (before, count)
    assert a_context().today == TODAY
