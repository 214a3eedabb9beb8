"""Marks of periods and years: set once by the teacher, corrected with a reason, kept apart from current marks."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

import pytest

from ledger.aggregates.student import marks, marks_lane
from ledger.aggregates.student.marking import MAX_TEXT
from ledger.streams.record_classes import RecordClass
from tests.support.school import QUARTERS, YEAR, YEAR_ENDS, AClass, a_school
from tests.support.world import TODAY, a_context, refuses

AFTER = date(2026, 6, 10)
"""A day after the year, when its results are in."""


def set_now(
    school: AClass, value: str = "4", *, period: str = QUARTERS[0][0], kind: str | None = None, scale: str | None = None
) -> marks.PeriodMarkSet:
    event = school.sets_result(school.student, value, period=period, kind=kind, scale=scale)
    return cast("marks.PeriodMarkSet", event)


def test_mark_of_a_period_is_set_on_its_last_day_or_today() -> None:
    school = a_school()
    assert set_now(school).effective_on == TODAY
    school.context = a_context(AFTER)
    event = set_now(school, period=QUARTERS[1][0])
    assert event.effective_on == QUARTERS[1][2]
    assert (event.period, event.kind, event.value, event.scale, event.scale_version) == (
        QUARTERS[1][0],
        "quarter",
        "4",
        "five",
        1,
    )
    assert event.RECORD_CLASS is RecordClass.FINAL_RESULTS


def test_first_result_of_a_year_opens_the_lane() -> None:
    school = a_school()
    set_now(school)
    assert school.topics(marks_lane(school.student.subject_id, YEAR)) == ["marks.opened", "results.set"]


def test_mark_of_a_period_is_set_once_for_each_kind() -> None:
    school = a_school()
    set_now(school)
    with refuses("result_exists"):
        set_now(school, "5")
    set_now(school, "5", kind="exam")
    with refuses("result_exists"):
        set_now(school, "5", kind="exam")
    set_now(school, "5", period="2025-2026/year")


def test_result_of_a_kind_that_nobody_knows_is_refused() -> None:
    school = a_school()
    with refuses("kind_unknown"):
        set_now(school, kind="horoscope")


def test_mark_of_a_closed_period_may_be_set_until_the_year_is_closed() -> None:
    school = AClass(a_context(AFTER))
    school.closes_period(QUARTERS[0][0])
    set_now(school)
    school.closes_year()
    with refuses("period_closed"):
        set_now(school, period=QUARTERS[1][0])


def test_permission_opens_the_closed_year_for_a_result_and_is_cited() -> None:
    school = AClass(a_context(AFTER))
    other = school.permits(course_id=school.opens_course(school.group).stream_id, until=AFTER)
    school.closes_year()
    with refuses("period_closed"):
        school.sets_result(school.student, "4", permit=other)
    permit = school.permits(until=AFTER)
    event = cast("marks.PeriodMarkSet", school.sets_result(school.student, "4", permit=permit))
    assert event.permit_id == permit
    with refuses("period_closed"):
        school.corrects_result(school.student, "5")
    corrected = cast("marks.PeriodMarkCorrected", school.corrects_result(school.student, "5", permit=permit))
    assert corrected.permit_id == permit


def test_mark_of_a_period_that_has_not_begun_on_its_day_is_refused() -> None:
    school = AClass(a_context(AFTER))
    with refuses("before_period"):
        school.sets_result(school.student, "4", period=QUARTERS[1][0], on=QUARTERS[0][2])


def test_reason_for_correcting_a_result_is_bounded() -> None:
    school = AClass(a_context(AFTER))
    school.sets_result(school.student, "4")
    with refuses("text_long"):
        school.corrects_result(school.student, "5", reason="x" * (MAX_TEXT + 1))


def test_unknown_period_or_one_of_another_year_is_refused() -> None:
    school = a_school()
    school.opens_year("2024-2025", date(2024, 9, 1), date(2025, 5, 31))
    school.defines_period("2024-2025/1", date(2024, 9, 1), date(2024, 10, 26), year="2024-2025")
    for period in ("2025-2026/9", "2024-2025/1"):
        with refuses("period_unknown"):
            set_now(school, period=period)
        with refuses("period_unknown"):
            school.corrects_result(school.student, "5", period=period)


def test_student_who_left_gets_a_result_only_for_a_day_before() -> None:
    school = AClass(a_context(AFTER))
    school.leaves(school.student, on=date(2025, 10, 1))
    with refuses("outside_enrolment"):
        set_now(school)
    event = cast("marks.PeriodMarkSet", school.sets_result(school.student, "4", on=date(2025, 10, 1)))
    assert event.effective_on == date(2025, 10, 1)


def test_result_of_tomorrow_is_refused() -> None:
    school = a_school()
    with refuses("in_future"):
        school.sets_result(school.student, "4", on=TODAY + timedelta(days=1))


@pytest.mark.parametrize(("scale", "value"), [("five", "6"), ("five", ""), ("hundred", "101"), ("pass-fail", "5")])
def test_result_off_its_scale_is_refused(scale: str, value: str) -> None:
    school = a_school()
    with refuses("off_scale"):
        set_now(school, value, scale=scale)


def test_result_may_stand_on_a_scale_of_its_own() -> None:
    school = a_school()
    event = set_now(school, "78.50", scale="hundred")
    assert (event.scale, event.value) == ("hundred", "78.5")


def test_result_on_an_unknown_scale_is_refused() -> None:
    school = a_school()
    with refuses("scale_unknown"):
        set_now(school, scale="stars")
    set_now(school)
    with refuses("scale_unknown"):
        school.corrects_result(school.student, "5", scale="stars")


@pytest.mark.parametrize("scale", ["five", "hundred", "pass-fail"])
def test_not_attested_is_a_result_on_every_scale(scale: str) -> None:
    school = a_school()
    assert set_now(school, " н/а ", scale=scale).value == "н/а"


def test_correction_of_a_result_keeps_the_old_value_and_the_reason() -> None:
    school = a_school()
    set_now(school)
    event = cast("marks.PeriodMarkCorrected", school.corrects_result(school.student, "5", reason=" Пересдача "))
    assert (event.old_value, event.value, event.reason, event.corrected_on) == ("4", "5", "Пересдача", TODAY)
    again = cast("marks.PeriodMarkCorrected", school.corrects_result(school.student, "н/а"))
    assert (again.old_value, again.value) == ("5", "н/а")
    assert [event.TOPIC for event in school.history(marks_lane(school.student.subject_id, YEAR))] == [
        "marks.opened",
        "results.set",
        "results.corrected",
        "results.corrected",
    ]


def test_correction_of_a_result_obeys_the_rules_of_corrections() -> None:
    school = a_school()
    with refuses("result_unknown"):  # there is no lane of marks yet
        school.corrects_result(school.student, "5")
    set_now(school)
    with refuses("result_unknown"):
        school.corrects_result(school.student, "5", kind="exam")
    with refuses("reason_missing"):
        school.corrects_result(school.student, "5", reason="  ")
    with refuses("same_value"):
        school.corrects_result(school.student, "4")
    with refuses("off_scale", "reason_missing"):
        school.corrects_result(school.student, "6", reason="")


def test_imported_result_outside_the_rules_is_recorded_with_flags() -> None:
    school = AClass(a_context(AFTER))
    school.closes_year()
    stranger = school.enrols()
    school.context = a_context(AFTER, imported=True)
    event = cast("marks.PeriodMarkSet", school.sets_result(stranger, "4", period="2025-2026/year"))
    assert sorted(event.flags) == ["outside_enrolment", "period_closed"]
    assert event.effective_on == YEAR_ENDS
    with refuses("off_scale"):
        school.sets_result(school.student, "6")
    with refuses("result_exists"):
        school.sets_result(stranger, "5", period="2025-2026/year")


def test_refusals_of_results_name_the_student_and_no_value() -> None:
    school = AClass(scale="hundred")
    set_now(school, "77.31")
    with refuses("result_exists", "off_scale") as exists:
        set_now(school, "КанарейкаОтметка")
    with refuses("same_value") as same:
        school.corrects_result(school.student, "77.31")
    for refusal in (exists, same):
        assert set(refusal.students) == {str(school.student.subject_id)}
        assert "77.31" not in refusal.text
        assert "Канарейка" not in refusal.text
