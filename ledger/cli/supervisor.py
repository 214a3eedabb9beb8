"""Keeping child processes alive: whoever dies is started again, with growing pauses; whoever keeps dying is given up.

A child that cannot begin because the database is away says so (exit code 75) and is started until it can: a failover
that lasts longer than a child's few lives must not end the workers that would have outlived it.

Each child's standard input is a lifeline: it holds nothing and closes when the supervisor is gone, however it went, and
the child then ends by itself (`ledger/cli/worker.py`). Children run in sessions of their own, so that Ctrl-C reaches
the supervisor alone, which then stops them in order.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ledger.errors import LedgerError
from ledger.telemetry.logs import get_logger
from ledger.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from ledger.telemetry.metrics import SupervisorMetrics

T = TypeVar("T")

logger = get_logger(__name__)

AWAY = os.EX_TEMPFAIL
"""Exit code of a child that ended because the database does not answer."""


class GivenUp(LedgerError):
    """A child process dies again and again."""

    code = "child-given-up"


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive: what logs and metrics call it, its command, and file descriptors that it inherits."""

    name: str
    command: tuple[str, ...]
    descriptors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a child may die.

    Args:
        deaths: that many within `window_s` seconds are too many.
        first_pause_s: before the first new start; doubled with each further death in the window.
        longest_pause_s: between starts of a child that finds no database, which are not counted.
        grace_s: how long a child may take to stop before it is killed.
    """

    deaths: int = 5
    window_s: float = 60.0
    first_pause_s: float = 0.25
    longest_pause_s: float = 4.0
    grace_s: float = 15.0


async def supervise(
    children: Sequence[Child],
    work: Coroutine[object, object, T],
    patience: Patience | None = None,
    metrics: SupervisorMetrics | None = None,
) -> T:
    """Keeps the children alive while `work` runs, stops them, and returns what it returned; `metrics` count deaths.

    Raises:
        GivenUp: a child kept dying; the others were stopped.
    """
    patience = patience or Patience()
    metrics = metrics or Metrics().supervisor
    for child in children:
        metrics.watch(child.name)
    working = asyncio.ensure_future(work)
    keepers = [asyncio.ensure_future(_keep(child, patience, metrics)) for child in children]
    try:
        await asyncio.wait([working, *keepers], return_when=asyncio.FIRST_COMPLETED)
        for keeper in keepers:
            if keeper.done():
                keeper.result()  # a keeper ends by itself only when it gives up
        return working.result()
    finally:
        for task in (working, *keepers):
            task.cancel()
        await asyncio.gather(working, *keepers, return_exceptions=True)


async def _keep(child: Child, patience: Patience, metrics: SupervisorMetrics) -> None:
    loop = asyncio.get_running_loop()
    deaths: deque[float] = deque(maxlen=patience.deaths)
    away = 0
    while True:
        process = await asyncio.create_subprocess_exec(
            *child.command, stdin=PIPE, pass_fds=child.descriptors, start_new_session=True
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process, child, patience)
            raise
        metrics.restarted(child.name)
        if code == AWAY:
            pause = min(patience.first_pause_s * 2**away, patience.longest_pause_s)
            away = min(away + 1, 16)
            logger.warning("A process found no database; it is started again.", child=child.name, pause_s=pause)
            await asyncio.sleep(pause)
            continue
        away = 0
        deaths.append(loop.time())
        recent = sum(loop.time() - death <= patience.window_s for death in deaths)
        why = f"exit code {code}" if code >= 0 else f"signal {-code}"
        if recent >= patience.deaths:
            raise GivenUp(
                f"{child.name} died {recent} times within {patience.window_s:.0f} seconds, the last with {why}.",
                help="The log above says why. Everything was stopped.",
            )
        pause = patience.first_pause_s * 2 ** (recent - 1)
        logger.error(
            "A process died; a new one starts.", child=child.name, child_pid=process.pid, why=why, pause_s=pause
        )
        await asyncio.sleep(pause)


async def _end(process: Process, child: Child, patience: Patience) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), patience.grace_s)
    except TimeoutError:
        logger.warning("A process does not stop and is killed.", child=child.name, child_pid=process.pid)
        process.kill()
        await process.wait()
