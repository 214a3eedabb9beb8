from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from ledger.aggregates import class_group, course
from ledger.aggregates.student import record, record_lane
from ledger.ids import new_id
from ledger.projections.rosters.projection import foreign_id_token, rosters
from tests.support.school import QUARTERS, YEAR, YEAR_BEGINS, YEAR_ENDS, AClass, a_school
from tests.support.views import body, facts_of, keys, replay, the
from tests.support.world import TEACHER, TODAY, a_context

if TYPE_CHECKING:
    from ledger.aggregates.student import StudentRecord
    from tests.support.school import Student
    from tests.support.views import Stored

LAST = date(2025, 10, 1)


def token(field: str, value: str) -> bytes:
    return f"{field}|{value}".encode()


ROSTERS = rosters(token)


def rows_of(school: AClass) -> Stored:
    return replay(ROSTERS, facts_of(school))


def held_to_the_lane(school: AClass, student: Student) -> Stored:
    """Returns the rows, after checking that they show exactly the memberships that the student's lane decides by."""
    rows = rows_of(school)
    lane: StudentRecord = school.the(student)
    wanted = [(entry.group_id, entry.starts_on, entry.ends_on) for entry in lane.state.memberships]
    found = body(rows, "students", student.subject_id).memberships
    assert [(entry.group_id, entry.starts_on, entry.ends_on) for entry in found] == wanted
    listed = [
        (key[0], *the(rows, "memberships", *key).clear[:2])
        for key in keys(rows, "memberships")
        if key[1] == student.subject_id
    ]
    assert sorted(listed, key=str) == sorted(wanted, key=str)
    assert the(rows, "students", student.subject_id).clear[:2] == (lane.state.enrolled_on, lane.state.left_on)
    return rows


def test_student_has_a_card_under_the_personal_file_with_names_sealed() -> None:
    school = a_school()
    student = school.enrols(family_name="Синтетическая", given_name="Первая", on=YEAR_BEGINS)
    row = the(rows_of(school), "students", student.subject_id)
    assert (row.record_class, row.clear) == ("personal_file", (YEAR_BEGINS, None, 1))
    assert (row.body.family_name, row.body.given_name, row.body.status) == ("Синтетическая", "Первая", "enrolled")
    assert row.body.memberships == []


def test_move_out_of_a_group_ends_the_old_membership_the_day_before() -> None:
    school = a_school()
    other = school.forms_group("5Б")
    school.moves(school.student, other, on=LAST, out_of=school.group)
    rows = held_to_the_lane(school, school.student)
    first, second = body(rows, "students", school.student.subject_id).memberships
    assert (first.group_id, first.ends_on) == (school.group.stream_id, date(2025, 9, 30))
    assert (second.group_id, second.starts_on, second.ends_on) == (other.stream_id, LAST, None)


def test_second_group_beside_the_first_leaves_the_first_open() -> None:
    school = a_school()
    school.moves(school.student, school.forms_group("Кружок"), on=LAST)
    rows = held_to_the_lane(school, school.student)
    assert [one.ends_on for one in body(rows, "students", school.student.subject_id).memberships] == [None, None]


def test_leaving_a_group_ends_that_membership_only() -> None:
    school = a_school()
    club = school.forms_group("Кружок")
    school.moves(school.student, club, on=YEAR_BEGINS)
    school.leaves_group(school.student, club, on=LAST)
    rows = held_to_the_lane(school, school.student)
    ends = {one.group_id: one.ends_on for one in body(rows, "students", school.student.subject_id).memberships}
    assert ends == {school.group.stream_id: None, club.stream_id: LAST}
    assert body(rows, "students", school.student.subject_id).status == "enrolled"


@pytest.mark.parametrize("out", [False, True])
def test_leaving_the_school_ends_every_membership_and_says_how(*, out: bool) -> None:
    school = a_school()
    school.moves(school.student, school.forms_group("Кружок"), on=YEAR_BEGINS)
    if out:
        school.transfers_out(school.student, on=LAST)
    else:
        school.leaves(school.student, on=LAST, reason="moved_away")
    rows = held_to_the_lane(school, school.student)
    card = the(rows, "students", school.student.subject_id)
    assert card.clear[:2] == (YEAR_BEGINS, LAST)
    assert card.body.status == ("transferred_out" if out else "left:moved_away")
    assert {one.ends_on for one in card.body.memberships} == {LAST}


def test_return_opens_the_card_again_and_keeps_the_ended_memberships() -> None:
    school = a_school()
    school.transfers_out(school.student, on=LAST)
    school.transfers_in(school.student, on=date(2025, 10, 10))
    school.moves(school.student, school.group, on=date(2025, 10, 10))
    rows = held_to_the_lane(school, school.student)
    card = the(rows, "students", school.student.subject_id)
    assert (card.clear[:2], card.body.status) == ((YEAR_BEGINS, None), "enrolled")
    assert [one.ends_on for one in card.body.memberships] == [LAST, None]


def test_move_recorded_after_the_leaving_ends_with_it() -> None:
    school = a_school()
    school.leaves(school.student, on=LAST)
    school.moves(school.student, school.forms_group("5Б"), on=date(2025, 9, 20))
    rows = held_to_the_lane(school, school.student)
    assert {one.ends_on for one in body(rows, "students", school.student.subject_id).memberships} == {LAST}


def test_membership_without_a_known_beginning_is_flagged() -> None:
    school = AClass(a_context(imported=True))
    student = school.enrols(on=None)
    school.moves(student, school.group, on=None)
    (membership,) = body(held_to_the_lane(school, student), "students", student.subject_id).memberships
    assert (membership.starts_on, membership.flags) == (None, ["begin_unknown"])


def test_foreign_ids_are_found_by_a_token_that_tells_source_from_id() -> None:
    school = a_school()
    ref = record_lane(new_id())
    foreign = (("lms", "41"), ("register", "4-1"))
    school.record(
        record.enrol_student(
            ref,
            family_name="Синтетический",
            given_name="",
            patronymic="",
            birth_date=None,
            enrolled_on=None,
            foreign_ids=foreign,
            context=school.context,
        )
    )
    rows = rows_of(school)
    for source, foreign_id in foreign:
        found = the(rows, "foreign_ids", foreign_id_token(token, source, foreign_id))
        assert (found.clear, found.body) == ((ref.subject_id,), None)
    assert len(keys(rows, "foreign_ids")) == 2
    assert foreign_id_token(token, "ab", "c") != foreign_id_token(token, "a", "bc")


def test_school_shows_years_periods_scales_acts_permits_and_what_was_closed() -> None:
    school = a_school()
    school.adopts_window(14)
    school.closes_period(QUARTERS[0][0])
    permit = school.permits(reason="Болезнь учителя")
    school.closes_year()
    row = the(rows_of(school), "school", school.ref.stream_id)
    assert row.record_class == "organisation"
    assert [(year.year, year.starts_on, year.ends_on, year.closed_on) for year in row.body.years] == [
        (YEAR, YEAR_BEGINS, YEAR_ENDS, TODAY)
    ]
    closed = {period.period: period.closed_on for period in row.body.periods}
    assert closed[QUARTERS[0][0]] == TODAY
    assert closed[QUARTERS[1][0]] is None
    assert {scale.scale for scale in row.body.scales} == {"five", "pass-fail", "hundred"}
    assert [(act.act, act.version, act.correction_window_days) for act in row.body.acts] == [("assessment", 1, 14)]
    assert [(one.permit_id, one.reason) for one in row.body.permits] == [(permit, "Болезнь учителя")]
    assert row.position == len(school.events)


def test_group_course_and_work_show_who_leads_and_teaches() -> None:
    school = a_school()
    leader, substitute = new_id(), new_id()
    school.record(
        class_group.appoint_class_teacher(
            school.group, school.the(school.group), class_teacher=leader, effective_on=TODAY, context=school.context
        )
    )
    school.record(
        course.assign_teacher(
            school.course, teacher=substitute, starts_on=LAST, ends_on=TODAY, substitute=True, context=school.context
        )
    )
    rows = rows_of(school)
    assert body(rows, "groups", school.group.stream_id).class_teacher == leader
    assert the(rows, "courses", school.course.stream_id).clear[0] == school.group.stream_id
    teachers = body(rows, "courses", school.course.stream_id).teachers
    assert [(one.teacher, one.ends_on, one.substitute) for one in teachers] == [
        (TEACHER, None, False),
        (substitute, TODAY, True),
    ]
    assert the(rows, "works", school.work).clear == (school.course.stream_id, None, None)
    assert body(rows, "works", school.work).scale == "five"


def test_what_follows_an_erased_card_brings_no_card_back() -> None:
    school = a_school()
    student = school.enrols()
    school.leaves(student, on=LAST)
    school.transfers_in(student, on=TODAY)
    facts = [fact for fact in facts_of(school) if fact.entry.event_id != school.history(student)[0].event_id]
    assert (student.subject_id,) not in keys(replay(ROSTERS, facts), "students")
