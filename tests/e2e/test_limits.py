"""Bounds of sizes, rates and times: what is beyond them is a problem that says what to do, and costs nobody else."""

from __future__ import annotations

import json
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import pytest

from ledger.api import protocol
from ledger.api.limits import Limit
from ledger.policy.offices import Office
from ledger.store.header import decode_header
from tests.support.api import BULK, AClass, Api, Served, a_foundation, ndjson, serving
from tests.support.postgres import fresh_schema
from tests.support.wire import a_wire, everything, head_of, problem_of

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.store.header import Header


# --- rates -----------------------------------------------------------------------------------------------------------


def test_every_answer_tells_how_the_client_stands(director: Api) -> None:
    answer = director.get("/v1/school")
    assert answer.headers["ratelimit-policy"] == '"client";q=20000;w=10'
    assert answer.headers["ratelimit"].startswith('"client";r=19')
    assert "ratelimit" in director.get(f"/v1/students/{uuid4()}").headers


def test_readings_that_are_refused_are_paid_for(
    served: Served, a_class: AClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each leaves an event for every student of the page: whoever may read nothing could fill the history with them."""
    served.acts().reads("/v1/courses", min_position=a_class.position)
    now = [0.0]
    monkeypatch.setattr(served.service.limits, "clients", Limit("client", 10, clock=lambda: now[0]))
    student = served.acts(Office.STUDENT, students=(uuid4(),))
    journal, nobody = f"/v1/journals/{a_class.course_id}", f"/v1/students/{uuid4()}"
    paths = (journal, nobody, journal, nobody, journal)
    assert [student.get(path).status_code for path in paths] == [403, 404, 403, 404, 403]
    assert student.get(journal).status_code == 429
    secretary, paper = served.acts(Office.SECRETARY), {
        "students": a_class.students, "categories": ["marks"], "document_kind": "list", "document_number": "1",
        "channel": "paper", "purpose": "custody", "recipient": "Синтетическая газета",
    }  # fmt: skip
    assert [secretary.post("/v1/hand-overs", paper).status_code for _ in range(6)] == [403] * 5 + [429]
    program = served.acts(Office.SYSTEM)
    assert {program.get(nobody).status_code for _ in range(20)} == {404}
    assert program.get(nobody).headers["ratelimit"].startswith('"client";r=79')


def test_client_that_asks_too_often_waits_and_others_do_not(
    served: Served, director: Api, a_class: AClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(served.service.limits, "clients", Limit("client", 0.2, clock=lambda: now[0]))
    key = str(uuid4())
    assert director.get("/v1/school").status_code == 200
    assert director.post("/v1/marks", a_class.mark(a_class.students[0]), key=key).status_code == 201
    refused = director.post("/v1/marks", a_class.mark(a_class.students[0]), key=str(uuid4()))
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
    assert refused.headers["retry-after"] == "5"
    assert refused.headers["ratelimit"] == '"client";r=0;t=10'
    assert refused.headers["ratelimit-policy"] == '"client";q=2;w=10'
    assert served.acts().get("/v1/school").status_code == 200
    now[0] += 5
    assert director.get("/v1/school").status_code == 200


def test_bulk_is_paid_for_afterwards(served: Served, director: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.service.limits, "clients", Limit("client", 0.2, clock=lambda: 0.0))
    answers = director.bulk(*[b"{}"] * 500)
    assert len(answers) == 500
    refused = director.http.post("/v1/bulk", content=ndjson(), headers=BULK)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "25")


def test_strangers_are_limited_by_address_and_those_with_a_token_are_not(
    served: Served, director: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.service.limits, "strangers", Limit("address", 0.3, clock=lambda: 0.0))
    stranger = served.anonymous()
    tries = [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic x"}, {}, {"Authorization": "Bearer n"}]
    answers = [stranger.get("/v1/school", headers=headers) for headers in tries]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert answers[-1].headers["ratelimit-policy"] == '"address";q=3;w=10'
    assert director.get("/v1/school").status_code == 200
    assert served.acts().get("/v1/school").status_code == 200
    assert stranger.get("/livez").status_code == 200


def test_what_anybody_may_read_is_limited_by_address_and_a_token_does_not_lift_it(
    served: Served, director: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.service.limits, "public", Limit("public", 0.4, clock=lambda: 0.0))
    anybody = served.anonymous()
    paths = ("/log/key", "/log/checkpoint", "/log/key", "/log/tile/0/000.p/1")
    answers = [anybody.get(path) for path in paths]
    assert all(answer.status_code != 429 for answer in answers)
    refused = [anybody.get(path) for path in paths]
    assert [answer.status_code for answer in refused] == [429] * 4
    assert {answer.headers["ratelimit-policy"] for answer in refused} == {'"public";q=4;w=10'}
    assert refused[0].headers["retry-after"] == "3"
    assert director.http.get("/log/key").status_code == 429
    assert director.get("/v1/school").status_code == 200
    assert anybody.get("/livez").status_code == 200


def test_probes_are_answered_while_strangers_of_their_address_are_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load balancer asks from the address from which a proxy passes on the requests of everybody else."""
    for name in ("public", "strangers"):
        monkeypatch.setattr(served.service.limits, name, Limit(name, 0.1, clock=lambda: 0.0))
    anybody = served.anonymous()
    assert [anybody.get("/log/key").status_code for _ in range(2)] == [200, 429]
    assert [anybody.get("/v1/school").status_code for _ in range(2)] == [401, 429]
    answers = [anybody.get("/readyz") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)


# --- sizes of heads --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"X_Long": "x" * (protocol.MAX_HEAD + 1)},
        {f"X_{number}": "1" for number in range(protocol.MAX_FIELDS + 1)},
        {f"X_{number}": "x" * 1000 for number in range(40)},
    ],
    ids=["one long field", "many fields", "large in sum"],
)
def test_head_that_is_too_large_is_a_problem(served: Served, fields: dict[str, str]) -> None:
    with a_wire(served) as wire:
        wire.sendall(head_of(served, **fields))
        status, told = problem_of(everything(wire))
    assert (status, told["code"]) == (431, "head-too-large")


def test_head_without_an_end_is_cut_off(served: Served) -> None:
    with a_wire(served) as wire:
        wire.sendall(b"GET /v1/school HTTP/1.1\r\nX-Endless: ")
        try:
            for _ in range(2000):
                wire.sendall(b"x" * 1024)
        except OSError:
            return  # the service had hung up before we had sent two megabytes
        status, told = problem_of(everything(wire))
    assert (status, told["code"]) == (431, "head-too-large")


def test_long_address_is_too_large_as_well(served: Served) -> None:
    with a_wire(served) as wire:
        wire.sendall(head_of(served, path="/v1/" + "a" * protocol.MAX_HEAD))
        status, _ = problem_of(everything(wire))
    assert status == 431


def test_what_is_no_http_is_a_problem(served: Served) -> None:
    with a_wire(served) as wire:
        wire.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        status, told = problem_of(everything(wire))
    assert (status, told["code"]) == (400, "malformed-request")


# --- times -----------------------------------------------------------------------------------------------------------


def test_head_that_does_not_come_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    with a_wire(served) as silent, a_wire(served) as slow:
        slow.sendall(b"GET /v1/school HTTP/1.1\r\nHost: led")
        status, told = problem_of(everything(slow))
        assert (status, told["code"]) == (408, "head-timeout")
        assert everything(silent) == b""


def test_idle_connection_ends_later_than_a_client_gives_it_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    config = served.server.config
    assert config.timeout_keep_alive > 60
    monkeypatch.setattr(config, "timeout_keep_alive", 0.2)
    with a_wire(served) as wire:
        wire.sendall(b"GET /livez HTTP/1.1\r\nHost: ledger\r\n\r\n")
        assert everything(wire).startswith(b"HTTP/1.1 200 ")


def test_body_that_does_not_come_is_a_problem(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = served.service.ledger
    monkeypatch.setattr(ledger, "settings", ledger.settings.model_copy(update={"body_seconds": 0.2}))
    with a_wire(served) as wire:
        wire.sendall(head_of(served, Content_Type="application/json", Content_Length="100") + b'{"name": ')
        status, told = problem_of(everything(wire))
    assert (status, told["code"]) == (408, "body-timeout")


def test_bulk_that_stops_ends_with_a_last_line_and_what_was_answered_stands(
    served: Served, director: Api, a_class: AClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = served.service.ledger
    monkeypatch.setattr(ledger, "settings", ledger.settings.model_copy(update={"body_seconds": 0.3}))
    key = str(uuid4())
    line = ndjson({"key": key, "command": "RecordMark", **a_class.mark(a_class.students[0])})
    monkeypatch.setattr(protocol, "LINGER_S", 0.1)
    with a_wire(served) as wire:
        fields = {"Content_Type": "application/x-ndjson", "Content_Length": "100000"}
        head = head_of(served, "/v1/bulk", **fields).replace(
            f"Bearer {served.token()}".encode(), director.http.headers["authorization"].encode()
        )
        wire.sendall(head + line + b'{"key"')
        answer = everything(wire)
    assert answer.startswith(b"HTTP/1.1 200 ")
    told = [json.loads(found) for found in answer.splitlines() if found.startswith(b"{")]
    assert [one.get("code") for one in told] == [None, "body-timeout"]
    assert told[0]["events"][-1]["topic"] == "marks.recorded"


def test_request_that_takes_too_long_is_answered(
    served: Served, director: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cast("Any", served.server.config.app).boundary, "_seconds", 0.3)
    seen = director.get("/v1/events", limit=1).json()["until"]
    answer = director.get("/v1/events", after=seen, wait=20)
    assert (answer.status_code, answer.json()["code"]) == (503, "request-timeout")
    assert answer.headers["retry-after"] == "1"
    assert director.get("/v1/school").status_code == 200


def test_client_that_goes_on_sending_after_its_answer_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", 0.2)
    with a_wire(served) as wire:
        wire.sendall(b"POST /v1/school HTTP/1.1\r\nHost: ledger\r\nContent-Length: 1000000\r\n\r\nbegun")
        assert everything(wire).startswith(b"HTTP/1.1 401 ")


def test_two_requests_on_one_connection_are_answered_though_the_first_body_is_large(served: Served) -> None:
    body = b" " * 900_000 + b"{}"
    head = head_of(served, Content_Type="application/json", Content_Length=str(len(body)))
    last = head_of(served, Content_Type="application/json", Content_Length="2", Connection="close") + b"{}"
    with a_wire(served) as wire:
        wire.sendall(head + body + last)
        answers = everything(wire)
    assert answers.count(b"HTTP/1.1 422 ") == 2


def test_service_that_stops_cuts_off_who_is_not_done_and_keeps_what_it_acknowledged(
    postgres_url: str, kek_text: str, tmp_path: Path
) -> None:
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, tmp_path, grace_seconds=0.5) as base,
    ):
        with serving(base) as service, a_wire(service) as wire:
            wire.settimeout(30)
            line = ndjson({"key": "first", "command": "FoundSchool", "name": "Школа для проверок"})
            fields = {"Content_Type": "application/x-ndjson", "Content_Length": "100000"}
            wire.sendall(head_of(service, "/v1/bulk", **fields) + line)
            answer = b""
            while b'"position"' not in answer:
                answer += wire.recv(65_536)
            began = perf_counter()
            service.server.should_exit = True
            rest = everything(wire)
            assert perf_counter() - began < 8
        assert not rest.endswith(b"0\r\n\r\n")  # the client sees that it was cut off
        with database.connect("owner") as connection:
            assert connection.execute("SELECT count(*) > 0 FROM events").fetchone() == (True,)


# --- correlation -----------------------------------------------------------------------------------------------------


def header_at(served: Served, position: int) -> Header:
    with served.base.database.connect("owner") as connection:
        row = connection.execute("SELECT header FROM events WHERE position = %s", (position,)).fetchone()
    assert row is not None
    return decode_header(bytes(row[0]))


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("sent", "correlation"),
    [
        ({"X-Request-Id": "019A0000-0000-7000-8000-00000000000A"}, UUID("019a0000-0000-7000-8000-00000000000a")),
        ({"X-Request-Id": TRACE}, UUID(TRACE)),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, UUID(TRACE)),
        ({"X-Request-Id": str(UUID(int=7)), "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, UUID(int=7)),
        ({"X-Request-Id": "not an id"}, None),
        ({"X-Request-Id": "1; DROP TABLE events"}, None),
        ({"X-Request-Id": "0" * 32}, None),
        ({"X-Request-Id": TRACE + "0"}, None),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, None),
        ({"traceparent": "nonsense"}, None),
        ({}, None),
    ],
)
def test_clients_id_is_the_correlation_of_events_and_the_answer_has_our_own(
    served: Served, director: Api, a_class: AClass, sent: dict[str, str], correlation: UUID | None
) -> None:
    student = a_class.students[0]
    single = director.http.post(
        "/v1/marks", json=a_class.mark(student), headers={**sent, "Idempotency-Key": str(uuid4())}
    )
    line = ndjson({"key": str(uuid4()), "command": "RecordMark", **a_class.mark(student)})
    many = director.http.post("/v1/bulk", content=line, headers={**sent, **BULK})
    read = director.http.get(f"/v1/students/{student}", params={"min_position": a_class.position}, headers=sent)
    assert read.status_code == 200
    with served.base.database.connect("owner") as connection:
        row = connection.execute("SELECT max(position) FROM events WHERE topic = 'access.opened'").fetchone()
    assert row is not None
    for answer, position in ((single, single.json()["position"]), (many, many.json()["position"]), (read, row[0])):
        header, own = header_at(served, position), UUID(answer.headers["x-request-id"])
        assert header.request == own
        assert header.correlation == (correlation or own)
        assert own != correlation
