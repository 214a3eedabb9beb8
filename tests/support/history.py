"""What clients did and what they were told, and whether a log can be the one that told them so.

    history = History()
    answer = await history.asks("producer 1", key, lambda: executor.execute(envelope))
    ...
    assert not contradictions(history, read_log(database))

The checker knows nothing of what was recorded, only of the promises: positions without gaps, no event twice, streams in
order; whatever was acknowledged is in the log, as it was told; a key has one record and one answer; what was said not
to be recorded is not there; and what was acknowledged before something else was asked stands before it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.errors import HistoryAlarm, LedgerError, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from ledger.store.commands import Recorded
    from ledger.store.database import Database


class Outcome(Enum):
    """How a call ended for the client."""

    ACKNOWLEDGED = "acknowledged"
    NOT_RECORDED = "not recorded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Told:
    """An acknowledgement: which events, from which position on, and when they were recorded."""

    first_position: int
    event_ids: tuple[UUID, ...]
    recorded_at: datetime
    repeated: bool = False

    @property
    def last_position(self) -> int:
        """The position of the last event."""
        return self.first_position + len(self.event_ids) - 1


@dataclass(frozen=True, slots=True)
class Call:
    """A command as a client saw it: asked at `begun`, answered at `ended`, in nanoseconds of one monotonic clock."""

    client: str
    key: str
    begun: int
    ended: int
    outcome: Outcome
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that was shown to somebody."""

    who: str
    position: int
    event_id: UUID


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as it is stored; `command` is the stored id of its idempotency key, where it came under one."""

    position: int
    event_id: UUID
    stream_id: UUID
    version: int
    recorded_at: datetime
    command: str | None = None


@dataclass(slots=True)
class History:
    """What happened, in the order of its end. One asyncio loop or thread writes to it; merge several with `extend`."""

    calls: list[Call] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)

    async def asks(self, client: str, key: str, call: Callable[[], Awaitable[Recorded]]) -> Recorded:
        """Makes a call and notes what came of it; what it raises is raised.

        An error of the ledger says that nothing was recorded, but for `OutcomeUnknown` and `HistoryAlarm`. Whatever
        else ends a call (a lost connection, a cancellation) leaves its outcome unknown.
        """
        begun = time.monotonic_ns()
        outcome, told = Outcome.UNKNOWN, None
        try:
            recorded = await call()
            outcome, told = Outcome.ACKNOWLEDGED, told_of(recorded)
        except (OutcomeUnknown, HistoryAlarm):
            raise
        except LedgerError:
            outcome = Outcome.NOT_RECORDED
            raise
        finally:
            self.calls.append(Call(client, key, begun, time.monotonic_ns(), outcome, told))
        return recorded

    def sees(self, who: str, position: int, event_id: UUID) -> None:
        """Notes that somebody was shown an event."""
        self.sightings.append(Sighting(who, position, event_id))

    def extend(self, other: History) -> None:
        """Adds what another client noted with the same clock."""
        self.calls.extend(other.calls)
        self.sightings.extend(other.sightings)

    def count(self, outcome: Outcome) -> int:
        """Returns how many calls ended so."""
        return sum(call.outcome is outcome for call in self.calls)


def told_of(recorded: Recorded) -> Told:
    """Returns what an answer of the executor says."""
    ids = tuple(event.event_id for event in recorded.events)
    return Told(recorded.first_position, ids, recorded.recorded_at, recorded.repeated)


def read_log(database: Database) -> list[Logged]:
    """Returns the events of a ledger as they are stored, in order of position."""
    with database.connect("owner") as connection:
        rows = connection.execute(
            database.bind(
                "SELECT e.position, e.event_id, e.stream_id, e.version, e.recorded_at, encode(c.command_id, 'hex')"
                " FROM {schema}.events e LEFT JOIN (SELECT first_position + n AS position, command_id"
                " FROM {schema}.commands, generate_series(0, count - 1) n) c USING (position) ORDER BY e.position"
            )
        ).fetchall()
    return [Logged(*row) for row in rows]


def contradictions(history: History, log: Sequence[Logged]) -> list[str]:
    """Returns what cannot be true at once, a sentence each; empty where history and log agree.

    Args:
        history: calls whose key is the stored id (hexadecimal) where the log is to be compared by it; keys that no
            event of the log bears are compared by what was acknowledged only.
        log: every event, in order of position.
    """
    return [
        *_unsound(log),
        *_lost(history, log),
        *_inconsistent_keys(history.calls, log),
        *_out_of_order(history.calls),
    ]


def unaccounted(history: History, log: Sequence[Logged], *, after: int = 0) -> list[str]:
    """Returns what is open after clients that insisted on their answers: keys without one, events that none tells of.

    Args:
        history: every call of everybody who recorded.
        log: every event, in order of position.
        after: the last position of what was recorded before they began.
    """
    told = {call.key for call in history.calls if call.told is not None}
    events = {event_id for call in history.calls if call.told is not None for event_id in call.told.event_ids}
    return [
        *(f"unanswered: key {key}" for key in dict.fromkeys(call.key for call in history.calls) if key not in told),
        *(f"untold: position {event.position}" for event in log[after:] if event.event_id not in events),
    ]


def _unsound(log: Sequence[Logged]) -> Iterable[str]:
    """Checks the log for itself: gaps, duplicates, versions, times."""
    seen: dict[UUID, int] = {}
    versions: dict[UUID, int] = {}
    spans: dict[str, int] = {}
    expected, earlier = 1, None
    for event in log:
        if event.position != expected:
            yield f"gap: position {event.position} follows {expected - 1}"
        expected = event.position + 1
        if event.event_id in seen:
            yield f"duplicate: event {event.event_id} stands at {seen[event.event_id]} and at {event.position}"
        seen[event.event_id] = event.position
        version = versions.get(event.stream_id, 0) + 1
        if event.version != version:
            yield f"stream: position {event.position} has version {event.version}, not {version}"
        versions[event.stream_id] = event.version
        if earlier is not None and event.recorded_at < earlier:
            yield f"time: position {event.position} was recorded before the one in front of it"
        earlier = event.recorded_at
        if event.command is not None:
            if spans.get(event.command, event.position - 1) != event.position - 1:
                yield f"duplicate: command {event.command} was recorded again at {event.position}"
            spans[event.command] = event.position


def _lost(history: History, log: Sequence[Logged]) -> Iterable[str]:
    """Checks that what was acknowledged or shown is in the log, as it was told."""
    stored = {event.position: event for event in log}
    for call in history.calls:
        if call.told is None:
            continue
        for position, event_id in enumerate(call.told.event_ids, start=call.told.first_position):
            event = stored.get(position)
            if event is None:
                yield f"lost: {call.client} was told of position {position} (key {call.key}), which is not there"
            elif event.event_id != event_id:
                yield f"lost: {call.client} was told of another event at {position} (key {call.key})"
            elif event.recorded_at != call.told.recorded_at:
                yield f"time: {call.client} was told another time for {position} (key {call.key})"
            elif event.command is not None and event.command != call.key:
                yield f"shared: position {position} was told to key {call.key} and belongs to {event.command}"
    for sighting in history.sightings:
        event = stored.get(sighting.position)
        if event is None or event.event_id != sighting.event_id:
            yield f"lost: {sighting.who} saw an event at {sighting.position} that is not there"


def _inconsistent_keys(calls: Sequence[Call], log: Sequence[Logged]) -> Iterable[str]:
    """Checks that each key has one record, one answer, and none where that was said."""
    recorded: dict[str, list[Logged]] = {}
    for event in log:
        if event.command is not None:
            recorded.setdefault(event.command, []).append(event)
    owners: dict[int, str] = {}
    for key, of_key in _by_key(calls).items():
        answers = {(call.told.first_position, call.told.event_ids) for call in of_key if call.told is not None}
        if len(answers) > 1:
            yield f"answers: key {key} was answered in {len(answers)} ways"
        for first, event_ids in answers:
            for position in range(first, first + len(event_ids)):
                if owners.setdefault(position, key) != key:
                    yield f"shared: position {position} was told to the keys {owners[position]} and {key}"
            if key in recorded and len(recorded[key]) != len(event_ids):
                yield f"answers: key {key} has {len(recorded[key])} events and was told of {len(event_ids)}"
        if key in recorded and all(call.outcome is Outcome.NOT_RECORDED for call in of_key):
            yield f"denied: key {key} was said not to be recorded and is"
        yield from _repeated_from_nothing(key, of_key)


def _repeated_from_nothing(key: str, calls: Sequence[Call]) -> Iterable[str]:
    """Checks that whoever is told of a repetition has another call that can have been the first."""
    for call in calls:
        if call.told is None or not call.told.repeated:
            continue
        firsts = (
            other
            for other in calls
            if other is not call and other.begun < call.ended and other.outcome is not Outcome.NOT_RECORDED
        )
        if not any(firsts):
            yield f"denied: key {key} was repeated, and every earlier call was told that nothing was recorded"


def _out_of_order(calls: Sequence[Call]) -> Iterable[str]:
    """Checks real time: what was acknowledged before another was first asked stands before it."""
    first_begun: dict[str, int] = {}
    first_told: dict[str, tuple[int, Told]] = {}
    for key, of_key in _by_key(calls).items():
        first_begun[key] = min(call.begun for call in of_key)
        told = [(call.ended, call.told) for call in of_key if call.told is not None]
        if told:
            first_told[key] = min(told, key=lambda pair: pair[0])
    ended = sorted((end, told.last_position, key) for key, (end, told) in first_told.items())
    highest, before, done = 0, "", 0
    for key in sorted(first_told, key=first_begun.__getitem__):
        while done < len(ended) and ended[done][0] < first_begun[key]:
            if ended[done][1] > highest:
                highest, before = ended[done][1], ended[done][2]
            done += 1
        position = first_told[key][1].first_position
        if position <= highest:
            yield f"order: key {key} stands at {position}, but {before} at {highest} had been acknowledged"


def _by_key(calls: Iterable[Call]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.key, []).append(call)
    return found
