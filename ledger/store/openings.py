"""What a process opens for reading, counted where keys are handed out: a second account of what was disclosed.

The gate records a disclosure before anything is opened. This counter knows nothing of the gate: it counts each opening
by who acts, as the edge authenticated them, whose record it is, and its class. `ledger reconcile` compares the two, so
that a way around the gate, made by mistake, shows within a day. The counts stand in memory and are added to a table at
intervals and at the end of the process; what a killed process had counted since is lost, and is told as unknown. How
long that was is bounded by a lease: a process that could not store its counts for so long opens nothing more.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import psycopg

from ledger.errors import LedgerError, StoreUnavailable, trace
from ledger.ids import new_id
from ledger.store.arrays import int4s, uuids
from ledger.store.database import translated
from ledger.store.keyring import DataKey, KeyNumber, Keyring
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg_pool import AsyncConnectionPool

    from ledger.store.database import Database, Row

logger = get_logger(__name__)

acting: ContextVar[UUID | None] = ContextVar("acting", default=None)
"""Who is authenticated in this task: set at the edge, by the API and by the command line."""

FLUSH_S = 30.0
"""Seconds between two flushes: as much as a kill loses while the database answers."""
LEASE_S = 120.0
"""Seconds after which nothing is opened if no flush came through meanwhile: as much as a kill can lose at most."""
RETRY_S = 5.0
"""Seconds until a flush that failed is tried again."""
CROWDED = 50_000
"""Counts (person, student, class) beyond which a flush does not wait for its time: some 10 MB."""

_INTERVAL = (
    "INSERT INTO {schema}.opening_intervals (process, number, ended_at, last, name) VALUES"
    " (%b::uuid, %b::integer, clock_timestamp() - make_interval(secs => %b::double precision), %b, %b)"
    " ON CONFLICT DO NOTHING"
)
"""It ended when the counts were taken, however long ago; and where its number is stored, so are its counts."""
_OPENINGS = (
    "INSERT INTO {schema}.openings (process, number, actor, record_class, subject_ids, counts)"
    " VALUES (%b::uuid, %b::integer, %b::uuid, %b, %b::uuid[], %b::integer[])"
)

Counts = dict[tuple[UUID | None, str], dict[UUID, int]]
"""By who acts and record class: how often each subject's records were opened."""


class Taken(NamedTuple):
    """What an interval has counted, and when it ended by the process's own clock."""

    counts: Counts
    at: float
    last: bool


class Openings:
    """The counter of one process.

    Args:
        school: whose records are about no student and not counted.
    """

    def __init__(self, school: UUID) -> None:
        self._school = school.int
        self._counts: dict[tuple[UUID | None, str], dict[int, int]] = {}
        self._vouched = time.monotonic()
        self._good_until = self._vouched - 1.0
        self.pairs = 0
        """How many different (person, student, class) are counted."""

    def vouch(self, counted_until: float) -> None:
        """Says that what was opened up to a time (of `time.monotonic`) is stored: the lease begins anew."""
        self._vouched = counted_until
        self._good_until = counted_until + LEASE_S

    def unstored_s(self) -> float:
        """Returns for how many seconds nothing has been stored."""
        return time.monotonic() - self._vouched

    def count(self, subject_id: UUID, record_class: str) -> None:
        """Counts an opening.

        Raises:
            StoreUnavailable: as `count_all` says.
        """
        self.count_all({(subject_id.int, record_class): 1})

    def count_all(self, names: Mapping[KeyNumber, int]) -> None:
        """Counts openings: under whose key and which class, and how many under each.

        Raises:
            StoreUnavailable: the counts were not stored for so long that nobody could account for one more.
        """
        late, actor, school = time.monotonic() > self._good_until, acting.get(), self._school
        counts: dict[int, int] = {}
        last = None
        for (subject, record_class), times in names.items():
            if subject == school:
                continue
            if late:
                raise StoreUnavailable(
                    "Nothing is shown now: what is opened could not be accounted for.",
                    help="The log says why counts cannot be stored (table `opening_intervals`); try again after that.",
                )
            if record_class != last:
                counts, last = self._counts.setdefault((actor, record_class), {}), record_class
            before = counts.get(subject, 0)
            counts[subject] = before + times
            self.pairs += not before

    def counted(self) -> list[tuple[UUID | None, str]]:
        """Returns for whom records of which classes were opened since the last flush."""
        return list(self._counts)

    def take(self, *, last: bool = False) -> Taken:
        """Returns what was counted up to now, and begins anew."""
        taken, self._counts, self.pairs = self._counts, {}, 0
        counts = {name: {UUID(int=one): count for one, count in counts.items()} for name, counts in taken.items()}
        return Taken(counts, time.monotonic(), last)


class CountedKeyring(Keyring):
    """The keys of another keyring, for whoever shows what they open: each key that is handed out is counted."""

    def __init__(self, keyring: Keyring, openings: Openings) -> None:
        self.__dict__.update(keyring.__dict__)  # the same keys, whoever of the two has admitted them
        self.openings = openings

    def several(self, names: Mapping[KeyNumber, int]) -> dict[KeyNumber, DataKey]:
        """Returns those keys that there are, and counts how many records are opened with each.

        Raises:
            StoreUnavailable: as `Openings.count_all` says.
        """
        found = super().several(names)
        self.openings.count_all({name: names[name] for name in found})
        return found

    def get(self, subject_id: UUID, record_class: str) -> DataKey:
        """Returns the key, and counts that a record is opened with it.

        Raises:
            Erased: there is none: the class was erased for this subject.
            StoreUnavailable: as `Openings.count_all` says.
        """
        key = super().get(subject_id, record_class)
        self.openings.count(subject_id, record_class)
        return key

    def find(self, subject_id: UUID, record_class: str) -> DataKey | None:
        """Returns the key if it is in memory, and counts it: whoever only asks whether it is there, asks `holds`.

        Raises:
            StoreUnavailable: as `Openings.count_all` says.
        """
        key = super().find(subject_id, record_class)
        if key is not None:
            self.openings.count(subject_id, record_class)
        return key


class OpeningsLog:
    """Adds the counts of a process to the table, at intervals and at its end. Belongs to one event loop."""

    def __init__(
        self, database: Database, pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]], openings: Openings
    ) -> None:
        self._interval = database.bind(_INTERVAL)
        self._openings = database.bind(_OPENINGS)
        self._pool = pool
        self._counted = openings
        self._process = new_id()
        self._name = f"{socket.gethostname()}, pid {os.getpid()}"
        self._number = 0
        self._unsure: Taken | None = None
        """What was taken and perhaps stored, by a connection that did not live to say so."""
        self._task: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()

    async def start(self) -> None:
        """Says that this process counts from now on, and begins to flush."""
        await self._try()
        self._task = asyncio.create_task(self._run(), name="openings")

    async def stop(self) -> None:
        """Flushes for the last time; what cannot be stored any more is unknown, and said so."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self.flush(last=True)
        except (LedgerError, psycopg.Error) as error:
            logger.warning("What was opened last was not counted; `ledger reconcile` tells it.", exception=trace(error))

    async def flush(self, *, last: bool = False) -> None:
        """Stores what was counted, and that up to now everything is.

        What could not be stored for certain is stored under the same number the next time, unless it stands there.

        Raises:
            LedgerError, psycopg.Error: it could not be stored; it is kept for the next time.
        """
        async with self._flushing:
            if self._unsure is not None:
                await self._store(self._unsure)
            self._unsure = self._counted.take(last=last)
            await self._store(self._unsure)

    async def _store(self, taken: Taken) -> None:
        number = self._number + 1
        with translated():
            async with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
                # A standby that is away stops who records, not who counts: nobody's start or end waits for it.
                await cursor.execute("SET LOCAL synchronous_commit = local")
                age = time.monotonic() - taken.at
                await cursor.execute(self._interval, (self._process, number, age, taken.last, self._name))
                if taken.counts and cursor.rowcount:
                    await cursor.executemany(
                        self._openings,
                        [
                            (self._process, number, actor, name, uuids(list(one)), int4s(list(one.values())))
                            for (actor, name), one in taken.counts.items()
                        ],
                    )
        self._number, self._unsure = number, None
        self._counted.vouch(taken.at)

    async def _run(self) -> None:
        clock = asyncio.get_running_loop()
        due = clock.time() + (FLUSH_S if self._number else RETRY_S)
        while True:
            await asyncio.sleep(1.0)
            if clock.time() < due and self._counted.pairs < CROWDED:
                continue
            due = clock.time() + (FLUSH_S if await self._try() else RETRY_S)

    async def _try(self) -> bool:
        try:
            await self.flush()
        except (LedgerError, psycopg.Error) as error:
            logger.warning("What was opened cannot be stored now; it is kept.", exception=trace(error))
            return False
        return True
