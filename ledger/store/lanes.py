"""Lanes in memory: a bounded cache, the load of what is missing, and the fold of stored events.

Only the executor uses this. The cache is true up to the position that the executor has seen; it is told which streams
moved since, and hands those out no more until their newest events have been loaded.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ledger.errors import Erased
from ledger.seal.entry import Entry
from ledger.store.arrays import int4s, texts, uuids
from ledger.store.keyring import SELECT_KEYS
from ledger.store.snapshots import open_snapshot, save_snapshots, snapshot_rows
from ledger.streams.base import L, Lane, LaneRef, LedgerEvent, M
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    import psycopg

    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.store.mapper import EventMapper
    from ledger.store.snapshots import SnapshotRow

ENTRY_COLUMNS = (
    "position, event_id, stream_id, version, subject_id, topic, recorded_at, record_class, algorithm,"
    " key_commitment, header, state"
)
"""The columns of an entry, in the order of its fields."""

SELECT_SPAN = f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events WHERE position > %b AND position <= %b ORDER BY position"  # noqa: S608 - ours
"""The entries after one position and up to another."""

POSITION_AT = """
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, coalesce(max(position), 0) FROM {schema}.events
    UNION ALL
    SELECT CASE WHEN e.recorded_at <= %(time)s THEN e.position ELSE s.low END,
        CASE WHEN e.recorded_at <= %(time)s THEN s.high ELSE e.position - 1 END
    FROM search s JOIN {schema}.events e ON e.position = (s.low + s.high + 1) / 2
    WHERE s.low < s.high
)
SELECT low FROM search WHERE low = high
"""
"""The last position recorded by a time; `recorded_at` never goes back, so this is a binary search on the primary key:
what stands at `low` was recorded by then, what stands above `high` later."""

PORTION, PORTION_EACH = 10_000, 20
"""Events that are fetched and folded at a time, of all lanes together and at least of each: some 10 MiB, 0.2 s."""

_SNAPSHOT, _KEY = "snapshot", "key"
_SNAPSHOTS = RecordClass.SNAPSHOTS.value

# A snapshot, the events after it and the keys come from one statement: one view of the database, and one round trip.
# A snapshot whose kind is not known here (an older or newer shape of the state) is passed over, and replaced when the
# next one is due.
_SELECT_LANES = f"""
SELECT {ENTRY_COLUMNS} FROM (
    SELECT 0::bigint AS position, stream_id AS event_id, stream_id, version, subject_id, '{_SNAPSHOT}'::text AS topic,
        taken_at AS recorded_at, kind AS record_class, algorithm, key_commitment, ''::bytea AS header, sealed AS state
    FROM unnest(%b::uuid[], %b::int[]) AS s (id, known) JOIN {{schema}}.snapshots n ON n.stream_id = s.id
    WHERE n.version > s.known AND n.kind = ANY(%b::text[])
    UNION ALL
    SELECT e.* FROM unnest(%b::uuid[], %b::int[]) AS s (id, known) CROSS JOIN LATERAL (
        SELECT {ENTRY_COLUMNS} FROM {{schema}}.events e
        WHERE e.stream_id = s.id
            AND e.version > greatest(
                s.known,
                (SELECT n.version FROM {{schema}}.snapshots n WHERE n.stream_id = s.id AND n.kind = ANY(%b::text[]))
            )
        ORDER BY e.version LIMIT %b::int
    ) e
    UNION ALL
    SELECT epoch, subject_id, subject_id, 0, subject_id, '{_KEY}', NULL, record_class, 0::smallint, '', '', wrapped
    FROM {{schema}}.data_keys WHERE subject_id = ANY(%b::uuid[])
) AS lane ORDER BY stream_id, version, position
"""  # noqa: S608 - columns and schema are ours


class LanesMissing(Exception):
    """A decision asked for lanes that are not in memory; they are loaded and it is run again."""

    def __init__(self, refs: list[LaneRef[Any]]) -> None:
        super().__init__()
        self.refs = refs


class LaneCache:
    """Lanes by stream id, least recently used first.

    Args:
        maximum: how many lanes are kept; a lane of a year's marks is some tens of KiB at most.
    """

    # Keyed by the integer of the id: hashing and comparing UUID objects runs in Python and was a tenth of a command.
    def __init__(self, maximum: int) -> None:
        self._lanes: OrderedDict[int, Lane] = OrderedDict()
        self._outdated: OrderedDict[int, Lane] = OrderedDict()
        self._maximum = maximum
        self._crowded = maximum // 2
        """Below, nobody is about to be forgotten, and who was used last need not be noted."""

    def get(self, key: int) -> Lane | None:
        """Returns a cached lane by the integer of its stream id, and notes its use."""
        lane = self._lanes.get(key)
        if lane is not None and len(self._lanes) > self._crowded:
            self._lanes.move_to_end(key)
        return lane

    def put(self, lane: Lane) -> None:
        """Adds a lane that is equal to its stored events."""
        self._lanes[lane.id.int] = lane
        while len(self._lanes) + len(self._outdated) > self._maximum:
            (self._outdated or self._lanes).popitem(last=False)

    def outdate(self, stream_ids: Iterable[UUID]) -> None:
        """Notes that lanes have moved: they are equal to their stored events still, but for the newest of these."""
        for stream_id in stream_ids:
            lane = self._lanes.pop(stream_id.int, None)
            if lane is not None:
                self._outdated[stream_id.int] = lane

    def outdate_all(self) -> None:
        """Notes that any lane may have moved."""
        self._outdated.update(self._lanes)
        self._lanes.clear()

    def take_outdated(self, key: int) -> Lane | None:
        """Hands over a lane that has moved, to be brought up to date and put back."""
        return self._outdated.pop(key, None)

    def evict(self, stream_ids: Iterable[UUID]) -> None:
        """Forgets lanes that hold, or may hold, events that were not committed."""
        for stream_id in stream_ids:
            self._lanes.pop(stream_id.int, None)
            self._outdated.pop(stream_id.int, None)

    def clear(self) -> None:
        """Forgets everything."""
        self._lanes.clear()
        self._outdated.clear()

    def __len__(self) -> int:
        """Tells how many lanes are cached and not outdated."""
        return len(self._lanes)


class BatchLanes:
    """The lanes as the decisions of one batch see them, and which of them were touched.

    Args:
        cache: where lanes are looked up first, and kept once they are committed.
        before: the batch under way; what it changed is in no database yet, so it is seen even if the cache was too
            small to keep it.
    """

    def __init__(self, cache: LaneCache, before: BatchLanes | None = None) -> None:
        self._cache = cache
        # Not `before` itself: a chain of batches would never be given back.
        self._before = before.changed() if before else {}
        self._held: dict[int, Lane | None] = {}
        self._changed: dict[int, tuple[LaneRef[Any], int]] = {}
        self._touched: dict[int, LaneRef[Any]] = {}
        self._cached: set[int] = set()
        """Lanes that came from the cache: events change them in place, so they need not be put there again."""

    @property
    def hits(self) -> int:
        """How many lanes the cache had."""
        return len(self._cached)

    @property
    def loaded(self) -> int:
        """How many lanes came from elsewhere: the database, mostly."""
        return len(self._held) - len(self._cached)

    @property
    def touched(self) -> list[UUID]:
        """The streams that were read or written."""
        return [ref.stream_id for ref in self._touched.values()]

    @property
    def refs(self) -> list[LaneRef[Any]]:
        """The lanes that were read or written."""
        return list(self._touched.values())

    @property
    def dirty(self) -> list[UUID]:
        """The streams whose lanes the batch has changed in memory, and perhaps left half changed."""
        return [ref.stream_id for ref, _ in self._changed.values()]

    def need(self, *refs: LaneRef[Any]) -> None:
        """Raises LanesMissing with all of `refs` that are not in memory."""
        missing = []
        for ref in refs:
            key = ref.stream_id.int
            if key not in self._held and not self._fetch(key):
                missing.append(ref)
        if missing:
            raise LanesMissing(missing)

    def get(self, ref: LaneRef[L]) -> L | None:
        """Returns the lane, or None where its stream is empty or is one of another kind.

        Raises:
            LanesMissing: it is not in memory.
        """
        stream_id = ref.stream_id
        key = stream_id.int
        if key not in self._held and not self._fetch(key):
            raise LanesMissing([ref])
        self._touched[key] = ref
        lane = self._held[key]
        return lane if isinstance(lane, ref.kind) else None

    def pair(self, first: LaneRef[L], second: LaneRef[M]) -> tuple[L | None, M | None]:
        """Returns two lanes that are needed together, as `get` does.

        Raises:
            LanesMissing: one of them, or both, are not in memory.
        """
        held, touched = self._held, self._touched
        one, two = first.stream_id.int, second.stream_id.int
        if not ((one in held or self._fetch(one)) and (two in held or self._fetch(two))):
            self.need(first, second)
        touched[one], touched[two] = first, second
        lane, other = held[one], held[two]
        return lane if isinstance(lane, first.kind) else None, other if isinstance(other, second.kind) else None

    def _fetch(self, key: int) -> bool:
        lane = self._cache.get(key)
        if lane is not None:
            self._cached.add(key)
        else:
            lane = self._before.get(key)
            if lane is None:
                return False
        self._held[key] = lane
        return True

    def put(self, stream_id: UUID, lane: Lane | None) -> None:
        """Holds a lane for the batch; None says that its stream is empty (true for this batch only)."""
        self._held[stream_id.int] = lane

    def held(self, stream_id: UUID) -> Lane | None:
        """Returns a lane that the batch holds."""
        return self._held.get(stream_id.int)

    def version(self, stream_id: UUID) -> int:
        """Returns the version of a lane that the batch holds; 0 where its stream is empty."""
        lane = self._held.get(stream_id.int)
        return lane.version if lane is not None else 0

    def advance(self, ref: LaneRef[Any], event: LedgerEvent) -> None:
        """Applies an event to the lane that the batch holds."""
        key = ref.stream_id.int
        self._touched[key] = ref
        # Before the event is applied: if that fails, half of it may be there.
        self._changed.setdefault(key, (ref, event.originator_version - 1))
        self._held[key] = fold(self._held.get(key), event)

    def changed(self) -> dict[int, Lane | None]:
        """Returns the changed lanes by the integer of their stream id."""
        return {key: self._held[key] for key in self._changed}

    def changes(self) -> Iterator[tuple[LaneRef[Any], int, Lane]]:
        """Yields each changed lane with its name and the version that it had before the batch."""
        for key, (ref, before) in self._changed.items():
            lane = self._held[key]
            if lane is not None:
                yield ref, before, lane

    def commit(self) -> None:
        """Hands the lanes of a committed batch to the cache.

        Only those that were read or written: the append function has checked that these did not move meanwhile.
        """
        for key in self._touched.keys() - self._cached:
            lane = self._held.get(key)
            if lane is not None:
                self._cache.put(lane)

    def take_back(self) -> None:
        """Leaves in the cache what a batch only read of which nothing was recorded, and takes from it what it changed.

        Which of these lanes have moved, the cache has to be told afterwards.
        """
        for key in self._touched.keys() - self._cached - self._changed.keys():
            lane = self._held.get(key)
            if lane is not None:
                self._cache.put(lane)
        self._cache.evict(self.dirty)


def fold(lane: Lane | None, event: LedgerEvent) -> Lane:
    """Returns the lane with one more event applied."""
    evolved: Lane = event.mutate(lane)
    return evolved


def fold_erased(lane: Lane | None, entry: Entry, kind: type[Lane]) -> Lane:
    """Returns the lane one version further, without what nobody can read any more."""
    if lane is None:
        return kind.blank(entry.stream_id, entry.version, entry.recorded_at, kind.STATE())
    lane.version = entry.version
    return lane


class LaneLoader:
    """Loads lanes and the data keys of their subjects, many at once.

    Args:
        many: events of a lane that are worth a snapshot if they had to be replayed, however near it is to its next one.
            None: none is taken.
    """

    def __init__(self, database: Database, mapper: EventMapper, keyring: Keyring, many: int | None = None) -> None:
        self._database = database
        self._mapper = mapper
        self._many = many
        self._sealed: list[tuple[psycopg.AsyncConnection[Row], list[SnapshotRow]]] = []
        """Snapshots that are not stored yet, by where the events were read."""
        self._kinds = mapper.lane_kinds()
        self._names = texts(list(self._kinds))
        self._keyring = keyring
        self._select_lanes = database.bind(_SELECT_LANES)
        self._select_keys = database.bind(SELECT_KEYS)

    async def load_keys(self, connection: psycopg.AsyncConnection[Row], subjects: Iterable[UUID]) -> None:
        """Admits the keys of subjects whose keys are not known yet."""
        wanted = self._keyring.unsurveyed(subjects)
        if wanted:
            cursor = await connection.execute(self._select_keys, (uuids(wanted),), prepare=True, binary=True)
            self._keyring.admit(wanted, await cursor.fetchall())

    async def load(
        self, connection: psycopg.AsyncConnection[Row], refs: Iterable[LaneRef[Any]], cache: LaneCache | None = None
    ) -> dict[UUID, Lane | None]:
        """Returns the lanes as they are stored now; None for an empty stream.

        Args:
            cache: where lanes may be that lack only their newest events; they are taken from there and brought on.
        """
        # Keyed by the integer of the stream's id, as in the cache.
        wanted = {ref.stream_id.int: ref for ref in refs}
        lanes = {key: cache.take_outdated(key) if cache is not None else None for key in wanted}
        replayed: dict[int, tuple[UUID, int]] = {}
        missing = wanted
        while missing:
            most = max(PORTION // len(missing), PORTION_EACH)
            rows = await self._rows(connection, missing, lanes, most)
            missing = {}
            for key, portion in groupby(rows, _stream):
                of_lane, ref = list(portion), wanted[key]
                lane = lanes[key]
                for row in of_lane:
                    lane = self._apply(lane, row, ref.kind)
                lanes[key] = lane
                events = len(of_lane) - (of_lane[0][5] == _SNAPSHOT)
                replayed[key] = of_lane[-1][4], events + (replayed[key][1] if key in replayed else 0)
                if events == most:
                    missing[key] = ref
        self._seal_long(connection, lanes, replayed)
        return {ref.stream_id: lanes[key] for key, ref in wanted.items()}

    async def _rows(
        self,
        connection: psycopg.AsyncConnection[Row],
        wanted: Mapping[int, LaneRef[Any]],
        lanes: Mapping[int, Lane | None],
        most: int,
    ) -> list[Row]:
        """Returns what comes next for each lane, up to `most` events, and sees to it that the keys are there.

        The rows of a stream stand together, its snapshot first, then its events in their order.
        """
        ids = uuids([ref.stream_id for ref in wanted.values()])
        known = int4s([lane.version if (lane := lanes[key]) else 0 for key in wanted])
        subjects = self._keyring.unsurveyed(ref.subject_id for ref in wanted.values())
        parameters = (ids, known, self._names, ids, known, self._names, most, uuids(subjects))
        cursor = await connection.execute(self._select_lanes, parameters, prepare=True, binary=True)
        rows = await cursor.fetchall()
        if subjects:
            self._keyring.admit(subjects, ((row[4], row[7], row[0], row[11]) for row in rows if row[5] == _KEY))
            rows = [row for row in rows if row[5] != _KEY]
        # A lane may belong to another subject than the caller named (a wrong id); its keys are needed all the same.
        # So are the keys of classes that another process has begun since.
        unknown = self._without_key(rows)
        self._keyring.forget(unknown)
        await self.load_keys(connection, unknown)
        return rows

    def _without_key(self, rows: Iterable[Row]) -> list[UUID]:
        """Returns whose keys are not in memory of those that the rows were sealed with; neighbours share one mostly."""
        unknown: list[UUID] = []
        subject, record_class = -1, ""
        for row in rows:
            row_class = row[7] if row[5] != _SNAPSHOT else _SNAPSHOTS
            if row_class != record_class or row[4].int != subject:
                subject, record_class = row[4].int, row_class
                if not self._keyring.holds(row[4], row_class):
                    unknown.append(row[4])
        return unknown

    def _seal_long(
        self,
        connection: psycopg.AsyncConnection[Row],
        lanes: Mapping[int, Lane | None],
        replayed: Mapping[int, tuple[UUID, int]],
    ) -> None:
        """Seals snapshots of the lanes of which many events were replayed, before anything else changes these."""
        if self._many is None:
            return
        long = [
            (subject_id, lane)
            for key, (subject_id, count) in replayed.items()
            if count >= self._many and self._keyring.holds(subject_id, _SNAPSHOTS) and (lane := lanes[key])
        ]
        if long:
            self._sealed.append((connection, snapshot_rows(long, self._keyring)))

    def forget_snapshots(self) -> None:
        """Leaves out the snapshots that are not stored yet: their key may be one that never will be."""
        self._sealed.clear()

    async def save_snapshots(self) -> None:
        """Stores the snapshots of what was loaded since the last time, so that whoever loads it next is spared.

        To be called when nobody waits for it: not between a load and the append, in which others may get in between,
        and not under the lock. They are stored where the events were read: another server may not have all of these.
        """
        sealed, self._sealed = self._sealed, []
        for connection, rows in sealed:
            if not connection.closed:
                await save_snapshots(connection, self._database, rows)

    def _apply(self, lane: Lane | None, row: Row, kind: type[Lane]) -> Lane:
        if row[5] == _SNAPSHOT:
            return open_snapshot(Entry._make(row), self._kinds, self._keyring)
        try:
            event = self._mapper.open(row, self._keyring)
        except Erased:
            return fold_erased(lane, Entry._make(row), kind)
        return fold(lane, event)


def _stream(row: Row) -> int:
    key: int = row[2].int
    return key
