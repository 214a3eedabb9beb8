"""Marks that are corrected or declared void: what stays of the old one, with which reason, and until when."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

import pytest

from ledger.aggregates.school import define_scale
from ledger.aggregates.student import marks, marks_lane
from ledger.aggregates.student.marking import MAX_TEXT
from ledger.ids import new_id
from tests.support.school import QUARTERS, YEAR, AClass, a_school
from tests.support.world import TODAY, a_context, refuses

LATER = date(2025, 12, 1)
"""A day in the second quarter, when the first may be closed."""


def test_correction_keeps_the_old_value_and_the_reason() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    event = cast("marks.MarkCorrected", school.corrects(school.student, mark, "4", reason="  Пересчёт баллов "))
    assert (event.mark_id, event.old_value, event.value, event.reason) == (mark, "3", "4", "Пересчёт баллов")
    assert event.corrected_on == TODAY
    again = cast("marks.MarkCorrected", school.corrects(school.student, mark, "5"))
    assert (again.old_value, again.value) == ("4", "5")
    recorded = cast("marks.MarkRecorded", school.history(marks_lane(school.student.subject_id, YEAR))[1])
    assert recorded.value == "3"


@pytest.mark.parametrize("reason", ["", "   ", "\n\t"])
def test_change_without_a_reason_is_refused(reason: str) -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    with refuses("reason_missing"):
        school.corrects(school.student, mark, "4", reason=reason)
    with refuses("reason_missing"):
        school.voids(school.student, mark, reason=reason)


def test_change_with_a_reason_beyond_measure_is_refused() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    with refuses("text_long"):
        school.corrects(school.student, mark, "4", reason="а" * (MAX_TEXT + 1))


@pytest.mark.parametrize("value", ["3", " 3 "])
def test_correction_to_the_same_value_is_refused(value: str) -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    with refuses("same_value"):
        school.corrects(school.student, mark, value)


def test_correction_to_the_same_number_in_other_digits_is_refused() -> None:
    school = AClass(scale="hundred")
    mark = school.marks(school.student, "78.50")
    with refuses("same_value"):
        school.corrects(school.student, mark, "78.5")


def test_correction_off_the_scale_is_refused() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    with refuses("off_scale"):
        school.corrects(school.student, mark, "6")


def test_correction_is_judged_by_the_scale_version_that_the_mark_was_set_on() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    define_five_again(school, ("A", "B"))
    school.corrects(school.student, mark, "4")
    with refuses("off_scale"):
        school.corrects(school.student, mark, "A")
    with refuses("off_scale"):
        school.marks(school.student, "3")
    school.marks(school.student, "A")
    assert cast("marks.MarkRecorded", school.events[-1][1]).scale_version == 2


def define_five_again(school: AClass, symbols: tuple[str, ...]) -> None:
    school.record(
        define_scale(
            school.ref,
            school.lane,
            scale="five",
            title="Новая",
            symbols=symbols,
            minimum=None,
            maximum=None,
            passing=(),
            context=school.context,
        )
    )


def test_void_mark_keeps_its_value_and_can_be_changed_no_more() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    event = cast("marks.MarkVoided", school.voids(school.student, mark))
    assert (event.mark_id, event.old_value, event.voided_on) == (mark, "3", TODAY)
    with refuses("mark_void"):
        school.corrects(school.student, mark, "4")
    with refuses("mark_void"):
        school.voids(school.student, mark)


def test_unknown_mark_cannot_be_changed() -> None:
    school = a_school()
    with refuses("mark_unknown"):  # there is no lane of marks yet
        school.corrects(school.student, new_id(), "4")
    school.marks(school.student, "3")
    with refuses("mark_unknown"):
        school.corrects(school.student, new_id(), "4")
    with refuses("mark_unknown"):
        school.voids(school.student, new_id())


def test_mark_of_another_course_or_student_cannot_be_changed_here() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    elsewhere = school.opens_course(school.group)
    classmate = school.joined()
    school.marks(classmate, "5")
    with refuses("mark_unknown"):
        school.corrects(school.student, mark, "4", of=elsewhere)
    with refuses("mark_unknown"):
        school.voids(school.student, mark, of=elsewhere)
    with refuses("mark_unknown"):
        school.corrects(classmate, mark, "4")


def test_mark_of_a_closed_period_is_changed_only_with_permission() -> None:
    school = AClass(a_context(LATER))
    mark = school.marks(school.student, "3", on=QUARTERS[0][1])
    school.closes_period(QUARTERS[0][0])
    with refuses("period_closed"):
        school.corrects(school.student, mark, "4")
    with refuses("period_closed"):
        school.voids(school.student, mark)
    permit = school.permits(until=LATER)
    assert cast("marks.MarkCorrected", school.corrects(school.student, mark, "4", permit=permit)).permit_id == permit
    assert cast("marks.MarkVoided", school.voids(school.student, mark, permit=permit)).permit_id == permit


def test_correction_window_ends_after_its_last_day() -> None:
    school = a_school()
    school.adopts_window(5)
    mark = school.marks(school.student, "3")
    school.context = a_context(TODAY + timedelta(days=5))
    school.corrects(school.student, mark, "4")
    school.context = a_context(TODAY + timedelta(days=6))
    with refuses("window_over"):
        school.corrects(school.student, mark, "5")
    with refuses("window_over"):
        school.voids(school.student, mark)


def test_permission_opens_the_correction_window_again() -> None:
    school = a_school()
    school.adopts_window(0)
    mark = school.marks(school.student, "3")
    school.context = a_context(TODAY + timedelta(days=1))
    school.corrects(school.student, mark, "4", permit=school.permits(until=TODAY + timedelta(days=1)))


def test_correction_window_without_limit_or_beyond_any_calendar_never_ends() -> None:
    for days in (None, 10**12):
        school = a_school()
        school.adopts_window(days)
        mark = school.marks(school.student, "3")
        school.context = a_context(date(2030, 1, 1))
        school.corrects(school.student, mark, "4")
