"""The projector: keeps every view up to date with the history, and makes those that this version does not have yet.

Each version of a view has one leader (an advisory lock on its schema's name), so any number of projectors, also of two
versions of the ledger, may run: each follows its own versions, and those that both have are followed by one of them.
No projector touches a version that is newer than its own. NOTIFY is a hint to look, polling the guarantee.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ledger.errors import StoreUnavailable
from ledger.projections import unversioned
from ledger.projections.follower import BATCH, Follower
from ledger.projections.reader import EventReader
from ledger.projections.rebuild import Pace, Rebuild, Swapped, drop_alone
from ledger.projections.store import ViewFailed, ViewStore
from ledger.projections.tracking import Tracked, Tracking, try_lock, unlock
from ledger.projections.view import schema_of
from ledger.store.database import translated
from ledger.telemetry.logs import get_logger
from ledger.telemetry.parts import Telemetry

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    import psycopg

    from ledger.projections.view import View
    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.store.mapper import EventMapper

logger = get_logger(__name__)

POLL_S = 0.1
REST_S, LONG_REST_S = 0.03, 0.15
"""After a batch that was not full, so that the next one is worth its transactions, one for each view it concerns: the
longer the more events it had (EVENT_S for each). What comes after a quiet moment is followed at once."""
EVENT_S = 0.003
LEAD_S = 1.0
RETIRE_AFTER_S = 600.0
"""How long nobody else may follow an old version of a view before its tables are dropped."""


class ProjectionRunner:
    """Applies the history to the views."""

    def __init__(
        self,
        database: Database,
        mapper: EventMapper,
        keyring: Keyring,
        views: Sequence[View],
        telemetry: Telemetry | None = None,
    ) -> None:
        self._database = database
        self._telemetry = telemetry or Telemetry()
        self._telemetry.metrics.keyring.keys.set_function(lambda: len(keyring))
        self._telemetry.metrics.views.leads.set_function(lambda: len(self._led))
        self._keyring = keyring
        self._views = {view.name: view for view in views}
        self._reader = EventReader(database, mapper, keyring)
        self._tracking = Tracking(database)
        self._begin_anew()

    def _begin_anew(self, *, raising: bool = False) -> None:
        """Forgets what a connection that is gone led."""
        self._live = Follower(self._database, self._reader, self._telemetry, raising=raising)
        self._making = Rebuild(self._database, self._reader, self._keyring, self._telemetry, raising=raising)
        self._led: set[str] = set()
        self._begun: set[str] = set()
        self._old: dict[str, float] = {}

    def _connect(self) -> psycopg.Connection[Row]:
        """Returns a connection whose commits do not wait for the disk, which so is the writers' own.

        What a crash of the database loses of a view, rows and position together, is computed again.
        """
        connection = self._database.connect("projector")
        connection.execute("SET synchronous_commit TO off")
        return connection

    def run(self, stop: threading.Event) -> None:
        """Follows the history until `stop` is set; reconnects when the database goes away."""
        while not stop.is_set():
            try:
                with translated(), self._connect() as connection:
                    self._begin_anew()
                    connection.execute(self._database.bind("LISTEN {schema}"))
                    self._follow(connection, stop)
            except StoreUnavailable as error:
                self._led.clear()
                logger.warning("The projector lost the database.", code=error.code)
                stop.wait(0.5)

    def _follow(self, connection: psycopg.Connection[Row], stop: threading.Event) -> None:
        look_at = 0.0
        while not stop.is_set():
            if time.monotonic() >= look_at:
                self.prepare(connection)
                self._making.tidy(connection, self._views.values())
                self._retire(connection)
                look_at = time.monotonic() + LEAD_S
            done = self.advance(connection)
            if done == 0:
                for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                    pass
            elif done < BATCH and not len(self._making):
                stop.wait(min(max(REST_S, done * EVENT_S), LONG_REST_S))

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Brings every view to what is recorded now and returns that position.

        Where another projector leads a view, it does the work and this waits for it.

        Args:
            progress: called with (position, last position) after each batch.

        Raises:
            ViewFailed: a view cannot go on.
        """
        self._begin_anew(raising=True)
        with translated(), self._connect() as connection:
            last = self._reader.last_position(connection)
            while True:
                low, served = self._lowest(connection)
                if served and low >= last:
                    return last
                self.prepare(connection)
                if self.advance(connection) == 0:
                    self._check_others(connection)
                    time.sleep(POLL_S)
                if progress is not None:
                    progress(low, last)

    def _check_others(self, connection: psycopg.Connection[Row]) -> None:
        """Passes if the projectors that lead can bring every view on.

        Raises:
            ViewFailed: one of them has stopped at an event.
        """
        for row in self._own(connection):
            if row.failed_position is not None and row.view not in self._led:
                error = ViewFailed(row.view, row.failed_position, RuntimeError())
                error.error = row.failed_error or error.error
                raise error

    def _own(self, connection: psycopg.Connection[Row]) -> list[Tracked]:
        """Returns the tracking rows of this version's views."""
        rows = self._tracking.rows(connection)
        return [row for row in rows if row.view in self._views and row.version == self._views[row.view].version]

    def _lowest(self, connection: psycopg.Connection[Row]) -> tuple[int, bool]:
        """Returns the position of the view that is furthest behind, and whether every view is served."""
        live: dict[str, int] = {}
        making: dict[str, int] = {}
        for row in self._own(connection):
            (making if row.shadow else live)[row.view] = row.position
        missing = [view for view in self._views if view not in live]
        return min([*live.values(), *(making.get(view, 0) for view in missing)], default=0), not missing

    # --- one step ---------------------------------------------------------------------------------------------------

    def prepare(self, connection: psycopg.Connection[Row]) -> None:
        """Takes on the views that nobody leads: follows those that are there, begins to make those that are not."""
        for view in self._views.values():
            store = ViewStore(self._database, view, self._reader, self._keyring)
            if view.name not in self._led:
                if not try_lock(connection, store.schema):
                    continue
                self._led.add(view.name)
                self._take_on(connection, store)
            elif view.name in self._begun:
                self._take_on(connection, store)

    def _take_on(self, connection: psycopg.Connection[Row], store: ViewStore) -> None:
        name = store.view.name
        with connection.transaction():
            position = self._tracking.lock(connection, store)
            there = position is not None and store.exists(connection)
        if there and position is not None:
            self._live.add(store, position)
            self._begun.discard(name)
        elif not self._making.begin(connection, store.view, waiting=False):
            self._begun.add(name)  # somebody else is making it: look again

    def advance(self, connection: psycopg.Connection[Row]) -> int:
        """Applies one batch to what is served and one to what is being made; returns how many events that were."""
        done = self._live.advance(connection)
        if len(self._making):
            done += self._making.advance(connection)
            for swapped in self._making.swap(connection):
                store = ViewStore(self._database, self._views[swapped.view], self._reader, self._keyring)
                self._live.add(store, swapped.position)
                done += 1
        return done

    def _retire(self, connection: psycopg.Connection[Row]) -> None:
        """Drops old versions of views whose new one is served, once nobody has followed them for long."""
        served = {row.view for row in self._own(connection) if not row.shadow}
        for row in self._tracking.rows(connection):
            if row.view not in served or row.version >= self._views[row.view].version:
                continue
            schema = schema_of(self._database.schema, row.view, row.version, shadow=row.shadow)
            with self._kept_alone(connection, schema, row.version) as alone:
                if not alone:
                    self._old.pop(schema, None)
                elif time.monotonic() - self._old.setdefault(schema, time.monotonic()) >= RETIRE_AFTER_S:
                    self._drop(connection, schema, row)

    @contextmanager
    def _kept_alone(self, connection: psycopg.Connection[Row], schema: str, version: int) -> Iterator[bool]:
        """Keeps other projectors from a version of a view during the block; yields False where one follows it."""
        with ExitStack() as kept:
            alone = try_lock(connection, schema)
            if alone:
                kept.callback(unlock, connection, schema)  # an old projector that comes back must be able to follow it
            if (
                alone
                and version == unversioned.VERSION
                and (alone := unversioned.try_lock_leader(connection, self._database))
            ):
                kept.callback(unversioned.unlock_leader, connection, self._database)
            yield alone

    def _drop(self, connection: psycopg.Connection[Row], schema: str, row: Tracked) -> None:
        if drop_alone(connection, schema):
            self._tracking.forget(connection, row.view, row.version, shadow=row.shadow)
            logger.info("An old version of a view was dropped.", view=row.view, version=row.version)

    # --- rebuild ----------------------------------------------------------------------------------------------------

    def rebuild(self, views: Sequence[View], progress: Callable[[int, int], None] | None = None) -> list[Swapped]:
        """Computes views anew beside what is served and swaps them in; readers see the old rows until then.

        Views that are rebuilt together have each event decoded once. A rebuild that was killed goes on where it was.

        Args:
            views: of this version.
            progress: called with (position, last position) after each batch.

        Raises:
            ViewFailed: a view cannot be made; those that were swapped in stay, its shadow waits for the next rebuild.
        """
        made: list[Swapped] = []
        with translated(), self._connect() as connection:
            rebuild = Rebuild(self._database, self._reader, self._keyring, self._telemetry, raising=True)
            for view in sorted(views, key=lambda view: view.name):  # in one order, so that two never wait crosswise
                rebuild.begin(connection, view, waiting=True)
            last = self._reader.last_position(connection)
            pace = Pace(last)
            while len(rebuild):
                began = time.perf_counter()
                done = rebuild.advance(connection)
                pace.rest(done, time.perf_counter() - began, self._reader.last_position(connection))
                if progress is not None:
                    progress(min(rebuild.position(), last), last)
                swapped = rebuild.swap(connection)
                made += swapped
                if not done and not swapped:
                    time.sleep(POLL_S)
            if progress is not None:
                progress(last, last)
            while rebuild.tidy(connection, views):
                time.sleep(POLL_S)
        return made

    def missing(self) -> list[View]:
        """Returns the views of this version that are not served yet."""
        with translated(), self._connect() as connection:
            there = {row.view for row in self._own(connection) if not row.shadow}
        return [view for view in self._views.values() if view.name not in there]
