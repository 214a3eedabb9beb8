"""Wires that can be cut, to PostgreSQL and to the API: what a network does, at the moment that a test chooses."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.store.database import Database

if TYPE_CHECKING:
    import random
    from types import TracebackType

_CHUNK = 65_536

LONG = 3_000
"""Bytes of a request that count as long: more than any query of the store, less than an event with a long text."""


class Proxy:
    """Stands between a client and the server of `database`; use it inside `async with`, and give out `database`.

    `cut()` breaks every connection; `refuse()` and `accept()` are a server that went away and came back.

    An append is told from what is asked before it by its size: at least LONG bytes, if the test records as much.
    `cut_long` breaks a connection that sends so much, before it gets to the server; `swallow_long` lets it through and
    keeps the answer, and all later ones, until the next cut. `swallow_commit` does so to what says COMMIT.
    """

    def __init__(self, database: Database) -> None:
        parts = conninfo_to_dict(database.url)
        self._socket = f".s.PGSQL.{parts['port']}"
        self._target = Path(str(parts["host"])) / self._socket
        self._folder = Path(tempfile.mkdtemp(prefix="proxy-"))
        self.database = Database(make_conninfo(database.url, host=str(self._folder)), database.schema)
        self.cut_long = False
        self.swallow_long = False
        self.swallow_commit = False
        self.connections = 0
        self._answers = True
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        while self._serving:
            await asyncio.wait(self._serving)
        shutil.rmtree(self._folder)

    async def accept(self) -> None:
        """Takes connections (again), and passes answers on."""
        self._answers = True
        self._server = await asyncio.start_unix_server(self._begin, self._folder / self._socket)

    async def refuse(self) -> None:
        """Goes away: breaks every connection and takes no new one."""
        if self._server is not None:
            self._server.close()
            self._server = None
            (self._folder / self._socket).unlink(missing_ok=True)
        self.cut()

    def cut(self) -> None:
        """Breaks every connection; new ones are served as usual."""
        self._answers = True
        for writer in list(self._writers):
            writer.transport.abort()

    def _begin(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(client_reader, client_writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            client_writer.transport.abort()  # the server is away
            return
        ends = {client_writer, server_writer}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._pass(client_reader, server_writer, requests=True),
                self._pass(server_reader, client_writer, requests=False),
            )
        finally:
            self._writers -= ends

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, requests: bool) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if requests and len(data) >= LONG:
                    if self.cut_long:
                        self.cut()
                        return
                    if self.swallow_long:
                        self.swallow_long, self._answers = False, False
                if requests and self.swallow_commit and b"COMMIT" in data:
                    self.swallow_commit, self._answers = False, False
                if requests or self._answers:
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass  # the other side has gone: so does this one
        finally:
            writer.transport.abort()


class LossyDoor:
    """Stands before an HTTP server and loses answers that it has given already; use it inside `async with`.

    The next `losing` answers are cut off in front, or somewhere in their midst, as `dice` have it; `lost` counts them.
    """

    def __init__(self, url: str, dice: random.Random) -> None:
        parts = urlsplit(url)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._dice = dice
        self.url = ""
        self.losing = 0
        self.lost = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        ends = {client_writer, server_writer}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._asks(client_reader, server_writer), self._answers(server_reader, client_writer, server_writer)
            )
        finally:
            self._writers -= ends

    async def _asks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # the other side has gone: so does this one
        finally:
            writer.transport.abort()

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if self.losing:
                    self.losing, self.lost = self.losing - 1, self.lost + 1
                    if self._dice.random() < 0.5:  # a part of the head, or of the body, and then the end
                        writer.write(data[: self._dice.randrange(1, len(data))])
                        writer.close()
                        await writer.wait_closed()
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # the other side has gone: so does this one
        finally:
            writer.transport.abort()
            asked.transport.abort()
