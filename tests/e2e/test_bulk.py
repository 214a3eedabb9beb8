"""Many commands in one request: each line is as if its own route had been asked, and they keep their order."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.api.bulk import MAX_LINE, MAX_LINES
from ledger.ids import new_id
from ledger.policy.offices import Office
from tests.support.api import BEGIN, BULK, YESTERDAY, AClass, Api, Json, Served, as_line, make_class, ndjson

if TYPE_CHECKING:
    from collections.abc import Iterator


def line(command: str, key: str | None = None, **fields: object) -> Json:
    """Returns a line, under a new key or a given one."""
    return {"key": key or str(uuid4()), "command": command, **fields}


def a_mark(a_class: AClass, student: str, value: str = "5", *, key: str | None = None, **more: object) -> Json:
    return line("RecordMark", key, **a_class.mark(student, value, **more))


def test_later_lines_see_what_earlier_ones_did(director: Api, a_class: AClass) -> None:
    first_day = BEGIN.isoformat()
    enrolment = {"family_name": "Синтетический", "given_name": "Ученик", "enrolled_on": first_day}
    lines: list[Json | bytes] = []
    for number in range(20):
        who = f"@enrol-{number}-{a_class.work_id}"
        lines += [
            line("EnrolStudent", who[1:], **enrolment),
            line("MoveToGroup", student_id=who, group_id=a_class.group_id, effective_on=first_day),
            a_mark(a_class, who),
            line("RecordLesson", **a_class.lesson({"student_id": who, "marks": ["4", "5"]})),
        ]
    answers = director.bulk(*lines)
    assert [answer.get("status") for answer in answers] == [None] * 80, answers
    students = [answer["id"] for answer in answers[::4]]
    page = director.reads(f"/v1/journals/{a_class.course_id}", min_position=answers[-1]["position"], limit=50)
    cells = {row["student"]["id"] if "student" in row else row["student_id"]: row["cells"] for row in page["lines"]}
    assert [len(cells[student]) for student in students] == [3] * 20
    assert director.bulk(*lines) == answers  # every reference means what it meant


def test_order_holds_where_lanes_have_to_be_loaded(served: Served, director: Api, a_class: AClass) -> None:
    moved = []
    for student in make_class(director, students=12).students:
        moved.append(line("MoveToGroup", student_id=student, group_id=a_class.group_id, effective_on=BEGIN.isoformat()))
        moved.append(a_mark(a_class, student))
    served.service.ledger.executor._writer.cache.clear()  # as after a restart; nobody else is asking now
    answers = director.bulk(*moved)
    assert not [answer for answer in answers if "status" in answer], answers
    positions = [answer["first_position"] for answer in answers]
    assert positions == sorted(positions)


def test_line_and_single_route_are_the_same_command(director: Api, a_class: AClass) -> None:
    student = a_class.students[0]
    here, there = str(uuid4()), str(uuid4())
    single = director.post("/v1/marks", a_class.mark(student), key=here)
    answer = director.http.post("/v1/bulk", content=ndjson(a_mark(a_class, student, key=here)), headers=BULK)
    assert answer.content == as_line(single.content)
    sent = director.http.post("/v1/bulk", content=ndjson(a_mark(a_class, student, key=there)), headers=BULK)
    again = director.post("/v1/marks", a_class.mark(student, comment=""), key=there)
    assert again.headers["idempotency-replayed"] == "true"
    assert as_line(again.content) == sent.content
    assert as_line(director.get(f"/v1/commands/{there}").content) == sent.content
    mark = again.json()["id"]
    correction = {"course_id": a_class.course_id, "value": "4", "reason": "Проверено ещё раз"}
    in_bulk = line("CorrectMark", student_id=student, mark_id=mark, **correction)
    (corrected,) = director.bulk(in_bulk)
    path = f"/v1/students/{student}/marks/{mark}/corrections"
    assert json.loads(as_line(director.post(path, correction, key=in_bulk["key"]).content)) == corrected


def test_same_key_with_other_content_is_refused_on_its_line(director: Api, a_class: AClass) -> None:
    key = str(uuid4())
    student = a_class.students[0]
    answers = director.bulk(
        a_mark(a_class, student, key=key),
        a_mark(a_class, student, key=key),
        a_mark(a_class, student, "4", key=key),
        a_mark(a_class, student, "3"),
    )
    assert answers[0] == answers[1]
    assert (answers[2]["status"], answers[2]["code"]) == (422, "idempotency-key-reused")
    assert answers[3]["position"] > answers[0]["position"]
    refused, freed = director.bulk(
        a_mark(a_class, student, "9", key="free" + key), a_mark(a_class, student, key="free" + key)
    )
    assert (refused["code"], freed["events"][-1]["topic"]) == ("refused", "marks.recorded")


def test_broken_line_is_answered_on_its_line_and_others_go_on(director: Api, a_class: AClass) -> None:
    student = a_class.students[0]
    good = a_mark(a_class, student)
    sent: list[tuple[Json | bytes, int | None, str | None]] = [
        (b'{"key": "k", "command": ', 400, "malformed-json"),
        (good, None, None),
        (b"[]", 422, "invalid-input"),
        (b'"\xff"', 400, "malformed-json"),
        (b"[" * 100_000, 400, "malformed-json"),
        (line("RecordMark"), 422, "invalid-input"),
        (line("DropTables"), 422, "invalid-input"),
        (a_mark(a_class, student, "9"), 422, "refused"),
        (a_mark(a_class, str(uuid4())), 404, "not-found"),
        ({**good, "key": ""}, 422, "invalid-input"),
        ({**good, "key": "k" * 201}, 422, "invalid-input"),
        (a_mark(a_class, "@nobody"), 422, "invalid-input"),
        (line("EnrolStudent", "x", family_name=5, given_name="Б"), 422, "invalid-input"),
        (a_mark(a_class, student, comment="@home"), None, None),
    ]
    answers = director.bulk(*(text for text, _, _ in sent))
    assert [(answer.get("status"), answer.get("code")) for answer in answers] == [(s, code) for _, s, code in sent]
    assert {(error["field"], error["code"]) for error in answers[5]["errors"]} >= {("body.student_id", "missing")}
    assert answers[6]["errors"][0]["field"] == "body.command"
    assert answers[11]["errors"][0] == {
        "field": "body.student_id",
        "code": "reference",
        "message": "names no earlier line of this request by its key.",
    }
    assert len({answer["request_id"] for answer in answers if "status" in answer}) == 1


def test_line_that_needs_what_was_not_made_fails_with_it(director: Api, a_class: AClass) -> None:
    key = f"enrol-{uuid4()}"
    answers = director.bulk(
        line("EnrolStudent", key, family_name="Синтетический", given_name="Ученик", enrolled_on="1999-01-01"),
        a_mark(a_class, a_class.students[0], "9", key=f"mark-{key}"),
        line(
            "RecordLesson", f"lesson-{key}", **a_class.lesson({"student_id": a_class.students[0], "marks": ["4", "5"]})
        ),
        line(
            "VoidMark",
            student_id=a_class.students[0],
            mark_id=f"@mark-{key}",
            course_id=a_class.course_id,
            reason="Нет",
        ),
        line(
            "VoidMark",
            student_id=a_class.students[0],
            mark_id=f"@lesson-{key}",
            course_id=a_class.course_id,
            reason="Н",
        ),
    )
    assert [answer.get("code") for answer in answers[1:]] == ["refused", None, *["earlier-line-failed"] * 2]
    assert answers[3]["status"] == 424


def test_offices_hold_in_bulk_as_well(served: Served, a_class: AClass) -> None:
    teacher = served.acts(Office.TEACHER, person=a_class.teacher)
    stranger = served.acts(Office.TEACHER)
    lines = (a_mark(a_class, a_class.students[0]), line("FoundSchool", name="Другая"))
    assert [answer.get("status") for answer in teacher.bulk(*lines)] == [None, 403]
    assert [answer.get("status") for answer in stranger.bulk(*lines)] == [403, 403]


def test_bulk_needs_a_token_and_its_own_media_type(served: Served, director: Api) -> None:
    assert served.anonymous().post("/v1/bulk", content=b"", headers=BULK).status_code == 401
    answer = director.http.post("/v1/bulk", content=b"{}", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (415, "media-type")
    assert director.bulk() == []
    assert director.bulk(b"", b"  ", b"\r") == []


def test_line_that_is_too_long_ends_the_request_and_what_was_answered_stands(director: Api, a_class: AClass) -> None:
    good, late = a_mark(a_class, a_class.students[0]), a_mark(a_class, a_class.students[0])
    answers = director.bulk(good, b" " * (MAX_LINE + 1), late)
    assert [answer.get("code") for answer in answers] == [None, "line-too-long"]
    assert answers[1]["status"] == 413
    assert json.loads(as_line(director.get(f"/v1/commands/{good['key']}").content)) == answers[0]
    assert director.get(f"/v1/commands/{late['key']}").status_code == 404
    assert director.reads("/v1/school")["name"]  # on the same connection: what was left of the body is no request


def test_more_lines_than_allowed_end_the_request(director: Api) -> None:
    answers = director.bulk(*[b"{}"] * (MAX_LINES + 5))
    assert len(answers) == MAX_LINES + 1
    assert {answer["status"] for answer in answers[:-1]} == {422}
    assert (answers[-1]["status"], answers[-1]["code"]) == (413, "too-many-lines")


def test_more_blank_lines_than_allowed_end_the_request(director: Api) -> None:
    assert director.bulk(b"\n" * (MAX_LINES - 1)) == []
    (answer,) = director.bulk(b" \n" * MAX_LINES)
    assert (answer["status"], answer["code"]) == (413, "too-many-lines")


def test_answers_come_while_the_request_is_still_being_sent(served: Served, director: Api, a_class: AClass) -> None:
    address = httpx.URL(served.url)
    token = director.http.headers["authorization"]
    head = (
        "POST /v1/bulk HTTP/1.1\r\nHost: ledger\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n"
        f"Authorization: {token}\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port or 0), timeout=30) as wire:
        wire.sendall(head.encode())
        answers = wire.makefile("rb")
        while answers.readline() != b"\r\n":
            pass
        for number in range(3):
            text = ndjson(a_mark(a_class, a_class.students[0]))
            wire.sendall(b"%x\r\n%s\r\n" % (len(text), text))
            answers.readline()
            assert json.loads(answers.readline())["events"][-1]["topic"] == "marks.recorded", number
            answers.readline()
        wire.sendall(b"0\r\n\r\n")
        assert answers.readline() == b"0\r\n"


def test_what_was_sent_before_the_client_left_is_recorded_whole_lines_only(
    served: Served, director: Api, a_class: AClass
) -> None:
    lines = [a_mark(a_class, a_class.students[0]) for _ in range(50)]
    text = ndjson(*lines)
    address = httpx.URL(served.url)
    head = (
        f"POST /v1/bulk HTTP/1.1\r\nHost: ledger\r\nContent-Length: {len(text)}\r\n"
        f"Content-Type: application/x-ndjson\r\nAuthorization: {director.http.headers['authorization']}\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port or 0), timeout=30) as wire:
        wire.sendall(head.encode() + text[:-20])
        answers = wire.makefile("rb")
        seen = 0
        while seen < 49:
            seen += answers.readline().count(b'"position"')  # a line of answers may hold its chunk's size before it
    assert director.get(f"/v1/commands/{lines[-1]['key']}").status_code == 404
    answers_again = director.bulk(*lines)
    assert not [answer for answer in answers_again if "status" in answer]
    assert json.loads(as_line(director.get(f"/v1/commands/{lines[0]['key']}").content)) == answers_again[0]
    student = director.reads(f"/v1/students/{a_class.students[0]}/history", limit=50)["items"]
    assert [entry["topic"] for entry in student].count("marks.recorded") <= 50


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(cuts=st.lists(st.integers(0, 4000), max_size=12), ending=st.sampled_from([b"\n", b"\r\n", b"\n\n \n"]))
def test_any_chunking_gives_the_same_answers(director: Api, a_class: AClass, cuts: list[int], ending: bytes) -> None:
    keys = [f"{a_class.work_id}-{number}" for number in range(6)]
    lines = [a_mark(a_class, a_class.students[0], value, key=key) for key, value in zip(keys, "543295", strict=True)]
    texts = [json.dumps(one, ensure_ascii=False).encode() for one in lines]
    texts[2:2] = [b"{", b'{"key": "\xd1', b"null"]
    text = ending.join(texts)

    def pieces() -> Iterator[bytes]:
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True):
            yield text[begin:end]

    whole = director.http.post("/v1/bulk", content=text, headers=BULK)
    cut = director.http.post("/v1/bulk", content=pieces(), headers=BULK)
    told = [[{**json.loads(one), "request_id": None} for one in answer.content.splitlines()] for answer in (whole, cut)]
    assert told[0] == told[1]
    assert [answer.get("status") for answer in told[0]] == [None, None, 400, 400, 422, None, None, 422, None]


async def test_full_queue_slows_bulk_and_refuses_single_requests_and_nothing_is_lost(
    served: Served, director: Api, a_class: AClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = served.service.ledger.executor
    monkeypatch.setattr(executor, "_settings", executor._settings.__class__(queue=2, batch=2))
    student = a_class.students[0]
    token = {"Authorization": director.http.headers["authorization"]}
    busy = 0

    async def insists(client: httpx.AsyncClient) -> str:
        nonlocal busy
        headers = {"Idempotency-Key": str(uuid4())}
        while True:
            answer = await client.post("/v1/marks", json=a_class.mark(student), headers=headers)
            if answer.status_code == 201:
                return str(answer.json()["id"])
            assert (answer.status_code, answer.json()["code"]) == (503, "busy"), answer.text
            assert answer.headers["retry-after"] == "1"
            busy += 1

    async def sends_many(client: httpx.AsyncClient) -> list[str]:
        text = ndjson(*(a_mark(a_class, student) for _ in range(60)))
        answer = await client.post("/v1/bulk", content=text, headers=BULK)
        told = [json.loads(one) for one in answer.content.splitlines()]
        assert not [one for one in told if "status" in one], told
        return [one["id"] for one in told]

    limits = httpx.Limits(max_connections=60)
    async with httpx.AsyncClient(base_url=served.url, timeout=30, headers=token, limits=limits) as client:
        single, many = await asyncio.gather(
            asyncio.gather(*(insists(client) for _ in range(50))),
            asyncio.gather(*(sends_many(client) for _ in range(4))),
        )
    made = [*single, *(one for ids in many for one in ids)]
    assert busy
    assert len(set(made)) == len(made) == 290
    counted, after = 0, 0
    while True:
        page = director.reads(f"/v1/students/{student}/history", after=after, limit=50)
        counted += sum(item["topic"] == "marks.recorded" for item in page["items"])
        after = page["next"]
        if after is None:
            break
    assert counted == 290


def test_marks_of_yesterday_are_made_by_the_one_who_sent_the_line(served: Served, a_class: AClass) -> None:
    person = new_id()
    deputy = served.acts(Office.DEPUTY_HEAD, person=person)
    (answer,) = deputy.bulk(a_mark(a_class, a_class.students[0]))
    history = served.acts().reads(f"/v1/students/{a_class.students[0]}/history", limit=50)["items"]
    (mark,) = [item for item in history if item["event_id"] == answer["id"]]
    assert mark["actor"] == str(person)
    assert YESTERDAY.isoformat() in json.dumps(mark)
