"""Who is turned away at the door is recorded, and a flood of them does not fill the log.

A refusal of a policy is recorded by the command that asked it. Who is turned away before has no command: an edge tells
the door of it, and answers when it is recorded. The first time that somebody is refused an office for a reason is an
event at once; what follows within the same minute is counted, and told together by one more event when the minute is
over. Of different refusals a minute has so many and no more; those beyond are counted under the school's own id. So a
process records at most 2 * MOST + 1 events of them in a minute, however many are sent.

Tokens that are not valid name nobody and are not recorded. Ownership: an event loop's own.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ledger.aggregates.disclosures import AccessTurnedAway, access_lane
from ledger.errors import LedgerError, trace
from ledger.ids import new_id
from ledger.store.commands import Envelope
from ledger.store.header import Header
from ledger.streams.base import Context, Lanes, Proposal
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.application.acting import TurnedAway
    from ledger.application.ledger import Ledger

logger = get_logger(__name__)

WINDOW_S = 60.0
MOST = 30
"""Different refusals that are told apart within a window: more than a school has by mistake."""
OTHERS = "others"
"""Reason of those beyond."""


class Refusal(NamedTuple):
    """What is counted as the same: who, wanting which office, and why not."""

    person: UUID
    login: UUID | None
    office: str
    reason: str


@dataclass(frozen=True, slots=True)
class TurnAway:
    """Record that somebody was turned away, so many times."""

    refusal: Refusal
    channel: str
    times: int
    access_id: UUID = field(default_factory=new_id)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:  # noqa: ARG002 - as a command's
        """Records it."""
        values = {
            "login": self.refusal.login,
            "office": self.refusal.office,
            "reason": self.refusal.reason,
            "channel": self.channel,
            "times": self.times,
        }
        return [Proposal(access_lane(self.access_id, self.refusal.person), AccessTurnedAway, values, new_id())]

    def cites(self, lanes: Lanes, context: Context) -> str | None:  # noqa: ARG002 - as a command's
        """Cites nothing."""
        return None


class Door:
    """Where a process turns people away; see the module.

    Args:
        window_s: for how long refusals are counted together.
    """

    def __init__(self, ledger: Ledger, channel: str, *, window_s: float = WINDOW_S) -> None:
        self._ledger = ledger
        self._channel = channel
        self._window_s = window_s
        self._kinds: set[Refusal] = set()
        """What this window has told already."""
        self._further: Counter[Refusal] = Counter()
        """What it has still to tell."""
        self._windows: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def turn_away(self, refused: TurnedAway) -> None:
        """Notes a refusal; returns when it is recorded, or counted beside one that is or is about to be.

        Raises:
            LedgerError: it cannot be recorded now.
        """
        office = refused.office.value if refused.office is not None else ""
        refusal = Refusal(refused.person, refused.login, office, refused.reason.value)
        if self._windows is None or self._windows.done():  # not in this request's context: it is nobody's own
            self._windows = asyncio.create_task(self._go_through_windows(), name="door", context=contextvars.Context())
        if refusal in self._kinds:
            self._further[refusal] += 1
            return
        if len(self._kinds) >= MOST:
            self._further[Refusal(self._ledger.id, None, "", OTHERS)] += 1
            return
        self._kinds.add(refusal)
        try:
            await self._record(refusal, 1)
        except BaseException:
            self._kinds.discard(refusal)
            raise

    async def close(self) -> None:
        """Records what was counted since; for the end of the process."""
        self._closing.set()
        if self._windows is not None:
            await self._windows

    async def _go_through_windows(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._window_s)
            self._kinds.clear()
            await self._tell()
            if self._closing.is_set() or not (self._kinds or self._further):
                self._windows = None
                return

    async def _tell(self) -> None:
        """Records what was counted. What cannot be recorded is counted on, and told with what comes next."""
        for refusal, times in list(self._further.items()):
            try:
                await self._record(refusal, times)
            except Exception as error:  # noqa: BLE001 - whatever it is, the count stays, and the windows go on
                why = {"code": error.code} if isinstance(error, LedgerError) else {"exception": trace(error)}
                logger.warning("Who was turned away could not be recorded yet.", times=times, **why)
            else:
                self._further -= Counter({refusal: times})

    async def _record(self, refusal: Refusal, times: int) -> None:
        request = new_id()
        header = Header(refusal.person, "", request, None, request, None, "electronic")
        context = Context(self._ledger.today(), refusal.person, "")
        await self._ledger.executor.execute(Envelope(TurnAway(refusal, self._channel, times), header, context))
