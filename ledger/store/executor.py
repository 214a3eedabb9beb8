"""The command executor: one writer per process, one append per batch.

It takes *all* waiting commands at once, loads the lanes that they need, lets each decide against memory, and appends
everything in one call, one transaction, one flush. No answer, a refusal included, leaves before the commit. Several
processes may run one each: the append function tells, under its lock, which streams moved since, and a batch that read
or wrote one of them is decided again.

Ownership: everything here belongs to one asyncio task (`_run`). Lanes are mutated only while a batch is being decided;
if its append does not succeed, every lane that it touched is evicted, so the cache never holds an uncommitted event.
A crash at any point leaves the database with all of a batch or nothing of it; who got no answer asks by the key.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import psycopg

from ledger.clock import utc_now
from ledger.errors import Busy, HistoryAlarm, KeyReused, LedgerError, OutcomeUnknown, SettingsError, StoreUnavailable
from ledger.store.append import AppendResult, append, append_query
from ledger.store.batch import (
    BrokenCommand,
    Decided,
    Waiting,
    Written,
    answer_batch,
    decide_batch,
    snapshot_columns,
    write_batch,
)
from ledger.store.database import translated
from ledger.store.lanes import SAVE_SNAPSHOT, BatchLanes, LaneCache, LaneLoader
from ledger.store.recorded import select_recorded

if TYPE_CHECKING:
    from ledger.store.commands import Envelope, Recorded
    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.store.mapper import EventMapper

logger = logging.getLogger(__name__)

MISSES_BEFORE_LOCK = 2
"""How often others may get in between before the writer takes the lock first."""


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """Bounds of one executor.

    Args:
        queue: waiting commands beyond which new ones are told to try again.
        batch: commands taken into one transaction.
        lanes: lanes kept in memory.
        snapshot_every: events of a lane after which a snapshot is taken.
        patience_s: how long commands wait for a database that went away.
    """

    queue: int = 20_000
    batch: int = 1_000
    lanes: int = 50_000
    snapshot_every: int = 200
    patience_s: float = 30.0


class CommandExecutor:
    """Records commands in groups; see the module."""

    def __init__(
        self, database: Database, mapper: EventMapper, keyring: Keyring, settings: ExecutorSettings | None = None
    ) -> None:
        self._database = database
        self._mapper = mapper
        self._keyring = keyring
        self._settings = settings or ExecutorSettings()
        self._loader = LaneLoader(database, mapper, keyring)
        self._cache = LaneCache(self._settings.lanes)
        self._append_query = append_query(database)
        self._lock_query = database.bind("SELECT {schema}.lock_appends()")
        self._last_query = database.bind("SELECT coalesce(max(position), 0) FROM {schema}.events")
        self._queue: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._task: asyncio.Task[None] | None = None
        self._seen = 0
        self._stopping = False
        self._alarm: HistoryAlarm | None = None
        self._unsettled: tuple[list[Decided], Written] | None = None

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connects, checks that commits are durable, and begins to take commands."""
        await self._connect()
        self._task = asyncio.create_task(self._run(), name="command-executor")

    async def stop(self) -> None:
        """Lets the waiting commands finish and closes the connection."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    @property
    def alarm(self) -> HistoryAlarm | None:
        """Why the executor refuses to record any more, or None."""
        return self._alarm

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
        if self._alarm is not None:
            raise self._alarm
        if self._stopping or self._task is None or self._task.done():
            raise StoreUnavailable("The ledger is stopping or has not started.", help="Try again in a moment.")
        if len(self._queue) >= self._settings.queue:
            raise Busy("Too many commands are waiting.", help="Try again in a second; use the same key.")
        future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(envelope, future))
        self._wake.set()
        return future

    # --- the writer's task ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._take()
            try:
                if self._alarm is not None:
                    raise self._alarm  # noqa: TRY301 - answered as below: what waited when it sounded is not recorded
                await self._record(batch)
            except LedgerError as error:
                self._fail(batch, error)
            except psycopg.Error as error:
                logger.exception("A batch failed in the database.")
                failed = StoreUnavailable(
                    "The database refused the batch; nothing was recorded.", help="See the service's log; try again."
                )
                failed.__cause__ = error
                self._fail(batch, failed)
            except Exception as error:
                logger.exception("A batch failed.")
                self._fail(batch, error)

    def _fail(self, batch: list[Waiting], error: BaseException) -> None:
        self._cache.clear()
        for waiting in batch:
            waiting.answer(error)

    def _take(self) -> list[Waiting]:
        """Takes waiting commands in order; one with the key of another in the batch waits for the next batch."""
        batch: list[Waiting] = []
        keys: set[bytes] = set()
        again: list[Waiting] = []
        while self._queue and len(batch) < self._settings.batch:
            waiting = self._queue.popleft()
            idempotency = waiting.envelope.idempotency
            if idempotency is not None:
                if idempotency.command_id in keys:
                    again.append(waiting)
                    continue
                keys.add(idempotency.command_id)
            batch.append(waiting)
        self._queue.extendleft(reversed(again))
        return batch

    async def _record(self, batch: list[Waiting]) -> None:  # noqa: C901 - each branch is one way an append can end
        """Records a batch, deciding it again as often as others got in between."""
        misses = 0
        deadline = asyncio.get_running_loop().time() + self._settings.patience_s
        while batch:
            lanes = BatchLanes(self._cache)
            try:
                connection = await self._reconnect(deadline)
                if self._unsettled is not None:
                    batch = await self._settle(connection, batch, deadline)
                    continue
                if misses < MISSES_BEFORE_LOCK:
                    result, decided, written = await self._attempt(connection, batch, lanes)
                else:
                    async with connection.transaction():
                        await connection.execute(self._lock_query)
                        await self._refresh(connection)
                        result, decided, written = await self._attempt(connection, batch, lanes)
            except BrokenCommand as broken:
                self._cache.evict(lanes.touched)
                broken.waiting.answer(broken.error)
                batch = [waiting for waiting in batch if waiting is not broken.waiting]
                continue
            except psycopg.errors.UniqueViolation:
                # Another writer stored the same version without our seeing it move: as good as a miss.
                self._cache.clear()
                self._unsettled = None
                misses += 1
                if misses > MISSES_BEFORE_LOCK + 1:
                    raise
                continue
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                self._cache.clear()
                if not self._broken(error):
                    self._unsettled = None  # the server said no (disk full, cancelled): the transaction is gone
                    raise
                logger.warning("The connection to the database broke: %s", type(error).__name__)
                if self._connection is not None:
                    await self._connection.close()
                continue
            except BaseException:
                self._cache.clear()
                self._unsettled = None
                raise
            batch, missed = await self._conclude(connection, result, decided, written, lanes, batch)
            misses += missed

    async def _attempt(
        self, connection: psycopg.AsyncConnection[Row], batch: list[Waiting], lanes: BatchLanes
    ) -> tuple[AppendResult, list[Decided], Written]:
        decided = await decide_batch(batch, lanes, utc_now(), lambda refs: self._loader.load(connection, refs))
        await self._loader.load_keys(connection, {ref.subject_id for entry in decided for ref, _ in entry.events})
        written = write_batch(decided, lanes, self._mapper, self._keyring, self._settings.snapshot_every)
        self._unsettled = (decided, written)
        result = await append(connection, self._append_query, written.columns, self._seen, lanes.touched)
        return result, decided, written

    async def _conclude(
        self,
        connection: psycopg.AsyncConnection[Row],
        result: AppendResult,
        decided: list[Decided],
        written: Written,
        lanes: BatchLanes,
        batch: list[Waiting],
    ) -> tuple[list[Waiting], int]:
        """Answers what is decided; returns what has to be decided again, and whether that was a miss."""
        self._unsettled = None
        if result.outcome in ("appended", "empty"):
            self._seen = result.last_position
            self._cache.evict(result.moved)
            lanes.commit()
            for (subject_id, record_class), key in written.new_keys.items():
                self._keyring.put(subject_id, record_class, key)
            answer_batch(decided, result)
            await self._save_snapshots(connection, written, lanes)
            return [], 0
        self._cache.evict(lanes.touched)
        self._cache.evict(result.moved)
        if result.outcome == "repeated":
            keyed = [entry.waiting for entry in decided if entry.waiting.envelope.idempotency is not None]
            await self._answer_repeated(connection, [keyed[ordinal - 1] for ordinal in result.repeated])
            return [waiting for waiting in batch if not waiting.future.done()], 0
        if result.outcome == "keys":
            self._keyring.forget(row.subject_id for row in written.columns.keys)
        elif result.outcome == "behind":
            self._cache.clear()
            self._seen = result.last_position
        elif result.outcome == "moved":
            self._seen = result.last_position
        elif result.outcome == "clock":
            self._sound_alarm("The database clock is more than 60 s behind the last recorded event.")
        else:
            self._sound_alarm("The stored history is shorter than what this process has seen.")
        return batch, 1

    async def _save_snapshots(
        self, connection: psycopg.AsyncConnection[Row], written: Written, lanes: BatchLanes
    ) -> None:
        columns = snapshot_columns(written, lanes, self._keyring)
        if not columns:
            return
        try:
            await connection.execute(self._database.bind(SAVE_SNAPSHOT), columns)
        except psycopg.Error:
            # The events are stored and answered; a missing snapshot costs the next load some time and nothing else.
            logger.warning("A snapshot could not be saved.", exc_info=True)

    # --- repetitions, alarms and broken connections -----------------------------------------------------------------

    async def _answer_repeated(self, connection: psycopg.AsyncConnection[Row], repeated: list[Waiting]) -> None:
        ids = {waiting.envelope.idempotency.command_id: waiting for waiting in repeated if waiting.envelope.idempotency}
        found = await select_recorded(connection, self._database, list(ids))
        for command_id, waiting in ids.items():
            request, recorded = found[command_id]
            idempotency = waiting.envelope.idempotency
            if idempotency is not None and request == idempotency.request:
                waiting.answer(recorded)
            else:
                waiting.answer(
                    KeyReused(
                        "This idempotency key was used before with another request.",
                        help="Send a new request with a new key; the old one stands as it was recorded.",
                    )
                )

    def _sound_alarm(self, detail: str) -> NoReturn:
        self._alarm = HistoryAlarm(
            detail, help="Recording has stopped. Compare the database with its backups before you start again."
        )
        logger.critical("%s", detail)
        raise self._alarm

    async def _connect(self) -> psycopg.AsyncConnection[Row]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._connection = None
        connection = await self._database.connect_async("writer")
        with translated():
            for setting in ("fsync", "full_page_writes"):
                row = await (await connection.execute("SELECT current_setting(%s)", (setting,))).fetchone()
                if row != ("on",):
                    await connection.close()
                    raise SettingsError(
                        f"The database runs with {setting} off; an acknowledged event could be lost.",
                        help=f"Set {setting} = on in postgresql.conf and restart the database.",
                    )
            self._connection = connection
            await self._refresh(connection)
        return connection

    async def _refresh(self, connection: psycopg.AsyncConnection[Row]) -> None:
        """Looks where the history stands now, and forgets the lanes if it has moved."""
        row = await (await connection.execute(self._last_query)).fetchone()
        last = row[0] if row else 0
        if last < self._seen:
            self._sound_alarm("The stored history is shorter than what this process has seen.")
        if last > self._seen:
            self._cache.clear()
            self._seen = last

    def _broken(self, error: psycopg.Error) -> bool:
        """Tells whether the connection is gone, and not merely this statement.

        A server that ends a connection says so first (FATAL), and the driver sees the end itself only later.
        """
        if self._connection is None or self._connection.closed or self._connection.broken:
            return True
        return error.diag.severity_nonlocalized in ("FATAL", "PANIC")

    async def _reconnect(self, deadline: float) -> psycopg.AsyncConnection[Row]:
        """Returns a living connection, waiting for the database up to the deadline.

        Raises:
            OutcomeUnknown: nobody answers, and the batch may have been committed.
            StoreUnavailable: nobody answers, and nothing was sent.
        """
        pause = 0.05
        while True:
            try:
                return await self._connect()
            except StoreUnavailable:
                if asyncio.get_running_loop().time() + pause > deadline:
                    if self._unsettled is None:
                        raise
                    self._unsettled = None
                    raise OutcomeUnknown(
                        "The database went away while recording; it is not known whether this was recorded.",
                        help="Ask GET /v1/commands/{key} later, or send it again with the same key.",
                    ) from None
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _settle(
        self, connection: psycopg.AsyncConnection[Row], batch: list[Waiting], deadline: float
    ) -> list[Waiting]:
        """Finds out what became of an append whose acknowledgement was lost; returns what was not recorded.

        The lock is taken first: it is free only when the lost transaction has ended, one way or the other.

        Raises:
            StoreUnavailable: nothing was recorded, and the connection has been breaking up to the deadline.
        """
        if self._unsettled is None:
            return batch
        decided, written = self._unsettled
        found: Row | None = None
        async with connection.transaction():
            await connection.execute(self._lock_query)
            if written.columns.event_ids:
                cursor = await connection.execute(
                    self._database.bind("SELECT position, recorded_at FROM {schema}.events WHERE event_id = %s"),
                    (written.columns.event_ids[-1],),
                )
                found = await cursor.fetchone()
        self._unsettled = None
        if found is None:
            if asyncio.get_running_loop().time() > deadline:
                raise StoreUnavailable(
                    "The connection to the database broke again and again; nothing was recorded.",
                    help="See the log of the database; try again.",
                )
            return batch
        self._keyring.forget(row.subject_id for row in written.columns.keys)
        answer_batch(decided, AppendResult("appended", found[0], found[1], (), ()))
        return []
