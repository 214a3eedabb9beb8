"""The bulk door: many commands in one request, answered in order while they come.

Three tasks pass on what they have, each only as fast as the next one takes it:

- *reading* cuts the body into lines and puts each command into the executor's queue;
- *collecting* waits for the answers, in the order of the lines;
- *sending* writes them to the client.

What lies between them is bounded in bytes (`Allowance`), so memory is bounded whatever is sent, and a full queue of the
executor slows the reading instead of failing lines. If the client goes away, what was put into the queue is recorded
all the same; whoever got no answer sends it again with the same keys.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ledger.api.answers import made_by, recorded_line
from ledger.api.calls import MAX_BODY, receipts_of
from ledger.api.conditions import preferred_wait, read_tags
from ledger.api.framing import NDJSON, Lines
from ledger.api.lines import read_line
from ledger.api.problems import (
    EarlierLineFailed,
    FieldError,
    InvalidFields,
    SlowBody,
    TooLarge,
    answer_error,
    answer_fault,
    answer_refusal,
)
from ledger.api.service import correlation_of, request_id_of, service_of, without_time_limit
from ledger.application.record.command import Request as RecordRequest
from ledger.application.record.command import submit_when_free
from ledger.application.record.precondition import Precondition
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from uuid import UUID

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from ledger.application.ledger import Ledger
    from ledger.policy.offices import Actor
    from ledger.store.commands import Recorded

    _Asked = tuple[str, asyncio.Future[Recorded]]

MAX_LINES = 10_000
MAX_LINE = MAX_BODY
UNDER_WAY = 4 * 1024 * 1024
"""Bytes of commands between reading and their answers."""
OVERHEAD = 4 * 1024
"""What a command under way costs beside its own text; so some thousand small ones are under way."""
LINE_COST = 0.01
"""Of a request, for the client's rate; whoever sends much pays after it, and no line waits or fails for it."""
UNSENT = 8 * 1024 * 1024
"""Bytes of answers that a client need not have read yet while it goes on sending: 20,000 marks, 1,300 lessons of 30."""
PIECE = 64 * 1024
TOGETHER = 64
"""Lines that wait for their receipts together, however many events they have."""


class Allowance:
    """So many bytes may be held at once; who wants more waits until others have given theirs back."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._given_back = asyncio.Event()

    async def take(self, size: int) -> None:
        """Waits for room; what is larger than all of it gets in alone."""
        while self._taken and self._taken + size > self._most:
            self._given_back.clear()
            await self._given_back.wait()
        self._taken += size

    def give_back(self, size: int) -> None:
        """Makes room again."""
        self._taken -= size
        self._given_back.set()


class TooManyLines(TooLarge):
    """The request has more commands than one may have."""

    code = "too-many-lines"


class BulkAnswer(Response):
    """Reads a body of commands and answers each on its line; see the module."""

    def __init__(self, request: Request, ledger: Ledger, actor: Actor, *, patience_s: float) -> None:
        super().__init__(media_type=NDJSON)
        del self.headers["content-length"]
        self._request = request
        self._ledger = ledger
        self._actor = actor
        self._patience_s = patience_s
        self._receipts_s = preferred_wait(request)
        """How long a line's receipts are waited for; nothing any more after some did not come in time."""
        self._under_way = Allowance(UNDER_WAY)
        self._unsent = Allowance(UNSENT)
        self._asked: asyncio.Queue[tuple[bytes | _Asked, int] | None] = asyncio.Queue()
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._futures: dict[str, asyncio.Future[Recorded]] = {}
        """The commands under way, by their keys."""
        self._made: dict[str, UUID | None] = {}
        """What became of the others: the id of what was made, or None."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request, as Starlette's responses do.

        Raises:
            ClientDisconnect: the client went away, or took nothing for so long as if it had.
        """
        del scope
        without_time_limit(self._request)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(receive))
                tasks.create_task(self._collect())
                tasks.create_task(self._send(send))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the first one ended the others

    # --- reading ----------------------------------------------------------------------------------------------------

    async def _read(self, receive: Receive) -> None:
        number = 0
        clients = service_of(self._request).limits.clients
        client = self._actor.login or self._actor.id  # as whom the request itself was counted
        try:
            async with aclosing(self._lines(receive)) as lines:
                async for line in lines:
                    number += 1
                    _check_number(number)
                    clients.owe(client, LINE_COST)
                    size = len(line) + OVERHEAD
                    await self._under_way.take(size)
                    self._asked.put_nowait((await self._ask(line), size))
        except LedgerError as error:
            self._asked.put_nowait((bytes(answer_error(self._request, error).body), 0))
        self._asked.put_nowait(None)

    async def _lines(self, receive: Receive) -> AsyncGenerator[bytes, None]:
        lines, more = Lines(MAX_LINE), True
        while more:
            try:
                async with asyncio.timeout(self._patience_s):
                    message = await receive()
            except TimeoutError:
                raise SlowBody(
                    f"Nothing came for {self._patience_s:g} seconds.",
                    help="What was answered before this stands; send the rest in another request.",
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            for line in lines.feed(message.get("body", b"")):
                yield line
            _check_number(lines.blank)  # nobody pays for them, so they must end, too
            more = message.get("more_body", False)
            await asyncio.sleep(0)  # others have their turn, too, where a client is faster than we are
        last = lines.end()
        if last is not None:
            yield last

    async def _ask(self, text: bytes) -> bytes | _Asked:
        """Puts the command of a line into the queue; returns its answer at once where there is none to wait for."""
        try:
            line = await read_line(text, self._find)
            if line.key in self._futures:
                await asyncio.wait([self._futures[line.key]])  # the executor takes two of one key in another order
            sent = RecordRequest(
                self._actor,
                line.key,
                line.content,
                request_id=request_id_of(self._request),
                correlation_id=correlation_of(self._request),
                sequence=request_id_of(self._request),
                precondition=Precondition(
                    match=read_tags(line.if_match, "if_match") if line.if_match is not None else None,
                    required=self._ledger.settings.require_if_match,
                ),
            )
            future = await submit_when_free(self._ledger, line.command(self._ledger.id), sent)
        except LedgerError as error:
            return bytes(answer_error(self._request, error).body)
        except Exception as error:  # noqa: BLE001 - a fault of one line is its own answer
            return bytes(answer_fault(request_id_of(self._request), error).body)
        future.add_done_callback(_look_at)
        self._futures[line.key] = future
        return line.key, future

    async def _find(self, field: str, key: str) -> UUID:
        """Returns the id of what an earlier line made.

        Raises:
            InvalidFields: there is no such line. EarlierLineFailed: it was not recorded.
        """
        future = self._futures.get(key)
        found = self._made.get(key)
        if future is not None:
            await asyncio.wait([future])
            if not future.cancelled() and future.exception() is None:
                found = made_by(future.result())
        elif key not in self._made:
            message = "names no earlier line of this request by its key."
            raise InvalidFields([FieldError(field, "reference", message)])
        if found is None:
            raise EarlierLineFailed(
                "The line that this one refers to was not recorded, or made more than one thing.",
                help="Nothing was recorded for this line; mend the other one and send both again with their keys.",
            )
        return found

    # --- answering --------------------------------------------------------------------------------------------------

    async def _collect(self) -> None:
        more = True
        while more:
            taken = [await self._asked.get()]
            while self._receipts_s and len(taken) < TOGETHER and not self._asked.empty():
                taken.append(self._asked.get_nowait())
            more = taken[-1] is not None
            lines = [entry for entry in taken if entry is not None]
            results = [asked if isinstance(asked, bytes) else await self._result(*asked) for asked, _ in lines]
            receipts = await self._receipts([result for result in results if not isinstance(result, bytes)])
            for result, (_, size) in zip(results, lines, strict=True):
                answer = result if isinstance(result, bytes) else _line(result, receipts)
                await self._unsent.take(len(answer) + 1)
                self._answers.put_nowait(answer)
                self._under_way.give_back(size)
        self._answers.put_nowait(None)

    async def _result(self, key: str, future: asyncio.Future[Recorded]) -> bytes | Recorded:
        """Returns what a command recorded, or the problem that it is answered with."""
        made = self._made.get(key)
        try:
            recorded = await future
            made = made_by(recorded)
        except LedgerError as error:
            return bytes((await answer_refusal(self._request, error)).body)
        except Exception as error:  # noqa: BLE001 - a fault of one command is its own answer
            return bytes(answer_fault(request_id_of(self._request), error).body)
        else:
            return recorded
        finally:
            self._made[key] = made
            if self._futures.get(key) is future:
                del self._futures[key]

    async def _receipts(self, lines: Sequence[Recorded]) -> Mapping[int, bytes]:
        """Returns the receipts of lines by their positions, if the client waits for them and they come in time."""
        if not (self._receipts_s and lines):
            return {}
        positions = sorted({event.position for recorded in lines for event in recorded.events})
        receipts = await receipts_of(self._request, positions, self._receipts_s)
        if receipts is None:
            self._receipts_s = 0
            return {}
        return dict(zip(positions, receipts, strict=True))

    async def _send(self, send: Send) -> None:
        more = True
        while more:
            answer = await self._answers.get()
            piece = bytearray()
            while answer is not None:
                piece += answer + b"\n"
                if len(piece) >= PIECE or self._answers.empty():
                    break
                answer = self._answers.get_nowait()
            more = answer is not None
            try:
                async with asyncio.timeout(self._patience_s):
                    await send({"type": "http.response.body", "body": bytes(piece), "more_body": more})
            except TimeoutError:
                raise ClientDisconnect from None
            self._unsent.give_back(len(piece))


def _check_number(lines: int) -> None:
    if lines > MAX_LINES:
        raise TooManyLines(
            f"The request has more than {MAX_LINES} lines.",
            help="What was answered before this stands; send the rest in another request.",
        )


def _line(recorded: Recorded, receipts: Mapping[int, bytes]) -> bytes:
    found = [receipts[event.position] for event in recorded.events] if receipts else None
    return recorded_line(recorded, found)


def _look_at(future: asyncio.Future[Recorded]) -> None:
    """Fetches an error that nobody may be left to fetch."""
    if not future.cancelled():
        future.exception()
