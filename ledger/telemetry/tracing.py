"""Traces (OpenTelemetry), where somebody collects them: request, command in the queue, batch, append, view batch.

Only this module imports OpenTelemetry, and only `telemetry/parts.py` imports it, when an endpoint is set. Spans carry
routes, codes, counts, positions and request ids. Exceptions are noted by kind, never recorded with their messages, and
of a caller's context only `traceparent` is taken: baggage and trace state are text of others.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ledger.errors import LedgerError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace.export import SpanExporter

T = TypeVar("T")

MAX_LINKS = 128
"""Commands that a batch's span links to; OpenTelemetry keeps no more."""

SERVER_FAULT = 500


class Tracing:
    """Makes the spans of one process."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("ledger", version("ledger"))
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, method: str, traceparent: str | None, request_id: str) -> Iterator[Span]:
        """Yields the span of a request, current for the block; `answered` names its route and status."""
        parent = self._propagator.extract({"traceparent": traceparent}) if traceparent else Context()
        attributes = {"http.request.method": method, "ledger.request_id": request_id}
        with self._tracer.start_as_current_span(
            method,
            parent,
            SpanKind.SERVER,
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @staticmethod
    def answered(span: Span, method: str, route: str, status: int) -> None:
        """Says of a request's span what was answered."""
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= SERVER_FAULT:
            span.set_status(StatusCode.ERROR)

    @staticmethod
    def trace_id(span: Span) -> str:
        """Returns the id of a span's trace, as logs write it."""
        return f"{span.get_span_context().trace_id:032x}"

    def begin_command(self, name: str, future: asyncio.Future[T]) -> Span:
        """Returns the span of a command in the queue, a child of the current request; the answer ends it."""
        span = self._tracer.start_span("command", attributes={"ledger.command": name})

        def ended(done: asyncio.Future[T]) -> None:
            error = None if done.cancelled() else done.exception()
            if isinstance(error, LedgerError):
                outcome = error.code
            elif done.cancelled():
                outcome = "cancelled"
            else:
                outcome = "recorded" if error is None else "fault"
            span.set_attribute("ledger.outcome", outcome)
            span.end()

        future.add_done_callback(ended)
        return span

    def begin_batch(self, seconds: float, commands: Sequence[Span], events: int) -> Span:
        """Returns the span of a batch that was being decided for `seconds` until now, linked to its commands."""
        now = time.time_ns()
        began = now - int(seconds * 1e9)
        span = self._tracer.start_span(
            "batch",
            Context(),
            links=[Link(command.get_span_context()) for command in commands[:MAX_LINKS]],
            attributes={"ledger.commands": len(commands), "ledger.events": events},
            start_time=began,
        )
        self._tracer.start_span("decide", trace.set_span_in_context(span, Context()), start_time=began).end(now)
        return span

    def end_batch(self, span: Span, seconds: float | None, outcome: str, position: int | None) -> None:
        """Ends a batch's span, after an append of `seconds` where there was one."""
        now = time.time_ns()
        if seconds is not None:
            began = now - int(seconds * 1e9)
            context = trace.set_span_in_context(span, Context())
            self._tracer.start_span("append", context, SpanKind.CLIENT, start_time=began).end(now)
        span.set_attribute("ledger.outcome", outcome)
        if position is not None:
            span.set_attribute("ledger.position", position)
        span.end(now)

    @contextmanager
    def view_batch(self, view: str, after: int, until: int) -> Iterator[None]:
        """Spans the application of the events of (after, until] to a view."""
        attributes: dict[str, str | int] = {"ledger.view": view, "ledger.after": after, "ledger.until": until}
        with self._tracer.start_as_current_span(
            "view batch", Context(), attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException:
                span.set_status(StatusCode.ERROR)
                raise


@contextmanager
def exporting(endpoint: str, process: str, exporter: SpanExporter | None = None) -> Iterator[Tracing]:
    """Yields the tracing of a process; what waits to be sent is sent at the end of the block.

    Args:
        endpoint: base address of the collector; spans go to `<endpoint>/v1/traces`.
        process: the instance's name.
        exporter: another one than OTLP over HTTP.
    """
    resource = Resource.create(
        {"service.name": "ledger", "service.version": version("ledger"), "service.instance.id": process}
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5))
    )
    try:
        yield Tracing(provider)
    finally:
        provider.shutdown()
