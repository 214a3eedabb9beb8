"""Every refusal is a problem that tells what to do and nothing of what was sent or stored."""

from __future__ import annotations

import json
import logging
import socket
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from ledger.api.finding import Finder
from ledger.api.service import Service
from ledger.errors import Erased, HistoryAlarm, OutcomeUnknown, UndisclosedAccess
from tests.support.api import AClass, Api, Served, make_class

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "Канарейка"
KEYS = {"type", "title", "status", "detail", "help", "code", "request_id"}


def check_problem(answer: httpx.Response, status: int, code: str) -> None:
    """Passes if the answer is a whole problem with this code and nothing of a canary in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert problem["code"] == code
    assert problem.keys() >= KEYS
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"].endswith(code)
    assert CANARY.lower() not in answer.text.lower()


def test_unknown_address_is_a_problem(director: Api) -> None:
    check_problem(director.get(f"/v1/{CANARY}"), 404, "no-such-route")
    check_problem(director.get("/v1/marks/"), 404, "no-such-route")
    check_problem(director.get("/docs/other.js"), 404, "no-such-route")


def test_other_method_is_a_problem_that_names_the_methods(director: Api) -> None:
    answer = director.http.delete("/v1/students")
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1,", b'{"name": "\xff"}', b"\xef\xbb\xbf{}", b"{'name': 1}", b'{"name": NaN1}']
)
def test_malformed_json_is_a_problem(director: Api, body: bytes) -> None:
    headers = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    check_problem(director.http.post("/v1/school", content=body, headers=headers), 400, "malformed-json")


def test_deeply_nested_json_is_a_problem(director: Api) -> None:
    headers = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    answer = director.http.post("/v1/school", content=b"[" * 100_000, headers=headers)
    check_problem(answer, 400, "malformed-json")


def test_body_that_is_no_json_by_its_type_is_a_problem(director: Api) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    check_problem(director.http.post("/v1/school", content=b"{}", headers=headers), 415, "media-type")
    check_problem(director.http.post("/v1/school", data={"name": CANARY}, headers=headers), 415, "media-type")


@pytest.mark.parametrize(
    ("form", "field", "code"),
    [
        ({}, "body.family_name", "missing"),
        ([], "body", "model_type"),
        ({"family_name": 5}, "body.family_name", "string_type"),
        ({"family_name": CANARY * 100}, "body.family_name", "string_too_long"),
        ({"family_name": "А", "given_name": "Б", CANARY: 1}, "body", "extra_forbidden"),
        (
            {"family_name": "А", "given_name": "Б", "birth_date": CANARY},
            "body.birth_date",
            "date_parsing",
        ),
        ({"family_name": "А", "given_name": "Б", "birth_date": "1066-01-01"}, "body.birth_date", "greater_than_equal"),
        ({"family_name": "А", "given_name": "Б", "birth_date": 5}, "body.birth_date", "date_type"),
        ({"family_name": "А", "given_name": "Б", "foreign_ids": [{"source": "a"}]}, "body.foreign_ids.0.id", "missing"),
        ({"family_name": "А", "given_name": "Б", "foreign_ids": CANARY}, "body.foreign_ids", "tuple_type"),
    ],
)
def test_wrong_fields_are_named_and_not_echoed(director: Api, form: object, field: str, code: str) -> None:
    answer = director.post("/v1/students", form)
    check_problem(answer, 422, "invalid-input")
    assert (field, code) in {(found["field"], found["code"]) for found in answer.json()["errors"]}


def test_values_of_the_wrong_kind_are_refused_and_not_coerced(director: Api, a_class: AClass) -> None:
    form = a_class.mark(a_class.students[0])
    wrong = (
        {**form, "value": 5},
        {**form, "course_id": CANARY},
        {**form, "effective_on": 20250901},
        {**form, "effective_on": "2025-09-01T00:00:00"},
        {**form, "comment": None},
        {**form, "comment": "а" * 2001},
    )
    for sent in wrong:
        check_problem(director.post("/v1/marks", sent), 422, "invalid-input")
    works = f"/v1/courses/{a_class.course_id}/works"
    for weight in ("NaN", "Infinity", "1e400", True, "двa"):
        check_problem(director.post(works, {"title": "К", "kind": "test", "weight": weight}), 422, "invalid-input")


def test_refusals_of_the_school_name_the_rule_and_not_the_mark(director: Api, a_class: AClass) -> None:
    student = a_class.students[0]
    answer = director.post("/v1/marks", a_class.mark(student, CANARY, comment=CANARY))
    check_problem(answer, 422, "refused")
    found = [(violation["code"], violation["student_id"]) for violation in answer.json()["violations"]]
    assert found == [("off_scale", student)]
    mark = director.records("/v1/marks", a_class.mark(student))
    path = f"/v1/students/{student}/marks/{mark['id']}/corrections"
    correction = {"course_id": a_class.course_id, "value": CANARY, "reason": CANARY}
    check_problem(director.post(path, correction), 422, "refused")


@pytest.mark.parametrize(
    "path", ["/v1/students/{}", "/v1/journals/{}", "/v1/students/{}/history", "/v1/courses/{}/works"]
)
def test_bad_uuid_in_an_address_is_a_problem(director: Api, path: str) -> None:
    check_problem(director.get(path.format(CANARY)), 422, "invalid-input")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 51},
        {"limit": 0},
        {"limit": CANARY},
        {"min_position": -1},
        {"min_position": 2**63},
        {"group_id": CANARY},
        {"limitt": 5},
        {CANARY: 1},
    ],
)
def test_bad_query_is_a_problem(director: Api, query: dict[str, object]) -> None:
    check_problem(director.get("/v1/courses", **query), 422, "invalid-input")


@pytest.mark.parametrize(
    "query", [{"known_at": "2025-09-01T00:00:00"}, {"known_at": CANARY}, {"effective_on": CANARY}, {"after": -1}]
)
def test_bad_axes_of_a_history_are_a_problem(director: Api, a_class: AClass, query: dict[str, object]) -> None:
    check_problem(director.get(f"/v1/students/{a_class.students[0]}/history", **query), 422, "invalid-input")


PERIODS = (
    ("/v1/disclosures", "from", "to"),
    ("/v1/disclosures/export", "from", "to"),
    ("/v1/disclosures/findings", "from", "to"),
    ("/v1/data-tracker/findUsage", "periodStart", "periodEnd"),
)


@pytest.mark.parametrize(("path", "begin", "end"), PERIODS)
def test_time_beside_which_there_is_none_is_a_problem_that_says_the_bounds(
    director: Api, a_class: AClass, path: str, begin: str, end: str
) -> None:
    director.http.headers["X-Road-UserId"] = "EE1"
    whose = {"userCode": a_class.students[0]} if "tracker" in path else {}
    for name in (begin, end):
        for time, bound in (
            ("0001-01-01T00:00:00Z", "1900-01-01"),
            ("9999-12-31T23:59:59.999999Z", "2199-12-31"),
            ("9999-12-31T23:59:59-14:00", "2199-12-31"),
        ):
            answer = director.get(path, **whose, **{name: time})
            check_problem(answer, 400 if "tracker" in path else 422, "invalid-input")
            assert bound in answer.text
    edges = {begin: "1900-01-01T00:00:00Z", end: "2199-12-31T23:59:59.999999Z"}
    assert director.get(path, **whose, **edges).status_code == 200


def test_query_that_the_data_tracker_cannot_understand_is_answered_with_its_protocols_status(director: Api) -> None:
    for query in ({}, {"userCode": ""}, {"userCode": "1", "limit": 0}, {"userCode": "1", "of": "me"}):
        check_problem(director.get("/v1/data-tracker/findUsage", **query), 400, "invalid-input")
    director.http.headers["X-Road-UserId"] = "EE1"
    check_problem(director.get("/v1/data-tracker/findUsage", userCode="1", offset=-1), 400, "invalid-input")
    check_problem(director.get("/v1/data-tracker/usagePeriod", of="me"), 400, "invalid-input")
    assert director.get("/v1/data-tracker/findUsage", userCode="1").json() == {"totalUsages": 0, "usages": []}


@pytest.mark.parametrize(
    "cursor", ["", CANARY, "12345", "00000000-0000-0000-0000-00000000000G", "{00000000-0000-0000-0000-000000000001}"]
)
def test_broken_cursor_is_a_problem(director: Api, a_class: AClass, cursor: str) -> None:
    student = a_class.students[0]
    for path in (f"/v1/journals/{a_class.course_id}", f"/v1/students/{student}/portfolio", "/v1/class-groups"):
        check_problem(director.get(path, cursor=cursor), 400, "cursor")
    for bad in ("", "-1", "٣", "9" * 30, CANARY):
        check_problem(director.get(f"/v1/students/{student}/disclosures", cursor=bad), 400, "cursor")


def test_students_are_asked_for_in_one_way(director: Api, a_class: AClass) -> None:
    queries: tuple[dict[str, object], ...] = ({}, {"source": "sis"}, {"group_id": a_class.group_id, "source": "sis"})
    for query in queries:
        check_problem(director.get("/v1/students", **query), 422, "invalid-input")


def test_body_of_a_mebibyte_is_too_large_however_it_comes(director: Api) -> None:
    headers = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    body = json.dumps({"name": CANARY * 120_000}).encode()
    check_problem(director.http.post("/v1/school", content=body, headers=headers), 413, "body-too-large")

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    check_problem(director.http.post("/v1/school", content=chunks(), headers=headers), 413, "body-too-large")
    just = b" " * (1024 * 1024 - 2) + b"{}"
    check_problem(director.http.post("/v1/school", content=just, headers=headers), 422, "invalid-input")


def test_body_without_an_end_is_answered_before_it_ends(served: Served) -> None:
    address = httpx.URL(served.url)
    head = (
        "POST /v1/school HTTP/1.1\r\nHost: ledger\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {uuid4()}\r\nAuthorization: Bearer {served.token()}\r\n\r\n"
    )
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with socket.create_connection((address.host, address.port or 0), timeout=30) as wire:
        wire.sendall(head.encode() + piece * 17)
        assert wire.recv(65_536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (OutcomeUnknown("It is not known.", help="Ask again."), 503, "1"),
        (HistoryAlarm("The history went back."), 503, None),
        (Erased("It was erased."), 410, None),
        (UndisclosedAccess("A fault."), 500, None),
    ],
)
def test_faults_of_the_ledger_have_their_status(
    served: Served,
    director: Api,
    monkeypatch: pytest.MonkeyPatch,
    error: OutcomeUnknown | HistoryAlarm | Erased | UndisclosedAccess,
    status: int,
    retry: str | None,
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(served.service.verifier), "verify", fails)
    answer = director.get("/v1/school")
    check_problem(answer, status, error.code)
    assert answer.headers.get("retry-after") == retry


def test_unforeseen_fault_shows_and_logs_nothing_of_its_message(
    served: Served, director: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError(CANARY)

    monkeypatch.setattr(type(served.service.verifier), "verify", fails)
    answer = director.get("/v1/school")
    check_problem(answer, 500, "internal")
    assert "ZeroDivisionError" not in answer.text
    told = [record.getMessage() for record in caplog.records if answer.headers["x-request-id"] in record.getMessage()]
    assert any("ZeroDivisionError at " in message and "security.py" in message for message in told)
    assert CANARY not in caplog.text
    assert isinstance(served.service, Service)


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/v1/school"), ("GET", "/docs")])
def test_unforeseen_fault_within_the_framework_is_answered_and_logged_likewise(
    served: Served,
    director: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError(CANARY)

    monkeypatch.setattr(Finder, "handle", fails)
    answer = director.http.request(method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.headers["cache-control"]) == (500, "no-store")
    if method != "HEAD":
        check_problem(answer, 500, "internal")
    assert "ZeroDivisionError at " in caplog.text
    assert CANARY not in caplog.text


def test_logs_hold_no_name_mark_comment_key_or_token(
    served: Served, director: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        a_class = make_class(director, family=CANARY)
        student, key = a_class.students[0], f"canary-key-{uuid4()}"
        director.records("/v1/marks", a_class.mark(student, comment=CANARY), key=key)
        director.post("/v1/marks", a_class.mark(student, CANARY))
        director.post("/v1/students", {CANARY: CANARY})
        director.get(f"/v1/commands/{key}")
        director.get("/v1/students", source=CANARY, foreign_id=CANARY)
        director.reads(f"/v1/journals/{a_class.course_id}", min_position=a_class.position)
        director.get(f"/v1/{CANARY}")
    logged = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))
    )
    requests = [record.msg for record in caplog.records if record.name == "ledger.api.access"]
    answered = {(line["method"], line["route"], line["status"]) for line in requests if isinstance(line, dict)}
    assert {("POST", "/v1/marks", 201), ("GET", "/v1/journals/{course_id}", 200)} <= answered
    token = director.http.headers["authorization"].removeprefix("Bearer ")
    for secret in (CANARY, "canary-key", token, token.split(".")[2], student):
        assert secret not in logged
