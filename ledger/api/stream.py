"""Server-sent events: the feed as one answer that goes on, until it has lived long enough or the service stops.

A client that reads slowly holds up its own stream and nothing else: the next page is read when the one before has been
sent. A stream ends after some minutes, so that tokens, workers and connections do not grow old; clients come back with
`Last-Event-ID` by themselves. A page that shows nothing still moves that id on, by an event without data.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import StreamingResponse

from ledger.application.disclose.cloudevents import cloud_event, source_of
from ledger.application.disclose.feed import read_feed
from ledger.errors import Busy, LedgerError
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from uuid import UUID

    from starlette.types import Receive, Scope, Send

    from ledger.application.disclose.feed import EventHeader, FeedPage, FeedQuery
    from ledger.application.disclose.gate import Reader
    from ledger.application.ledger import Ledger

logger = get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
LIFE_S = 300.0
GRACE_S = 10.0
KEEP_ALIVE_S = 15.0
RETRY_MS = 1_000
PAGE = 100
MAX_STREAMS = 500
MAX_OF_ONE = 25
"""Of them, those of one client: nobody shall keep all others from following."""


class Streams:
    """Which streams a process has open: each holds a connection of its client and a page in memory."""

    def __init__(self) -> None:
        self._of: Counter[UUID] = Counter()

    @property
    def open(self) -> int:
        """How many are open."""
        return self._of.total()

    def check(self, client: UUID) -> None:
        """Passes if a client may open one more.

        Raises:
            Busy: it may not.
        """
        if self.open >= MAX_STREAMS or self._of[client] >= MAX_OF_ONE:
            raise Busy("Too many streams are open.", help="Ask again in a second, or use `wait` instead of a stream.")

    @contextmanager
    def held(self, client: UUID) -> Iterator[None]:
        """Counts a stream of a client as long as it is sent.

        Raises:
            Busy: others were opened while its first page was read, and it may not.
        """
        self.check(client)
        self._of[client] += 1
        try:
            yield
        finally:
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]


class EventStream(StreamingResponse):
    """A stream of the feed, whose first page has been read: what is wrong with the request was said by now."""

    media_type = MEDIA_TYPE

    def __init__(
        self, streams: Streams, ledger: Ledger, reader: Reader, query: FeedQuery, first: FeedPage[EventHeader]
    ) -> None:
        super().__init__(_events(ledger, reader, query, first), headers={"X-Accel-Buffering": "no"})
        self._streams, self._client = streams, reader.actor.id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream; one whose client does not read is cut off some seconds after its end."""
        with self._streams.held(self._client):
            try:
                async with asyncio.timeout(LIFE_S + GRACE_S):
                    await super().__call__(scope, receive, send)
            except TimeoutError:
                logger.info("A stream was cut off: its client does not read.")


async def _events(
    ledger: Ledger, reader: Reader, query: FeedQuery, page: FeedPage[EventHeader]
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop()
    end = clock.time() + LIFE_S
    source = source_of(ledger.id)
    yield f"retry: {RETRY_MS}\n\n".encode()
    while True:
        if page.items:
            yield b"".join([_event(source, item) for item in page.items])
        else:
            yield f"id: {page.seen}\n\n".encode()
        while page.seen == page.until and not ledger.tail.stopped and (left := end - clock.time()) > 0:
            if await ledger.tail.wait(page.seen, min(KEEP_ALIVE_S, left)):
                break
            yield f": alive\nid: {page.seen}\n\n".encode()
        if clock.time() >= end or ledger.tail.stopped:
            return
        try:
            # A client that leaves meanwhile must not break a connection of the pool in the middle of a query.
            page = await asyncio.shield(read_feed(ledger, reader, replace(query, after=page.seen)))
        except LedgerError as error:
            logger.warning("A stream ends before its time.", code=error.code)
            return


def _event(source: str, event: EventHeader) -> bytes:
    data = msgspec.json.encode(cloud_event(source, event))
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.position, event.topic.encode(), data)
