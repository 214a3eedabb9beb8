"""What the seal costs those who record, and how soon their receipts are there.

The sealer is the service's own process beside the one that records, as in service. It seals a ledger of its own, with a
key made for it and without the witnesses of the settings: they must not be asked about a log that is thrown away.
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import tempfile
import time
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.application.log import read_receipt
from ledger.benchmarks import ours
from ledger.benchmarks.figures import Goal, Measurement
from ledger.bootstrap import open_ledger
from ledger.errors import LedgerError
from ledger.store.log_keys import make_log_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from ledger.application.ledger import Ledger
    from ledger.bootstrap import Foundation
    from ledger.settings import Settings

COST = "sealing_cost"
RECEIPTS = "receipt_p99"

PRODUCERS = 64
CHEAP = 0.9
"""Of the throughput without a sealer, what must be left with one."""

SOON_S = 2.0
"""Within which all but one in a hundred receipts must be there."""

EVERY = 100
"""Of the marks of a producer, one in so many asks for its receipt; all of them would measure the asking."""

PATIENCE_S = 60.0


class NotSealing(LedgerError):
    """The sealer that was started does not seal, so that there is nothing to measure."""

    code = "not-sealing"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long receipts took in one round, in seconds, shortest first."""

    seconds: Sequence[float]

    def share(self, share: float) -> float:
        """Returns the time within which a share of them were there (nearest rank)."""
        return self.seconds[max(math.ceil(share * len(self.seconds)), 1) - 1]


def measure_sealing(
    base: Foundation, sealer: Sequence[str], *, rounds: int, seconds: float, wanted: Collection[str]
) -> list[Measurement]:
    """Returns the wanted ones of `sealing_cost` and `receipt_p99`, measured on a ledger that was made for it.

    Args:
        sealer: the command of a sealer process; which ledger it seals, its environment says.
        seconds: of each side in each round.
        wanted: names of figures.
    """
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as folder:
        home = Path(folder)
        changed = {"log_key": None, "log_key_file": home / "log.key", "seal_file": home / "checkpoint"}
        settings = base.settings.model_copy(update={**changed, "witness_file": None, "witness_quorum": 0})
        make_log_key(settings.log_key_path, "ledger/bench")
        environment = _environment(base, settings)
        return asyncio.run(
            _measure(replace(base, settings=settings), tuple(sealer), environment, rounds, seconds, wanted)
        )


def _environment(base: Foundation, settings: Settings) -> dict[str, str]:
    """Returns the environment in which a process works with the measured ledger and no other."""
    told = {
        "LEDGER_DATABASE_URL": base.database.url,
        "LEDGER_DB_SCHEMA": base.database.schema,
        "LEDGER_LOG_KEY_FILE": str(settings.log_key_path),
        "LEDGER_SEAL_FILE": str(settings.seal_path),
        "LEDGER_KEK_FILE": str(settings.kek_path.absolute()),
    }
    if settings.kek is not None:
        told["LEDGER_KEK"] = settings.kek.get_secret_value()
    left_out = {"LEDGER_LOG_KEY", "LEDGER_WITNESS_FILE", "LEDGER_WITNESS_QUORUM"}
    return {name: value for name, value in os.environ.items() if name not in left_out} | told


async def _measure(
    base: Foundation,
    sealer: tuple[str, ...],
    environment: dict[str, str],
    rounds: int,
    seconds: float,
    wanted: Collection[str],
) -> list[Measurement]:
    found = []
    async with open_ledger(base) as ledger:
        world = await ours.build(ledger)
        await ours.single_marks(ledger, world, PRODUCERS, seconds / 2)  # warms caches and plans
        bench = _SealingBench(ledger, world, sealer, environment)
        if COST in wanted:
            found.append(await bench.cost(rounds, seconds))
        if RECEIPTS in wanted:
            found.append(await bench.receipts(rounds, seconds))
    return found


@dataclass(frozen=True, slots=True)
class _SealingBench:
    """A ledger with people who record, beside whom a sealer runs or does not."""

    ledger: Ledger
    world: ours.World
    sealer: tuple[str, ...]
    environment: dict[str, str]

    async def cost(self, rounds: int, seconds: float) -> Measurement:
        """Compares, round by round, recording with a sealer and without: each second round begins with the sealer.

        What was recorded without one is sealed before the clock starts.
        """
        alone: list[float] = []
        beside: list[float] = []
        for number in range(rounds):
            for sealed in (False, True) if number % 2 == 0 else (True, False):
                if not sealed:
                    alone.append(await ours.single_marks(self.ledger, self.world, PRODUCERS, seconds))
                    continue
                async with self._sealing():
                    beside.append(await ours.single_marks(self.ledger, self.world, PRODUCERS, seconds))
        ratios = [with_it / without for with_it, without in zip(beside, alone, strict=True)]
        ratio = statistics.median(ratios)
        return Measurement(
            COST,
            statistics.median(beside),
            "events/s",
            (min(beside), max(beside)),
            rounds,
            beside="unsealed",
            other=statistics.median(alone),
            other_spread=(min(alone), max(alone)),
            ratio=ratio,
            ratio_spread=(min(ratios), max(ratios)),
            goal=Goal(f"ratio ≥ {CHEAP}", ratio >= CHEAP),
        )

    async def receipts(self, rounds: int, seconds: float) -> Measurement:
        """Measures from a mark's acknowledgement to the receipt in hand, while all producers go on recording."""
        measured: list[Waits] = []
        speeds: list[float] = []
        async with self._sealing():
            for _ in range(rounds):
                asking: list[asyncio.Task[float]] = []
                seen = 0

                def acknowledged(position: int, asking: list[asyncio.Task[float]] = asking) -> None:
                    nonlocal seen
                    seen += 1
                    if seen % EVERY == 1:
                        asking.append(asyncio.create_task(self._wait(position, time.perf_counter())))

                speeds.append(await ours.single_marks(self.ledger, self.world, PRODUCERS, seconds, acknowledged))
                measured.append(Waits(sorted(await asyncio.gather(*asking))))
        whole = Waits(sorted(wait for one in measured for wait in one.seconds))
        late = [one.share(0.99) for one in measured]
        p99 = whole.share(0.99)
        return Measurement(
            RECEIPTS,
            p99,
            "s",
            (min(late), max(late)),
            rounds,
            more={"p50": whole.share(0.5), "worst": whole.seconds[-1]},
            samples=len(whole.seconds),
            load=statistics.median(speeds),
            goal=Goal(f"p99 ≤ {SOON_S} s", p99 <= SOON_S),
        )

    async def _wait(self, position: int, acknowledged: float) -> float:
        await read_receipt(self.ledger, position, wait_s=PATIENCE_S)
        return time.perf_counter() - acknowledged

    @asynccontextmanager
    async def _sealing(self) -> AsyncIterator[None]:
        """Runs a sealer beside the block, which begins when everything recorded so far is sealed.

        Raises:
            NotSealing: it ended, or does not get that far.
        """
        last = await ours.one_mark(self.ledger, self.world)
        process = await asyncio.create_subprocess_exec(*self.sealer, env=self.environment, stdin=PIPE)
        try:
            if not await self.ledger.sealed.wait(last - 1, PATIENCE_S):
                raise NotSealing(f"The sealer has not got to position {last}.", help="Its output above says why.")
            yield
            if process.returncode is not None:
                raise NotSealing("The sealer ended while it was measured.", help="Its output above says why.")
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
