"""Somebody who takes webhooks: a real HTTP server that checks signatures and keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from standardwebhooks.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
TAKEN: Answer = (204, {}, b"")


@dataclass
class Receiver:
    """Keeps messages; `answer` decides what is answered, and may be replaced by a test.

    `kept` is what a careful receiver has: each event once, by `webhook-id`. `messages` counts what came over the wire.
    """

    url: str
    secret: str = ""
    answer: Callable[[Json], Answer] = lambda _: TAKEN
    kept: list[Json] = field(default_factory=list)
    messages: list[Json] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, headers: dict[str, str], body: bytes) -> Answer:
        """Takes one message."""
        with self._lock:
            if not self.secret:
                return (
                    503,
                    {"Retry-After": "0"},
                    b"",
                )  # the webhook was registered, and we have not heard its secret yet
            event: Json = Webhook(self.secret).verify(body, headers)
            assert headers["content-type"] == "application/cloudevents+json"
            assert headers["webhook-id"] == event["id"]
            self.messages.append(event)
            self.signatures.append(headers["webhook-signature"])
            answer = self.answer(event)
            if 200 <= answer[0] < 300 and event["id"] not in self._ids:
                self._ids.add(event["id"])
                self.kept.append(event)
            return answer

    @property
    def positions(self) -> list[int]:
        """The positions of what is kept, in the order in which it came."""
        return [event["position"] for event in self.kept]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yields a receiver on a free port of this machine; what went wrong in it is raised at the end."""
    receiver = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True  # the sender was killed in the middle of a message
                return
            try:
                status, headers, content = receiver.take({k.lower(): v for k, v in self.headers.items()}, body)
            except Exception as error:  # noqa: BLE001 - told to the test at its end
                receiver.faults.append(error)
                status, headers, content = 500, {}, b""
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A sender that was killed, or reads no further, is what the tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        thread = threading.Thread(target=server.serve_forever, name="receiver", args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
    for fault in receiver.faults:
        raise fault
