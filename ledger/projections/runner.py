"""The projector: keeps every view up to date with the history.

One runner per ledger (an advisory lock makes the others wait) decodes each event once and fans it out. Each view has a
transaction and a tracking row of its own: rows and position move together, so a crash at any moment leaves a view that
goes on exactly where it stopped. A view that fails is noted with the event that stopped it and does not hold the others
up; it is tried again from time to time. NOTIFY is a hint to look, polling the guarantee.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from ledger.errors import LedgerError, StoreUnavailable, trace
from ledger.projections.reader import EventReader
from ledger.projections.store import ViewFailed, ViewStore
from ledger.store.database import translated
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from ledger.projections.view import Fact, View
    from ledger.store.database import Database, Row
    from ledger.store.keyring import Keyring
    from ledger.store.mapper import EventMapper

logger = get_logger(__name__)

BATCH = 1_000
POLL_S = 0.1
RETRY_FAILED_S = 10.0
SWAP_PATIENCE_MS = 100
_LEADER = (
    "SELECT pg_try_advisory_lock("
    "(1279543122::bigint << 32) | ('{schema}_projector'::regrole::oid::bigint & 4294967295))"
)


@dataclass(slots=True)
class _Followed:
    """A view as the runner follows it."""

    store: ViewStore
    position: int
    failed_until: float = 0.0


class ProjectionRunner:
    """Applies the history to the views."""

    def __init__(self, database: Database, mapper: EventMapper, keyring: Keyring, views: Sequence[View]) -> None:
        self._database = database
        self._mapper = mapper
        self._keyring = keyring
        self._views = list(views)
        self._reader = EventReader(database, mapper, keyring)
        self._followed: list[_Followed] = []

    def run(self, stop: threading.Event) -> None:
        """Follows the history until `stop` is set; reconnects when the database goes away."""
        while not stop.is_set():
            try:
                with translated(), self._database.connect("projector") as connection:
                    if not self._lead(connection):
                        stop.wait(1.0)
                        continue
                    self.prepare(connection)
                    connection.execute(self._database.bind("LISTEN {schema}"))
                    self._follow(connection, stop)
            except StoreUnavailable as error:
                logger.warning("The projector lost the database.", code=error.code)
                stop.wait(0.5)

    def _lead(self, connection: psycopg.Connection[Row]) -> bool:
        row = connection.execute(self._database.bind(_LEADER)).fetchone()
        return bool(row and row[0])

    def _follow(self, connection: psycopg.Connection[Row], stop: threading.Event) -> None:
        while not stop.is_set():
            if self.advance(connection) == 0:
                for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                    pass

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Brings every view to what is recorded now and returns that position.

        Where another projector leads, it does the work and this waits for it.

        Args:
            progress: called with (position, last position) after each batch.

        Raises:
            ViewFailed: a view cannot go on.
        """
        self._followed = []
        with translated(), self._database.connect("projector") as connection:
            last = self._reader.last_position(connection)
            leads = False
            while (low := self._lowest(connection, last)) < last:
                if not leads and (leads := self._lead(connection)):
                    self.prepare(connection)
                if leads:
                    self.advance(connection, raising=True)
                else:
                    self._check_others(connection)
                    time.sleep(POLL_S)
                if progress is not None:
                    progress(low, last)
        return last

    def _check_others(self, connection: psycopg.Connection[Row]) -> None:
        """Passes if the projector that leads can bring every view on.

        Raises:
            ViewFailed: it has stopped at an event.
        """
        row = connection.execute(
            self._database.bind(
                "SELECT view, failed_position, failure FROM {schema}.tracking WHERE failed_position IS NOT NULL"
            )
        ).fetchone()
        if row is not None:
            raise ViewFailed(row[0], row[1], RuntimeError(row[2]))

    def _lowest(self, connection: psycopg.Connection[Row], last: int) -> int:
        """Returns the position of the view that is furthest behind, as it is stored; -1 where one is not made yet."""
        rows = connection.execute(
            self._database.bind("SELECT view, position, version FROM {schema}.tracking")
        ).fetchall()
        stored = {row[0]: row for row in rows}
        lowest = last
        for view in self._views:
            row = stored.get(view.name)
            if row is None or row[2] != view.version:
                return -1
            lowest = min(lowest, row[1])
        return lowest

    # --- one step ---------------------------------------------------------------------------------------------------

    def prepare(self, connection: psycopg.Connection[Row]) -> None:
        """Reads how far each view is; makes views that are new, and those whose version has changed, anew."""
        self._followed = []
        for view in self._views:
            store = ViewStore(self._database, view, self._reader, self._keyring)
            with connection.transaction():
                row = connection.execute(
                    self._database.bind("SELECT position, version FROM {schema}.tracking WHERE view = %s FOR UPDATE"),
                    (view.name,),
                ).fetchone()
                position = row[0] if row else 0
                if row is None or row[1] != view.version:
                    store.drop(connection)
                    store.create(connection)
                    position = 0
                    connection.execute(
                        self._database.bind(
                            "INSERT INTO {schema}.tracking (view, position, version) VALUES (%s, 0, %s)"
                            " ON CONFLICT (view) DO UPDATE SET position = 0, version = excluded.version,"
                            " failed_position = NULL, failed_at = NULL, failure = NULL"
                        ),
                        (view.name, view.version),
                    )
            self._followed.append(_Followed(store, position))

    def advance(self, connection: psycopg.Connection[Row], *, raising: bool = False) -> int:
        """Applies one batch to the views that are furthest behind, and returns how many events that were."""
        now = time.monotonic()
        healthy = [view for view in self._followed if view.failed_until <= now]
        if not healthy:
            return 0
        low = min(view.position for view in healthy)
        entries = self._reader.entries(connection, low, BATCH)
        if not entries:
            return 0
        try:
            facts = self._reader.facts(connection, entries)
        except LedgerError:
            # Some event of the batch does not open: find it, so that the views stop right before it.
            return self._advance_singly(connection, healthy, low, raising=raising)
        last = entries[-1].position
        for followed in healthy:
            if followed.position < last:
                self._step(connection, followed, facts, (low, last), raising=raising)
        return len(entries)

    def _advance_singly(
        self, connection: psycopg.Connection[Row], healthy: list[_Followed], low: int, *, raising: bool
    ) -> int:
        applied = 0
        for entry in self._reader.entries(connection, low, BATCH):
            behind = [view for view in healthy if view.position < entry.position]
            try:
                facts = self._reader.facts(connection, [entry])
            except LedgerError as error:
                for followed in behind:
                    self._fail(connection, followed, ViewFailed(followed.store.view.name, entry.position, error))
                if raising and behind:
                    raise ViewFailed(behind[0].store.view.name, entry.position, error) from error
                return applied
            for followed in behind:
                self._step(connection, followed, facts, (entry.position - 1, entry.position), raising=raising)
            applied += 1
        return applied

    def _step(
        self,
        connection: psycopg.Connection[Row],
        followed: _Followed,
        facts: list[Fact],
        span: tuple[int, int],
        *,
        raising: bool,
    ) -> None:
        """Moves one view over a span of positions (after, up to): rows and tracking in one transaction."""
        low, last = span
        name = followed.store.view.name
        try:
            with connection.transaction():
                row = connection.execute(
                    self._database.bind("SELECT position FROM {schema}.tracking WHERE view = %s FOR UPDATE"), (name,)
                ).fetchone()
                stored = row[0] if row else 0
                if stored < low:
                    # Somebody set the view back (a rebuild): this batch begins too late for it.
                    followed.position = stored
                    return
                if stored < last:
                    followed.store.apply(connection, [fact for fact in facts if fact.entry.position > stored])
                    connection.execute(
                        self._database.bind(
                            "UPDATE {schema}.tracking SET position = %s, failed_position = NULL, failed_at = NULL,"
                            " failure = NULL WHERE view = %s"
                        ),
                        (last, name),
                    )
            followed.position = max(stored, last)
            followed.failed_until = 0.0
        except ViewFailed as error:
            self._fail(connection, followed, error)
            if raising:
                raise
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            failed = ViewFailed(name, followed.position + 1, error)
            self._fail(connection, followed, failed)
            if raising:
                raise failed from error

    def _fail(self, connection: psycopg.Connection[Row], followed: _Followed, error: ViewFailed) -> None:
        logger.error(error.detail, view=error.view, position=error.position, exception=trace(error))
        followed.failed_until = time.monotonic() + RETRY_FAILED_S
        connection.execute(
            self._database.bind(
                "UPDATE {schema}.tracking SET failed_position = %s, failed_at = clock_timestamp(), failure = %s"
                " WHERE view = %s"
            ),
            (error.position, error.detail, error.view),
        )

    # --- rebuild ----------------------------------------------------------------------------------------------------

    def rebuild(self, view: View, progress: Callable[[int, int], None] | None = None) -> int:
        """Computes a view anew beside the old one and swaps them; readers see the old one until then.

        The swap happens in one transaction that holds the view's tracking row, so a running projector waits for it and
        goes on after it. A crash before it leaves the old view, and a shadow that the next rebuild drops. Two rebuilds
        of one view happen one after the other.

        Returns:
            the position at which the new view took over.
        """
        live = ViewStore(self._database, view, self._reader, self._keyring)
        shadow = ViewStore(self._database, view, self._reader, self._keyring, schema=f"{live.schema}_shadow")
        with translated(), self._database.connect("projector") as connection:
            connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (shadow.schema,))
            with connection.transaction():
                shadow.drop(connection)
                shadow.create(connection)
            position = 0
            last = self._reader.last_position(connection)
            while True:
                while entries := self._reader.entries(connection, position, BATCH):
                    with connection.transaction():
                        shadow.apply(connection, self._reader.facts(connection, entries))
                    position = entries[-1].position
                    if progress is not None:
                        progress(min(position, last), last)
                try:
                    return self._swap(connection, live, shadow, position)
                except psycopg.errors.LockNotAvailable:
                    # Somebody reads the view for long (an audit): let others read, and try again.
                    time.sleep(POLL_S)

    def _swap(self, connection: psycopg.Connection[Row], live: ViewStore, shadow: ViewStore, position: int) -> int:
        """Applies what has come since, and puts the shadow into the place of the live view.

        Raises:
            LockNotAvailable: the live view is being read; nothing was changed. Waiting would hold up later readers.
        """
        view = live.view
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{SWAP_PATIENCE_MS}ms'")
            connection.execute(
                self._database.bind(
                    "INSERT INTO {schema}.tracking (view, position, version) VALUES (%s, 0, %s) ON CONFLICT DO NOTHING"
                ),
                (view.name, view.version),
            )
            connection.execute(
                self._database.bind("SELECT FROM {schema}.tracking WHERE view = %s FOR UPDATE"), (view.name,)
            )
            while entries := self._reader.entries(connection, position, BATCH):
                shadow.apply(connection, self._reader.facts(connection, entries))
                position = entries[-1].position
            live.drop(connection)
            connection.execute(self._database.bind(f"ALTER SCHEMA {shadow.schema} RENAME TO {live.schema}"))
            connection.execute(
                self._database.bind(
                    "UPDATE {schema}.tracking SET position = %s, version = %s, failed_position = NULL,"
                    " failed_at = NULL, failure = NULL WHERE view = %s"
                ),
                (position, view.version, view.name),
            )
        return position
