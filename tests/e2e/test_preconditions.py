"""Conditional requests over HTTP: If-Match and 412, If-None-Match and 304, 428 where it is set, Prefer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ledger.policy.offices import Office
from tests.support.api import PERIOD, YESTERDAY, AClass, all_at_once, as_line
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.api import Api, Json, Served


def sends(api: Api, path: str, form: Json, *, key: str | None = None, **headers: str) -> httpx.Response:
    """Sends a command with further headers, written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.http.post(path, json=form, headers={"Idempotency-Key": key or str(uuid4()), **named})


@pytest.fixture
def teacher(served: Served, a_class: AClass) -> Api:
    return served.acts(Office.TEACHER, person=a_class.teacher)


def marked(teacher: Api, a_class: AClass) -> tuple[Json, str]:
    """Sets a mark, and returns the answer and the mark's tag."""
    made = sends(teacher, "/v1/marks", a_class.mark(a_class.students[0], "5"))
    assert made.status_code == 201, made.text
    return made.json(), made.headers["etag"]


def corrects(a_class: AClass, value: str) -> Json:
    return {"course_id": a_class.course_id, "value": value, "reason": "Ошибка при проверке"}


def address(a_class: AClass, mark: str, what: str = "corrections") -> str:
    return f"/v1/students/{a_class.students[0]}/marks/{mark}/{what}"


def cell(teacher: Api, a_class: AClass, position: int) -> Json:
    """Returns the only mark of the journal as it is shown."""
    page = teacher.reads(f"/v1/journals/{a_class.course_id}", min_position=position)
    (found,) = [one for line in page["lines"] for one in line["cells"]]
    return dict(found)


def test_changes_are_chained_by_the_tags_of_the_answers(teacher: Api, a_class: AClass) -> None:
    made = sends(teacher, "/v1/marks", a_class.mark(a_class.students[0], "5"))
    mark, tag = made.json()["id"], made.headers["etag"]
    assert cell(teacher, a_class, made.json()["position"])["etag"] == tag
    first = sends(teacher, address(a_class, mark), corrects(a_class, "4"), If_Match=tag)
    assert (first.status_code, first.headers["etag"] != tag) == (201, True)
    stale = sends(teacher, address(a_class, mark), corrects(a_class, "3"), If_Match=tag)
    problem = stale.json()
    assert (stale.status_code, problem["code"], problem["status"]) == (412, "precondition-failed", 412)
    assert stale.headers["content-type"] == "application/problem+json"
    assert "Read it again" in problem["help"]
    assert "etag" not in stale.headers
    chained = sends(teacher, address(a_class, mark, "voidings"), {"course_id": a_class.course_id, "reason": "Не тому"},
                    If_Match=f'"elsewhere", {first.headers["etag"]}')  # fmt: skip
    assert chained.status_code == 201
    shown = cell(teacher, a_class, chained.json()["position"])
    assert (shown["value"], shown["voided"], shown["etag"]) == ("4", True, chained.headers["etag"])


def test_mark_is_read_corrected_as_it_was_read_and_read_again(
    served: Served, teacher: Api, director: Api, a_class: AClass
) -> None:
    made, tag = marked(teacher, a_class)
    where = address(a_class, made["id"]).removesuffix("/corrections")
    read = teacher.get(where, min_position=made["position"])
    assert (read.status_code, read.headers["etag"], read.json()["mark"]["value"]) == (200, tag, "5")
    assert teacher.http.get(where, headers={"If-None-Match": tag}).status_code == 304
    done = sends(teacher, f"{where}/corrections", corrects(a_class, "4"), If_Match=read.headers["etag"])
    again = teacher.http.get(where, params={"min_position": done.json()["position"]}, headers={"If-None-Match": tag})
    assert (again.status_code, again.headers["etag"]) == (200, done.headers["etag"])
    assert [change["old_value"] for change in again.json()["mark"]["changes"]] == ["5"]
    other = f"/v1/students/{a_class.students[1]}/marks/{made['id']}"
    for nowhere in (other, f"/v1/students/{a_class.students[0]}/marks/{uuid4()}"):
        assert director.get(nowhere).status_code == 404
    assert served.acts(Office.TEACHER).get(where).status_code == 404


def test_marks_of_periods_are_read_with_the_tag_of_each(teacher: Api, served: Served, a_class: AClass) -> None:
    form = {"course_id": a_class.course_id, "student_id": a_class.students[0], "period": PERIOD, "value": "5"}
    first = sends(teacher, "/v1/period-marks", form)
    where = f"/v1/students/{a_class.students[0]}/courses/{a_class.course_id}/period-marks"
    page = teacher.get(where, min_position=first.json()["position"])
    (result,) = page.json()["items"]
    assert (result["etag"], page.headers["etag"][:2]) == (first.headers["etag"], "W/")
    correction = {**form, "value": "4", "reason": "Пересдача"}
    done = sends(teacher, "/v1/period-marks/corrections", correction, If_Match=result["etag"])
    assert done.status_code == 201
    teacher.reads("/v1/courses", min_position=done.json()["position"])
    changed = teacher.http.get(where, params={"min_position": done.json()["position"]},
                               headers={"If-None-Match": page.headers["etag"]})  # fmt: skip
    assert (changed.status_code, changed.json()["items"][0]["etag"]) == (200, done.headers["etag"])
    assert served.acts(Office.TEACHER).get(where).status_code == 404


def test_of_two_at_once_one_is_recorded_and_the_other_reads_again(
    served: Served, teacher: Api, a_class: AClass
) -> None:
    made, tag = marked(teacher, a_class)
    requests = [
        teacher.http.build_request(
            "POST",
            address(a_class, made["id"]),
            json=corrects(a_class, value),
            headers={
                "Idempotency-Key": str(uuid4()),
                "If-Match": tag,
                "Authorization": teacher.http.headers["authorization"],
            },
        )
        for value in "4323"
    ]
    answers = asyncio.run(all_at_once(requests))
    assert sorted(answer.status_code for answer in answers) == [201, 412, 412, 412]
    assert served.service.ledger.executor.alarm is None


@pytest.mark.parametrize("value", ["m2", '"m2', "", '* , "m2"', '"m2" "m3"'])
def test_precondition_that_cannot_be_read_is_a_bad_request(teacher: Api, a_class: AClass, value: str) -> None:
    made = teacher.records("/v1/marks", a_class.mark(a_class.students[0], "5"))
    answer = sends(teacher, address(a_class, made["id"]), corrects(a_class, "4"), If_Match=value)
    assert (answer.status_code, answer.json()["code"]) == (400, "precondition")
    answer = teacher.http.get(f"/v1/courses/{a_class.course_id}", headers={"If-None-Match": value})
    assert (answer.status_code, answer.json()["code"]) == (400, "precondition")


def test_weak_tag_matches_no_change_and_any_matches_what_is_there(teacher: Api, a_class: AClass) -> None:
    made, tag = marked(teacher, a_class)
    weak = sends(teacher, address(a_class, made["id"]), corrects(a_class, "4"), If_Match=f"W/{tag}")
    assert weak.status_code == 412
    assert sends(teacher, address(a_class, made["id"]), corrects(a_class, "4"), If_Match="*").status_code == 201
    new = sends(teacher, "/v1/marks", a_class.mark(a_class.students[0], "5"), If_Match="*")
    assert (new.status_code, "nothing yet" in new.json()["detail"]) == (412, True)


def test_mark_of_a_period_is_set_once_and_corrected_as_it_was_seen(teacher: Api, a_class: AClass) -> None:
    form = {"course_id": a_class.course_id, "student_id": a_class.students[0], "period": PERIOD, "value": "5"}
    first = sends(teacher, "/v1/period-marks", form, If_None_Match="*")
    assert first.status_code == 201
    assert sends(teacher, "/v1/period-marks", form, If_None_Match="*").status_code == 412
    page = teacher.reads(f"/v1/journals/{a_class.course_id}", min_position=first.json()["position"])
    (tag,) = [result["etag"] for line in page["lines"] for result in line["results"]]
    assert tag == first.headers["etag"]
    correction = {**form, "value": "4", "reason": "Пересдача"}
    assert sends(teacher, "/v1/period-marks/corrections", correction, If_Match='"p0"').status_code == 412
    assert sends(teacher, "/v1/period-marks/corrections", correction, If_Match=tag).status_code == 201


def test_repetition_is_answered_as_then_whatever_it_demands_now(teacher: Api, a_class: AClass) -> None:
    made, tag = marked(teacher, a_class)
    key, form = str(uuid4()), corrects(a_class, "4")
    first = sends(teacher, address(a_class, made["id"]), form, key=key, If_Match=tag)
    assert sends(teacher, address(a_class, made["id"]), corrects(a_class, "3")).status_code == 201
    again = sends(teacher, address(a_class, made["id"]), form, key=key, If_Match=tag)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["idempotency-replayed"] == "true"
    assert teacher.get(f"/v1/commands/{key}").content == first.content


def test_card_group_course_and_school_are_changed_as_they_were_seen(director: Api, a_class: AClass) -> None:
    student, today = a_class.students[0], YESTERDAY.isoformat()
    card, group = f"/v1/students/{student}", f"/v1/class-groups/{a_class.group_id}"
    course = f"/v1/courses/{a_class.course_id}"
    scale = {"scale": f"own-{uuid4().hex[:8]}", "title": "Зачёт", "symbols": ["з", "н"]}
    changes: list[tuple[str, str, Json]] = [
        (card, f"{card}/leavings", {"effective_on": today, "reason": "other"}),
        (group, f"{group}/class-teacher", {"class_teacher": str(uuid4()), "effective_on": today}),
        (course, f"{course}/teachers", {"teacher": str(uuid4()), "starts_on": today}),
        ("/v1/school", "/v1/school/scales", scale),
    ]
    position = a_class.position
    for where, change, form in changes:
        shown = director.get(where, min_position=position)
        tag = shown.headers["etag"]
        assert shown.json()["etag"] == tag
        assert not tag.startswith("W/")
        assert sends(director, change, form, If_Match='"0"').status_code == 412
        done = sends(director, change, form, If_Match=tag)
        assert done.status_code == 201, done.text
        position = done.json()["position"]
        assert director.get(where, min_position=position).headers["etag"] == done.headers["etag"] != tag
        assert done.headers["location"] == where
        assert sends(director, change, form, If_Match=tag).status_code == 412


def test_lists_and_pages_have_weak_tags_that_follow_what_they_show(
    teacher: Api, director: Api, a_class: AClass
) -> None:
    """Weak, since each answer has its own access in it; as If-Match they fit nothing."""
    pages = [
        f"/v1/journals/{a_class.course_id}",
        f"/v1/students?group_id={a_class.group_id}",
        f"/v1/students/{a_class.students[0]}/portfolio",
        f"/v1/courses?group_id={a_class.group_id}",
        f"/v1/courses/{a_class.course_id}/works",
    ]
    teacher.reads(pages[0], min_position=a_class.position)
    tags = {page: director.get(page).headers["etag"] for page in pages}
    assert all(tag.startswith('W/"') for tag in tags.values())
    made = teacher.records("/v1/marks", a_class.mark(a_class.students[0], "5"))
    teacher.reads(pages[0], min_position=made["position"])

    def changed() -> list[str]:
        answers = {page: director.http.get(page, headers={"If-None-Match": tag}) for page, tag in tags.items()}
        assert {answer.status_code for answer in answers.values()} <= {200, 304}
        return [page for page, answer in answers.items() if answer.status_code == 200]

    assert changed() == [pages[0]]
    done = director.records(f"/v1/courses/{a_class.course_id}/works", {"title": "Диктант", "kind": "test"})
    director.reads("/v1/courses", min_position=done["position"])
    assert changed() == [pages[0], pages[3], pages[4]]
    answer = sends(teacher, address(a_class, made["id"]), corrects(a_class, "4"), If_Match=tags[pages[0]])
    assert answer.status_code == 412


def test_reading_may_demand_the_state_that_was_seen(director: Api, a_class: AClass) -> None:
    where = f"/v1/courses/{a_class.course_id}"
    tag = director.get(where, min_position=a_class.position).headers["etag"]
    assert director.http.get(where, headers={"If-Match": tag}).status_code == 200
    answer = director.http.get(where, headers={"If-Match": '"c99"'})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition-failed")


def test_client_that_prefers_it_gets_no_body(teacher: Api, director: Api, a_class: AClass) -> None:
    key, form = str(uuid4()), a_class.mark(a_class.students[0], "5")
    brief = sends(teacher, "/v1/marks", form, key=key, Prefer="handling=strict, return=minimal")
    assert (brief.status_code, brief.content) == (204, b"")
    assert brief.headers["preference-applied"] == "return=minimal"
    assert brief.headers["ledger-position"].isdecimal()
    assert brief.headers["etag"]
    whole = sends(teacher, "/v1/marks", form, key=key, Prefer="return=representation")
    assert whole.headers["preference-applied"] == "return=representation"
    assert whole.json()["position"] == int(brief.headers["ledger-position"])
    mark = teacher.reads(brief.headers["location"], min_position=brief.headers["ledger-position"])
    assert (mark["mark"]["entry_id"], mark["etag"]) == (whole.json()["id"], brief.headers["etag"])
    lesson = a_class.lesson(*({"student_id": student, "marks": ["5"]} for student in a_class.students))
    many = sends(teacher, "/v1/lessons", lesson, Prefer="return=minimal")
    assert (many.status_code, "etag" in many.headers) == (204, False)
    assert len(teacher.reads(many.headers["location"])["events"]) >= len(a_class.students)
    plain = sends(teacher, "/v1/marks", form, Prefer="wait=soon; now, handling=lenient")
    assert (plain.status_code, "preference-applied" in plain.headers) == (201, False)
    course = sends(
        director,
        "/v1/courses",
        {"title": "Труд", "group_id": a_class.group_id, "journal": "class", "scale": "five"},
        Prefer="return=minimal",
    )
    at = course.headers["location"]
    assert director.reads(at, min_position=course.headers["ledger-position"])["title"] == "Труд"
    refused = sends(teacher, "/v1/marks", {**form, "value": "9"}, Prefer="return=minimal")
    assert (refused.status_code, refused.json()["code"]) == (422, "refused")


@pytest.fixture
def strict(served: Served) -> Iterator[None]:
    """Lets the service demand If-Match, as LEDGER_REQUIRE_IF_MATCH does."""
    ledger = served.service.ledger
    before = ledger.settings
    ledger.settings = before.model_copy(update={"require_if_match": True})
    yield
    ledger.settings = before


@pytest.mark.usefixtures("strict")
def test_strict_ledger_takes_no_correction_of_what_was_not_seen(teacher: Api, a_class: AClass) -> None:
    made, tag = marked(teacher, a_class)
    path, form, key = address(a_class, made["id"]), corrects(a_class, "4"), str(uuid4())
    answer = sends(teacher, path, form, key=key)
    assert (answer.status_code, answer.json()["code"]) == (428, "precondition-required")
    assert "If-Match" in answer.json()["help"]
    first = sends(teacher, path, form, key=key, If_Match=tag)
    assert first.status_code == 201
    assert sends(teacher, path, form, key=key).content == first.content, "What was recorded is answered as it was."
    period = {"course_id": a_class.course_id, "student_id": a_class.students[0], "period": PERIOD, "value": "5"}
    assert sends(teacher, "/v1/period-marks", period).status_code == 201
    correction = {**period, "value": "4", "reason": "Пересдача"}
    assert sends(teacher, "/v1/period-marks/corrections", correction).status_code == 428
    reason = {"course_id": a_class.course_id, "reason": "Не тому ученику"}
    assert sends(teacher, address(a_class, made["id"], "voidings"), reason).status_code == 428


def test_line_of_a_bulk_request_names_the_state_that_was_seen(teacher: Api, a_class: AClass) -> None:
    made, tag = marked(teacher, a_class)
    ids = {"student_id": a_class.students[0], "mark_id": made["id"]}

    def line(value: str, if_match: str) -> Json:
        return {"key": str(uuid4()), "command": "CorrectMark", **ids, **corrects(a_class, value), "if_match": if_match}

    lines = [line("4", '"m0"'), line("4", "m2"), line("4", tag), line("3", tag), line("3", "*")]
    answers = teacher.bulk(*lines)
    assert [answer.get("status") for answer in answers] == [412, 400, None, 412, None]
    assert [answer.get("code") for answer in answers[:2]] == ["precondition-failed", "precondition"]
    # The state is no part of what the key stands for: the single route knows the line again.
    key, form = lines[2]["key"], corrects(a_class, "4")
    single = sends(teacher, address(a_class, made["id"]), form, key=key)
    assert json.loads(as_line(single.content)) == answers[2]


@pytest.mark.usefixtures("strict")
def test_strict_ledger_takes_no_line_that_corrects_what_was_not_seen(teacher: Api, a_class: AClass) -> None:
    made, tag = marked(teacher, a_class)
    ids = {"student_id": a_class.students[0], "mark_id": made["id"]}
    blind = {"key": str(uuid4()), "command": "CorrectMark", **ids, **corrects(a_class, "4")}
    answers = teacher.bulk(blind, {**blind, "if_match": tag}, {**blind, "key": str(uuid4())})
    assert [answer.get("status") for answer in answers] == [428, None, 428]


async def test_head_of_a_stream_ends_at_once(served: Served, director: Api) -> None:
    streams = served.service.streams
    await until(lambda: streams.open == 0)
    answer = director.http.head("/v1/events", headers={"Accept": "text/event-stream"}, timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    await until(lambda: streams.open == 0)
