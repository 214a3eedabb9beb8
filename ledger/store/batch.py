"""One batch of commands: deciding them against lanes in memory, and writing their events into columns.

A command that breaks a rule fails alone: its decision raised before anything was applied. Lanes are mutated here; the
executor evicts what was touched when the append does not succeed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from ledger.clock import utc_now
from ledger.errors import LedgerError, trace
from ledger.store.append import AppendBatch, AppendResult, Packed, packed
from ledger.store.commands import Recorded, RecordedEvent, RefusedOnRecord
from ledger.store.header import encode_header
from ledger.store.keyring import DataKey, nonces
from ledger.store.lanes import BatchLanes, LanesMissing
from ledger.store.snapshots import snapshot_due, snapshot_rows
from ledger.streams.base import UNVERSIONED, LedgerEvent
from ledger.streams.record_classes import RecordClass
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from opentelemetry.trace import Span

    from ledger.store.commands import Envelope
    from ledger.store.keyring import KeyName, Keyring
    from ledger.store.mapper import EventMapper
    from ledger.store.snapshots import SnapshotRow
    from ledger.streams.base import Lane, LaneRef, Proposal

    Load = Callable[[Iterable[LaneRef[Any]]], Awaitable[dict[UUID, Lane | None]]]

logger = get_logger(__name__)


@dataclass(slots=True, eq=False)
class Waiting:
    """A command in the queue and the future of its answer."""

    envelope: Envelope
    future: asyncio.Future[Recorded]
    span: Span | None = None

    def answer(self, outcome: Recorded | BaseException) -> None:
        """Gives the answer, unless the one who asked has gone."""
        if self.future.done():
            return
        if isinstance(outcome, Recorded):
            self.future.set_result(outcome)
        elif isinstance(outcome, StopIteration):  # which a future refuses to hold, as generators do (PEP 479)
            self.future.set_exception(RuntimeError("A decision raised StopIteration."))
        else:
            self.future.set_exception(outcome)


@dataclass(slots=True, eq=False)
class Decided:
    """What became of a command in this batch: a refusal, or events; `first` counts the batch's events from 1.

    A refusal has events only where it is recorded itself (`RefusedOnRecord`).
    """

    waiting: Waiting
    refusal: BaseException | None = None
    events: list[tuple[LaneRef[Any], LedgerEvent]] = field(default_factory=list)
    local_act: str | None = None
    first: int = 0


class BrokenCommand(Exception):
    """A command whose accepted decision cannot be applied or written; the rest is decided again without it."""

    def __init__(self, waiting: Waiting, error: Exception) -> None:
        super().__init__()
        self.waiting = waiting
        self.error = error


@dataclass(slots=True)
class Written:
    """A batch in columns, with the keys that it creates and the lanes whose snapshots are due."""

    columns: AppendBatch = field(default_factory=AppendBatch)
    new_keys: dict[KeyName, DataKey] = field(default_factory=dict)
    snapshots: list[LaneRef[Any]] = field(default_factory=list)
    packed: Packed = ()
    """The columns as they are sent; made when the batch has been decided."""
    span: Span | None = None


async def decide_batch(
    batch: list[Waiting],
    lanes: BatchLanes,
    now: datetime,
    load: Load,
) -> list[Decided]:
    """Lets every command decide, loading missing lanes together.

    Commands of one sequence are decided in the order in which they came: one that has to wait for a lane holds up those
    behind it, which are only asked now which lanes they will need.

    Raises:
        BrokenCommand: an accepted decision could not be applied.
    """
    decided: list[Decided] = []
    pending = batch
    while pending:
        missing: dict[UUID, LaneRef[Any]] = {}
        again: list[tuple[Waiting, list[UUID]]] = []
        held_up: set[UUID] = set()
        for waiting in pending:
            envelope = waiting.envelope
            outcome = Decided(waiting)
            proposals: Sequence[Proposal] = ()
            try:
                proposals = envelope.decide(lanes)
                outcome.local_act = envelope.command.cites(lanes, envelope.context)
            except LanesMissing as signal:
                missing.update((ref.stream_id, ref) for ref in signal.refs)
                again.append((waiting, [ref.stream_id for ref in signal.refs]))
                if envelope.sequence is not None:
                    held_up.add(envelope.sequence)
                continue
            except RefusedOnRecord as refused:
                outcome.refusal, proposals = refused.answer, refused.proposals
            except Exception as error:  # noqa: BLE001 - a refusal, or a fault, of one command is its own answer
                outcome.refusal, proposals = error, ()
            if envelope.sequence in held_up:
                again.append((waiting, []))
                continue
            if outcome.refusal is not None and not isinstance(outcome.refusal, LedgerError):
                _tell_undecided(waiting, outcome.refusal)
            _apply(outcome, proposals, lanes, now)
            decided.append(outcome)
        if missing:
            unreadable = await load_lanes(missing, lanes, load)
            failed = [(waiting, unreadable.keys() & streams) for waiting, streams in again]
            decided.extend(Decided(waiting, unreadable[streams.pop()]) for waiting, streams in failed if streams)
            again = [entry for entry in again if unreadable.keys().isdisjoint(entry[1])]
        pending = [waiting for waiting, _ in again]
    return decided


def _tell_undecided(waiting: Waiting, error: BaseException) -> None:
    logger.error(
        "A command could not be decided.",
        command=type(waiting.envelope.command).__name__,
        request_id=str(waiting.envelope.header.request),
        exception=trace(error),
    )


async def load_lanes(missing: dict[UUID, LaneRef[Any]], lanes: BatchLanes, load: Load) -> dict[UUID, Exception]:
    """Loads lanes, all at once; if one of them cannot be read, each alone, and returns what is wrong with which.

    An altered event or a lost key concerns the commands on its lane, not those that came in the same moment.
    """
    unreadable: dict[UUID, Exception] = {}
    try:
        loaded = await load(missing.values())
    except psycopg.Error:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of one command is its own answer
        if len(missing) == 1:
            logger.error("A lane could not be read.", exception=trace(error))  # noqa: TRY400 - without the message
            return dict.fromkeys(missing, error)
        for stream_id, ref in missing.items():
            unreadable |= await load_lanes({stream_id: ref}, lanes, load)
    else:
        for stream_id, lane in loaded.items():
            lanes.put(stream_id, lane)
    return unreadable


def _apply(outcome: Decided, proposals: Sequence[Proposal], lanes: BatchLanes, now: datetime) -> None:
    try:
        for proposal in proposals:
            ref = proposal.lane
            loaded = ref.kind.LOADED
            version = lanes.version(ref.stream_id) + 1 if loaded else UNVERSIONED
            event = proposal.event.of(
                {
                    "originator_id": ref.stream_id,
                    "originator_version": version,
                    "timestamp": now,
                    "event_id": proposal.event_id,
                    **proposal.values,
                }
            )
            if loaded:
                lanes.advance(ref, event)
            outcome.events.append((ref, event))
    except Exception as error:
        raise BrokenCommand(outcome.waiting, error) from error


def write_batch(
    decided: list[Decided], lanes: BatchLanes, mapper: EventMapper, keyring: Keyring, snapshot_every: int
) -> Written:
    """Returns the batch in columns; the keys of every subject must have been loaded before.

    Raises:
        BrokenCommand: an event cannot be stored (too large, or of a shape that could not be read again).
    """
    written = Written()
    columns = written.columns

    def key_of(subject_id: UUID, record_class: str) -> DataKey:
        key = keyring.find(subject_id, record_class) or written.new_keys.get((subject_id, record_class))
        if key is None:
            key, row = keyring.create(subject_id, record_class)
            written.new_keys[subject_id, record_class] = key
            columns.keys.append(row)
        return key

    drawn = iter(nonces(sum(len(entry.events) for entry in decided)))
    for entry in decided:
        envelope = entry.waiting.envelope
        entry.first = len(columns) + 1
        try:
            header = encode_header(envelope.header, entry.local_act)
            for ref, event in entry.events:
                key = key_of(ref.subject_id, mapper.record_class(type(event)))
                sealed = mapper.seal(event, ref.subject_id, header, key, next(drawn))
                columns.add_event(
                    event.event_id, ref.stream_id, event.originator_version, ref.subject_id, header, sealed
                )
        except Exception as error:
            raise BrokenCommand(entry.waiting, error) from error
        key_row = envelope.idempotency
        if key_row is not None:
            count = len(entry.events) if entry.refusal is None else 0  # a refusal is not what the key stands for
            columns.add_command(key_row.command_id, key_row.client, key_row.request, entry.first, count)
    for ref, before, lane in lanes.changes():
        if snapshot_due(before, lane.version, snapshot_every):
            key_of(ref.subject_id, RecordClass.SNAPSHOTS)
            written.snapshots.append(ref)
    written.packed = packed(columns, lanes.touched)
    return written


def answer_batch(decided: list[Decided], result: AppendResult) -> None:
    """Answers every command of a committed batch."""
    base = result.last_position - sum(len(entry.events) for entry in decided)
    for entry in decided:
        if entry.refusal is not None:
            entry.waiting.answer(entry.refusal)
            continue
        first = base + entry.first
        events = [
            RecordedEvent(
                position, event.event_id, ref.stream_id, ref.subject_id, event.TOPIC, event.originator_version
            )
            for position, (ref, event) in enumerate(entry.events, first)
        ]
        recorded_at = result.stored_at
        if entry.waiting.envelope.looks and not events:
            entry.waiting.answer(Recorded(first, 0, recorded_at or utc_now(), ()))
        elif recorded_at is None:
            entry.waiting.answer(RuntimeError("A command was accepted without events."))
        else:
            entry.waiting.answer(Recorded(first, len(events), recorded_at, tuple(events)))


def due_snapshots(written: Written, lanes: BatchLanes, keyring: Keyring) -> list[SnapshotRow]:
    """Returns the snapshots that became due with the batch; its new keys must be in the ring."""
    held = ((ref.subject_id, lanes.held(ref.stream_id)) for ref in written.snapshots)
    return snapshot_rows(((subject_id, lane) for subject_id, lane in held if lane is not None), keyring)
