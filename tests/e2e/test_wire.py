"""What belongs to a request and what does not, for clients that send what no library would."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from structlog.contextvars import get_contextvars

from ledger.api import protocol
from ledger.api.boundary import Boundary
from tests.support.api import Api, Json, Served
from tests.support.wire import a_wire, everything, head_of, problem_of

if TYPE_CHECKING:
    import socket

    from starlette.types import Receive, Scope, Send

JSON = "application/json"
LIVE = b"GET /livez HTTP/1.1\r\nHost: ledger\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
LAST_CHUNK = b"0\r\n"
ENDLESS = 16 * 1024 * 1024
"""Bytes, more than the buffers of both ends hold."""


def _upgrading(head: bytes) -> bytes:
    return head[:-2] + UPGRADE + b"\r\n"


def _answered_in_a_second(served: Served) -> bytes:
    """Returns a request that waits for news of which there are none."""
    until = served.acts().get("/v1/events", limit=1).json()["until"]
    token = f"Authorization: Bearer {served.token()}\r\n"
    return f"GET /v1/events?after={until}&wait=1 HTTP/1.1\r\nHost: ledger\r\n{token}\r\n".encode()


def _statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def _is_cut_off(wire: socket.socket, piece: bytes) -> bool:
    """Sends again and again, and tells whether the service hung up before it had taken all of it."""
    try:
        for _ in range(ENDLESS // len(piece)):
            wire.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


# --- another protocol ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/school", "/v1/bulk"])
@pytest.mark.parametrize("chunked", [False, True])
def test_body_behind_an_upgrade_is_refused_and_never_taken_for_a_request(
    served: Served, path: str, *, chunked: bool
) -> None:
    """The parser takes the request to end with its head: the body would be lost, or be the next request."""
    body = LIVE + b"\r\n"
    fields = {"Content_Type": JSON}
    fields |= {"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": str(len(body))}
    with a_wire(served) as wire:
        wire.sendall(_upgrading(head_of(served, path, **fields)))
        answer = everything(wire)
    assert _statuses(answer) == [400]
    assert problem_of(answer)[1]["code"] == "body-with-upgrade"
    with a_wire(served) as wire:
        wire.sendall(_upgrading(head_of(served, path, **fields)) + body)
        assert _statuses(everything(wire)) == [400]


@pytest.mark.parametrize("fields", [b"", b"Content-Length: 0\r\n"])
def test_request_without_a_body_is_answered_whatever_it_would_rather_speak(served: Served, fields: bytes) -> None:
    """The connection ends with it: what comes in one packet with it the parser drops."""
    behind = LIVE + b"Content-Length: 100\r\n\r\n"
    with a_wire(served) as wire:
        wire.sendall(_upgrading(LIVE + fields + b"\r\n") + behind)
        answer = everything(wire)
    assert _statuses(answer) == [200]
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize("coding", ["identity", "gzip, chunked", "xchunked"])
def test_body_in_another_coding_is_refused_before_anything_is_done(served: Served, director: Api, coding: str) -> None:
    until = director.get("/v1/events", limit=1).json()["until"]
    with a_wire(served) as wire:
        wire.sendall(head_of(served, Content_Type=JSON, Transfer_Encoding=coding) + b"2\r\n{}\r\n0\r\n\r\n")
        status, told = problem_of(everything(wire))
    assert (status, told["code"]) == (501, "coding-unknown")
    assert director.get("/v1/events", limit=1).json()["until"] == until


# --- fields behind a body --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 2])
def test_field_behind_a_body_is_none_of_the_head(served: Served, pieces: int) -> None:
    """A proxy that strips or sets fields does so in heads only (RFC 9110, 6.5.1)."""
    trailer = f"Authorization: Bearer {served.token()}\r\n\r\n".encode()
    head = b"GET /v1/school HTTP/1.1\r\nHost: ledger\r\nTransfer-Encoding: chunked\r\n\r\n"
    with a_wire(served) as wire:
        if pieces == 1:
            wire.sendall(head + LAST_CHUNK + trailer + LIVE + b"Connection: close\r\n\r\n")
        else:
            wire.sendall(head + LAST_CHUNK)
            wire.sendall(trailer + LIVE + b"Connection: close\r\n\r\n")
        assert _statuses(everything(wire)) == [401, 200]


def test_connection_that_a_field_behind_a_body_closes_is_closed(served: Served) -> None:
    """The parser obeys it and reads no further: whoever sent more would wait for ever."""
    head = LIVE + b"Transfer-Encoding: chunked\r\n\r\n"
    with a_wire(served) as wire:
        wire.sendall(head + LAST_CHUNK + b"Connection: close\r\n\r\n")
        assert _statuses(everything(wire)) == [200]
    with a_wire(served) as wire:
        wire.sendall(head)
        assert _statuses(wire.recv(65_536)) == [200]
        wire.sendall(LAST_CHUNK + b"Connection: close\r\n\r\n")
        assert everything(wire) == b""


def test_request_that_was_answered_is_not_answered_again(served: Served) -> None:
    head = b"POST /v1/school HTTP/1.1\r\nHost: ledger\r\nTransfer-Encoding: chunked\r\n\r\n"
    with a_wire(served) as wire:
        wire.sendall(head)
        assert _statuses(wire.recv(65_536)) == [401]
        wire.sendall(b"no size of a chunk\r\n")
        assert everything(wire) == b""


@pytest.mark.parametrize("with_token", [False, True], ids=["answered", "under way"])
@pytest.mark.parametrize(
    "piece", [b"X-Field: " + b"x" * 80 + b"\r\n", b"x" * 1024], ids=["many fields", "one without an end"]
)
def test_fields_behind_a_body_without_an_end_are_cut_off(served: Served, piece: bytes, *, with_token: bool) -> None:
    head = head_of(served, Content_Type=JSON, Transfer_Encoding="chunked")
    if not with_token:
        head = re.sub(rb"Authorization: [^\r]*\r\n", b"", head)
    with a_wire(served) as wire:
        wire.sendall(head + b"2\r\n{}\r\n" + LAST_CHUNK)
        assert _is_cut_off(wire, piece * (65_536 // len(piece)))


def test_sizes_of_chunks_without_a_chunk_are_cut_off(served: Served) -> None:
    with a_wire(served) as wire:
        wire.sendall(head_of(served, Content_Type=JSON, Transfer_Encoding="chunked") + b"2;")
        assert _is_cut_off(wire, b"x" * 65_536)


def test_body_that_comes_in_very_many_pieces_is_read(served: Served) -> None:
    """Each with a size of its own: together more than is taken without a body."""
    text = json.dumps({"name": "x"}).encode() + b" " * (protocol.MAX_HEAD // 4)
    head = head_of(served, Content_Type=JSON, Transfer_Encoding="chunked", Connection="close")
    with a_wire(served) as wire:
        wire.sendall(head)
        for at in range(len(text)):
            wire.sendall(b"1\r\n" + text[at : at + 1] + b"\r\n")
        wire.sendall(LAST_CHUNK + b"\r\n")
        assert _statuses(everything(wire)) == [422]


# --- requests that do not wait for the answer before -----------------------------------------------------------------


def test_body_of_the_next_request_has_its_own_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no body that somebody goes on sending after the answer."""
    monkeypatch.setattr(protocol, "LINGER_S", 0.1)
    first = _answered_in_a_second(served)
    body = b'{"name": 1}'
    second = head_of(served, Content_Type=JSON, Content_Length=str(len(body)), Connection="close")
    with a_wire(served) as wire:
        wire.sendall(first + second + body[:4])
        wire.settimeout(30)
        assert _statuses(wire.recv(65_536)) == [200]
        wire.settimeout(0.5)
        with pytest.raises(TimeoutError):  # nothing comes, and the connection does not end
            wire.recv(1)
        wire.sendall(body[4:])
        assert _statuses(everything(wire)) == [422]


def test_requests_that_are_sent_ahead_are_answered_however_they_are_cut_into_packets(served: Served) -> None:
    """Together they are larger than a head may be, and packets begin and end within one."""
    padded = LIVE + b"X-Padding: " + b"x" * (protocol.MAX_HEAD // 20) + b"\r\n\r\n"
    together = padded * 40 + LIVE + b"Connection: close\r\n\r\n"
    cut = len(padded) // 2
    with a_wire(served) as wire:
        wire.sendall(together[:cut])
        wire.sendall(together[cut:-cut])
        wire.sendall(together[-cut:])
        assert _statuses(everything(wire)) == [200] * 41


def test_too_many_requests_ahead_are_cut_off(served: Served) -> None:
    with a_wire(served) as wire:
        assert _is_cut_off(wire, (LIVE + b"\r\n") * 1000)


def test_half_a_head_has_its_time_once_it_is_being_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """While requests before it are under way, nothing is read from the connection."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    slow = _answered_in_a_second(served)
    last = LIVE + b"Connection: close\r\n\r\n"
    with a_wire(served) as wire:
        wire.sendall(slow + LIVE + b"\r\n" + last[:20])
        wire.settimeout(30)
        answers = wire.recv(65_536)
        wire.sendall(last[20:])
        assert _statuses(answers + everything(wire)) == [200, 200, 200]


def test_request_does_not_begin_in_the_context_of_the_one_before(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[Json] = []
    whole = Boundary.__call__

    async def noting(self: Boundary, scope: Scope, receive: Receive, send: Send) -> None:
        began.append(dict(get_contextvars()))
        await whole(self, scope, receive, send)

    monkeypatch.setattr(Boundary, "__call__", noting)
    traced = LIVE + b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
    with a_wire(served) as wire:
        wire.sendall(traced + LIVE + b"Connection: close\r\n\r\n")
        assert _statuses(everything(wire)) == [200, 200]
    assert began == [{}, {}]
