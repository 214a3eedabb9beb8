"""HTTP/1.1 on a connection, with bounds before there is a request: the size of its head, and the time that it takes.

The server's own protocol bounds neither. A head that is too large is answered 431, one that does not come 408; a client
that goes on sending a body after it was answered is cut off in the end. Nor does it keep a head apart from what is none
of it: fields behind a body, and a body where its parser expects another protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ledger.api.problems import problem
from ledger.ids import new_id

if TYPE_CHECKING:
    import asyncio

MAX_HEAD = 32 * 1024
MAX_FIELDS = 100
HEAD_S = 10.0
LINGER_S = 10.0
MAX_AHEAD = 100
"""Requests of a connection that may wait for the answers before them; each takes memory, whoever sends it."""
KEEP_ALIVE_S = 65
"""How long an idle connection is kept: longer than clients and proxies keep theirs (5 to 60 s), so that they end it.

Who sends a request on a connection that is ended at that moment cannot know whether it was taken.
"""
WORTH_JOINING = 64 * 1024
"""Bytes up to which the first piece of a body is copied behind the head of its answer; a longer one goes after it."""
BODY_IS_HERE = "body_is_here"
"""True in the state of a request whose body has come to its end: reading it waits for nobody."""

_REFUSALS = {
    "malformed-request": (400, "This is no HTTP/1.1 request.", "Check what lies between you and the service."),
    "body-with-upgrade": (
        400,
        "A request with a body asks for another protocol than HTTP/1.1.",
        "Send it without the Upgrade field (with curl: --http1.1).",
    ),
    "coding-unknown": (
        501,
        "A body is taken as it is or in chunks, and in no other transfer coding.",
        "Send it with Content-Length, or with Transfer-Encoding: chunked.",
    ),
    "head-timeout": (408, "The head of the request did not come in time.", "Send the whole request at once."),
    "head-too-large": (
        431,
        f"The head of the request has more than {MAX_HEAD // 1024} KiB or {MAX_FIELDS} fields.",
        "Send fewer or shorter header fields, and a shorter address.",
    ),
}


class _Joining:
    """A connection's transport for one answer: sends its head together with the first piece of its body.

    The server writes the two apart: two system calls, and a client that is woken for a head alone. A head that nothing
    follows at once, as of a stream, is sent in the same turn of the event loop.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Writes a piece; the first one waits for the second."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self._flush)
            return
        if self._head and len(data) < WORTH_JOINING:
            data, self._head = self._head + data, b""
        self._flush()
        self._transport.write(data)

    def close(self) -> None:
        """Closes the connection once everything has been written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tells whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""


class BoundedProtocol(HttpToolsProtocol):
    """A connection; see the module. It belongs to the event loop, which calls its methods."""

    def __init__(self, *args: Any, **rules: Any) -> None:  # noqa: ANN401 - as the base class's own, whatever they are
        super().__init__(*args, **rules)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_body = False
        self._bare = 0
        """Bytes that have come of what only the parser holds: of an unfinished head, or between pieces of a body."""
        self._had_body = self._has_begun = False
        """Whether the piece that is being read held some of a body, or a request's beginning."""
        self._refusal = "malformed-request"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        """Begins to wait for a request."""
        super().connection_made(transport)
        self._wait(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends all waiting."""
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on. What the parser holds of unfinished lines is bounded here; it calls back for finished parts."""
        in_head, in_body = self._in_head, self._in_body
        self._had_body = self._has_begun = False
        super().data_received(data)
        unfinished = 0 if self._has_begun else len(data)
        if self._in_head and not self.transport.is_closing():
            if self._timer is None:  # most heads come in one piece and need no timer
                self._wait(HEAD_S)
            self._bare += unfinished if in_head else 0
        elif in_body and self._in_body:  # sizes of chunks, or fields behind the last one
            self._bare = 0 if self._had_body else self._bare + unfinished
        elif self._timer is None and self._idle and not self._in_head and not self._in_body:
            self._wait(self.timeout_keep_alive)  # it was no request, and the base class has stopped its own timer
        if self._bare > MAX_HEAD:
            self._refuse("head-too-large")

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self._in_head, self._has_begun, self._bare = True, True, 0
        self._wait(None)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a field of the head. One behind a body is left out: it must not pass for one (RFC 9110, 6.5.1)."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Starts the application on a request whose head is within its bounds."""
        self._in_head, self._in_body, self._bare = False, True, 0
        self._wait(None)
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD or len(self.headers) > MAX_FIELDS:
            self._refusal = "head-too-large"
            raise ValueError  # the parser stops, and `send_400_response` is called
        upgrades = self.parser.should_upgrade()
        for name, value in self.headers:
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                self._refusal = "coding-unknown"  # the parser says so as well, but only once the request has begun
                raise ValueError
            if upgrades and (name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 "))):
                # The parser takes such a request to end here, and what comes of its body for the next request.
                self._refusal = "body-with-upgrade"
                raise ValueError
        if len(self.pipeline) >= MAX_AHEAD:
            raise ValueError
        before: Any = self.cycle
        super().on_headers_complete()
        cycle: Any = self.cycle
        if cycle is not before:  # it begins in the next turn of the event loop
            cycle.transport = _Joining(self.transport, self.loop)
            cycle.keep_alive = cycle.keep_alive and not upgrades  # the parser drops what came in one piece with it

    def on_body(self, body: bytes) -> None:
        """Takes a piece of a body."""
        self._had_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request."""
        self._in_body = False
        self._wait(None)
        self.scope["state"][BODY_IS_HERE] = True
        super().on_message_complete()
        if not self.parser.should_keep_alive():  # as fields behind a body may say, too: the parser reads no further
            self.cycle.keep_alive = False
        if self.cycle.response_complete and not self.pipeline:
            if self.cycle.keep_alive:
                self._wait(self.timeout_keep_alive)
            else:
                self.transport.close()

    def on_response_complete(self) -> None:
        """Waits for the next request, or for the end of this one's body; who sent the next already may send it all."""
        super().on_response_complete()
        if self._in_body and self._idle and not self.transport.is_closing():
            self._wait(LINGER_S)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no request, or one with too large a head."""
        del msg
        self._refuse(self._refusal)

    def _refuse(self, code: str) -> None:
        """Answers with a problem and ends the connection; what is under way on it is dropped."""
        self._wait(None)
        if self.transport.is_closing():
            return
        if self._idle and not self._answered:
            request_id = new_id()
            status, detail, told = _REFUSALS[code]
            answer = problem(request_id, status, code, detail, help=told)
            answer.headers["X-Request-Id"] = str(request_id)
            answer.headers["Cache-Control"] = "no-store"
            answer.headers["Connection"] = "close"
            fields = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
            self.transport.write(b"HTTP/1.1 %d \r\n%b\r\n%b" % (status, fields, bytes(answer.body)))
        self.transport.close()

    @property
    def _idle(self) -> bool:
        """Whether no request is being answered; before the first there is no cycle."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    @property
    def _answered(self) -> bool:
        """Whether the request whose body is being read has had its answer."""
        cycle: Any = self.cycle
        return self._in_body and cycle is not None and cycle.scope is self.scope and bool(cycle.response_complete)

    def _unsupported_upgrade_warning(self) -> None:
        """Says nothing: whoever has no token could fill the log with it."""

    def _wait(self, seconds: float | None) -> None:
        """Gives the client so long for what it has to send next; None ends the waiting."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        if self._in_head and not self._idle:
            self._wait(HEAD_S)  # we do not read on while so much is under way
        elif self._in_head:
            self._refuse("head-timeout")
        elif not self.transport.is_closing():
            self.transport.close()
