"""Making views beside what is served, and swapping them in: a new view, a new version of one, or the same anew.

A view is made in a shadow schema with a tracking row of its own. A rebuild that was killed goes on from there; a shadow
of other columns is dropped. Readers see the old rows (or, of a view that never was, a clear 503) until the swap, which
is one short transaction: it holds the view's tracking row, so a running projector waits for it and goes on after it,
and for its last milliseconds the tables, so a reader comes wholly before or wholly after it. Each shadow has one maker
at a time, by an advisory lock on its name.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from ledger.projections import follower, unversioned
from ledger.projections.follower import Follower
from ledger.projections.store import ViewStore, drop_schema, lock_tables
from ledger.projections.tracking import Tracking, lock, try_lock, unlock
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.projections.reader import EventReader
    from ledger.projections.view import View
    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.telemetry.parts import Telemetry

logger = get_logger(__name__)

SWAP_PATIENCE_MS = 100
"""How long a swap waits for readers: as long can it keep further ones from beginning."""
SWAP_PAUSE_S = 0.4
ROW_PATIENCE_S = 10
GAINING = 3
"""Times as many events as are recorded meanwhile that a rebuild must apply to be free to rest."""
LONGEST_REST_S = 0.5
MAX_GAP = 16
"""Batches by which a shadow may be behind when it is swapped in; it begins with one and grows only if need be."""
LINGER_S = 0.25
"""How long what was replaced stays: a reader who found it by its name just before must still find it there."""


class Swapped(NamedTuple):
    """A view that took over.

    Args:
        position: of the last event that it has.
        held_ms: how long readers could not begin to read it.
        paused_ms: how long it was not followed.
    """

    view: str
    position: int
    held_ms: float
    paused_ms: float


class Pace:
    """Leaves half of the time to those who record meanwhile, as long as the rebuild gains on them all the same.

    Args:
        newest: position of the newest event when the rebuild begins.
    """

    def __init__(self, newest: int) -> None:
        self._newest = newest

    def rest(self, done: int, seconds: float, newest: int) -> float:
        """Rests after a batch as long as it took, if somebody recorded meanwhile; returns for how long.

        Args:
            done: events of the batch, and how many `seconds` they took.
            newest: position of the newest event now.
        """
        recorded, self._newest = newest - self._newest, newest
        if not recorded or done < GAINING * recorded:
            return 0.0
        pause = min(seconds, LONGEST_REST_S)
        time.sleep(pause)
        return pause


class Rebuild:
    """Shadows that are being made together, each event decoded once for all of them."""

    def __init__(
        self,
        database: Database,
        reader: EventReader,
        keyring: Keyring,
        telemetry: Telemetry | None = None,
        *,
        raising: bool = False,
    ) -> None:
        self._database = database
        self._reader = reader
        self._keyring = keyring
        self._tracking = Tracking(database)
        self._shadows = Follower(database, reader, telemetry, raising=raising)
        self._gaps: dict[str, int] = {}
        self._goals: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._replaced: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._shadows)

    def position(self) -> int:
        """Returns the position of the shadow that is furthest behind."""
        return min(shadow.position for shadow in self._shadows.views())

    def begin(self, connection: psycopg.Connection[Row], view: View, *, waiting: bool) -> bool:
        """Begins to make a view, or goes on with what another process left.

        Args:
            waiting: until nobody else is making it; otherwise returns False if somebody is.
        """
        store = ViewStore(self._database, view, self._reader, self._keyring, shadow=True)
        if waiting:
            lock(connection, store.schema)
        elif not try_lock(connection, store.schema):
            return False
        with connection.transaction():
            drop_schema(connection, _old(ViewStore(self._database, view, self._reader, self._keyring)))
            position = self._tracking.lock(connection, store)
            if position is None or not store.exists(connection):
                drop_schema(connection, store.schema)
                store.create(connection)
                position = 0
                self._tracking.move(connection, store, position)
            elif position:
                logger.info("A view goes on being made where it was left.", view=view.name, position=position)
        self._shadows.add(store, position)
        self._gaps[view.name] = 1
        self._goals[view.name] = self._reader.last_position(connection)
        return True

    def advance(self, connection: psycopg.Connection[Row]) -> int:
        """Applies one batch to the shadows that are furthest behind, and returns how many events that were.

        Raises:
            ViewFailed: a view cannot go on, if this rebuild raises; its shadow stays.
        """
        return self._shadows.advance(connection)

    def swap(self, connection: psycopg.Connection[Row]) -> list[Swapped]:
        """Swaps in every shadow that has all that was recorded before it was begun here, and lacks little of the rest.

        One that an event has stopped is not, nor one that is behind what is served.
        """
        last = self._reader.last_position(connection)
        swapped = []
        for shadow in self._shadows.views():
            name = shadow.store.view.name
            if (
                shadow.failed_until
                or shadow.position < self._goals[name]
                or last - shadow.position > MAX_GAP * follower.BATCH
                or time.monotonic() < self._not_before.get(name, 0.0)
            ):
                continue
            try:
                done = self._swap(connection, shadow.store, last)
            except psycopg.errors.LockNotAvailable:
                # Somebody reads the view for long (an audit): let others read, and try again.
                self._not_before[name] = time.monotonic() + SWAP_PAUSE_S
                continue
            if done is not None:
                swapped.append(done)
                self._shadows.remove(done.view)
                unlock(connection, shadow.store.schema)
                logger.info("A view took over.", **done._asdict())
        return swapped

    def _swap(self, connection: psycopg.Connection[Row], shadow: ViewStore, last: int) -> Swapped | None:
        """Puts a shadow into its place; returns None where too much is missing for a short transaction.

        What is missing of what is served already is applied under the lock, one batch at most. While it is more, the
        rebuild goes on outside; each time twice as much is allowed, so that it ends sooner under load. Only
        the view's freshness waits for that: its rows can be read until the tables are locked.

        Raises:
            LockNotAvailable: the live view is being read; nothing was changed. Waiting would hold up later readers.
        """
        view = shadow.view
        live = ViewStore(self._database, view, self._reader, self._keyring)
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{ROW_PATIENCE_S}s'")
            served = self._tracking.lock(connection, live)
            began = time.perf_counter()
            position = self._tracking.lock(connection, shadow) or 0
            allowed = self._gaps[view.name] * follower.BATCH
            if served is None:
                served, missing = 0, last - position
            else:
                missing = served - position
            if missing > allowed:
                self._gaps[view.name] = min(2 * self._gaps[view.name], MAX_GAP)
                return None
            while position < served:
                entries = self._reader.entries(connection, position, follower.BATCH, served)
                shadow.apply(connection, self._reader.facts(connection, entries))
                position = entries[-1].position
            connection.execute(f"SET LOCAL lock_timeout = '{SWAP_PATIENCE_MS}ms'")
            locked = time.perf_counter()
            aliases = unversioned.lock_aliases(connection, live.schema)
            if lock_tables(connection, live.schema):
                connection.execute(self._database.bind(f"ALTER SCHEMA {live.schema} RENAME TO {_old(live)}"))
            connection.execute(self._database.bind(f"ALTER SCHEMA {shadow.schema} RENAME TO {live.schema}"))
            unversioned.point(connection, live.schema, aliases)
            self._tracking.forget(connection, *shadow.key[:2], shadow=True)
            self._tracking.move(connection, live, position)
        ended = time.perf_counter()
        return Swapped(view.name, position, (ended - locked) * 1000, (ended - began) * 1000)

    def tidy(self, connection: psycopg.Connection[Row], views: Iterable[View]) -> bool:
        """Drops what was replaced a moment ago, also by a process that was killed; returns whether anything is left."""
        stores = [_old(ViewStore(self._database, view, self._reader, self._keyring)) for view in views]
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", (stores,)).fetchall()
        now = time.monotonic()
        self._replaced = {schema: self._replaced.get(schema, now) for (schema,) in rows}
        left = False
        for schema, since in self._replaced.items():
            left |= now - since < LINGER_S or not drop_alone(connection, schema)
        return left


def _old(live: ViewStore) -> str:
    """Returns the schema of what was served before a swap, for the moment until it is dropped."""
    return f"{live.schema}_old"


def drop_alone(connection: psycopg.Connection[Row], schema: str) -> bool:
    """Drops a schema that nobody looks for any more; returns False, and drops nothing, where somebody reads it."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{SWAP_PATIENCE_MS}ms'")
            lock(connection, schema, transaction=True)
            drop_schema(connection, schema)
    except psycopg.errors.LockNotAvailable:
        return False
    return True
