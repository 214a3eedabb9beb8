"""Achievements with evidence, awards with their basis, credited results with will and order."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

import pytest

from ledger.aggregates.student.achievements import (
    ACHIEVEMENT_KINDS,
    ACHIEVEMENT_LEVELS,
    AWARD_FORMS,
    OUTCOMES,
    SPHERES,
    AchievementRecorded,
    AwardGranted,
    ResultCredited,
)
from ledger.ids import new_id
from ledger.streams.record_classes import RecordClass
from tests.support.school import a_school
from tests.support.world import TODAY, a_context, refuses

TOMORROW = TODAY + timedelta(days=1)
LEFT = date(2025, 10, 1)


def test_every_kind_level_and_outcome_of_the_regulations_is_recorded() -> None:
    school = a_school()
    for kind in ACHIEVEMENT_KINDS:
        school.achieves(school.student, kind=kind)
    for level in ACHIEVEMENT_LEVELS:
        school.achieves(school.student, level=level)
    for outcome in OUTCOMES:
        school.achieves(school.student, outcome=outcome)
    total = len(ACHIEVEMENT_KINDS) + len(ACHIEVEMENT_LEVELS) + len(OUTCOMES)
    assert len(school.the(school.student).state.achievements) == total


def test_achievement_keeps_its_title_and_evidence() -> None:
    school = a_school()
    school.achieves(school.student, title=" Олимпиада ", evidence=" Диплом 12 ", on=LEFT)
    event = cast("AchievementRecorded", school.events[-1][1])
    assert (event.title, event.evidence, event.achieved_on) == ("Олимпиада", "Диплом 12", LEFT)
    assert event.RECORD_CLASS is RecordClass.ACHIEVEMENTS


def test_achievement_without_evidence_is_refused() -> None:
    school = a_school()
    with refuses("evidence_missing") as refusal:
        school.achieves(school.student, evidence="  ")
    assert refusal.students == [str(school.student.subject_id)]


def test_achievement_outside_the_vocabularies_is_refused_for_each_word() -> None:
    school = a_school()
    with refuses("kind_unknown", "level_unknown", "outcome_unknown", "title_missing", "in_future"):
        school.achieves(school.student, kind="x", level="x", outcome="x", title=" ", on=TOMORROW)


def test_achievement_after_leaving_is_refused() -> None:
    school = a_school()
    school.leaves(school.student, on=LEFT)
    school.achieves(school.student, on=LEFT)
    with refuses("student_left"):
        school.achieves(school.student, on=LEFT + timedelta(days=1))


# --- awards ----------------------------------------------------------------------------------------------------------


def test_award_rests_on_achievements_and_credited_results() -> None:
    school = a_school()
    basis = (school.achieves(school.student), school.credits(school.student).event_id)
    event = cast("AwardGranted", school.rewards(school.student, *basis, title=" За победу ", order=" Приказ 15 "))
    assert (event.basis, event.title, event.order) == (basis, "За победу", "Приказ 15")
    assert event.RECORD_CLASS is RecordClass.AWARDS
    assert school.the(school.student).state.awards == 1


def test_every_form_and_sphere_of_the_regulations_is_granted() -> None:
    school = a_school()
    basis = school.achieves(school.student)
    for form in AWARD_FORMS:
        school.rewards(school.student, basis, form=form)
    for sphere in SPHERES:
        school.rewards(school.student, basis, sphere=sphere)
    assert school.the(school.student).state.awards == len(AWARD_FORMS) + len(SPHERES)


def test_award_without_a_basis_is_refused() -> None:
    school = a_school()
    with refuses("basis_missing"):
        school.rewards(school.student)


def test_award_on_an_unknown_basis_is_refused() -> None:
    school = a_school()
    with refuses("basis_unknown"):
        school.rewards(school.student, school.achieves(school.student), new_id())


def test_award_on_another_students_achievement_is_refused() -> None:
    school = a_school()
    theirs = school.achieves(school.joined())
    with refuses("basis_unknown") as refusal:
        school.rewards(school.student, theirs)
    assert refusal.students == [str(school.student.subject_id)]


def test_award_on_a_mark_is_refused() -> None:
    school = a_school()
    with refuses("basis_unknown"):
        school.rewards(school.student, school.marks(school.student, "5"))


def test_award_needs_order_title_form_sphere_and_a_day_that_has_come() -> None:
    school = a_school()
    basis = school.achieves(school.student)
    with refuses("form_unknown", "sphere_unknown", "title_missing", "order_missing", "in_future"):
        school.rewards(school.student, basis, form="x", sphere="x", title="", order=" ", on=TOMORROW)


def test_imported_award_needs_its_basis_as_well() -> None:
    school = a_school(a_context(imported=True))
    with refuses("basis_missing"):
        school.rewards(school.student)


# --- credits ---------------------------------------------------------------------------------------------------------


def test_credit_rests_on_a_will_and_an_order() -> None:
    school = a_school()
    event = cast("ResultCredited", school.credits(school.student, "5", on=LEFT))
    assert (event.value, event.scale, event.scale_version, event.flags) == ("5", "five", 1, ())
    assert (event.will_of, event.will_on, event.order) == ("representative", TODAY, "Приказ 9")
    assert event.RECORD_CLASS is RecordClass.CREDITS


@pytest.mark.parametrize(("will_of", "will_on"), [(None, TODAY), ("", TODAY), ("neighbour", TODAY), ("student", None)])
def test_credit_without_the_will_of_student_or_representative_is_refused(
    will_of: str | None, will_on: date | None
) -> None:
    school = a_school()
    with refuses("no_will_recorded"):
        school.credits(school.student, will_of=will_of, will_on=will_on)


@pytest.mark.parametrize("order", [None, "", "   "])
def test_credit_without_an_order_is_refused(order: str | None) -> None:
    school = a_school()
    with refuses("no_order_recorded"):
        school.credits(school.student, order=order)


def test_imported_credit_without_will_order_or_enrolment_is_recorded_with_flags() -> None:
    school = a_school(a_context(imported=True))
    stranger = school.enrols()
    event = cast("ResultCredited", school.credits(stranger, group=school.group, will_of=None, will_on=None, order=None))
    assert sorted(event.flags) == ["no_order_recorded", "no_will_recorded", "outside_enrolment"]


def test_imported_credit_off_the_scale_is_refused() -> None:
    school = a_school(a_context(imported=True))
    with refuses("off_scale"):
        school.credits(school.student, "6")


def test_fact_may_be_credited_without_a_value() -> None:
    school = a_school()
    event = cast("ResultCredited", school.credits(school.student, None, scale=None))
    assert (event.value, event.scale, event.scale_version) == (None, None, None)


def test_credited_value_needs_a_scale_that_it_stands_on() -> None:
    school = a_school()
    with refuses("off_scale"):
        school.credits(school.student, "5", scale=None)
    with refuses("off_scale"):
        school.credits(school.student, "78.505", scale="hundred")
    assert cast("ResultCredited", school.credits(school.student, "78.50", scale="hundred")).value == "78.5"


def test_credit_needs_subject_organisation_and_a_day_that_has_come() -> None:
    school = a_school()
    with refuses("subject_missing", "organisation_missing", "in_future"):
        school.credits(school.student, subject=" ", came_from="", on=TOMORROW)


def test_credit_outside_the_group_or_after_leaving_is_refused() -> None:
    school = a_school()
    with refuses("outside_enrolment"):
        school.credits(school.student, group=school.forms_group("5Б"))
    school.leaves(school.student, on=LEFT)
    with refuses("outside_enrolment"):
        school.credits(school.student, on=LEFT + timedelta(days=1))
    school.credits(school.student, on=LEFT)


def test_refusals_about_rewards_show_nothing_that_was_entered() -> None:
    school = a_school()
    with refuses("evidence_missing", "kind_unknown") as achievement:
        school.achieves(school.student, kind="канарейка", title="Канарейка", evidence="")
    with refuses("basis_missing", "form_unknown") as award:
        school.rewards(school.student, form="канарейка", title="Канарейка", order="Канарейка")
    with refuses("off_scale") as credit:
        school.credits(school.student, "канарейка", subject="Канарейка", came_from="Канарейка", order="Канарейка")
    for refusal in (achievement, award, credit):
        assert "канарейка" not in refusal.text.lower()
