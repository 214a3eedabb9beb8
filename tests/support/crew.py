"""Those who work on one ledger at once, and die: a writer here, another in a process of its own, projector and sealer.

Each `door` takes envelopes and brings answers. The writer here talks to the database through a wire that can be cut,
and crashes at whatever point it has reached: its task is cancelled, its connections are gone, nobody is told. The other
processes are forked off a server and end by SIGKILL.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import threading
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from ledger.aggregates.registry import EVENTS
from ledger.bootstrap import open_ledger
from ledger.errors import LedgerError, StoreUnavailable
from ledger.store.executor import ExecutorSettings
from ledger.store.keyring import KeyEncryptionKeys
from ledger.store.mapper import EventMapper
from tests.support.book import Attempt, Said
from tests.support.desk import a_base
from tests.support.faults import plant
from tests.support.forks import FORKS
from tests.support.proxy import Proxy
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from ledger.application.ledger import Ledger
    from ledger.bootstrap import Foundation
    from ledger.store.commands import Envelope
    from ledger.store.database import Database
    from tests.support.book import Answer

MAPPER = EventMapper(EVENTS)
"""Made once: processes that are forked off have it already."""

PATIENCE_S = 60.0
"""How long a process may take to begin, or to answer with nothing in its way."""


@dataclass(frozen=True)
class Place:
    """Where a ledger is, in words that go to another process; `fault` is planted there."""

    database: Database
    kek_text: str
    home: Path
    fault: str | None = None

    def base(self) -> Foundation:
        """Returns what a process of the ledger stands on."""
        return a_base(self.database, KeyEncryptionKeys.parse(self.kek_text), MAPPER, self.home)

    def base_in_time(self) -> Foundation:
        """Returns the same as soon as the database answers, as somebody would who starts the process again."""
        while True:
            try:
                return self.base()
            except StoreUnavailable:
                time.sleep(0.05)


@dataclass(frozen=True)
class Bounds:
    """Of an executor: small ones, so that caches overflow and snapshots come due."""

    lanes: int = 8
    batch: int = 5
    snapshot_every: int = 4
    patience_s: float = 10.0

    def narrow(self, ledger: Ledger) -> None:
        """Sets them in an executor that has just been opened."""
        executor = ledger.executor
        settings = ExecutorSettings(1_000, self.batch, self.lanes, self.snapshot_every, self.patience_s)
        executor._settings = executor._writer._settings = settings
        executor._writer.cache._maximum, executor._writer.cache._crowded = self.lanes, self.lanes // 2


async def _answer(ledger: Ledger, envelope: Envelope, *, in_order: bool = False) -> Answer:
    try:
        if in_order:
            return await (await ledger.executor.submit_when_free(envelope))
        return await ledger.executor.execute(envelope)
    except LedgerError as error:
        return Said.of(error)


async def _ask(attempt: Attempt, ledger: Ledger, *, in_order: bool) -> None:
    """Notes when something was asked, when it was answered, and how; a door that falls shut leaves no answer."""
    attempt.begun = time.monotonic_ns()
    try:
        attempt.answer = await _answer(ledger, attempt.envelope, in_order=in_order)
    finally:
        attempt.ended = time.monotonic_ns()


class WriterHere:
    """A process's worth of ledger on this event loop."""

    name = "here"

    def __init__(self, base: Foundation, bounds: Bounds) -> None:
        self._base = base
        self.bounds = bounds
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Starts it."""
        self._stack = AsyncExitStack()
        self.proxy = await self._stack.enter_async_context(Proxy(self._base.database))
        base = replace(self._base, database=self.proxy.database)
        self.ledger = await self._stack.enter_async_context(open_ledger(base))
        self.ledger.today = lambda: TODAY
        self.bounds.narrow(self.ledger)

    async def ask(self, *attempts: Attempt, in_order: bool = False) -> None:
        """Sends commands at once and waits for their answers."""
        await asyncio.gather(*(_ask(one, self.ledger, in_order=in_order) for one in attempts))

    async def close(self) -> None:
        """Ends it in order."""
        await self._stack.aclose()

    async def crash(self) -> None:
        """Ends it as a power cut does: wherever it is, without a word to anybody."""
        executor = self.ledger.executor
        if executor._task is not None:
            executor._task.cancel()
        await self.proxy.refuse()
        with suppress(asyncio.CancelledError):  # of the executor's task
            await self._stack.aclose()
        await executor._writer.close()


# --- processes of their own -----------------------------------------------------------------------------------------


def _write(place: Place, bounds: Bounds, wire: Connection) -> None:
    """Answers what comes over a wire until it is killed."""
    plant(place.fault)

    async def work() -> None:
        loop, more = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(wire.fileno(), more.set)
        async with open_ledger(place.base_in_time()) as ledger:
            ledger.today = lambda: TODAY
            bounds.narrow(ledger)
            wire.send("ready")
            tasks: set[asyncio.Task[None]] = set()

            async def answer(number: int, envelope: Envelope) -> None:
                said = await _answer(ledger, envelope)
                wire.send((number, said))

            while True:
                await more.wait()
                more.clear()
                while wire.poll():
                    number, packed = wire.recv()
                    task = asyncio.create_task(answer(number, pickle.loads(packed)))  # noqa: S301 - our own
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)

    with suppress(EOFError, ConnectionError):
        asyncio.run(work())


def _die_with_parent() -> None:
    """Ends this process when the one that wanted it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _project(place: Place) -> None:
    _die_with_parent()
    plant(place.fault)
    place.base_in_time().runner().run(threading.Event())


def _seal(place: Place) -> None:
    _die_with_parent()
    plant(place.fault)
    place.base_in_time().sealer().run(threading.Event())


@dataclass
class Worker:
    """The projector or the sealer, as a process."""

    place: Place
    kind: str
    process: BaseProcess | None = None

    def start(self) -> None:
        """Starts it, unless it runs."""
        if self.process is None or not self.process.is_alive():
            work = {"projector": _project, "sealer": _seal}[self.kind]
            self.process = FORKS.Process(target=work, args=(self.place,), daemon=True)
            self.process.start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.is_alive()

    def kill(self) -> None:
        """Kills it wherever it is."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


@dataclass
class WriterElsewhere:
    """Another process that records in the same ledger."""

    place: Place
    bounds: Bounds
    name: str = "elsewhere"
    process: BaseProcess | None = None
    wire: Connection | None = None
    _waiting: dict[int, Attempt] = field(default_factory=dict)
    _number: int = 0

    def start(self) -> None:
        """Starts it and waits until it takes commands."""
        self.wire, theirs = FORKS.Pipe()
        self.process = FORKS.Process(target=_write, args=(self.place, self.bounds, theirs), daemon=True)
        self.process.start()
        theirs.close()
        assert self.wire.poll(PATIENCE_S), "The other writer does not start."
        assert self.wire.recv() == "ready"

    def send(self, *attempts: Attempt) -> None:
        """Sends commands at once."""
        assert self.wire is not None
        for attempt in attempts:
            self._number += 1
            attempt.begun = time.monotonic_ns()
            self._waiting[self._number] = attempt
            self.wire.send((self._number, pickle.dumps(attempt.envelope)))

    async def answers(self) -> None:
        """Waits for the answers of everything that was sent."""
        assert self.wire is not None
        loop, more = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.wire.fileno(), more.set)
        try:
            while self._waiting:
                if not self.wire.poll():
                    more.clear()
                    await asyncio.wait_for(more.wait(), PATIENCE_S)
                self._receive()
        finally:
            loop.remove_reader(self.wire.fileno())

    def _receive(self) -> None:
        assert self.wire is not None
        while self.wire.poll():
            number, said = self.wire.recv()
            attempt = self._waiting.pop(number)
            attempt.answer, attempt.ended = said, time.monotonic_ns()

    async def ask(self, *attempts: Attempt) -> None:
        """Sends commands at once and waits for their answers."""
        self.send(*attempts)
        await self.answers()

    def kill(self) -> Sequence[Attempt]:
        """Kills it wherever it is; what it had said by then was said. Returns what it leaves unanswered."""
        if self.process is None or self.wire is None:
            return ()
        self.process.kill()
        self.process.join()
        with suppress(EOFError, ConnectionError):
            self._receive()
        left = list(self._waiting.values())
        for attempt in left:
            attempt.ended = time.monotonic_ns()
        self._waiting.clear()
        self.wire.close()
        self.process = self.wire = None
        return left
