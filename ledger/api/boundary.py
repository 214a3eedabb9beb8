"""The outermost layer of the application: a request id, safe headers, one access line, and the last resort.

The access line has the method, the route's template (not the address, which may hold a foreign id), status, time and
request id: nothing of a body, a name, a mark or a token. The server's own access log stays off. Whatever else is logged
while a request is answered carries its id, and the trace id of a caller who sent one (W3C Trace Context).
"""

from __future__ import annotations

import asyncio
import re
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import UUID

from starlette.requests import ClientDisconnect
from structlog.contextvars import bind_contextvars, reset_contextvars

from ledger.api.problems import answer_fault, answer_too_slow
from ledger.ids import new_id
from ledger.telemetry.logs import RequestLog

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping, Sequence
    from typing import Any

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ledger.api.direct import Direct
    from ledger.api.limits import Standing
    from ledger.telemetry.parts import Telemetry

access = RequestLog("ledger.api.access")

CLIENT_GONE = 499

_ASKED = (b"traceparent", b"x-request-id")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_ID = re.compile(r"[0-9A-Fa-f]{8}(-?)(?:[0-9A-Fa-f]{4}\1){3}[0-9A-Fa-f]{12}")
_DEFAULTS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
)
"""Headers of an answer that says nothing else of its own."""


class Boundary:
    """Wraps the application; see the module."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, *, seconds: float, direct: Direct) -> None:
        self._app = app
        self._direct = direct
        self._metrics = telemetry.metrics.http
        self._tracing = telemetry.tracing
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; never raises for an ordinary error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id()
        asked = dict.fromkeys(_ASKED, "")
        asked |= {name: value.decode("latin-1") for name, value in reversed(scope["headers"]) if name in asked}
        bound = {"request_id": str(request_id)}
        method = scope["method"] if scope["method"] in _METHODS else "?"
        parent = _TRACEPARENT.fullmatch(asked[b"traceparent"])
        if parent is not None:
            bound["trace_id"] = parent[1]
        correlation = _opaque(asked[b"x-request-id"]) or (_opaque(parent[1]) if parent else None)
        scope.setdefault("state", {}).update(request_id=request_id, correlation_id=correlation)
        before = bind_contextvars(**bound)
        self._metrics.under_way += 1
        try:
            if self._tracing is None:
                await self._answer(bound, method, scope, receive, send)
                return
            with self._tracing.request(method, parent and parent[0], bound["request_id"]) as span:
                bound["trace_id"] = self._tracing.trace_id(span)
                bind_contextvars(trace_id=bound["trace_id"])
                status = await self._answer(bound, method, scope, receive, send)
                self._tracing.answered(span, method, _route(scope), status)
        finally:
            self._metrics.under_way -= 1
            reset_contextvars(**before)

    async def _answer(self, bound: dict[str, str], method: str, scope: Scope, receive: Receive, send: Send) -> int:
        began = perf_counter()
        request_id: UUID = scope["state"]["request_id"]
        status = 0
        deadline = scope["state"]["deadline"] = asyncio.timeout(self._seconds)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_added(scope["state"], message["headers"])]
            await send(message)

        try:
            async with deadline:
                await (self._direct.find(scope) or self._app)(scope, receive, sending)
        except ClientDisconnect:
            status = CLIENT_GONE
        except TimeoutError as error:
            late = deadline.expired()
            answer = answer_too_slow(request_id, self._seconds) if late else answer_fault(request_id, error)
            if status == 0:
                await answer(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - the last resort: logged without its message, answered as a problem
            answer = answer_fault(request_id, error)
            if status == 0:
                await answer(scope, receive, sending)
        finally:
            seconds, route = perf_counter() - began, _route(scope)
            access.tell(bound, method=method, route=route, status=status, ms=round(seconds * 1000, 1))
            self._metrics.answered(method, route, status, seconds)
        return status


def _added(state: MutableMapping[str, Any], sent: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yields the headers that every answer has, and those that it has where it says nothing else of its own."""
    yield b"x-request-id", str(state["request_id"]).encode()
    yield b"x-content-type-options", b"nosniff"
    there = {name for name, _ in sent}
    yield from (default for default in _DEFAULTS if default[0] not in there)
    standing: Standing | None = state.get("standing")
    if standing is not None:
        yield from ((name.lower().encode(), value.encode()) for name, value in standing.headers().items())


def _route(scope: Scope) -> str:
    """Returns the template that a request matched; its address may hold a foreign id."""
    return getattr(scope.get("route"), "path", "-")


def _opaque(text: str) -> UUID | None:
    """Returns a UUID, or 32 hexadecimal digits, as a UUID; None for anything else, and for nothing but zeros."""
    if not _ID.fullmatch(text):
        return None
    return UUID(text) if text.strip("0-") else None


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
