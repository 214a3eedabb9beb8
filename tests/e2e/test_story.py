"""The whole story of a school over HTTP, as a client sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ledger.policy.offices import Office
from tests.support.api import BEGIN, PERIOD, TODAY, YEAR, YESTERDAY, AClass, Api, Served, make_class

if TYPE_CHECKING:
    from tests.support.api import Json


def test_school_shows_its_years_periods_and_scales(director: Api) -> None:
    school = director.reads("/v1/school")
    assert school["name"] == "Школа для проверок"
    assert [year["year"] for year in school["years"]][:1] == [YEAR]
    assert {scale["scale"] for scale in school["scales"]} >= {"five", "pass-fail", "hundred"}


def test_school_is_founded_once(director: Api) -> None:
    answer = director.post("/v1/school", {"name": "Вторая школа"})
    assert answer.status_code == 422
    assert answer.json()["violations"][0]["code"] == "school_exists"


def test_lesson_correction_and_period_mark_stand_in_the_journal(served: Served, director: Api, a_class: AClass) -> None:
    teacher = served.acts(Office.TEACHER, person=a_class.teacher)
    first, second = a_class.students
    lesson = teacher.records(
        "/v1/lessons",
        a_class.lesson(
            {"student_id": first, "marks": ["4", "5"], "comment": "Хорошо"}, {"student_id": second, "attendance": "н"}
        ),
    )
    assert lesson["id"] is None
    marks = [event for event in lesson["events"] if event["topic"] == "marks.recorded"]
    assert [mark["subject_id"] for mark in marks] == [first, first]
    corrected = f"/v1/students/{first}/marks/{marks[0]['event_id']}/corrections"
    teacher.records(corrected, {"course_id": a_class.course_id, "value": "3", "reason": "Ошибка в задании 2"})
    voided = f"/v1/students/{first}/marks/{marks[1]['event_id']}/voidings"
    teacher.records(voided, {"course_id": a_class.course_id, "reason": "Поставлена дважды"})
    period = {"course_id": a_class.course_id, "student_id": first, "period": PERIOD}
    dated = {**period, "value": "3", "effective_on": YESTERDAY.isoformat()}
    teacher.records("/v1/period-marks", dated)
    last = teacher.records("/v1/period-marks/corrections", {**period, "value": "4", "reason": "Пересдача"})
    page = teacher.reads(f"/v1/journals/{a_class.course_id}", min_position=last["position"])
    assert [line["student_id"] for line in page["lines"]] == a_class.students
    cells = {cell["entry_id"]: cell for cell in page["lines"][0]["cells"]}
    changed, gone = cells[marks[0]["event_id"]], cells[marks[1]["event_id"]]
    assert (changed["value"], changed["changes"][0]["old_value"]) == ("3", "4")
    assert changed["changes"][0]["reason"] == "Ошибка в задании 2"
    assert gone["voided"]
    assert gone["changes"][0]["old_value"] == "5"
    assert page["lines"][1]["cells"][0]["kind"] == "attendance"
    result = page["lines"][0]["results"][0]
    assert (result["value"], result["changes"][0]["old_value"]) == ("4", "3")
    assert page["works"][0]["work_id"] == a_class.work_id
    assert page["next"] is None
    assert page["position"] >= last["position"]


def test_submission_stands_unmarked_until_the_mark_comes(served: Served, a_class: AClass) -> None:
    teacher = served.acts(Office.TEACHER, person=a_class.teacher)
    form = a_class.mark(a_class.students[0])
    del form["value"]
    submitted = teacher.records("/v1/submissions", form)
    page = teacher.reads(f"/v1/journals/{a_class.course_id}", min_position=submitted["position"])
    assert [(cell["kind"], cell["value"]) for cell in page["lines"][0]["cells"]] == [("submitted", None)]


def _achieves(director: Api, student: str) -> Json:
    form = {"kind": "olympiad", "level": "regional", "outcome": "winner", "title": "Олимпиада"}
    return director.records(
        f"/v1/students/{student}/achievements", {**form, "achieved_on": YESTERDAY.isoformat(), "evidence": "Диплом 7"}
    )


def test_award_with_its_basis_and_credit_make_the_portfolio(director: Api, a_class: AClass) -> None:
    student = a_class.students[0]
    achievement = _achieves(director, student)
    award = {"form": "diploma", "sphere": "study", "title": "Грамота", "order": "Приказ 5"}
    granted = {**award, "basis": [achievement["id"]], "granted_on": TODAY.isoformat()}
    director.records(f"/v1/students/{student}/awards", granted)
    credit = {"subject": "Музыка", "from_organisation": "Музыкальная школа", "scale": "five", "value": "5"}
    will = {"will_of": "representative", "will_on": YESTERDAY.isoformat(), "order": "Приказ 6"}
    last = director.records(
        f"/v1/students/{student}/credits", {**credit, **will, "effective_on": YESTERDAY.isoformat()}
    )
    path = f"/v1/students/{student}/portfolio"
    items = director.reads(path, min_position=last["position"])["items"]
    assert sorted(item["kind"] for item in items) == ["achievement", "award", "credit"]
    assert next(item for item in items if item["kind"] == "award")["basis"] == [achievement["id"]]
    first = director.reads(path, limit=2)
    rest = director.reads(path, limit=2, cursor=first["next"])
    assert [item["item_id"] for item in first["items"] + rest["items"]] == [item["item_id"] for item in items]
    assert rest["next"] is None


def test_award_without_its_basis_is_refused(director: Api, a_class: AClass) -> None:
    award = {"form": "diploma", "sphere": "study", "title": "Грамота", "order": "Приказ 5"}
    granted = {**award, "basis": [], "granted_on": TODAY.isoformat()}
    answer = director.post(f"/v1/students/{a_class.students[0]}/awards", granted)
    assert answer.status_code == 422
    assert [found["code"] for found in answer.json()["violations"]] == ["basis_missing"]


def test_transfer_out_and_back_shows_in_card_retention_and_history(director: Api, a_class: AClass) -> None:
    student = a_class.students[1]
    out = {"to_organisation": "Школа 2", "application": "Заявление 1", "order": "Приказ 9"}
    left = {**out, "effective_on": (TODAY - timedelta(days=10)).isoformat(), "released": ["personal_file"]}
    gone = director.records(f"/v1/students/{student}/transfers-out", left)
    card = director.reads(f"/v1/students/{student}", min_position=gone["position"])
    assert card["left_on"] == left["effective_on"]
    back = {"from_organisation": "Школа 2", "order": "Приказ 11", "effective_on": YESTERDAY.isoformat()}
    came = director.records(f"/v1/students/{student}/transfers-in", back)
    assert director.reads(f"/v1/students/{student}", min_position=came["position"])["left_on"] is None
    retention = director.reads(f"/v1/students/{student}/retention", min_position=came["position"])
    assert "personal_file" in [line["record_class"] for line in retention["lines"]]
    history = director.reads(f"/v1/students/{student}/history")
    topics = [line["topic"] for line in history["items"] if line["record_class"] == "personal_file"]
    assert topics == [
        "student.enrolled",
        "student.moved_to_group",
        "student.transferred_out",
        "student.transferred_in",
    ]


def test_history_is_told_as_of_a_time_and_a_day_and_in_pages(director: Api, a_class: AClass) -> None:
    path = f"/v1/students/{a_class.students[0]}/history"
    whole = director.reads(path)["items"]
    assert [line["topic"] for line in whole[:2]] == ["student.enrolled", "student.moved_to_group"]
    assert whole[0]["state"]["family_name"] == "Синтетический0"
    known = director.reads(path, known_at=whole[0]["recorded_at"])["items"]
    assert [line["position"] for line in known] == [whole[0]["position"]]
    before = (BEGIN - timedelta(days=1)).isoformat()
    happened = [line["topic"] for line in director.reads(path, effective_on=before)["items"]]
    assert "student.moved_to_group" not in happened
    first = director.reads(path, limit=1)
    assert first["next"] == str(whole[0]["position"])
    assert director.reads(path, limit=1, after=first["next"])["items"][0] == whole[1]


def test_student_is_found_by_foreign_id_and_in_the_class_list(director: Api, a_class: AClass) -> None:
    foreign = {"source": "sis", "id": f"№ {a_class.students[0]}"}
    form = {"family_name": "Синтетический", "given_name": "Третий", "foreign_ids": [foreign]}
    made = director.records("/v1/students", form)
    found = director.reads("/v1/students", source="sis", foreign_id=foreign["id"], min_position=made["position"])
    assert found["student_id"] == made["id"]
    assert director.get("/v1/students", source="sis", foreign_id="unknown").status_code == 404
    first = director.reads("/v1/students", group_id=a_class.group_id, limit=1)
    rest = director.reads("/v1/students", group_id=a_class.group_id, limit=1, cursor=first["next"])
    assert sorted(card["student_id"] for card in first["items"] + rest["items"]) == sorted(a_class.students)


def test_groups_courses_and_works_come_in_pages(director: Api, a_class: AClass) -> None:
    works = f"/v1/courses/{a_class.course_id}/works"
    second = director.records(works, {"title": "Домашняя", "kind": "homework", "weight": "0.5"})
    now = second["position"]
    first = director.reads(works, limit=1, min_position=now)
    assert [work["work_id"] for work in first["items"]] == [a_class.work_id]
    rest = director.reads(works, limit=1, cursor=first["next"])
    assert [work["work_id"] for work in rest["items"]] == [second["id"]]
    assert rest["next"] is None
    listed = director.reads("/v1/courses", group_id=a_class.group_id)["items"]
    assert [course["course_id"] for course in listed] == [a_class.course_id]
    assert director.reads(f"/v1/courses/{a_class.course_id}")["teachers"][0]["teacher"] == str(a_class.teacher)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = director.reads("/v1/class-groups", limit=1, **cursor)
        seen += [group["group_id"] for group in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert a_class.group_id in seen
    assert len(seen) == len(set(seen))
    assert director.reads(f"/v1/class-groups/{a_class.group_id}")["class_teacher"] == str(a_class.class_teacher)
    other = make_class(director)
    every = director.reads("/v1/courses", min_position=other.position)["items"]
    assert 1 < len(every) <= 50


def test_class_teacher_teacher_and_scale_are_changed(served: Served, director: Api, a_class: AClass) -> None:
    person = str(a_class.teacher)
    appointed = {"class_teacher": person, "effective_on": TODAY.isoformat()}
    director.records(f"/v1/class-groups/{a_class.group_id}/class-teacher", appointed)
    substitute = {"teacher": str(a_class.class_teacher), "starts_on": YESTERDAY.isoformat(), "substitute": True}
    assigned = {**substitute, "ends_on": TODAY.isoformat()}
    director.records(f"/v1/courses/{a_class.course_id}/teachers", assigned)
    scale = {"scale": "letters", "title": "Буквенная", "symbols": ["A", "B"], "passing": ["A"]}
    defined = director.records("/v1/school/scales", scale)
    acts = {"act": "assessment", "title": "Положение", "consulted": ["Педагогический совет"]}
    director.records("/v1/school/local-acts", {**acts, "approved_by": "Приказ 1", "in_force_from": BEGIN.isoformat()})
    stand_in = served.acts(Office.TEACHER, person=a_class.class_teacher)
    last = stand_in.records("/v1/marks", a_class.mark(a_class.students[0]))
    group = director.reads(f"/v1/class-groups/{a_class.group_id}", min_position=last["position"])
    assert group["class_teacher"] == person
    school = director.reads("/v1/school", min_position=defined["position"])
    assert "letters" in [found["scale"] for found in school["scales"]]
    history = director.reads(f"/v1/students/{a_class.students[0]}/history")
    cited = [line["local_act"] for line in history["items"] if line["topic"] == "marks.recorded"]
    assert cited[0].startswith("assessment/")


def test_closed_period_and_year_take_entries_with_a_permission_only(served: Served, director: Api) -> None:
    year, period = "2024-2025", "2024-2025/1"
    dates = {"starts_on": BEGIN.isoformat(), "ends_on": TODAY.isoformat()}
    director.records("/v1/school/years", {"year": year, "title": year, **dates})
    quarter = {"period": period, "year": year, "kind": "quarter", "title": "I", **dates}
    director.records("/v1/school/periods", quarter)
    group = director.records("/v1/class-groups", {"title": "4А", "year": year, "level": "primary"})["id"]
    course = {"title": "Чтение", "group_id": group, "journal": "class", "scale": "five"}
    course_id = director.records("/v1/courses", course)["id"]
    work = director.records(f"/v1/courses/{course_id}/works", {"title": "Рассказ", "kind": "test"})["id"]
    student = make_class(director, students=1).students[0]
    director.records(f"/v1/students/{student}/moves", {"group_id": group, "effective_on": BEGIN.isoformat()})
    director.records("/v1/school/periods/closings", {"period": period})
    mark = {"course_id": course_id, "student_id": student, "work_id": work, "value": "5"}
    late = {**mark, "effective_on": YESTERDAY.isoformat()}
    refused = director.post("/v1/marks", late)
    assert [found["code"] for found in refused.json()["violations"]] == ["period_closed"]
    director.records("/v1/school/years/closings", {"year": year})
    deputy = served.acts(Office.DEPUTY_HEAD)
    permission = {"year": year, "course_id": course_id, "until": TODAY.isoformat(), "reason": "Болезнь учителя"}
    permit = deputy.records("/v1/school/permissions", permission)
    recorded = director.records("/v1/marks", {**late, "permit_id": permit["id"]})
    school = director.reads("/v1/school", min_position=recorded["position"])
    assert permit["id"] in [found["permit_id"] for found in school["permits"]]
    assert next(found for found in school["years"] if found["year"] == year)["closed_on"] is not None


@pytest.mark.parametrize("reason", ["completed", "own_wish"])
def test_student_leaves_group_and_school(director: Api, a_class: AClass, reason: str) -> None:
    student = a_class.students[0]
    day = {"effective_on": YESTERDAY.isoformat()}
    director.records(f"/v1/students/{student}/group-leavings", {"group_id": a_class.group_id, **day})
    left = director.records(f"/v1/students/{student}/leavings", {"reason": reason, **day})
    card = director.reads(f"/v1/students/{student}", min_position=left["position"])
    assert card["left_on"] == YESTERDAY.isoformat()
    assert card["memberships"][0]["ends_on"] == YESTERDAY.isoformat()
