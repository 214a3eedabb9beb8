"""One key, one recording: repeated later, at once, with another body, and asked for afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from ledger.policy.offices import Office
from tests.support.api import AClass, Api, Served, all_at_once, make_class

if TYPE_CHECKING:
    import pytest


def test_post_without_a_key_is_refused(director: Api, a_class: AClass) -> None:
    answer = director.http.post("/v1/marks", json=a_class.mark(a_class.students[0]))
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency-key-missing"


def test_post_with_two_keys_is_refused(director: Api, a_class: AClass) -> None:
    answer = director.http.post(
        "/v1/marks",
        json=a_class.mark(a_class.students[0]),
        headers=[("Idempotency-Key", "one"), ("Idempotency-Key", "two")],
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-missing")


def test_overlong_key_is_refused(director: Api) -> None:
    answer = director.post("/v1/school", {"name": "Школа"}, key="k" * 201)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-input")


def test_repeated_post_answers_byte_for_byte(director: Api, a_class: AClass) -> None:
    key = str(uuid4())
    form = a_class.mark(a_class.students[0])
    first = director.post("/v1/marks", form, key=key)
    again = director.post("/v1/marks", form, key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["ledger-position"] == again.headers["ledger-position"] == str(first.json()["position"])
    asked = director.get(f"/v1/commands/{key}")
    assert asked.content == first.content
    assert "idempotency-replayed" not in asked.headers


def test_repeated_lesson_and_course_answer_byte_for_byte(director: Api, a_class: AClass) -> None:
    lesson = a_class.lesson(*({"student_id": student, "marks": ["5"]} for student in a_class.students))
    course = {"title": "Труд", "group_id": a_class.group_id, "journal": "class", "scale": "five"}
    for path, form in (("/v1/lessons", lesson), ("/v1/courses", {**course, "teachers": [str(uuid4())]})):
        key = f"{uuid4()}/with a slash"
        first, again = director.post(path, form, key=key), director.post(path, form, key=key)
        assert first.status_code == 201
        assert first.content == again.content == director.get(f"/v1/commands/{key}").content


def test_defaults_spelled_out_are_the_same_request(director: Api, a_class: AClass) -> None:
    key = str(uuid4())
    form = a_class.mark(a_class.students[0])
    first = director.post("/v1/marks", form, key=key)
    assert director.post("/v1/marks", {**form, "comment": ""}, key=key).content == first.content


def test_same_key_with_another_body_path_or_route_is_refused(director: Api, a_class: AClass) -> None:
    key = str(uuid4())
    first, second = a_class.students
    path = "/v1/students/{}/group-leavings"
    form = {"group_id": a_class.group_id, "effective_on": "2026-01-01"}
    del form["effective_on"]
    leaving = {"group_id": a_class.group_id, "effective_on": a_class.mark(first)["effective_on"]}
    assert director.post(path.format(first), leaving, key=key).status_code == 201
    others = (
        (path.format(first), {**leaving, "group_id": str(uuid4())}),
        (path.format(second), leaving),
        (f"/v1/students/{first}/moves", leaving),
    )
    for where, what in others:
        answer = director.post(where, what, key=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")


def test_keys_belong_to_the_one_who_sends_them(served: Served, director: Api, a_class: AClass) -> None:
    key = str(uuid4())
    form = a_class.mark(a_class.students[0])
    first = director.records("/v1/marks", form, key=key)
    other = served.acts(Office.DEPUTY_HEAD)
    assert other.get(f"/v1/commands/{key}").status_code == 404
    assert other.records("/v1/marks", form, key=key)["id"] != first["id"]


def test_refused_command_leaves_its_key_free(director: Api, a_class: AClass) -> None:
    key = str(uuid4())
    assert director.post("/v1/marks", a_class.mark(a_class.students[0], "7"), key=key).status_code == 422
    assert director.get(f"/v1/commands/{key}").status_code == 404
    assert director.post("/v1/marks", a_class.mark(a_class.students[0], "4"), key=key).status_code == 201


async def test_twenty_requests_with_one_key_at_once_are_recorded_once(director: Api, a_class: AClass) -> None:
    student, key = a_class.students[0], str(uuid4())
    requests = [
        director.http.build_request("POST", "/v1/marks", json=a_class.mark(student), headers={"Idempotency-Key": key})
        for _ in range(20)
    ]
    answers = await all_at_once(requests)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    history = director.reads(f"/v1/students/{student}/history")["items"]
    assert [line["topic"] for line in history].count("marks.recorded") == 1


def test_lesson_refuses_every_student_by_name_and_records_nothing(
    director: Api, a_class: AClass, caplog: pytest.LogCaptureFixture
) -> None:
    good, left = a_class.students
    stranger, nobody = make_class(director, students=1).students[0], str(uuid4())
    gone = {"effective_on": "2026-01-01", "reason": "moved_away"}
    gone["effective_on"] = a_class.mark(left)["effective_on"]
    last = director.records(f"/v1/students/{left}/leavings", gone)["position"]
    lesson = a_class.lesson(
        {"student_id": good, "marks": ["5"]},
        {"student_id": left, "marks": ["9"]},
        {"student_id": stranger, "marks": ["4"]},
        {"student_id": nobody, "marks": ["3"]},
    )
    answer = director.post("/v1/lessons", lesson)
    assert (answer.status_code, answer.json()["code"]) == (422, "refused")
    found = {(violation["student_id"], violation["code"]) for violation in answer.json()["violations"]}
    assert found == {(left, "off_scale"), (stranger, "outside_enrolment"), (nobody, "student_unknown")}
    page = director.reads(f"/v1/journals/{a_class.course_id}", min_position=last)
    assert [line["cells"] for line in page["lines"]] == [[], []]
    topics = [line["topic"] for line in director.reads(f"/v1/students/{good}/history")["items"]]
    assert not [topic for topic in topics if topic.startswith("marks.")]


def test_reads_see_own_writes_at_their_position(director: Api, a_class: AClass) -> None:
    student = a_class.students[0]
    for number in range(1, 21):
        made = director.records("/v1/marks", a_class.mark(student))
        page = director.reads(f"/v1/journals/{a_class.course_id}", min_position=made["position"], limit=50)
        assert len(page["lines"][0]["cells"]) == number
        assert page["position"] >= made["position"]
