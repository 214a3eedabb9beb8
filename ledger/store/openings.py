"""What a process opens for reading, counted where keys are handed out: a second account of what was disclosed.

The gate records a disclosure before anything is opened. This counter knows nothing of the gate: it counts each opening
by who acts, as the edge authenticated them, whose record it is, and its class. `ledger reconcile` compares the two, so
that a way around the gate, made by mistake, shows within a day. The counts stand in memory and are added to a table at
intervals and at the end of the process; what a killed process had counted since is lost, and is told as unknown.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from ledger.errors import LedgerError, trace
from ledger.ids import new_id
from ledger.store.arrays import int4s, uuids
from ledger.store.database import translated
from ledger.store.keyring import DataKey, Keyring
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

    from ledger.store.database import Database, Row

logger = get_logger(__name__)

acting: ContextVar[UUID | None] = ContextVar("acting", default=None)
"""Who is authenticated in this task: set at the edge, by the API and by the command line."""

FLUSH_S = 30.0
"""Seconds between two flushes: as much as a kill can lose."""
CROWDED = 50_000
"""Counts (person, student, class) beyond which a flush does not wait for its time: some 10 MB."""

_INTERVAL = (
    "INSERT INTO {schema}.opening_intervals (process, number, last, name) VALUES (%b::uuid, %b::integer, %b, %b)"
)
_OPENINGS = (
    "INSERT INTO {schema}.openings (process, number, actor, record_class, subject_ids, counts)"
    " VALUES (%b::uuid, %b::integer, %b::uuid, %b, %b::uuid[], %b::integer[])"
)

Counts = dict[tuple[UUID | None, str], dict[UUID, int]]
"""By who acts and record class: how often each subject's records were opened."""


class Openings:
    """The counter of one process.

    Args:
        school: whose records are about no student and not counted.
    """

    def __init__(self, school: UUID) -> None:
        self._school = school.int
        self._counts: dict[tuple[UUID | None, str], dict[int, int]] = {}
        self.pairs = 0
        """How many different (person, student, class) are counted."""

    def count(self, subject_id: UUID, record_class: str) -> None:
        """Counts one opening."""
        subject = subject_id.int  # hashing UUID objects runs in Python
        if subject == self._school:
            return
        name = (acting.get(), record_class)
        counts = self._counts.get(name)
        if counts is None:
            counts = self._counts[name] = {}
        before = counts.get(subject, 0)
        counts[subject] = before + 1
        self.pairs += not before

    def counted(self) -> list[tuple[UUID | None, str]]:
        """Returns for whom records of which classes were opened since the last flush."""
        return list(self._counts)

    def take(self) -> Counts:
        """Returns what was counted, and begins anew."""
        taken, self._counts, self.pairs = self._counts, {}, 0
        return {name: {UUID(int=one): count for one, count in counts.items()} for name, counts in taken.items()}

    def give_back(self, counts: Counts) -> None:
        """Adds what could not be stored."""
        for name, subjects in counts.items():
            mine = self._counts.setdefault(name, {})
            for subject, count in subjects.items():
                self.pairs += subject.int not in mine
                mine[subject.int] = mine.get(subject.int, 0) + count


class CountedKeyring(Keyring):
    """The keys of another keyring, for whoever shows what they open: each key that is handed out is counted."""

    def __init__(self, keyring: Keyring, openings: Openings) -> None:
        self.__dict__.update(keyring.__dict__)  # the same keys, whoever of the two has admitted them
        self.openings = openings

    def get(self, subject_id: UUID, record_class: str) -> DataKey:
        """Returns the key, and counts that a record is opened with it.

        Raises:
            Erased: there is none: the class was erased for this subject.
        """
        key = super().get(subject_id, record_class)
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

        Raises:
            LedgerError, psycopg.Error: it could not be stored; it is kept for the next time.
        """
        async with self._flushing:
            counts = self._counted.take()
            try:
                await self._store(counts, last=last)
            except BaseException:
                self._counted.give_back(counts)
                raise
            self._number += 1

    async def _store(self, counts: Counts, *, last: bool) -> None:
        number = self._number + 1
        with translated():
            async with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
                await cursor.execute(self._interval, (self._process, number, last, self._name))
                if counts:
                    await cursor.executemany(
                        self._openings,
                        [
                            (self._process, number, actor, name, uuids(list(one)), int4s(list(one.values())))
                            for (actor, name), one in counts.items()
                        ],
                    )

    async def _run(self) -> None:
        clock = asyncio.get_running_loop()
        due = clock.time() + FLUSH_S
        while True:
            await asyncio.sleep(1.0)
            if clock.time() < due and self._counted.pairs < CROWDED:
                continue
            await self._try()
            due = clock.time() + FLUSH_S

    async def _try(self) -> None:
        try:
            await self.flush()
        except (LedgerError, psycopg.Error) as error:
            logger.warning("What was opened cannot be stored now; it is kept.", exception=trace(error))
