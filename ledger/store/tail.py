"""The end of the history, or of its log: who waits for the next event, or for its seal, is woken when it comes.

One connection of the process listens for all who wait; none of them holds one. NOTIFY is a hint that saves time;
looking at the table at short intervals is the guarantee, so a lost notification or a lost connection costs a moment and
never an event. The connection is closed when nobody has waited for a while: one that listens and is not read would fill
the server's queue of notifications.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ledger.errors import LedgerError
from ledger.store.database import translated
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from ledger.store.database import Database, Row

logger = get_logger(__name__)

POLL_S = 0.5
REST_S = 0.05
"""Between two looks while events keep coming: who waits hears of the first at once, and of those after it together."""
RECONNECT_S = 0.5
IDLE_S = 30.0

LAST = "SELECT coalesce(max(position), 0) FROM {schema}.events"


class Tail:
    """Wakes those who wait for the next event. Belongs to one event loop; `stop` wakes everybody for good.

    Args:
        look: returns the query of how far that which is waited for has come, with its parameters; asked with each new
            connection, so that what it raises (a `LedgerError`) only lets people wait. The newest event without it.
        channel: on which NOTIFY tells that it may have moved.
    """

    def __init__(
        self,
        database: Database,
        look: Callable[[], tuple[str, Sequence[object]]] = lambda: (LAST, ()),
        *,
        channel: str = "{schema}",
    ) -> None:
        self._database = database
        self._asks, self._channel = look, channel
        self.position = 0
        """How far it was when looked at last; no more than a hint while nobody waits."""
        self._news = asyncio.Event()
        self.waiting = 0
        """How many wait."""
        self._idle_since = 0.0
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether the service ends, and nobody should wait any more."""
        return self._stopped

    @property
    def listening(self) -> bool:
        """Whether the connection is in use."""
        return self._task is not None and not self._task.done()

    async def wait(self, after: int, seconds: float) -> bool:
        """Returns whether it has gone past the position `after` within `seconds`."""
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                while self.position <= after and not self._stopped:
                    self._start()
                    await self._news.wait()
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1
            self._idle_since = asyncio.get_running_loop().time()
        return self.position > after

    def stop(self) -> None:
        """Wakes everybody who waits, with nothing, and lets nobody wait again."""
        self._stopped = True
        self._news.set()

    async def close(self) -> None:
        """Stops and gives the connection back."""
        self.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _start(self) -> None:
        if not self.listening:
            self._task = asyncio.create_task(self._run(), name="tail")

    def _wanted(self) -> bool:
        return self.waiting > 0 or asyncio.get_running_loop().time() - self._idle_since < IDLE_S

    async def _run(self) -> None:
        """Listens as long as somebody waits; whatever is not there is tried again."""
        while not self._stopped and self._wanted():
            try:
                with translated():
                    async with await self._database.connect_async("writer") as connection:
                        await connection.execute(self._database.bind("LISTEN " + self._channel))
                        await self._look(connection)
            except LedgerError as error:
                logger.warning("Whoever waits for events goes on waiting.", code=error.code, reason=error.detail)
                await asyncio.sleep(RECONNECT_S)

    async def _look(self, connection: psycopg.AsyncConnection[Row]) -> None:
        query, parameters = self._asks()
        last = self._database.bind(query)
        while not self._stopped and self._wanted():
            row = await (await connection.execute(last, parameters, prepare=True)).fetchone()
            position = int(row[0]) if row else 0
            if position != self.position:
                self.position = position
                self._news.set()
                self._news = asyncio.Event()
                await asyncio.sleep(REST_S)
            async for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                pass
