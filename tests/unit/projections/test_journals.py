from __future__ import annotations

from datetime import date

from ledger.projections.journals.projection import JOURNALS
from tests.support.school import QUARTERS, AClass, a_school
from tests.support.views import body, facts_of, keys, replay, the
from tests.support.world import TEACHER, TODAY, a_context

MONDAY = date(2025, 9, 15)
HEAD = a_context().actor


def test_mark_stands_under_its_course_student_work_and_day() -> None:
    school = a_school()
    mark = school.marks(school.student, "5", on=MONDAY, comment="Хорошо")
    facts = facts_of(school)
    row = the(replay(JOURNALS, facts), "entries", mark)
    assert row.clear == (school.course.stream_id, school.student.subject_id, school.work, MONDAY, row.position, 2)
    assert (row.subject_id, row.record_class, row.position) == (school.student.subject_id, "marks", len(facts))
    assert (row.body.kind, row.body.value, row.body.scale, row.body.comment) == ("mark", "5", "five", "Хорошо")
    assert (row.body.recorded_by, row.body.changes, row.body.voided) == (TEACHER, [], False)


def test_correction_stays_visible_with_old_value_reason_actor_and_position() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    first = len(school.events)
    school.corrects(school.student, mark, "4", reason="Пересчёт баллов")
    school.corrects(school.student, mark, "5", reason="Апелляция")
    row = the(replay(JOURNALS, facts_of(school)), "entries", mark)
    assert row.body.value == "5"
    assert [(one.old_value, one.value, one.reason) for one in row.body.changes] == [
        ("3", "4", "Пересчёт баллов"),
        ("4", "5", "Апелляция"),
    ]
    assert [(one.actor, one.position, one.changed_on) for one in row.body.changes] == [
        (TEACHER, first + 1, TODAY),
        (TEACHER, first + 2, TODAY),
    ]
    assert row.position == first + 2


def test_correction_names_who_made_it_not_who_set_the_mark() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    before = len(school.events)
    school.corrects(school.student, mark, "4")
    corrector = school.student.subject_id
    facts = [*facts_of(school)[:before], *facts_of(school, actor=corrector)[before:]]
    found = body(replay(JOURNALS, facts), "entries", mark)
    assert (found.recorded_by, found.changes[0].actor) == (TEACHER, corrector)


def test_voided_mark_stays_readable_with_its_value_and_the_reason() -> None:
    school = a_school()
    mark = school.marks(school.student, "2")
    school.voids(school.student, mark, reason="Поставлена не тому")
    found = body(replay(JOURNALS, facts_of(school)), "entries", mark)
    assert (found.voided, found.value) == (True, "2")
    (change,) = found.changes
    assert (change.old_value, change.value, change.reason) == ("2", None, "Поставлена не тому")
    assert (change.actor, change.position, change.changed_on) == (TEACHER, len(school.events), TODAY)


def test_two_marks_for_one_work_stand_side_by_side() -> None:
    school = a_school()
    marks = {school.marks(school.student, value) for value in ("4", "5")}
    assert {key[0] for key in keys(replay(JOURNALS, facts_of(school)), "entries")} == marks


def test_submission_has_no_value_and_attendance_has_no_work() -> None:
    school = a_school()
    handed_in = school.submits(school.student, on=MONDAY)
    absent = school.notes(school.student, "н", on=MONDAY)
    rows = replay(JOURNALS, facts_of(school))
    assert the(rows, "entries", handed_in.event_id).clear[2] == school.work
    assert body(rows, "entries", handed_in.event_id).kind == "submitted"
    assert body(rows, "entries", handed_in.event_id).value is None
    assert the(rows, "entries", absent.event_id).clear[2] is None
    assert (body(rows, "entries", absent.event_id).kind, body(rows, "entries", absent.event_id).value) == (
        "attendance",
        "н",
    )


def test_credited_result_stands_in_the_journal_only_with_a_course() -> None:
    school = a_school()
    school.credits(school.student, "5")
    assert keys(replay(JOURNALS, facts_of(school)), "entries") == []


def test_flags_of_imported_history_are_kept() -> None:
    school = AClass(a_context(imported=True))
    school.leaves_group(school.student, school.group, on=MONDAY)
    mark = school.marks(school.student, "5", on=TODAY)
    assert body(replay(JOURNALS, facts_of(school)), "entries", mark).flags == ["outside_enrolment"]


def test_period_mark_is_one_row_and_its_correction_keeps_the_old_value() -> None:
    school = a_school()
    school.sets_result(school.student, "4")
    school.corrects_result(school.student, "5", reason="Пересчёт")
    rows = replay(JOURNALS, facts_of(school))
    (key,) = keys(rows, "results")
    assert key == (school.student.subject_id, school.course.stream_id, QUARTERS[0][0], "quarter")
    row = the(rows, "results", *key)
    assert (row.record_class, row.body.value, row.position) == ("final_results", "5", len(school.events))
    (change,) = row.body.changes
    assert (change.old_value, change.value, change.reason, change.actor) == ("4", "5", "Пересчёт", TEACHER)


def test_correction_of_an_erased_mark_leaves_no_row() -> None:
    school = a_school()
    mark = school.marks(school.student, "3")
    school.sets_result(school.student, "4")
    school.corrects(school.student, mark, "4")
    school.voids(school.student, mark)
    school.corrects_result(school.student, "5")
    facts = [fact for fact in facts_of(school) if fact.event.TOPIC not in {"marks.recorded", "results.set"}]
    assert replay(JOURNALS, facts) == {}
