"""Calls of the append function itself, for tests below the executor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from ledger.store.append import AppendBatch, AppendResult, append_parameters, append_query, append_result
from ledger.store.mapper import SealedState

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Database, Row


@dataclass(frozen=True)
class Row1:
    """One event to append; what a test does not care about is filled in."""

    stream: UUID = field(default_factory=uuid4)
    version: int = 1
    subject: UUID = field(default_factory=uuid4)
    record_class: str = "marks"
    topic: str = "topic"
    event_id: UUID = field(default_factory=uuid4)
    state: bytes = b"state"


def columns(*rows: Row1) -> AppendBatch:
    """Returns the events as the columns of a batch."""
    batch = AppendBatch()
    for row in rows:
        sealed = SealedState(row.topic, row.record_class, 1, b"commitment", row.state)
        batch.add_event(row.event_id, row.stream, row.version, row.subject, b"header", sealed)
    return batch


def call(
    connection: psycopg.Connection[Row],
    database: Database,
    batch: AppendBatch,
    *,
    seen: int | None = 0,
    touched: tuple[UUID, ...] = (),
) -> AppendResult:
    """Calls the append function."""
    parameters = append_parameters(batch, seen, list(touched))
    row = connection.execute(append_query(database), parameters, binary=True).fetchone()
    assert row is not None
    return append_result(row)


def foreign(database: Database, *rows: Row1) -> AppendResult:
    """Appends events (one, if none is given) without looking at what is there."""
    with database.connect("writer") as connection:
        return call(connection, database, columns(*(rows or (Row1(),))), seen=None)
