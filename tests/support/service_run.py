"""One run of a whole service: who works on a ledger, what they were told, and what must be true of it.

`Run` opens a ledger of its own and keeps a `Book` beside it and a `History` of what clients were told; `settles` after
each step and `ends` at the last compare the two with what is stored. `tests.support.service_machine` has the steps.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ledger.application.record.command import Request, envelope
from ledger.application.record.precondition import Precondition
from ledger.application.tags import Tags
from ledger.application.verification import LogVerifier, Outside
from ledger.ids import new_id
from ledger.projections.reader import EventReader
from ledger.store.commands import Recorded
from ledger.store.keyring import Keyring
from ledger.store.log_files import newest
from ledger.store.log_keys import read_log_keys
from ledger.store.snapshots import same_state
from tests.support.book import UNRECORDED, Attempt, Book, Said
from tests.support.crew import Bounds, Worker, WriterElsewhere, WriterHere
from tests.support.desk import an_audit, positions_of
from tests.support.errands import Errand, Wish, a_command, sent_again
from tests.support.history import Call, History, Outcome, contradictions, read_log, told_of
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from uuid import UUID

    from tests.support.site import Site

MANY = 10_000
CATCH_UP_S = 60.0
TOGETHER = 200


@dataclass
class Tally:
    """What many runs came to."""

    runs: int = 0
    steps: int = 0
    events: int = 0
    failures: int = 0
    first: BaseException | None = None
    """The first failure, as it was."""
    did: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)
    """Milliseconds, by what was done."""
    told: Counter[str] = field(default_factory=Counter)

    def failed(self, error: BaseException) -> None:
        """Tells of the first failure as it was: steps that are tried again may not meet it."""
        if not self.failures:
            sys.stderr.write(f"After {self.steps} steps, in run {self.runs + 1}:\n")
            traceback.print_exception(error)
            self.first = error
        self.failures += 1

    def took(self, what: str, seconds: float) -> None:
        """Counts something that was done, and how long it took."""
        self.did[what] += 1
        self.spent[what] += round(seconds * 1000)

    def figures(self) -> dict[str, Any]:
        """Returns it for people and programs."""
        did = {what: f"{count} in {self.spent[what] / 1000:.1f} s" for what, count in sorted(self.did.items())}
        told = dict(self.told.most_common())
        return {"runs": self.runs, "steps": self.steps, "events": self.events, "done": did, "answers": told}


@dataclass(frozen=True)
class Asked:
    """What somebody has asked for under a key, so that it can be asked for again."""

    wish: Wish
    request: Request


class Run:
    """A ledger with all who work on it; see the module."""

    def __init__(self, site: Site, bounds: Bounds, tally: Tally, fault: str | None = None) -> None:
        self.site = site
        self.tally = tally
        self.book = Book()
        self.history = History()
        self.asked: list[Asked] = []
        self.kept: list[bytes] = []
        """Checkpoints that somebody outside has kept."""
        self._stack = ExitStack()
        with ExitStack() as stack:
            self.place = stack.enter_context(site.fresh(fault))
            self.base = self.place.base()
            self._loop = stack.enter_context(asyncio.Runner())
            self._reader = EventReader(self.base.database, self.base.mapper, Keyring(self.base.keks))
            self._connections = stack.enter_context(ExitStack())
            self.connect()
            self.here = WriterHere(self.base, bounds)
            self.elsewhere = WriterElsewhere(self.place, bounds)
            self.projector, self.sealer = Worker(self.place, "projector"), Worker(self.place, "sealer")
            for one in (self.elsewhere, self.projector, self.sealer):
                stack.callback(one.kill)
            self.book.adopts(self._news())
            self.begun_at = self.book.position
            self.does(self.here.open())
            stack.callback(lambda: self.does(self.here.close()))
            self.projector.start()
            self.sealer.start()
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Ends everybody and drops the ledger."""
        self._stack.close()

    def connect(self) -> None:
        """Connects anew, as the owner and as somebody who reads the log."""
        self._connections.close()
        self.owner = self._connections.enter_context(self.base.database.connect("owner"))
        self._log = self._connections.enter_context(self.base.database.connect("projector"))

    def does(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something on the loop of the writer here, which rests at all other times."""
        self._loop.run(work)

    # --- asking -----------------------------------------------------------------------------------------------------

    def attempts(self, door: str, *wanted: Errand, keyed: bool = True, sequence: UUID | None = None) -> list[Attempt]:
        """Returns errands as they are sent through a door for the first time."""
        return [self._attempt(door, one, keyed=keyed, sequence=sequence) for one in wanted]

    def _attempt(self, door: str, errand: Errand, *, keyed: bool, sequence: UUID | None) -> Attempt:
        wish = a_command(errand, self.site.town, self.book)
        return self.attempt(door, wish, f"key {len(self.asked)}" if keyed else None, sequence)

    def attempt(self, door: str, wish: Wish, key: str | None = None, sequence: UUID | None = None) -> Attempt:
        """Returns a command as it is sent for the first time."""
        condition = Precondition(match=Tags((wish.demanded[1],))) if wish.demanded is not None else None
        content = repr(wish.command).encode()
        request = Request(wish.by, key, content, sequence=sequence, precondition=condition)
        if key is not None:
            self.asked.append(Asked(wish, request))
        return self.sends(door, wish, request)

    def again(self, door: str, asked: Asked, other: Wish | None = None) -> Attempt:
        """Returns a command as it is sent once more under its key, or another one under the key of that."""
        request = replace(asked.request, request_id=new_id(), sequence=None)
        if other is not None:
            client, content = request.client or request.actor.id, repr(other.command).encode()
            request = replace(request, actor=other.by, client=client, content=content, precondition=None)
            asked = Asked(other._replace(demanded=None), request)
            self.asked.append(asked)
        return self.sends(door, asked.wish._replace(command=sent_again(asked.wish.command)), request)

    def sends(self, door: str, wish: Wish, request: Request) -> Attempt:
        """Notes in the book that somebody asks."""
        attempt = Attempt(door, envelope(self.here.ledger, wish.command, request), wish.demanded)
        self.book.asks(attempt)
        return attempt

    async def ask(self, *attempts: Attempt) -> None:
        """Sends commands at once, each through its door, and waits for the answers."""
        there = [attempt for attempt in attempts if attempt.door == self.elsewhere.name]
        if there:
            if self.elsewhere.process is None:
                self.elsewhere.start()
            self.elsewhere.send(*there)
        await self.here.ask(*(attempt for attempt in attempts if attempt.door == self.here.name))
        if there:
            await self.elsewhere.answers()

    def records(self, *attempts: Attempt) -> None:
        """Sends commands at once, and settles."""
        self.does(self.ask(*attempts))
        self.settles(*attempts)

    # --- looking ----------------------------------------------------------------------------------------------------

    def settles(self, *attempts: Attempt) -> None:
        """Compares what is new in the log, and what was answered, with the book."""
        for attempt in attempts:
            outcome, told = _outcome(attempt)
            answer = attempt.answer
            self.tally.told[answer.code if isinstance(answer, Said) else outcome.value] += 1
            if attempt.key is not None and attempt.begun:
                call = Call(attempt.door, attempt.key.hex(), attempt.begun, attempt.ended, outcome, told)
                self.history.calls.append(call)
        self.book.follows(self._news(), attempts)

    def _news(self) -> list[Any]:
        entries = self._reader.entries(self._log, self.book.position, MANY)
        return self._reader.facts(self._log, entries)

    def keeps_checkpoint(self) -> None:
        """Lets somebody outside keep the newest checkpoint."""
        stored = newest(self._log, self.base.database)
        if stored is not None and stored.note not in self.kept:
            self.kept.append(stored.note)

    # --- the end ----------------------------------------------------------------------------------------------------

    def ends(self) -> None:
        """Lets everybody come to an end, and compares everything with everything.

        Raises:
            AssertionError: something was lost, doubled, mixed up, or shown otherwise than it is.
        """
        self.projector.start()
        self.sealer.kill()
        self.does(self._begins_anew())
        self._answers_what_is_open()
        self._answers_all_again()
        self._checks_cache()
        position = self.book.position
        self.does(self._waits_for_views(position))
        report = an_audit(self.base)
        assert report.equal, report.findings[:5]
        assert (report.events, report.erased) == (position, 0)
        self.keeps_checkpoint()
        self.base.sealer().catch_up()
        keys = [key.verifier for key in read_log_keys(self.base.settings.log_key_path)]
        outside = [Outside(f"checkpoint {number}", note) for number, note in enumerate(self.kept)]
        verified = LogVerifier(self.base.database, self.base.mapper, self.base.keks, keys, outside).verify()
        assert verified.sound, verified.findings[:5]
        assert verified.sealed == position, verified.not_checked
        assert contradictions(self.history, read_log(self.base.database)) == []
        self.tally.runs += 1
        self.tally.events += position - self.begun_at

    async def _begins_anew(self) -> None:
        """Lets another process take over that is not narrow: what follows are hundreds of commands."""
        await self.here.close()
        self.here.bounds = Bounds(lanes=100, batch=100)
        await self.here.open()

    def _answers_what_is_open(self) -> None:
        """Sends what nobody has been answered for once more, as the manual says, and is answered."""
        named = {envelope(self.here.ledger, one.wish.command, one.request).idempotency: one for one in self.asked}
        again = [
            self.again("here", named[attempt.envelope.idempotency])
            for attempt in self.book.open_keys()
            if attempt.envelope.idempotency in named
        ]
        for attempt in again:
            self.records(attempt)
        silent = [attempt for attempt in again if attempt.unknown or _code(attempt) in UNRECORDED]
        assert not silent, f"Who insists is not answered: {silent}."

    def _answers_all_again(self) -> None:
        """Sends all that was recorded once more: every answer must be the first one."""
        recorded = [
            one
            for one in self.asked
            if (key := envelope(self.here.ledger, one.wish.command, one.request).idempotency) is not None
            and (attempt := self.book.recorded.get(key.command_id)) is not None
            and attempt.envelope.idempotency == key
        ]
        for begin in range(0, len(recorded), TOGETHER):
            again = [self.again("here", one) for one in recorded[begin : begin + TOGETHER]]
            self.records(*again)
            other = [attempt for attempt in again if not isinstance(attempt.answer, Recorded)]
            assert not other, f"A repetition was answered {other[0].answer}."

    def _checks_cache(self) -> None:
        """Passes if every lane in memory is what the log makes of it."""
        cached = self.here.ledger.executor._writer.cache._lanes.values()
        for lane in cached:
            true = self.book._lanes[lane.id]
            assert lane.version <= true.version, "A lane in memory is ahead of the log."
            if lane.version == true.version:
                assert same_state(lane, true), f"A lane of {type(lane).__name__} in memory is another one."

    async def _waits_for_views(self, position: int) -> None:
        await until(lambda: set(positions_of(self.base.database).values()) == {position}, seconds=CATCH_UP_S)


def _outcome(attempt: Attempt) -> tuple[Outcome, Any]:
    answer = attempt.answer
    if isinstance(answer, Recorded):
        return Outcome.ACKNOWLEDGED, told_of(answer)
    return (Outcome.UNKNOWN if attempt.unknown else Outcome.NOT_RECORDED), None


def _code(attempt: Attempt) -> str | None:
    return attempt.answer.code if isinstance(attempt.answer, Said) else None


def recorded(*attempts: Attempt) -> list[Recorded]:
    """Returns what was acknowledged of them."""
    return [attempt.answer for attempt in attempts if isinstance(attempt.answer, Recorded)]
