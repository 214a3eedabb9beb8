"""A client that costs as little as possible, as a process of its own: `python -m ledger.benchmarks.load`.

It reads a `Load` (JSON) on its standard input and writes a `Result` (JSON). Each connection sends a request, waits for
its answer, and sends the next; the requests are rendered beforehand, so that it is the service that is measured.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter
from itertools import cycle
from uuid import uuid4

import msgspec
import uvloop

from ledger.errors import StoreUnavailable

KEY = b"{key}"
"""In a request: a fresh idempotency key stands here each time."""

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_END = b"\r\n\r\n"
PATIENCE_S = 60.0


class Load(msgspec.Struct):
    """What to ask of whom; the requests are dealt out to the connections, so no two of them share one.

    Args:
        seconds: that are measured, after `warm` seconds that are not.
    """

    port: int
    connections: int
    seconds: float
    requests: list[bytes]
    warm: float = 0.0
    host: str = "127.0.0.1"


class Result(msgspec.Struct):
    """What came of it: answers within the measured seconds, by status, and their times in milliseconds."""

    answers: int
    seconds: float
    statuses: dict[int, int]
    p50_ms: float
    p95_ms: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request, until it is time."""

    def __init__(self, requests: list[bytes], times: list[float], statuses: Counter[int], span: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = cycle([request.partition(KEY) for request in requests])
        self._times, self._statuses, self._span = times, statuses, span
        self._keys, self._sent = 0, 0.0
        self._prefix = uuid4().hex.encode()
        self._answer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]  # of a stream
        self._send()

    def _send(self) -> None:
        before, key, after = next(self._requests)
        self._keys += 1
        self._sent = time.perf_counter()
        self._transport.write(b"%b%b-%d%b" % (before, self._prefix, self._keys, after) if key else before)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head = self._answer.find(_END)
        if head < 0:
            return
        length = _LENGTH.search(self._answer, 0, head + 2)
        if len(self._answer) < head + len(_END) + int(length[1] if length else 0):
            return
        now = time.perf_counter()
        if self._span[0] <= now <= self._span[1]:
            self._times.append(now - self._sent)
            self._statuses[int(self._answer[9:12])] += 1
        self._answer.clear()
        if now < self._span[1]:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.done.done():
            return
        if time.perf_counter() < self._span[1]:
            self.done.set_exception(exc or ConnectionResetError("The service closed a connection."))
        else:
            self.done.set_result(None)


async def run(load: Load) -> Result:
    """Returns what came of a load."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    statuses: Counter[int] = Counter()
    begin = time.perf_counter() + load.warm
    span = [begin, begin + load.seconds]
    opened = []
    for number in range(load.connections):
        own = load.requests[number :: load.connections] or load.requests
        _, connection = await loop.create_connection(
            lambda own=own: _Connection(own, times, statuses, span),  # type: ignore[misc]  # bound at once
            load.host,
            load.port,
        )
        opened.append(connection.done)
    async with asyncio.timeout(load.warm + load.seconds + PATIENCE_S):
        await asyncio.gather(*opened)
    times.sort()
    p50, p95 = (times[int(len(times) * part)] * 1000 if times else 0.0 for part in (0.5, 0.95))
    return Result(len(times), load.seconds, dict(statuses), p50, p95)


def put(load: Load, expected: int) -> Result:
    """Puts a load on a service from another process.

    Raises:
        StoreUnavailable: the client failed, or something else was answered than `expected`.
    """
    command = (sys.executable, "-m", "ledger.benchmarks.load")
    done = subprocess.run(command, input=msgspec.json.encode(load), capture_output=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise StoreUnavailable("The client of a measurement failed.", help=done.stderr.decode()[-2000:])
    result = msgspec.json.decode(done.stdout, type=Result)
    if set(result.statuses) != {expected}:
        raise StoreUnavailable(
            f"A measured service answered {result.statuses} where {expected} was expected.",
            help="See its log; the figure would mean nothing.",
        )
    return result


def get(path: str, token: str) -> bytes:
    """Returns a GET as it is sent."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def post(path: str, token: str, body: object) -> bytes:
    """Returns a POST as it is sent, with a place for its idempotency key."""
    content = msgspec.json.encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {KEY.decode()}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


if __name__ == "__main__":
    outcome = uvloop.run(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Load)))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
