"""The writer: records one batch, whatever gets in between.

Others may write at the same time, commands may come twice, the connection may break with the fate of a commit unknown.
Here a batch is decided, appended, and decided again until each of its commands has one true answer.

Ownership: everything here belongs to the executor's task. Lanes are mutated only while a batch is being decided.

Invariant: a lane in the cache is what a beginning of its stored events makes, and those of batches under way; unless it
is outdated, it lacks none up to the position that this process has `seen`. Hence

- whatever the append function answers, what others moved is outdated before `seen` goes on, to be brought on by its
  newest events, and nothing else is read again. Lanes that a refused batch changed are evicted, as they hold what was
  never stored; lanes that it only read stay;
- under the lock `seen` first goes to the end of the history, to which nobody can add then: a lane is as of the lock, be
  it from memory or loaded;
- on a new connection everything is forgotten: the fate of a batch may be unknown, and what was read may be lost with
  the server that it was read on. On one connection what is stored stays; a history that went back is an alarm;
- keys that others made are no matter of lanes: a batch that would make one again is refused, and the key is loaded.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg

from ledger.clock import utc_now
from ledger.errors import HistoryAlarm, KeyReused, OutcomeUnknown, SettingsError, StoreUnavailable
from ledger.store.append import AppendResult, append, append_query
from ledger.store.batch import (
    BrokenCommand,
    Decided,
    Waiting,
    Written,
    answer_batch,
    decide_batch,
    due_snapshots,
    load_lanes,
    write_batch,
)
from ledger.store.database import translated
from ledger.store.lanes import BatchLanes, LaneCache, LaneLoader
from ledger.store.recorded import select_recorded
from ledger.store.replication import CONFIRM, NotReplicated, Warned, check_durability
from ledger.store.snapshots import save_snapshots
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.store.mapper import EventMapper
    from ledger.store.watch import ExecutorWatch
    from ledger.streams.base import LaneRef

logger = get_logger(__name__)

MISSES_BEFORE_LOCK = 2
"""How often others may get in between before the writer takes the lock first."""
APPROACHES = 4
"""How often it reads on before that; what others record meanwhile gets less each time."""
MANY_MOVED = 50_000
"""Events of others after which all lanes are outdated, as by the append function (see its migration)."""


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """Bounds of one executor.

    Args:
        queue: waiting commands beyond which new ones are told to try again.
        batch: commands taken into one transaction.
        lanes: lanes kept in memory.
        snapshot_every: events of a lane at which its first snapshot is taken; the next at twice that, and so on.
            Replaying this many takes some 8 ms, so the lane of most pupils' years never needs one. Who had to replay as
            many takes one, too.
        patience_s: how long commands wait for a database that went away.
        standby_required: whether to record only on a server that has a synchronous standby.
    """

    queue: int = 20_000
    batch: int = 1_000
    lanes: int = 50_000
    snapshot_every: int = 500
    patience_s: float = 30.0
    standby_required: bool = False


class BatchWriter:
    """Records batches on one connection; see the module."""

    def __init__(
        self,
        database: Database,
        mapper: EventMapper,
        keyring: Keyring,
        settings: ExecutorSettings,
        watch: ExecutorWatch,
    ) -> None:
        self.keyring = keyring
        self._watch = watch
        self.cache = LaneCache(settings.lanes)
        self.loader = LaneLoader(database, mapper, keyring, settings.snapshot_every)
        self.seen = 0
        self.alarm: HistoryAlarm | None = None
        self.unsettled: tuple[list[Decided], Written] | None = None
        """A batch that was sent and whose fate is not known; it is looked up before anything else is recorded."""
        self._database = database
        self._mapper = mapper
        self._settings = settings
        self._append_query = append_query(database)
        self._lock_query = database.bind("SELECT {schema}.lock_appends()")
        self._last_query = database.bind(
            "SELECT position, event_id FROM {schema}.events ORDER BY position DESC LIMIT 1"
        )
        self._event_query = database.bind("SELECT event_id FROM {schema}.events WHERE position = %s")
        self._moved_query = database.bind(
            "SELECT DISTINCT stream_id FROM {schema}.events WHERE position > %s AND record_class <> 'disclosures'"
        )
        self._known: tuple[int, UUID] | None = None
        """The last event of which this process knows where it stands: there it must be found again."""
        self.connection: psycopg.AsyncConnection[Row] | None = None
        self._warned: Warned | None = None

    async def close(self) -> None:
        """Closes the connection."""
        if self.connection is not None:
            await self.connection.close()
            self.connection = None

    async def record(self, batch: list[Waiting]) -> None:  # noqa: C901 - each branch is one way an append can end
        """Records a batch, deciding it again as often as others got in between."""
        misses = 0
        read: list[LaneRef[Any]] = []
        deadline = asyncio.get_running_loop().time() + self._settings.patience_s
        while batch:
            lanes = BatchLanes(self.cache)
            try:
                connection = await self._reconnect(deadline)
                await self.loader.save_snapshots()
                if self.unsettled is not None:
                    batch = await self._settle(connection, batch, deadline)
                    continue
                if misses < MISSES_BEFORE_LOCK:
                    result, decided, written = await self._attempt(connection, batch, lanes)
                else:
                    await self._come_near(connection, read)
                    async with connection.transaction():
                        await connection.execute(self._lock_query)
                        await self._refresh(connection)
                        result, decided, written = await self._attempt(connection, batch, lanes)
                    await self._replicated()
                batch, missed = await self._conclude(connection, result, decided, written, lanes, batch)
                misses += missed
                read = lanes.refs
            except BrokenCommand as broken:
                lanes.take_back()
                broken.waiting.answer(broken.error)
                batch = [waiting for waiting in batch if waiting is not broken.waiting]
                continue
            except psycopg.errors.UniqueViolation:
                # Another writer stored the same version without our seeing it move: as good as a miss.
                self.cache.clear()
                self.unsettled = None
                misses += 1
                if misses > MISSES_BEFORE_LOCK + 1:
                    raise
                continue
            except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction) as error:
                self.cache.clear()
                if not self.is_broken(error):
                    self.unsettled = None  # the server said no (disk full, cancelled): the transaction is gone
                    raise
                logger.warning("The connection to the database broke.", kind=type(error).__name__)
                if self.connection is not None:
                    await self.connection.close()
                continue
            except BaseException:
                self.cache.clear()
                self.unsettled = None
                raise

    async def _come_near(self, connection: psycopg.AsyncConnection[Row], refs: list[LaneRef[Any]]) -> None:
        """Loads lanes and what others add to them meanwhile, so that hardly anything is left to be read under the lock.

        What cannot be read the decision meets again, and answers whom it concerns.
        """
        load = partial(self.loader.load, connection, cache=self.cache)
        for _ in range(APPROACHES):
            await self._refresh(connection)
            missing = {ref.stream_id: ref for ref in refs if self.cache.get(ref.stream_id.int) is None}
            if not missing:
                return
            lanes = BatchLanes(self.cache)
            await load_lanes(missing, lanes, load)
            for stream_id in missing:
                lane = lanes.held(stream_id)
                if lane is not None:
                    self.cache.put(lane)
            refs = [ref for ref in refs if ref.stream_id not in missing or lanes.held(ref.stream_id)]

    async def _attempt(
        self, connection: psycopg.AsyncConnection[Row], batch: list[Waiting], lanes: BatchLanes
    ) -> tuple[AppendResult, list[Decided], Written]:
        decided, written = await self.decide(connection, batch, lanes)
        return await self.send(connection, decided, written), decided, written

    async def decide(
        self, connection: psycopg.AsyncConnection[Row], batch: list[Waiting], lanes: BatchLanes
    ) -> tuple[list[Decided], Written]:
        """Decides a batch and writes it into columns, loading what is missing on `connection`."""
        began = perf_counter()
        load = partial(self.loader.load, connection, cache=self.cache)
        decided = await decide_batch(batch, lanes, utc_now(), load)
        await self.loader.load_keys(connection, (ref.subject_id for entry in decided for ref, _ in entry.events))
        written = write_batch(decided, lanes, self._mapper, self.keyring, self._settings.snapshot_every)
        self._watch.decided(began, batch, lanes, written)
        return decided, written

    async def send(
        self, connection: psycopg.AsyncConnection[Row], decided: list[Decided], written: Written
    ) -> AppendResult:
        """Appends a decided batch; until its result is concluded, its fate counts as unknown."""
        self.unsettled = (decided, written)
        began = perf_counter()
        try:
            result = await append(connection, self._append_query, self.seen, written.packed)
            await self._replicated()
        except BaseException as error:
            if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                self.unsettled = None  # refused before anything was written
            self._watch.broke(began, written)
            raise
        self._watch.appended(began, result, written)
        return result

    async def _replicated(self) -> None:
        """Passes if the last commit waited for the standbys; otherwise its fate is as unknown as that of a lost one.

        Raises:
            NotReplicated: the wait was cancelled. The connection is closed, so that the batch is looked up anew.
        """
        try:
            if self._warned is not None:
                self._warned.check()
        except NotReplicated:
            await self.close()
            raise

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
        if self.accept(result, written, lanes):
            lanes.commit()
            for (subject_id, record_class), key in written.new_keys.items():
                self.keyring.put(subject_id, record_class, key)
            self.answer(decided, result)
            await save_snapshots(connection, self._database, due_snapshots(written, lanes, self.keyring))
            await self.loader.save_snapshots()
            return [], 0
        if result.outcome == "repeated":
            keyed = [entry.waiting for entry in decided if entry.waiting.envelope.idempotency is not None]
            await self._answer_repeated(connection, [keyed[ordinal - 1] for ordinal in result.repeated])
            return [waiting for waiting in batch if not waiting.future.done()], 0
        return batch, 1

    def answer(self, decided: list[Decided], result: AppendResult) -> None:
        """Answers every command of a committed batch."""
        answer_batch(decided, result)
        self._watch.answered(decided)

    def accept(self, result: AppendResult, written: Written, lanes: BatchLanes) -> bool:
        """Notes what an append said of the history; tells whether the batch is recorded.

        Raises:
            HistoryAlarm: the history or the clock went back.
        """
        self.unsettled = None
        recorded = result.outcome in ("appended", "empty")
        if not recorded:
            lanes.take_back()  # before they are outdated: what it only read may have moved as well
        if result.outcome == "clock":
            self.sound_alarm("The database clock is more than 60 s behind the last recorded event.")
        if result.outcome == "went_back":
            self.sound_alarm("The stored history is shorter than what this process has seen.")
        if result.outcome == "behind":
            self.cache.outdate_all()
        else:
            self.cache.outdate(result.moved)
        self.seen = result.last_position
        if recorded and written.columns.event_ids:
            self._known = (result.last_position, written.columns.event_ids[-1])
        if result.outcome == "keys":
            self.keyring.forget(row.subject_id for row in written.columns.keys)
        return recorded

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

    def sound_alarm(self, detail: str) -> NoReturn:
        """Raises the alarm that stops recording."""
        self.alarm = HistoryAlarm(
            detail, help="Recording has stopped. Compare the database with its backups before you start again."
        )
        logger.critical(detail, seen=self.seen)
        raise self.alarm

    async def connect(self) -> psycopg.AsyncConnection[Row]:
        """Returns the living connection, or a new one on which commits are durable."""
        if self.connection is not None and not self.connection.closed:
            return self.connection
        self.connection = None
        connection = await self._database.connect_async("writer")
        self._watch.metrics.connects.inc()
        with translated():
            try:
                await check_durability(connection, standby_required=self._settings.standby_required)
            except SettingsError:
                await connection.close()
                raise
            self._warned = Warned(connection)
            self.connection = connection
            self.cache.clear()
            await self._refresh(connection)
        return connection

    async def _refresh(self, connection: psycopg.AsyncConnection[Row]) -> None:
        """Looks where the history stands now, and which lanes have moved.

        A history that went back and has grown since is as long as before and another one: who cached lanes or keys of
        what was lost must not record on.
        """
        row = await (await connection.execute(self._last_query)).fetchone()
        last = row[0] if row else 0
        if last < self.seen:
            self.sound_alarm("The stored history is shorter than what this process has seen.")
        if self._known is not None:
            position, event_id = self._known
            found = row if position == last else (position, *await self._event_at(connection, position))
            if found != (position, event_id):
                self.sound_alarm(f"Another event stands at position {position} than this process has seen there.")
        if last - self.seen > MANY_MOVED:
            self.cache.outdate_all()
        elif last > self.seen and len(self.cache):
            moved = await (await connection.execute(self._moved_query, (self.seen,))).fetchall()
            self.cache.outdate(stream_id for (stream_id,) in moved)
        self.seen = last
        self._known = (row[0], row[1]) if row else None

    async def _event_at(self, connection: psycopg.AsyncConnection[Row], position: int) -> Row:
        return await (await connection.execute(self._event_query, (position,))).fetchone() or (None,)

    def is_broken(self, error: psycopg.Error) -> bool:
        """Tells whether the connection is gone, and not merely this statement.

        A server that ends a connection says so first (FATAL), and the driver sees the end itself only later.
        """
        if self.connection is None or self.connection.closed or self.connection.broken:
            return True
        if isinstance(error, (psycopg.errors.ReadOnlySqlTransaction, NotReplicated)):
            return True  # it was fenced off, and another host may take writes by now; or has to be asked once more
        return error.diag.severity_nonlocalized in ("FATAL", "PANIC")

    async def _reconnect(self, deadline: float) -> psycopg.AsyncConnection[Row]:
        """Returns a living connection, waiting for the database up to the deadline.

        A server that is not fit to record on is waited for as well: after a failover the operator may still be at it.

        Raises:
            OutcomeUnknown: nobody answers, and the batch may have been committed.
            StoreUnavailable: nobody answers, and nothing was sent.
        """
        pause = 0.05
        while True:
            try:
                return await self.connect()
            except (StoreUnavailable, SettingsError) as error:
                if asyncio.get_running_loop().time() + pause > deadline:
                    logger.warning("There is no database to record in.", code=error.code, why=error.detail)
                    if self.unsettled is None:
                        raise StoreUnavailable(error.detail, help=error.help) from error
                    self.unsettled = None
                    raise outcome_unknown() from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _settle(
        self, connection: psycopg.AsyncConnection[Row], batch: list[Waiting], deadline: float
    ) -> list[Waiting]:
        """Finds out what became of an append whose acknowledgement was lost; returns what was not recorded.

        The lock is taken first: it is free only when the lost transaction has ended, one way or the other. What is
        found may have ended without its standby, so the look-up commits something that the standby has to have.

        Raises:
            StoreUnavailable: nothing was recorded, and the connection has been breaking up to the deadline.
            OutcomeUnknown: the server did not let us look.
        """
        if self.unsettled is None:
            return batch
        decided, written = self.unsettled
        found: Row | None = None
        try:
            async with connection.transaction():
                await connection.execute(self._lock_query)
                if len(written.columns):
                    cursor = await connection.execute(
                        self._database.bind("SELECT position, recorded_at FROM {schema}.events WHERE event_id = %s"),
                        (written.columns.event_ids[-1],),
                    )
                    found = await cursor.fetchone()
                    await connection.execute(CONFIRM)
            await self._replicated()
        except psycopg.Error as error:
            if self.is_broken(error):
                raise
            raise outcome_unknown() from error  # the look-up was refused, cancelled for one: the commit may stand
        self.unsettled = None
        if found is None:
            if asyncio.get_running_loop().time() > deadline:
                raise StoreUnavailable(
                    "The connection to the database broke again and again; nothing was recorded.",
                    help="See the log of the database; try again.",
                )
            return batch
        self.keyring.forget(row.subject_id for row in written.columns.keys)
        self.answer(decided, AppendResult("appended", found[0], found[1], (), ()))
        return []


def outcome_unknown(
    detail: str = "The database went away while recording; it is not known whether this was recorded.",
) -> OutcomeUnknown:
    """Returns the answer for those whose command may have been recorded or not."""
    return OutcomeUnknown(detail, help="Ask GET /v1/commands/{key} later, or send it again with the same key.")
