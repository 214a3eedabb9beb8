"""Over HTTP: pages of an earlier moment, a state, a difference, one event; and moments that cannot be."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.policy.offices import Office
from tests.support.api import YESTERDAY

if TYPE_CHECKING:
    from tests.support.api import AClass, Api, Json, Served


def lines(page: Json, student: str) -> Json:
    return next(line for line in page["lines"] if line["student_id"] == student)


def test_mark_corrected_since_is_shown_as_it_stood_and_the_difference_says_why(
    served: Served, director: Api, a_class: AClass
) -> None:
    student = a_class.students[0]
    teacher = served.acts(Office.TEACHER, person=a_class.teacher)
    marked = teacher.records("/v1/marks", a_class.mark(student, "3"))
    form = {"course_id": a_class.course_id, "value": "4", "reason": "Описка"}
    corrected = teacher.records(f"/v1/students/{student}/marks/{marked['id']}/corrections", form)
    path = f"/v1/journals/{a_class.course_id}"
    now = lines(teacher.reads(path, min_position=corrected["position"]), student)
    assert [cell["value"] for cell in now["cells"]] == ["4"]
    then = teacher.reads(path, at_position=marked["position"])
    assert then["position"] == marked["position"]
    assert [cell["value"] for cell in lines(then, student)["cells"]] == ["3"]
    by_time = teacher.reads(path, known_at=marked["recorded_at"])
    assert lines(by_time, student) == lines(then, student)
    year_before = (YESTERDAY - timedelta(days=365)).isoformat()
    assert lines(teacher.reads(path), student)["cells"] != []
    assert teacher.reads(path, effective_on=year_before)["lines"] == []

    own = served.acts(Office.STUDENT, students=(UUID(student),))
    state = own.reads(f"/v1/students/{student}/state", at_position=marked["position"])
    assert [cell["value"] for course in state["courses"] for cell in course["cells"]] == ["3"]
    found = own.reads(f"/v1/students/{student}/diff", from_position=marked["position"])
    (change,) = found["changes"]
    assert change["fields"] == [{"field": "value", "old": "3", "new": "4"}]
    assert [(cause["position"], cause["reason"]) for cause in change["causes"]] == [(corrected["position"], "Описка")]
    assert "значение / value 3 → 4" in change["text"]
    event = own.reads(f"/v1/events/{corrected['position']}")
    assert (event["topic"], event["state"]["old_value"]) == ("marks.corrected", "3")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/journals/{course}", {"at_position": 1, "known_at": "2025-09-01T08:00:00Z"}),
        ("/v1/journals/{course}", {"at_position": 10**12}),
        ("/v1/journals/{course}", {"at_position": -1}),
        ("/v1/journals/{course}", {"known_at": "2025-09-01"}),
        ("/v1/journals/{course}", {"as_of": "2025-09-01"}),
        ("/v1/students", {"source": "sis", "foreign_id": "1", "at_position": 1}),
        ("/v1/students/{student}", {"at_position": 10**12}),
        ("/v1/students/{student}/portfolio", {"at_position": 10**12}),
        ("/v1/students/{student}/state", {"at_position": 10**12}),
        ("/v1/students/{student}/diff", {}),
        ("/v1/students/{student}/diff", {"to_position": 5}),
        ("/v1/students/{student}/diff", {"from_position": 5, "to_position": 4}),
        ("/v1/events/0", {}),
    ],
)
def test_moment_that_cannot_be_is_a_problem_that_says_what_to_do(
    director: Api, a_class: AClass, path: str, query: dict[str, object]
) -> None:
    answer = director.get(path.format(course=a_class.course_id, student=a_class.students[0]), **query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["detail"]
    assert problem["help"]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00%2B03:00", "9999-12-31T23:59:59-12:00"])
def test_time_at_the_edge_of_the_calendar_is_a_time(director: Api, a_class: AClass, time: str) -> None:
    answer = director.http.get(f"/v1/students/{a_class.students[0]}/state?known_at={time}")
    assert answer.status_code == (404 if time.startswith("0") else 200)


def test_event_is_not_shown_to_who_may_read_neither_feed_nor_history(
    served: Served, director: Api, a_class: AClass
) -> None:
    marked = director.records("/v1/marks", a_class.mark(a_class.students[0]))
    other = served.acts(Office.STUDENT, students=(UUID(a_class.students[1]),))
    for reader in (served.acts(Office.TEACHER), served.acts(Office.SECRETARY), other):
        assert reader.get(f"/v1/events/{marked['position']}").status_code == 403
    assert director.get(f"/v1/events/{10**15}").status_code == 404
