"""The drill: producers record through two processes' worth of ledgers, the primary is killed, its standby takes over.

    async with a_drill(keks, mapper, folder, seed) as drill:
        await drill.fails_over()
        await drill.takes_the_old_primary_back()
        await drill.ends()
        await drill.holds()

What is random comes from the seed: how many commands before the kill and how long after one, how long nobody is there,
who retries when. Every command of `docs/failover.md` is run as it is written there.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ledger.application.record.command import Request, idempotency_of
from ledger.bootstrap import Foundation, open_ledger
from ledger.errors import Busy, HistoryAlarm, OutcomeUnknown, StoreUnavailable
from ledger.store.database import Database
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets
from tests.support.api import projecting, sealing
from tests.support.cluster import Server, a_folder, url_of
from tests.support.desk import DIRECTOR, TEACHER, Desk, a_base, an_audit, at_desk, positions_of
from tests.support.documents import Manual
from tests.support.history import History, Outcome, contradictions, read_log
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    from ledger.application.record.command import RecordingCommand
    from ledger.policy.offices import Actor
    from ledger.store.commands import Recorded
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

PRODUCERS = 12
STUDENTS = 6
MANUAL = Manual("failover.md")


@dataclass
class Drill:
    """A ledger on a primary with a standby, and those who record in it without a pause."""

    base: Foundation
    desks: list[Desk]
    primary: Server
    standby: Server
    dice: random.Random
    students: list[UUID]
    history: History = field(default_factory=History)
    commands: dict[str, tuple[RecordingCommand, Actor]] = field(default_factory=dict)
    outage_s: float = 0.0
    over: bool = False
    producers: list[asyncio.Task[None]] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    # --- those who record -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Lets the producers begin."""
        for number in range(PRODUCERS):
            dice = random.Random(self.dice.getrandbits(64))  # noqa: S311 - a drill, not a secret
            self.producers.append(asyncio.create_task(self._produce(f"producer {number}", dice)))

    async def _produce(self, name: str, dice: random.Random) -> None:
        number = 0
        while not self.over:
            number += 1
            key, student = f"{name}/{number}", dice.choice(self.students)
            if dice.random() < 0.7:
                comment = "комментарий " * dice.randrange(60)
                self.commands[key] = (self.desks[0].mark(student, dice.choice("2345"), comment=comment), TEACHER)
            else:
                self.commands[key] = (self.desks[0].achievement(student, title=f"Олимпиада {key}"), DIRECTOR)
            await self._insist(name, key, dice)
            if dice.random() < 0.2:  # some ask again although they were answered
                await self._insist(name, key, dice)

    async def _insist(self, name: str, key: str, dice: random.Random) -> None:
        """Sends a command until it is acknowledged, each time to whichever process."""
        while True:
            try:
                await self.asks(name, key, dice.choice(self.desks))
            except (StoreUnavailable, OutcomeUnknown, Busy):
                await asyncio.sleep(dice.random() * 0.1)
            else:
                return

    async def asks(self, name: str, key: str, desk: Desk) -> Recorded:
        """Sends a command under its key and notes what came of it."""
        command, by = self.commands[key]
        stored = idempotency_of(desk.ledger, Request(by, key), key).command_id.hex()
        recorded = await self.history.asks(name, stored, lambda: desk.does(command, by, key=key))
        self.told.set()
        return recorded

    async def acknowledged(self, more: int) -> None:
        """Returns when so many more commands have been acknowledged; what stops a producer is raised."""
        wanted = self.history.count(Outcome.ACKNOWLEDGED) + more

        def enough() -> bool:
            for producer in self.producers:
                if producer.done():
                    producer.result()
            return self.history.count(Outcome.ACKNOWLEDGED) >= wanted

        await until(enough, seconds=60)

    # --- what happens -----------------------------------------------------------------------------------------------

    def variables(self) -> dict[str, str]:
        """Returns what the manual's commands are told: the servers as they are now."""
        return {
            "PRIMARY": f"host={self.primary.host} user=postgres",
            "STANDBY": f"host={self.standby.host} user=postgres",
            "STANDBY_DATA": str(self.standby.data),
            "OLD_DATA": str(self.standby.data),
        }

    async def follows(self, heading: str) -> None:
        """Runs the commands of the manual."""
        await asyncio.to_thread(MANUAL.follow, heading, self.variables())

    async def has_its_standby(self) -> None:
        """Returns when the primary has its standby in step."""
        await until(lambda: asyncio.to_thread(self.standby.follows, self.primary))

    async def fails_over(self) -> None:
        """Kills the primary in the midst of the work and goes on with the standby."""
        await self.acknowledged(self.dice.randrange(20, 200))
        self.told.clear()
        await self.told.wait()
        await asyncio.sleep(self.dice.random() * 0.02)
        await asyncio.to_thread(self.primary.kill)
        killed = time.monotonic()
        await asyncio.sleep(self.dice.random() * 0.6)
        await self.follows("Fail over")
        self.primary, self.standby = self.standby, self.primary
        self.told.clear()
        await self.told.wait()
        self.outage_s = time.monotonic() - killed
        await self.acknowledged(100)

    async def old_primary_returns_read_only(self) -> None:
        """Starts the old primary, fenced by a setting: who comes anew passes over it, though the URL names it first."""
        await asyncio.to_thread(self.standby.wait_until_gone)
        await asyncio.to_thread(self.standby.start, "-c default_transaction_read_only=on")
        async with open_ledger(self.base) as ledger:
            connection = ledger.executor._writer.connection
            assert connection is not None
            assert connection.info.host == str(self.primary.host)
            async with ledger.pool.connection() as pooled:
                assert pooled.info.host == str(self.primary.host)
        await asyncio.to_thread(self.standby.stop)

    async def old_primary_returns_as_a_primary(self) -> None:
        """Starts the old primary as it was: who meets it gets no acknowledgement of what the new one lacks.

        When it has gone again, what was asked is recorded on the new one; or, if it had events that nobody
        acknowledged, whoever has seen them stops.
        """
        await asyncio.to_thread(self.standby.wait_until_gone)
        await asyncio.to_thread(self.standby.start)
        async with open_ledger(self.base) as ledger:
            ledger.today = self.desks[0].ledger.today
            desk = replace(self.desks[0], ledger=ledger)
            self.commands["strayed"] = (desk.achievement(self.students[0], title="Олимпиада"), DIRECTOR)
            asked = asyncio.create_task(self.asks("stray", "strayed", desk))
            waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            await until(lambda: bool(self.standby.run_sql(waits)))
            assert not asked.done()
            await asyncio.to_thread(self.standby.stop, "immediate")
            try:
                await asked
            except HistoryAlarm:
                del self.commands["strayed"]  # nobody will ask for it again

    async def takes_the_old_primary_back(self) -> None:
        """Makes the old primary the standby of the new one, while the work goes on."""
        await asyncio.to_thread(self.standby.wait_until_gone)
        await self.follows("Take the old primary back")
        await asyncio.to_thread(self.standby.start)
        await self.follows("Make it synchronous")
        await self.has_its_standby()
        await self.acknowledged(50)

    async def ends(self) -> None:
        """Lets the producers finish what they have begun."""
        self.over = True
        await asyncio.gather(*self.producers)

    # --- what is checked --------------------------------------------------------------------------------------------

    async def holds(self) -> None:
        """Passes if nothing acknowledged was lost, keys answer as before, rows open, and views equal a replay."""
        assert self.contradictions() == []
        assert await self.answers_again() == []
        assert self.contradictions() == []
        assert await self.views_equal_a_replay()
        await self.is_sealed()

    def contradictions(self) -> list[str]:
        """Returns what the log on the primary and what clients were told cannot both be true of."""
        return contradictions(self.history, read_log(self.base.database))

    async def answers_again(self) -> list[str]:
        """Asks a new process for every key once more; returns the keys whose answer is another one."""
        first = {call.key: call.told for call in reversed(self.history.calls) if call.told is not None}
        async with open_ledger(self.base) as ledger:
            ledger.today = self.desks[0].ledger.today
            desk = replace(self.desks[0], ledger=ledger)
            await asyncio.gather(*(self.asks("late", key, desk) for key in self.commands))
        again = {call.key: call.told for call in self.history.calls if call.client == "late"}
        assert again.keys() == first.keys()
        return [key for key, told in again.items() if told != replace(first[key], repeated=True)]

    async def is_sealed(self) -> None:
        """Returns when the sealer has signed a checkpoint over everything."""
        last = len(read_log(self.base.database))

        def size() -> object:
            with self.base.database.connect("owner") as connection:
                return connection.execute("SELECT max(size) FROM log_checkpoints").fetchone()

        await until(lambda: size() == (last,), seconds=60)

    async def views_equal_a_replay(self) -> bool:
        """Waits for the projector, and says whether every view is what the events make of it; all are opened."""
        last = len(read_log(self.base.database))
        await until(lambda: set(positions_of(self.base.database).values()) == {last}, seconds=60)
        report = await asyncio.to_thread(an_audit, self.base)
        return report.equal and report.events == last and not report.erased

    def summary(self) -> str:
        """Returns the figures of the drill."""
        counted = ", ".join(f"{self.history.count(outcome)} {outcome.value}" for outcome in Outcome)
        return f"{len(self.commands)} commands: {counted}"


@asynccontextmanager
async def a_drill(keks: KeyEncryptionKeys, mapper: EventMapper, home: Path, seed: int) -> AsyncIterator[Drill]:
    """Yields a drill whose producers are at work, with a projector beside them."""
    dice = random.Random(seed)  # noqa: S311 - a drill, not a secret
    with a_folder() as folder:
        primary, standby = Server(folder, "a"), Server(folder, "b")
        primary.create()
        primary.start()
        primary.run_sql("CREATE DATABASE ledger")
        database = Database(url_of(primary, standby), "ledger")
        migrate(database)
        ensure_secrets(database, keks)
        base = a_base(database, keks, mapper, home)
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(at_desk(base))
            await first.founds()
            second = replace(first, ledger=await stack.enter_async_context(open_ledger(base)))
            second.ledger.today = first.ledger.today
            # One gives up while nobody is there, the other waits: both ends of patience.
            writer = first.ledger.executor._writer
            writer._settings = replace(writer._settings, patience_s=0.2)
            drill = Drill(base, [first, second], primary, standby, dice, await first.enrols(STUDENTS))
            await drill.follows("Add a standby")
            standby.start()
            await drill.follows("Make it synchronous")
            await drill.has_its_standby()
            with projecting(base), sealing(base):
                drill.begin()
                try:
                    yield drill
                finally:
                    for producer in drill.producers:
                        producer.cancel()
                    await asyncio.gather(*drill.producers, return_exceptions=True)
