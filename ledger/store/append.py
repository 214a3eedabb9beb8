"""One call of the append function: the columns of a batch, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ledger.store.arrays import PackedArray, byteas, int2s, int4s, texts, uuids

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from psycopg import sql

    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyRow
    from ledger.store.mapper import SealedState

_APPEND = (
    "SELECT outcome, last_position, stored_at, moved, repeated FROM {schema}.append("
    "%b::bigint, %b::uuid[], %b::uuid[], %b::uuid[], %b::int[], %b::uuid[], %b::text[], %b::text[], %b::smallint[],"
    " %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[], %b::uuid[], %b::bytea[], %b::int[], %b::int[],"
    " %b::uuid[], %b::text[], %b::int[], %b::bytea[])"
)


Packed = tuple[PackedArray, ...]
"""The columns of a batch as they are sent, and the streams that it touched before them."""


@dataclass(slots=True)
class AppendBatch:
    """The rows of one append: events (in the order of `add_event`), idempotency rows by column, new data keys."""

    events: list[tuple[UUID, UUID, int, UUID, bytes, str, str, int, bytes, bytes]] = field(default_factory=list)
    command_ids: list[bytes] = field(default_factory=list)
    clients: list[UUID] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    keys: list[KeyRow] = field(default_factory=list)

    def add_event(
        self, event_id: UUID, stream_id: UUID, version: int, subject_id: UUID, header: bytes, sealed: SealedState
    ) -> None:
        """Adds an event; version 0 is given by the append function."""
        stored = (sealed.topic, sealed.record_class, sealed.algorithm, sealed.commitment, sealed.state)
        self.events.append((event_id, stream_id, version, subject_id, header, *stored))

    @property
    def event_ids(self) -> list[UUID]:
        """The ids of the events, in order."""
        return [event[0] for event in self.events]

    def add_command(self, command_id: bytes, client: UUID, request: bytes, first: int, count: int) -> None:
        """Adds an idempotency row; with count 0 the id is only looked up (a refusal is not stored)."""
        self.command_ids.append(command_id)
        self.clients.append(client)
        self.requests.append(request)
        self.firsts.append(first)
        self.counts.append(count)

    def __len__(self) -> int:
        """Tells how many events there are."""
        return len(self.events)


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What the append function said; see its comment in the migration for the outcomes."""

    outcome: str
    last_position: int
    stored_at: datetime | None
    moved: tuple[UUID, ...]
    repeated: tuple[int, ...]


def append_query(database: Database) -> sql.SQL:
    """Returns the call of this ledger's append function."""
    return database.bind(_APPEND)


def append_parameters(batch: AppendBatch, seen: int | None, touched: list[UUID]) -> tuple[object, ...]:
    """Returns the arguments of the call in its order."""
    return seen, *packed(batch, touched)


def packed(batch: AppendBatch, touched: list[UUID]) -> Packed:
    """Returns the arguments of the call but for the first: what can be made ready while another append is under way."""
    columns: tuple[Sequence[Any], ...] = tuple(zip(*batch.events, strict=True)) or ((),) * 10
    event_ids, stream_ids, versions, subject_ids, headers, topics, classes, algorithms, commitments, states = columns
    return (
        uuids(touched),
        uuids(event_ids),
        uuids(stream_ids),
        int4s(versions),
        uuids(subject_ids),
        texts(topics),
        texts(classes),
        int2s(algorithms),
        byteas(commitments),
        byteas(headers),
        byteas(states),
        byteas(batch.command_ids),
        uuids(batch.clients),
        byteas(batch.requests),
        int4s(batch.firsts),
        int4s(batch.counts),
        uuids([key.subject_id for key in batch.keys]),
        texts([key.record_class for key in batch.keys]),
        int4s([key.epoch for key in batch.keys]),
        byteas([key.wrapped for key in batch.keys]),
    )


def append_result(row: Row) -> AppendResult:
    """Returns the function's row as a result."""
    outcome, last, stored_at, moved, repeated = row
    return AppendResult(outcome, last or 0, stored_at, tuple(moved or ()), tuple(repeated or ()))


async def append(
    connection: psycopg.AsyncConnection[Row], query: sql.SQL, seen: int, arguments: Packed
) -> AppendResult:
    """Calls the append function; outside a transaction block the call is the whole transaction."""
    cursor = await connection.execute(query, (seen, *arguments), prepare=True, binary=True)
    row = await cursor.fetchone()
    if row is None:
        message = "The append function returned no row."
        raise RuntimeError(message)
    return append_result(row)
