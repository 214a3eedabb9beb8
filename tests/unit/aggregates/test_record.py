"""The student's record: enrolment, groups, leaving, transfers and coming back."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from ledger.aggregates.student import record, record_lane
from ledger.aggregates.student.record import MAX_NAME, StudentMovedToGroup, StudentTransferredOut, enrol_student
from ledger.ids import new_id
from tests.support.school import YEAR_BEGINS, AClass, a_school
from tests.support.world import TODAY, World, a_context, refuses

if TYPE_CHECKING:
    from ledger.streams.base import Context

HISTORY = a_context(imported=True, office="import")
LEFT = date(2025, 10, 1)


def enrol(
    *,
    family_name: str = "Синтетический",
    given_name: str = "Ученик",
    patronymic: str = "",
    birth_date: date | None = None,
    enrolled_on: date | None = YEAR_BEGINS,
    foreign_ids: tuple[tuple[str, str], ...] = (),
    context: Context | None = None,
) -> record.StudentEnrolled:
    proposals = enrol_student(
        record_lane(new_id()),
        family_name=family_name,
        given_name=given_name,
        patronymic=patronymic,
        birth_date=birth_date,
        enrolled_on=enrolled_on,
        foreign_ids=foreign_ids,
        context=context or a_context(),
    )
    (event,) = World().record(proposals)
    return cast("record.StudentEnrolled", event)


# --- enrolment -------------------------------------------------------------------------------------------------------


def test_enrolment_keeps_names_without_spaces_around_and_foreign_ids() -> None:
    event = enrol(family_name=" Синтетическая ", given_name=" Анна", foreign_ids=(("oneroster", "u1"), ("sis", "u1")))
    assert (event.family_name, event.given_name, event.patronymic) == ("Синтетическая", "Анна", "")
    assert event.foreign_ids == (("oneroster", "u1"), ("sis", "u1"))
    assert event.enrolled_on == YEAR_BEGINS


def test_student_needs_one_name_at_least() -> None:
    enrol(given_name="")
    enrol(family_name="")
    with refuses("name_missing"):
        enrol(family_name=" ", given_name="")


@pytest.mark.parametrize("part", ["family_name", "given_name", "patronymic"])
def test_name_beyond_measure_is_refused(part: str) -> None:
    enrol(**{part: "а" * MAX_NAME})  # type: ignore[arg-type]  # mypy cannot see which argument it is
    with refuses("name_long"):
        enrol(**{part: "а" * (MAX_NAME + 1)})  # type: ignore[arg-type]  # as above


def test_birth_date_lies_before_the_enrolment() -> None:
    enrol(birth_date=YEAR_BEGINS - timedelta(days=1))
    with refuses("birth_date"):
        enrol(birth_date=YEAR_BEGINS)
    with refuses("birth_date"):
        enrol(birth_date=TODAY, enrolled_on=None)


def test_enrolment_of_tomorrow_is_refused_live_and_taken_from_history() -> None:
    tomorrow = TODAY + timedelta(days=1)
    with refuses("in_future"):
        enrol(enrolled_on=tomorrow)
    assert enrol(enrolled_on=tomorrow, context=HISTORY).enrolled_on == tomorrow


def test_two_ids_in_one_foreign_system_are_refused() -> None:
    with refuses("foreign_ids"):
        enrol(foreign_ids=(("sis", "1"), ("sis", "2")))


def test_refused_enrolment_does_not_repeat_the_name() -> None:
    with refuses("birth_date", "foreign_ids", "name_long") as refusal:
        enrol(
            family_name="Канарейка" * 30,
            birth_date=date(2031, 3, 7),
            foreign_ids=(("sis", "canary-1"), ("sis", "canary-2")),
        )
    for canary in ("Канарейка", "2031", "canary"):
        assert canary not in refusal.text


# --- groups ----------------------------------------------------------------------------------------------------------


def test_move_ends_the_old_membership_the_day_before() -> None:
    school = a_school()
    other = school.forms_group("5Б")
    school.moves(school.student, other, on=LEFT, out_of=school.group)
    lane = school.the(school.student)
    assert lane.in_group(school.group.stream_id, LEFT - timedelta(days=1))
    assert not lane.in_group(school.group.stream_id, LEFT)
    assert lane.in_group(other.stream_id, LEFT)
    assert not lane.in_group(other.stream_id, LEFT - timedelta(days=1))


def test_student_may_be_in_two_groups_at_once() -> None:
    school = a_school()
    elective = school.forms_group("Кружок")
    school.moves(school.student, elective)
    lane = school.the(school.student)
    assert lane.in_group(school.group.stream_id, TODAY)
    assert lane.in_group(elective.stream_id, TODAY)


def test_move_into_the_same_group_or_out_of_a_strange_one_is_refused() -> None:
    school = a_school()
    other = school.forms_group("5Б")
    with refuses("member_already"):
        school.moves(school.student, school.group, on=TODAY)
    with refuses("not_member"):
        school.moves(school.student, other, on=TODAY, out_of=school.forms_group("5В"))


def test_move_before_the_enrolment_or_after_today_is_refused() -> None:
    school = a_school()
    other = school.forms_group("5Б")
    with refuses("before_enrolment"):
        school.moves(school.student, other, on=YEAR_BEGINS - timedelta(days=1))
    with refuses("in_future"):
        school.moves(school.student, other, on=TODAY + timedelta(days=1))


def test_move_without_a_day_is_refused_live_and_flagged_in_history() -> None:
    school = a_school()
    student = school.enrols()
    with refuses("begin_unknown"):
        school.moves(student, school.group, on=None)
    school.context = HISTORY
    (event,) = school.moves(student, school.group, on=None)
    assert cast("StudentMovedToGroup", event).flags == ("begin_unknown",)
    assert school.the(student).in_group(school.group.stream_id, date(1990, 1, 1))
    school.leaves_group(student, school.group, on=LEFT)
    assert not school.the(student).in_group(school.group.stream_id, TODAY)


def test_undated_move_out_of_a_group_leaves_the_old_membership_open() -> None:
    school = a_school()
    student, other = school.enrols(on=None), school.forms_group("5Б")
    school.context = HISTORY
    school.moves(student, school.group, on=None)
    school.moves(student, other, on=None, out_of=school.group)
    assert school.the(student).in_group(school.group.stream_id, TODAY)
    assert school.the(student).in_group(other.stream_id, TODAY)


def test_leaving_one_group_keeps_the_others() -> None:
    school = a_school()
    elective = school.forms_group("Кружок")
    school.moves(school.student, elective)
    school.leaves_group(school.student, elective, on=LEFT)
    lane = school.the(school.student)
    assert lane.in_group(elective.stream_id, LEFT)
    assert not lane.in_group(elective.stream_id, LEFT + timedelta(days=1))
    assert lane.in_group(school.group.stream_id, TODAY)


def test_group_cannot_be_left_by_a_stranger_twice_before_joining_or_tomorrow() -> None:
    school = a_school()
    with refuses("not_member"):
        school.leaves_group(school.enrols(), school.group, on=TODAY)
    with refuses("not_member"):
        school.leaves_group(school.student, school.group, on=YEAR_BEGINS - timedelta(days=1))
    with refuses("in_future"):
        school.leaves_group(school.student, school.group, on=TODAY + timedelta(days=1))
    school.leaves_group(school.student, school.group, on=LEFT)
    with refuses("not_member"):
        school.leaves_group(school.student, school.group, on=TODAY)


# --- leaving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["completed", "own_wish", "moved_away", "other"])
def test_leaving_the_school_ends_every_membership(reason: str) -> None:
    school = a_school()
    elective = school.forms_group("Кружок")
    school.moves(school.student, elective)
    school.leaves(school.student, on=LEFT, reason=reason)
    lane = school.the(school.student)
    for group in (school.group, elective):
        assert lane.in_group(group.stream_id, LEFT)
        assert not lane.in_group(group.stream_id, LEFT + timedelta(days=1))
    assert lane.is_enrolled(LEFT)
    assert not lane.is_enrolled(LEFT + timedelta(days=1))


def test_leaving_needs_a_known_reason_and_a_day_at_the_school() -> None:
    school = a_school()
    with refuses("reason_unknown"):
        school.leaves(school.student, on=LEFT, reason="expelled by magic")
    with refuses("in_future"):
        school.leaves(school.student, on=TODAY + timedelta(days=1))
    with refuses("before_enrolment"):
        school.leaves(school.student, on=YEAR_BEGINS - timedelta(days=1))


def test_student_leaves_once() -> None:
    school = a_school()
    school.leaves(school.student, on=LEFT)
    with refuses("student_left") as refusal:
        school.leaves(school.student, on=TODAY)
    assert refusal.students == [str(school.student.subject_id)]
    with refuses("student_left"):
        school.transfers_out(school.student, on=TODAY)


def test_student_who_left_joins_no_group_and_gets_no_mark() -> None:
    school = a_school()
    school.leaves(school.student, on=LEFT)
    with refuses("student_left"):
        school.moves(school.student, school.forms_group("5Б"), on=LEFT + timedelta(days=1))
    school.marks(school.student, "5", on=LEFT)
    with refuses("outside_enrolment"):
        school.marks(school.student, "5", on=LEFT + timedelta(days=1))


def test_membership_recorded_after_the_leaving_ends_with_it() -> None:
    school = a_school()
    school.leaves(school.student, on=LEFT)
    other = school.forms_group("5Б")
    recorded = school.moves(school.student, other, on=LEFT - timedelta(days=7))
    assert [event.TOPIC for event in recorded] == ["student.moved_to_group", "student.left_group"]
    lane = school.the(school.student)
    assert lane.in_group(other.stream_id, LEFT)
    assert not lane.in_group(other.stream_id, LEFT + timedelta(days=1))
    work = school.adds_work(course := school.opens_course(other))
    with refuses("outside_enrolment"):
        school.marks(school.student, "5", of=course, work=work)


def test_undated_move_of_a_student_who_left_is_refused_in_history_too() -> None:
    school = a_school()
    school.leaves(school.student, on=LEFT)
    school.context = HISTORY
    with refuses("student_left"):
        school.moves(school.student, school.forms_group("5Б"), on=None)


# --- transfers -------------------------------------------------------------------------------------------------------


def test_transfer_names_the_application_the_order_and_what_was_released() -> None:
    school = a_school()
    (event,) = school.transfers_out(school.student, on=LEFT, to=" Гимназия ", order=" Приказ 7 ")
    out = cast("StudentTransferredOut", event)
    assert (out.to_organisation, out.application, out.order) == ("Гимназия", "Заявление 3", "Приказ 7")
    assert out.released == ("personal_file", "portfolio")
    assert not school.the(school.student).in_group(school.group.stream_id, TODAY)


def test_transfer_without_its_papers_is_refused() -> None:
    school = a_school()
    with refuses("organisation_missing", "application_missing", "order_missing"):
        school.transfers_out(school.student, on=LEFT, to=" ", application="", order="")
    for released in (("class_journal",), ("portfolio", "portfolio")):
        with refuses("released_unknown"):
            school.transfers_out(school.student, on=LEFT, released=released)
    with refuses("in_future"):
        school.transfers_out(school.student, on=TODAY + timedelta(days=1))
    school.transfers_out(school.student, on=LEFT, released=())


def test_student_who_comes_back_belongs_to_no_group_until_moved_into_one() -> None:
    school = a_school()
    school.transfers_out(school.student, on=LEFT)
    back = LEFT + timedelta(days=10)
    school.transfers_in(school.student, on=back)
    lane = school.the(school.student)
    assert lane.is_enrolled(back)
    assert not lane.in_group(school.group.stream_id, TODAY)
    school.moves(school.student, school.group, on=back)
    school.marks(school.student, "5", on=back)
    school.marks(school.student, "5", on=LEFT)


def test_time_away_stays_a_time_away_after_the_return() -> None:
    school = a_school()
    school.transfers_out(school.student, on=LEFT)
    back = LEFT + timedelta(days=10)
    school.transfers_in(school.student, on=back)
    away = back - timedelta(days=1)
    with refuses("student_left"):
        school.moves(school.student, school.group, on=away)
    with refuses("student_left"):
        school.leaves(school.student, on=away)
    with refuses("student_left"):
        school.achieves(school.student, on=away)
    school.achieves(school.student, on=LEFT)
    school.achieves(school.student, on=back)
    school.moves(school.student, school.group, on=back)
    with refuses("outside_enrolment"):
        school.marks(school.student, "5", on=away)
    school.context = HISTORY
    with refuses("student_left"):
        school.moves(school.student, school.group, on=None)


def test_return_needs_its_papers_and_a_day_after_the_leaving() -> None:
    school = a_school()
    school.transfers_out(school.student, on=LEFT)
    with refuses("organisation_missing", "order_missing"):
        school.transfers_in(school.student, on=TODAY, came_from="", order=" ")
    with refuses("not_left"):
        school.transfers_in(school.student, on=LEFT)
    with refuses("in_future"):
        school.transfers_in(school.student, on=TODAY + timedelta(days=1))


def test_student_may_come_from_elsewhere_without_having_left_here() -> None:
    school = a_school()
    school.transfers_in(school.student, on=YEAR_BEGINS)
    lane = school.the(school.student)
    assert lane.state.left_on is None
    assert lane.in_group(school.group.stream_id, TODAY)


def test_student_leaves_and_returns_again_and_again() -> None:
    school: AClass = a_school()
    for day in (date(2025, 9, 5), date(2025, 9, 15), date(2025, 9, 25)):
        school.leaves(school.student, on=day)
        school.transfers_in(school.student, on=day + timedelta(days=5))
        school.moves(school.student, school.group, on=day + timedelta(days=5))
    lane = school.the(school.student)
    inside = [day for day in range(1, 31) if lane.in_group(school.group.stream_id, date(2025, 9, day))]
    assert inside == [1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 30]
