"""Traces: a command can be followed from the request into its batch and the views, and nobody's data goes along."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from ledger.telemetry.parts import Telemetry, telemetry
from ledger.telemetry.tracing import exporting
from tests.support.api import Api, a_foundation, found, make_class, projecting, serving
from tests.support.postgres import fresh_schema
from tests.support.projector import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from opentelemetry.sdk.trace import ReadableSpan

    from ledger.store.database import Database
    from tests.support.api import Served

CANARY = "Канарейкина"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SCRIPT = """
import asyncio, sys
from ledger.api.app import create_app
from ledger.application.record.command import Request, record
from ledger.application.record.school import FoundSchool
from ledger.bootstrap import foundation, open_ledger
from ledger.cli import main, worker
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from ledger.settings import read_settings

async def records(base):
    async with open_ledger(base) as ledger:
        await record(ledger, FoundSchool(school=ledger.id, name="test"), Request(Actor(new_id(), Office.DIRECTOR)))

with foundation(read_settings()) as base:
    create_app(base)
    asyncio.run(records(base))
    assert base.runner().catch_up() > 0
loaded = ("opentelemetry.sdk", "opentelemetry.exporter", "ledger.telemetry.tracing")
print([name for name in sys.modules if name.startswith(loaded)])
"""


def test_without_an_endpoint_neither_sdk_nor_exporter_is_even_loaded(empty_db: Database, kek_text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**environment(empty_db, kek_text), "LEDGER_OTLP_ENDPOINT": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@contextmanager
def traced(url: str, kek_text: str, folder: Path, told: Telemetry) -> Iterator[Served]:
    with (
        fresh_schema(url) as database,
        a_foundation(url, database.schema, kek_text, folder) as base,
        projecting(replace(base, telemetry=told)),
        serving(replace(base, telemetry=told)) as served,
    ):
        yield served


@pytest.fixture(scope="module")
def spans(postgres_url: str, kek_text: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[ReadableSpan, ...]:
    """The spans of a small school: a mark with a trace of its caller, a refusal, and a fault that quotes a name."""
    exporter = InMemorySpanExporter()
    folder = tmp_path_factory.mktemp("traced")
    with (
        exporting("http://127.0.0.1:9", "test", exporter) as tracing,
        traced(postgres_url, kek_text, folder, Telemetry(tracing=tracing)) as served,
    ):
        director = served.acts()
        found(director)
        a_class = make_class(director, family=CANARY)
        mark = a_class.mark(a_class.students[0], comment=CANARY)
        recorded = _posts(director, "/v1/marks", mark, baggage=f"name={uuid4()}", tracestate="canary=state")
        assert recorded.status_code == 201
        director.reads(f"/v1/journals/{a_class.course_id}", min_position=recorded.json()["position"])
        assert director.post("/v1/marks", {**mark, "value": CANARY}).status_code == 422

        def fails(*_: object) -> None:
            raise ZeroDivisionError(CANARY)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(served.service.verifier), "verify", fails)
            assert director.get(f"/v1/students/{a_class.students[0]}").status_code == 500
    return exporter.get_finished_spans()


def _posts(director: Api, path: str, body: object, **headers: str) -> httpx.Response:
    sent = {"Idempotency-Key": str(uuid4()), "traceparent": f"00-{TRACE}-{PARENT}-01", **headers}
    return director.http.post(path, json=body, headers=sent)


def named(spans: tuple[ReadableSpan, ...], name: str, **attributes: object) -> list[ReadableSpan]:
    return [
        span
        for span in spans
        if span.name == name
        and all((span.attributes or {}).get(key.replace("__", ".")) == value for key, value in attributes.items())
    ]


def test_request_continues_the_trace_of_its_caller_and_holds_its_command(spans: tuple[ReadableSpan, ...]) -> None:
    (request,) = named(spans, "POST /v1/marks", http__response__status_code=201)
    assert request.kind is SpanKind.SERVER
    assert f"{request.context.trace_id:032x}" == TRACE
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == PARENT
    (command,) = [span for span in named(spans, "command") if span.context.trace_id == request.context.trace_id]
    assert command.parent is not None
    assert command.parent.span_id == request.context.span_id
    assert (command.attributes or {})["ledger.command"] == "RecordMark"
    assert (command.attributes or {})["ledger.outcome"] == "recorded"


def test_batch_is_linked_to_its_commands_and_holds_deciding_and_appending(spans: tuple[ReadableSpan, ...]) -> None:
    command = next(span for span in named(spans, "command") if f"{span.context.trace_id:032x}" == TRACE)
    linked = {link.context.span_id: span for span in named(spans, "batch") for link in span.links}
    batch = linked[command.context.span_id]
    assert (batch.attributes or {})["ledger.outcome"] == "appended"
    assert int(str((batch.attributes or {})["ledger.position"])) > 0
    parts = {span.name: span for span in spans if span.parent and span.parent.span_id == batch.context.span_id}
    assert set(parts) == {"decide", "append"}
    for part in parts.values():
        assert batch.start_time is not None
        assert batch.end_time is not None
        assert part.start_time is not None
        assert batch.start_time <= part.start_time <= batch.end_time


def test_refusal_and_fault_are_told_by_code(spans: tuple[ReadableSpan, ...]) -> None:
    assert named(spans, "command", ledger__outcome="refused")
    (fault,) = named(spans, "GET /v1/students/{student_id}")
    assert fault.status.status_code is StatusCode.ERROR
    assert fault.events == ()


def test_views_span_their_batches(spans: tuple[ReadableSpan, ...]) -> None:
    views = {(span.attributes or {})["ledger.view"] for span in named(spans, "view batch")}
    assert {"rosters", "journals", "disclosures"} <= views


def test_no_span_holds_a_name_a_comment_or_text_of_the_caller(spans: tuple[ReadableSpan, ...]) -> None:
    assert len(spans) > 20
    for span in spans:
        told = span.to_json()
        for secret in (CANARY, ascii(CANARY)[1:-1], "canary"):
            assert secret not in told
        assert not span.events


@contextmanager
def collecting() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Yields the address of a collector, and what it was sent: paths and bodies."""
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


def test_spans_reach_a_collector_over_http_when_the_process_ends() -> None:
    with collecting() as (url, received), telemetry(url, "api-1") as told:
        assert told.tracing is not None
        with told.tracing.view_batch("rosters", 0, 7):
            pass
    ((path, body),) = received
    assert path == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    about = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    assert (about["service.name"], about["service.instance.id"]) == ("ledger", "api-1")
    (span,) = resource.scope_spans[0].spans
    assert span.name == "view batch"


def test_telemetry_of_the_web_framework_stays_off_whatever_the_environment_says(
    postgres_url: str, kek_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as (url, received):
        monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with traced(postgres_url, kek_text, tmp_path, Telemetry()) as served:
            assert served.acts().post("/v1/students", {CANARY: CANARY}).status_code == 422
    assert received == []
