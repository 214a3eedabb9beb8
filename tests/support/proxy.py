"""A wire to PostgreSQL that can be cut: what a network does to a client, at the moment that a test chooses."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.store.database import Database

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK = 65_536

LONG = 3_000
"""Bytes of a request that count as long: more than any query of the store, less than an event with a long text."""


class Proxy:
    """Stands between a client and the server of `database`; use it inside `async with`, and give out `database`.

    `cut()` breaks every connection; `refuse()` and `accept()` are a server that went away and came back.

    An append is told from what is asked before it by its size: at least LONG bytes, if the test records as much.
    `cut_long` breaks a connection that sends so much, before it gets to the server; `swallow_long` lets it through and
    keeps the answer, and all later ones, until the next cut.
    """

    def __init__(self, database: Database) -> None:
        parts = conninfo_to_dict(database.url)
        self._socket = f".s.PGSQL.{parts['port']}"
        self._target = Path(str(parts["host"])) / self._socket
        self._folder = Path(tempfile.mkdtemp(prefix="proxy-"))
        self.database = Database(make_conninfo(database.url, host=str(self._folder)), database.schema)
        self.cut_long = False
        self.swallow_long = False
        self.connections = 0
        self._answers = True
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        shutil.rmtree(self._folder)

    async def accept(self) -> None:
        """Takes connections (again), and passes answers on."""
        self._answers = True
        self._server = await asyncio.start_unix_server(self._serve, self._folder / self._socket)

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

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        server_reader, server_writer = await asyncio.open_unix_connection(self._target)
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
                if requests or self._answers:
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass  # the other side has gone: so does this one
        finally:
            writer.transport.abort()
