"""Current marks: who may get one, on which day, with which value; changing one is `test_changed_marks.py`."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

import pytest

from ledger.aggregates.student import marks, marks_lane
from ledger.aggregates.student.marking import MAX_TEXT
from ledger.errors import Refused
from ledger.ids import new_id
from tests.support.school import QUARTERS, YEAR, AClass, a_school
from tests.support.world import TODAY, a_context, refuses

LATER = date(2025, 12, 1)
"""A day in the second quarter, when the first may be closed."""

HISTORY = a_context(imported=True, office="import")


def test_first_mark_of_a_year_opens_the_lane_of_that_year() -> None:
    school = a_school()
    school.marks(school.student, "5")
    school.marks(school.student, "4")
    lane = marks_lane(school.student.subject_id, YEAR)
    assert school.topics(lane) == ["marks.opened", "marks.recorded", "marks.recorded"]
    assert school.the(lane).state.year == YEAR


def test_recorded_mark_says_work_scale_version_day_and_comment() -> None:
    school = a_school()
    mark = school.marks(school.student, " 5 ", on=date(2025, 9, 10), comment="  Чисто  ")
    event = cast("marks.MarkRecorded", school.events[-1][1])
    assert (event.event_id, event.course_id, event.work_id) == (mark, school.course.stream_id, school.work)
    assert (event.scale, event.scale_version, event.value, event.comment) == ("five", 1, "5", "Чисто")
    assert (event.effective_on, event.entered_on) == (date(2025, 9, 10), TODAY)
    assert (event.permit_id, event.flags) == (None, ())


def test_student_who_never_was_in_the_group_gets_no_mark() -> None:
    school = a_school()
    stranger = school.enrols()
    with refuses("outside_enrolment") as refusal:
        school.marks(stranger, "5")
    assert refusal.students == [str(stranger.subject_id)]


def test_student_of_another_group_gets_no_mark() -> None:
    school = a_school()
    other = school.enrols()
    school.moves(other, school.forms_group("5Б"))
    with refuses("outside_enrolment"):
        school.marks(other, "5")


@pytest.mark.parametrize(
    ("day", "inside"),
    [
        (date(2025, 9, 9), False),
        (date(2025, 9, 10), True),
        (date(2025, 9, 20), True),
        (date(2025, 9, 21), False),
    ],
)
def test_first_and_last_day_in_the_group_count_and_the_days_around_do_not(day: date, *, inside: bool) -> None:
    school = a_school()
    student = school.enrols()
    school.moves(student, school.group, on=date(2025, 9, 10))
    school.leaves_group(student, school.group, on=date(2025, 9, 20))
    if inside:
        school.marks(student, "5", on=day)
    else:
        with refuses("outside_enrolment"):
            school.marks(student, "5", on=day)


def test_moved_student_is_marked_in_the_old_group_up_to_the_day_before() -> None:
    school = a_school()
    other = school.forms_group("5Б")
    there = school.opens_course(other)
    work = school.adds_work(there)
    school.moves(school.student, other, on=date(2025, 10, 1), out_of=school.group)
    school.marks(school.student, "5", on=date(2025, 9, 30))
    school.marks(school.student, "5", on=date(2025, 10, 1), of=there, work=work)
    with refuses("outside_enrolment"):
        school.marks(school.student, "5", on=date(2025, 10, 1))
    with refuses("outside_enrolment"):
        school.marks(school.student, "5", on=date(2025, 9, 30), of=there, work=work)


def test_mark_of_tomorrow_is_refused() -> None:
    school = a_school()
    with refuses("in_future"):
        school.marks(school.student, "5", on=TODAY + timedelta(days=1))


def test_work_of_another_course_is_unknown() -> None:
    school = a_school()
    elsewhere = school.adds_work(school.opens_course(school.group))
    with refuses("work_unknown"):
        school.marks(school.student, "5", work=elsewhere)
    with refuses("work_unknown"):
        school.submits(school.student, work=elsewhere)


def test_comment_of_a_novel_is_refused() -> None:
    school = a_school()
    school.marks(school.student, "5", comment="а" * MAX_TEXT)
    with refuses("text_long"):
        school.marks(school.student, "5", comment="а" * (MAX_TEXT + 1))


# --- closing ---------------------------------------------------------------------------------------------------------


def a_closed_quarter() -> AClass:
    school = AClass(a_context(LATER))
    school.closes_period(QUARTERS[0][0])
    return school


def test_closed_period_takes_no_mark_and_the_open_one_does() -> None:
    school = a_closed_quarter()
    for day in QUARTERS[0][1:]:
        with refuses("period_closed"):
            school.marks(school.student, "5", on=day)
    school.marks(school.student, "5", on=QUARTERS[0][2] + timedelta(days=1))
    school.marks(school.student, "5", on=QUARTERS[1][1])


def test_closed_attestation_does_not_close_the_days_of_the_year() -> None:
    school = a_school()
    school.closes_period("2025-2026/year")
    school.marks(school.student, "5")


def test_closed_period_of_another_year_closes_nothing_here() -> None:
    school = a_school()
    school.opens_year("2025-summer", date(2025, 6, 1), date(2025, 12, 31))
    school.defines_period("2025-summer/1", date(2025, 6, 1), date(2025, 12, 31), year="2025-summer")
    school.closes_period("2025-summer/1")
    school.marks(school.student, "5")


def test_closed_year_takes_no_mark_on_any_day() -> None:
    school = a_school()
    school.closes_year()
    for day in (date(2025, 9, 1), date(2025, 10, 1), TODAY):
        with refuses("period_closed"):
            school.marks(school.student, "5", on=day)


def test_permission_opens_a_closed_period_and_is_cited() -> None:
    school = a_closed_quarter()
    permit = school.permits(course_id=school.course.stream_id, until=LATER)
    school.marks(school.student, "5", on=QUARTERS[0][1], permit=permit)
    assert cast("marks.MarkRecorded", school.events[-1][1]).permit_id == permit


def test_permission_for_all_courses_opens_each() -> None:
    school = a_closed_quarter()
    school.marks(school.student, "5", on=QUARTERS[0][1], permit=school.permits(until=LATER))


def test_permission_that_does_not_cover_the_entry_opens_nothing() -> None:
    school = a_closed_quarter()
    school.opens_year("2024-2025", date(2024, 9, 1), date(2025, 5, 31))
    other_course = school.permits(course_id=school.opens_course(school.group).stream_id, until=LATER)
    other_year = school.permits(year="2024-2025", until=LATER)
    unheard_of = new_id()
    for permit in (other_course, other_year, unheard_of, None):
        with refuses("period_closed"):
            school.marks(school.student, "5", on=QUARTERS[0][1], permit=permit)


def test_permission_holds_through_its_last_day_and_no_longer() -> None:
    school = a_closed_quarter()
    permit = school.permits(until=LATER)
    school.marks(school.student, "5", on=QUARTERS[0][1], permit=permit)
    school.context = a_context(LATER + timedelta(days=1))
    with refuses("period_closed"):
        school.marks(school.student, "5", on=QUARTERS[0][1], permit=permit)


def test_permission_that_is_cited_must_hold_even_where_none_is_needed() -> None:
    school = a_school()
    for permit in (new_id(), school.permits(course_id=school.opens_course(school.group).stream_id)):
        with refuses("permit_invalid"):
            school.marks(school.student, "5", permit=permit)


def test_mark_on_a_day_outside_the_school_year_is_refused_and_imported_with_a_flag() -> None:
    school = AClass(a_context(date(2026, 7, 1)))
    with refuses("outside_year"):
        school.marks(school.student, "5", on=date(2026, 6, 30))
    school.context = a_context(date(2026, 7, 1), imported=True)
    school.marks(school.student, "5", on=date(2026, 6, 30))
    assert cast("marks.MarkRecorded", school.events[-1][1]).flags == ("outside_year",)


# --- submitted works and attendance ----------------------------------------------------------------------------------


def test_submitted_work_is_recorded_without_a_mark() -> None:
    school = a_school()
    event = cast("marks.WorkSubmitted", school.submits(school.student, on=date(2025, 9, 12)))
    assert (event.work_id, event.effective_on, event.flags) == (school.work, date(2025, 9, 12), ())
    assert school.the(marks_lane(school.student.subject_id, YEAR)).state.marks == {}


def test_work_is_not_submitted_by_a_stranger_nor_into_a_closed_year() -> None:
    school = a_school()
    with refuses("outside_enrolment"):
        school.submits(school.enrols())
    school.closes_year()
    with refuses("period_closed"):
        school.submits(school.student)


@pytest.mark.parametrize("code", ["н", "б", "осв", "п"])
def test_attendance_code_is_noted(code: str) -> None:
    school = a_school()
    event = cast("marks.AttendanceNoted", school.notes(school.student, code))
    assert (event.code, event.effective_on, event.course_id) == (code, TODAY, school.course.stream_id)


@pytest.mark.parametrize("code", ["", "x", "Н", "5", "н/а"])
def test_attendance_code_that_nobody_knows_is_refused(code: str) -> None:
    school = a_school()
    with refuses("code_unknown"):
        school.notes(school.student, code)


def test_attendance_follows_the_rules_of_days_groups_and_closing() -> None:
    school = AClass(a_context(LATER))
    with refuses("outside_enrolment"):
        school.notes(school.enrols(), "н")
    with refuses("in_future"):
        school.notes(school.student, "н", on=LATER + timedelta(days=1))
    school.closes_period(QUARTERS[0][0])
    with refuses("period_closed"):
        school.notes(school.student, "н", on=QUARTERS[0][1])
    permit = school.permits(until=LATER)
    event = cast("marks.AttendanceNoted", school.notes(school.student, "н", on=QUARTERS[0][1], permit=permit))
    assert event.permit_id == permit


# --- imported history ------------------------------------------------------------------------------------------------


def test_imported_mark_outside_the_enrolment_and_in_a_closed_year_is_recorded_with_flags() -> None:
    school = a_school()
    school.closes_year()
    stranger = school.enrols()
    school.context = HISTORY
    school.marks(stranger, "5")
    event = cast("marks.MarkRecorded", school.events[-1][1])
    assert event.flags == ("outside_enrolment", "period_closed")
    submitted = cast("marks.WorkSubmitted", school.submits(stranger))
    assert submitted.flags == ("outside_enrolment", "period_closed")


def test_imported_mark_within_the_rules_has_no_flag() -> None:
    school = a_school()
    school.context = HISTORY
    school.marks(school.student, "5")
    assert cast("marks.MarkRecorded", school.events[-1][1]).flags == ()


def test_imported_mark_off_the_scale_or_for_an_unknown_work_is_refused_all_the_same() -> None:
    school = a_school()
    school.context = HISTORY
    with refuses("off_scale"):
        school.marks(school.student, "6")
    with refuses("work_unknown"):
        school.marks(school.student, "5", work=new_id())
    with refuses("in_future"):
        school.marks(school.student, "5", on=TODAY + timedelta(days=1))


def test_imported_correction_of_a_closed_year_is_judged_like_any_other() -> None:
    school = a_school()
    mark = school.marks(school.student, "5")
    school.closes_year()
    school.context = HISTORY
    with refuses("period_closed"):
        school.corrects(school.student, mark, "4")


# --- refusals --------------------------------------------------------------------------------------------------------


def test_refusal_names_every_violation_and_whom_it_concerns() -> None:
    school = a_school()
    stranger = school.enrols()
    school.closes_year()
    with refuses("in_future", "outside_enrolment", "period_closed", "text_long", "off_scale") as refusal:
        school.marks(stranger, "6", on=TODAY + timedelta(days=1), comment="а" * (MAX_TEXT + 1))
    assert refusal.students == [str(stranger.subject_id)] * 5
    assert "(and 4 more)" in str(refusal.error)
    with refuses("off_scale") as single:
        school.context = HISTORY
        school.marks(stranger, "6")
    assert "more)" not in str(single.error)


def test_refused_command_leaves_no_event_and_no_state() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    before, states = len(school.events), school.states()
    for attempt in (
        lambda: school.marks(school.student, "6"),
        lambda: school.corrects(school.student, mark, "3"),
        lambda: school.voids(school.student, mark, reason=""),
    ):
        with pytest.raises(Refused):
            attempt()
    assert len(school.events) == before
    assert school.states() == states


def test_refusal_shows_no_stored_value() -> None:
    school = a_school()
    student = school.enrols(family_name="КанарейкаФамилия", given_name="КанарейкаИмя")
    school.moves(student, school.group)
    work = school.adds_work(school.course, scale="hundred")
    mark = school.marks(student, "77.31", work=work, comment="КанарейкаСлово")
    school.adopts_window(0)
    school.context = a_context(TODAY + timedelta(days=3))
    with refuses("window_over", "reason_missing", "same_value") as same:
        school.corrects(student, mark, "77.31", reason="")
    with refuses("window_over", "off_scale") as off:
        school.corrects(student, mark, "КанарейкаОтметка")
    school.context = a_context()
    school.voids(student, mark)
    with refuses("mark_void") as void:
        school.corrects(student, mark, "50")
    for refusal in (same, off, void):
        assert "Канарейка" not in refusal.text
        assert "77.31" not in refusal.text
