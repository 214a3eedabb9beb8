"""Snapshots: a lane's decision state, sealed, in place of the events that made it.

Nothing rests on them: one that is missing, or of a shape that is not known, costs the next load a replay. So they are
stored beside the appends, never within one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import psycopg

from ledger.errors import Unreadable, trace
from ledger.store.keyring import AES_256_GCM
from ledger.streams.record_classes import RecordClass
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from ledger.seal.entry import Entry
    from ledger.store.database import Database, Row
    from ledger.store.keyring import DataKey, Keyring
    from ledger.streams.base import Lane, State

    SnapshotRow = tuple[UUID, int, UUID, str, int, bytes, bytes]

logger = get_logger(__name__)

# In the order of the key: two processes that store the same snapshots at once would wait for each other otherwise.
_SAVE = """
INSERT INTO {schema}.snapshots AS old (stream_id, version, subject_id, kind, algorithm, key_commitment, sealed)
SELECT * FROM unnest(%b::uuid[], %b::int[], %b::uuid[], %b::text[], %b::smallint[], %b::bytea[], %b::bytea[])
    AS s (stream_id) ORDER BY stream_id
ON CONFLICT (stream_id) DO UPDATE SET version = excluded.version, taken_at = clock_timestamp(),
    algorithm = excluded.algorithm, key_commitment = excluded.key_commitment, sealed = excluded.sealed,
    kind = excluded.kind
WHERE old.version < excluded.version OR old.kind <> excluded.kind
"""

_encoder = msgspec.msgpack.Encoder(uuid_format="bytes", decimal_format="string")


def snapshot_due(before: int, after: int, first: int) -> bool:
    """Tells whether a lane that went from one version to another has reached `first`, or twice the last threshold.

    Thresholds double, so that all snapshots of a lane together are not larger than twice its last one. Whoever has had
    to replay `first` events takes one as well (`LaneLoader.load`): it has cost more than that already, and where
    several processes write to the same lanes each would pay it again and again.
    """
    return after >= first and (after // first).bit_length() > (before // first).bit_length()


def seal_snapshot(lane: Lane, key: DataKey) -> bytes:
    """Returns the lane's decision state, sealed and bound to its stream, version and kind."""
    return key.seal(_encoder.encode(lane._state), _snapshot_data(lane.id, lane.version, lane.shape()))  # noqa: SLF001 - the store folds lanes


def snapshot_rows(lanes: Iterable[tuple[UUID, Lane]], keyring: Keyring) -> list[SnapshotRow]:
    """Returns the snapshots of lanes, each with its subject, as they are now.

    Raises:
        Erased: a subject has no key for them.
    """
    rows: list[SnapshotRow] = []
    for subject_id, lane in lanes:
        key = keyring.get(subject_id, RecordClass.SNAPSHOTS)
        sealed = seal_snapshot(lane, key)
        rows.append((lane.id, lane.version, subject_id, lane.shape(), AES_256_GCM, key.commitment, sealed))
    return rows


async def save_snapshots(
    connection: psycopg.AsyncConnection[Row], database: Database, rows: Iterable[SnapshotRow]
) -> None:
    """Stores snapshots; a failure costs the next load some time and nothing else."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    if not columns:
        return
    try:
        await connection.execute(database.bind(_SAVE), columns)
    except psycopg.Error as error:
        logger.warning("A snapshot could not be saved.", exception=trace(error))


def _snapshot_data(stream_id: UUID, version: int, kind: str) -> bytes:
    return b"snapshot\x01" + stream_id.bytes + version.to_bytes(4) + kind.encode()


def open_snapshot(entry: Entry, kinds: Mapping[str, type[Lane]], keyring: Keyring) -> Lane:
    """Returns the lane of a snapshot row (selected in the shape of an entry, its kind in place of the class)."""
    key = keyring.get(entry.subject_id, RecordClass.SNAPSHOTS)
    kind = kinds.get(entry.record_class)
    if entry.algorithm != AES_256_GCM or kind is None:
        raise Unreadable("A snapshot is of an unknown kind or algorithm.", help="Delete the snapshots and go on.")
    plaintext = key.open(entry.state, _snapshot_data(entry.stream_id, entry.version, entry.record_class))
    state: State = msgspec.msgpack.decode(plaintext, type=kind.STATE)
    return kind.blank(entry.stream_id, entry.version, entry.recorded_at, state)


def same_state(one: Lane, other: Lane) -> bool:
    """Tells whether two lanes remember the same: a snapshot and what its events make."""
    return one.version == other.version and one._state == other._state  # noqa: SLF001 - the store folds lanes
