"""The command executor: one writer per process, one append per batch.

It takes *all* waiting commands at once, loads the lanes that they need, lets each decide against memory, and appends
everything in one call, one transaction, one flush. No answer, a refusal included, leaves before the commit. Several
processes may run one each: the append function tells, under its lock, which streams moved since, and a batch that read
or wrote one of them is decided again.

Where there is much to do, the next batch is decided while one is being flushed, on the lanes as they will be if it
commits; where there is little, it waits for the flush and for all who come meanwhile (ADR 0037). The database gets one
append after the other either way. If the first does not succeed, or somebody else moved a lane that the second read,
both are forgotten and given to the `BatchWriter`, which takes them one at a time.

Ownership: everything here belongs to one asyncio task (`_run`). A crash at any point leaves the database with all of a
batch or nothing of it; who got no answer asks by the key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from ledger.errors import Busy, HistoryAlarm, LedgerError, StoreUnavailable, trace
from ledger.store.batch import Decided, Waiting, Written, due_snapshots
from ledger.store.lanes import BatchLanes
from ledger.store.snapshots import save_snapshots
from ledger.store.watch import ExecutorWatch
from ledger.store.writer import BatchWriter, ExecutorSettings, outcome_unknown
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from ledger.store.append import AppendResult
    from ledger.store.commands import Envelope, Recorded
    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.store.mapper import EventMapper
    from ledger.store.snapshots import SnapshotRow
    from ledger.telemetry.parts import Telemetry

__all__ = ["CommandExecutor", "ExecutorSettings"]

logger = get_logger(__name__)

WORTH_HALVING = 32
"""Events from which on a batch is halved, so that database and rules work at once; below, transactions cost more."""

TURNS = 4
"""Turns of the event loop for which a batch waits at most for requests that are being read."""


@dataclass(slots=True, eq=False)
class _Round:
    """A batch on its way: decided on lanes that may not be committed yet, then sent."""

    batch: list[Waiting]
    lanes: BatchLanes
    decided: list[Decided] = field(default_factory=list)
    written: Written = field(default_factory=Written)
    snapshots: list[SnapshotRow] = field(default_factory=list)
    trouble: Exception | None = None
    sent: asyncio.Task[AppendResult] | None = None
    landed: bool = False
    """Whether it is known to be committed."""


class CommandExecutor:
    """Records commands in groups; see the module."""

    def __init__(
        self,
        database: Database,
        mapper: EventMapper,
        keyring: Keyring,
        settings: ExecutorSettings | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._settings = settings or ExecutorSettings()
        self._watch = ExecutorWatch(telemetry, keyring)
        self._traced = self._watch.traced
        self._writer = BatchWriter(database, mapper, keyring, self._settings, self._watch)
        self._loading: psycopg.AsyncConnection[Row] | None = None
        self._beside: psycopg.AsyncConnection[Row] | None = None
        """The writer's connection when that for loading was opened."""
        self._queue: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._under_way: _Round | None = None
        self._rounds: deque[_Round] = deque(maxlen=2)
        """The newest rounds: nobody else can be without an answer but those who are still in the queue."""
        self._stopping = False
        self._turn_began: float | None = None
        self._weight = 1.0
        """Events of a command, as in the last batch."""
        self._show()

    def _show(self) -> None:
        """Lets the metrics look at what can be read when somebody asks."""
        metrics, writer = self._watch.metrics, self._writer
        metrics.waiting.set_function(lambda: len(self._queue))
        metrics.recording.set_function(lambda: self.running and writer.alarm is None)
        metrics.alarm.set_function(lambda: writer.alarm is not None)
        metrics.position.set_function(lambda: writer.seen)
        metrics.lanes.set_function(lambda: len(writer.cache))

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connects, checks that commits are durable, and begins to take commands."""
        await self._writer.connect()
        self._task = asyncio.create_task(self._run(), name="command-executor")

    async def stop(self) -> None:
        """Lets the waiting commands finish and closes the connections."""
        self._stopping = True
        self._wake.set()
        self._room.set()
        try:
            if self._task is not None:
                await self._task
        finally:
            await self._writer.close()
            if self._loading is not None:
                await self._loading.close()
                self._loading = None

    @property
    def alarm(self) -> HistoryAlarm | None:
        """Why the executor refuses to record any more, or None."""
        return self._writer.alarm

    @property
    def keyring(self) -> Keyring:
        """The keys that it records with, for looking at what it has recorded; who shows anything has counted ones."""
        return self._keyring

    @property
    def running(self) -> bool:
        """Whether commands are taken."""
        return self._task is not None and not self._task.done() and not self._stopping

    @property
    def stalled_s(self) -> float:
        """For how many seconds the batch under way has kept all others waiting; 0 where nothing is to be done."""
        if self._turn_began is None or not self.running:
            return 0.0
        return asyncio.get_running_loop().time() - self._turn_began

    @property
    def waiting(self) -> int:
        """How many commands wait."""
        return len(self._queue)

    # --- entrance ---------------------------------------------------------------------------------------------------

    async def execute(self, envelope: Envelope) -> Recorded:
        """Records a command and returns what was recorded, once it is durable.

        Raises:
            LedgerError: as the decision raised it (Refused, NotFound …); nothing was recorded.
            KeyReused: the idempotency key came before with another request.
            Busy: too many commands wait.
            StoreUnavailable: nothing was recorded.
            OutcomeUnknown: ask again with the same key.
        """
        return await self.submit(envelope)

    def submit(self, envelope: Envelope) -> asyncio.Future[Recorded]:
        """Puts a command into the queue; the future brings the answer (see `execute`)."""
        if self.alarm is not None:
            raise self.alarm
        if not self.running:
            raise StoreUnavailable("The ledger is stopping or has not started.", help="Try again in a moment.")
        if len(self._queue) >= self._settings.queue:
            raise Busy("Too many commands are waiting.", help="Try again in a second; use the same key.")
        future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        waiting = Waiting(envelope, future)
        if self._traced:
            self._watch.queued(waiting)
        self._queue.append(waiting)
        self._wake.set()
        return future

    async def submit_when_free(self, envelope: Envelope) -> asyncio.Future[Recorded]:
        """Puts a command into the queue as soon as less than half of it is taken.

        For those who have many commands and can wait: the other half stays for those who cannot, and nobody who comes
        this way meets `Busy`.
        """
        while len(self._queue) >= max(1, self._settings.queue // 2) and self.running and self.alarm is None:
            self._room.clear()
            await self._room.wait()
        return self.submit(envelope)

    # --- the writer's task ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._take_turns()
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                await self._begin_anew(error)
            else:
                return

    async def _take_turns(self) -> None:
        """Records what comes, turn by turn, until it is to stop and nothing waits."""
        while True:
            under_way = self._under_way
            self._turn_began = asyncio.get_running_loop().time() if under_way or self._queue else None
            if under_way is None and not self._queue:
                if self._stopping:
                    return
                self._rounds.clear()
                self._wake.clear()
                await self._wake.wait()
                continue
            if under_way is not None and under_way.sent is not None and not self._worth_halving(under_way):
                await asyncio.wait({under_way.sent})
                await self._hear()
                # Now, not behind the next batch, which may have to load what it is decided on.
                self._under_way = under_way = await self._pass_on(under_way, None)
            else:
                await self._hear()
            upcoming = await self._look_ahead(under_way) if self._queue else None
            self._under_way = await self._pass_on(under_way, upcoming)
            await asyncio.sleep(0)  # lets those who were answered send what they have next

    async def _begin_anew(self, error: Exception) -> None:
        """After a fault of our own: forgets all that is in memory, and answers everybody who waits.

        A data key that may not be stored must not be used again: what it seals could never be read. The append that is
        under way is ended before anybody is told that its outcome is unknown, so that who looks it up then finds what
        stays; one that a stuck server does not end within seconds may be committed later (the same key still tells).
        """
        logger.critical("The command executor failed; it begins anew.", exception=trace(error))
        under_way, self._under_way = self._under_way, None
        rounds, self._rounds = list(self._rounds), deque(maxlen=2)
        unknown = outcome_unknown("The ledger failed while recording; it is not known whether this was recorded.")
        untouched = StoreUnavailable(
            "The ledger failed before it came to this; nothing was recorded.", help="Try again; use the same key."
        )
        try:
            self._forget(*(one for one in rounds if not one.landed))
            for sent in {one.sent for one in (under_way, *rounds) if one is not None and one.sent is not None}:
                sent.cancel()
                await asyncio.gather(sent, return_exceptions=True)
            await self._writer.close()
            self._writer.unsettled = None  # those who waited for it are answered here
        finally:
            taken = [each for one in rounds for each in one.batch if not each.future.done()]
            waiting, self._queue = list(self._queue), deque()
            for batch, answer in ((taken, unknown), (waiting, untouched)):
                for each in batch:
                    each.answer(answer)
            self._writer.cache.clear()
            self._room.set()
            self._watch.failed(taken, unknown)
            self._watch.failed(waiting, untouched)

    def _present(self, under_way: _Round | None) -> int:
        return len(self._queue) + (len(under_way.batch) if under_way else 0)

    def _worth_halving(self, under_way: _Round | None) -> bool:
        """Tells whether the next batch is decided while this one is being flushed; it then has half of all commands.

        A smaller one waits until the flush is over: all who come meanwhile are recorded with it.
        """
        return self._present(under_way) * self._weight >= WORTH_HALVING

    async def _hear(self) -> None:
        """Lets those whose requests have been received put them into the queue, while more and more of them do.

        A transaction costs as much as deciding several commands.
        """
        before, turns = 0, 0
        while before < len(self._queue) and turns < TURNS:
            before, turns = len(self._queue), turns + 1
            await asyncio.sleep(0)

    def _take(self, batch: list[Waiting], under_way: _Round | None) -> None:
        """Takes waiting commands in order; one with the key of another in the batch waits for the next batch.

        Where it is worth it, half of all that wait or are under way: so two batches of like size alternate between
        rules and database.
        """
        most = self._settings.batch
        if self._worth_halving(under_way):
            most = min(most, (self._present(under_way) + 1) // 2)
        keys: set[bytes] = set()
        again: list[Waiting] = []
        try:
            while self._queue and len(batch) < most:
                waiting = self._queue.popleft()
                idempotency = waiting.envelope.idempotency
                if idempotency is not None:
                    if idempotency.command_id in keys:
                        again.append(waiting)
                        continue
                    keys.add(idempotency.command_id)
                batch.append(waiting)
        finally:
            self._queue.extendleft(reversed(again))
        self._room.set()

    async def _look_ahead(self, under_way: _Round | None) -> _Round:
        """Takes a batch and decides it on the lanes as they will be when the one under way has been committed.

        Its lanes go to the cache and its new keys to the ring at once, for the batch after it; `_forget` takes them
        back. Nothing is raised: with `trouble` the batch has to be recorded alone.
        """
        ahead = _Round([], BatchLanes(self._writer.cache, under_way.lanes if under_way else None))
        self._rounds.append(ahead)
        self._take(ahead.batch, under_way)
        try:
            if self.alarm is not None:
                raise self.alarm  # noqa: TRY301 - what waited when it sounded is not recorded
            loading = await self._connect_beside()
            ahead.decided, ahead.written = await self._writer.decide(loading, ahead.batch, ahead.lanes)
            for (subject_id, record_class), key in ahead.written.new_keys.items():
                self._keyring.put(subject_id, record_class, key)
            self._weight = max(1.0, len(ahead.written.columns) / len(ahead.batch))
            ahead.snapshots = due_snapshots(ahead.written, ahead.lanes, self._keyring)
            ahead.lanes.commit()
        except Exception as error:  # noqa: BLE001 - the writer meets it again, alone, and answers it
            ahead.trouble = error
        return ahead

    async def _connect_beside(self) -> psycopg.AsyncConnection[Row]:
        """Returns the connection for loading; a new one after the writer has got a new one.

        It may record on another server now, and the old one, which was only fenced off, would go on telling what was.
        """
        if self._loading is not None and self._beside is not self._writer.connection:
            await self._loading.close()
        if self._loading is None or self._loading.closed:
            self._beside = self._writer.connection
            self._loading = await self._database.connect_async("writer")
        return self._loading

    async def _pass_on(self, under_way: _Round | None, upcoming: _Round | None) -> _Round | None:
        """Waits for the batch under way, sends the upcoming one, answers the first; returns what is under way now."""
        result: AppendResult | None = None
        if under_way is not None:
            try:
                result = await self._land(under_way)
            except LedgerError as error:
                self._forget(under_way, upcoming)
                self._fail(under_way.batch, error)
                under_way = None
            else:
                if result is None:
                    self._forget(under_way, upcoming)
                    await self._record_alone(under_way.batch)
                    under_way = None
            if under_way is None:
                if upcoming is not None:
                    await self._record_alone(upcoming.batch)
                return None
        if upcoming is not None and (upcoming.trouble is not None or self._overtaken(upcoming, result)):
            self._forget(upcoming)
            await self._answer(under_way, result)
            await self._record_alone(upcoming.batch)
            return None
        if upcoming is not None:
            upcoming.sent = asyncio.create_task(self._send(upcoming))
            await asyncio.sleep(0)  # lets the append go out before anything else is done
        await self._answer(under_way, result)
        return upcoming

    async def _answer(self, landed: _Round | None, result: AppendResult | None) -> None:
        """Answers a recorded batch and stores the snapshots that became due with it."""
        if landed is None or result is None:
            return
        self._writer.answer(landed.decided, result)
        if self._loading is not None:
            await save_snapshots(self._loading, self._database, landed.snapshots)
        await self._writer.loader.save_snapshots()

    async def _send(self, ahead: _Round) -> AppendResult:
        connection = self._writer.connection
        if connection is None or connection.closed:
            # A new one would look anew where the history stands, and so hide what moved since this was decided.
            raise StoreUnavailable("The connection is gone.", help="The batch is decided again on a new one.")
        return await self._writer.send(connection, ahead.decided, ahead.written)

    async def _land(self, under_way: _Round) -> AppendResult | None:
        """Returns the result of an append that recorded its batch, or None where the writer has to take it up.

        Raises:
            HistoryAlarm: the history or the clock went back.
            StoreUnavailable: the server refused the append; nothing was recorded.
        """
        if under_way.sent is None:
            return None
        try:
            result = await under_way.sent
        except psycopg.errors.UniqueViolation:
            self._writer.cache.clear()  # another writer stored the same version without our seeing it move
            self._writer.unsettled = None
            return None
        except psycopg.Error as error:
            if self._writer.is_broken(error):
                await self._writer.close()
                return None
            self._writer.unsettled = None  # the server said no (disk full, cancelled): the transaction is gone
            raise _refused_by_server(error) from error
        except StoreUnavailable:
            return None
        except Exception as error:  # noqa: BLE001 - sent or not, the writer finds out, and answers
            logger.error("A batch could not be sent.", exception=trace(error))  # noqa: TRY400 - without the message
            await self._writer.close()
            return None
        under_way.landed = self._writer.accept(result, under_way.written, under_way.lanes)
        return result if under_way.landed else None

    @staticmethod
    def _overtaken(upcoming: _Round, result: AppendResult | None) -> bool:
        """Tells whether another process moved a lane that the upcoming batch was decided on."""
        return result is not None and bool(result.moved) and not set(result.moved).isdisjoint(upcoming.lanes.touched)

    def _forget(self, *rounds: _Round | None) -> None:
        """Takes back what uncommitted batches left in memory, and what was sealed with their keys meanwhile."""
        self._writer.loader.forget_snapshots()
        for ahead in rounds:
            if ahead is not None:
                self._watch.forgotten(ahead.written)
                self._writer.cache.evict(ahead.lanes.dirty)
                self._keyring.drop(ahead.written.new_keys)
                # If the rows were committed after all, who reads next must load them again.
                self._keyring.forget(subject_id for subject_id, _ in ahead.written.new_keys)
                ahead.written.new_keys = {}  # what is recorded alone afterwards may have stored them

    async def _record_alone(self, batch: list[Waiting]) -> None:
        """Records a batch with nothing else under way, and answers it whatever happens."""
        try:
            if self.alarm is not None:
                raise self.alarm  # noqa: TRY301 - answered as below: what waited when it sounded is not recorded
            await self._writer.record(batch)
        except LedgerError as error:
            self._fail(batch, error)
        except psycopg.Error as error:
            failed = _refused_by_server(error)
            failed.__cause__ = error
            self._fail(batch, failed)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            logger.error("A batch failed.", exception=trace(error))  # noqa: TRY400 - without the message
            self._fail(batch, error)

    def _fail(self, batch: list[Waiting], error: BaseException) -> None:
        self._writer.cache.clear()
        for waiting in batch:
            waiting.answer(error)
        self._watch.failed(batch, error)


def _refused_by_server(error: psycopg.Error) -> StoreUnavailable:
    logger.error("The database refused a batch.", sqlstate=error.sqlstate, exception=trace(error))
    if isinstance(error, psycopg.errors.DiskFull):
        return StoreUnavailable(
            "The disk of the database is full; nothing was recorded.",
            help="Free some space there (`ledger doctor` shows how much there is), and try again.",
        )
    return StoreUnavailable(
        "The database refused the batch; nothing was recorded.", help="See the service's log; try again."
    )
