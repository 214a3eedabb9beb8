"""One batch of events for several views: read and decoded once, applied to each in a transaction of its own.

Rows and position move together, so a crash at any moment leaves a view that goes on exactly where it stopped. A view
that fails is brought up to right before the event that stopped it, noted with it, and does not hold the others up; it
is tried again from time to time, and goes on by itself once the cause is mended.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from ledger.errors import LedgerError, trace
from ledger.projections.store import ViewFailed
from ledger.projections.tracking import Tracking
from ledger.telemetry.logs import get_logger
from ledger.telemetry.parts import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from ledger.projections.reader import EventReader
    from ledger.projections.store import ViewStore
    from ledger.projections.view import Fact
    from ledger.seal.entry import Entry
    from ledger.store.database import Database, Row

logger = get_logger(__name__)

BATCH = 1_000
RETRY_FAILED_S = 10.0


@dataclass(slots=True)
class Followed:
    """A view as it is followed here; `failed_until` is 0 unless an event has stopped it."""

    store: ViewStore
    position: int
    failed_until: float = 0.0


class Follower:
    """Moves views over the history, those that are furthest behind first.

    Args:
        raising: whether a view that fails is raised to the caller as well; it is noted in any case.
    """

    def __init__(
        self, database: Database, reader: EventReader, telemetry: Telemetry | None = None, *, raising: bool = False
    ) -> None:
        telemetry = telemetry or Telemetry()
        self._metrics = telemetry.metrics.views
        self._keys = telemetry.metrics.keyring
        self._tracing = telemetry.tracing
        self._tracking = Tracking(database)
        self._reader = reader
        self._raising = raising
        self._views: dict[str, Followed] = {}

    def __len__(self) -> int:
        return len(self._views)

    def add(self, store: ViewStore, position: int) -> None:
        """Takes on a view."""
        self._views[store.view.name] = Followed(store, position)

    def remove(self, view: str) -> None:
        """Lets go of a view."""
        del self._views[view]

    def views(self) -> list[Followed]:
        """Returns the views that are followed."""
        return list(self._views.values())

    def advance(self, connection: psycopg.Connection[Row]) -> int:
        """Applies one batch to every view, and returns how many events were read for that.

        Views that are near each other share a batch; one that is far behind does not keep the others waiting.

        Raises:
            ViewFailed: a view cannot go on, if this follower raises.
        """
        now = time.monotonic()
        rest = sorted(
            (view for view in self._views.values() if view.failed_until <= now), key=lambda view: view.position
        )
        done = 0
        while rest:
            low = rest[0].position
            near = [view for view in rest if view.position < low + BATCH]
            rest = rest[len(near) :]
            done += self._advance(connection, near, low)
        return done

    def _advance(self, connection: psycopg.Connection[Row], views: list[Followed], low: int) -> int:
        entries = self._reader.entries(connection, low, BATCH)
        if not entries:
            return 0
        try:
            facts = self._reader.facts(connection, entries)
        except LedgerError:
            # Some event of the batch does not open: find it, so that the views stop right before it.
            return self._advance_singly(connection, views, entries)
        self._keys.used(len(facts), self._reader.loads)
        last = entries[-1].position
        behind = [followed for followed in views if followed.position < last]
        kinds = {type(fact.event) for fact in facts}
        self._pass(connection, [one for one in behind if kinds.isdisjoint(one.store.view.rules)], last)
        for followed in behind:
            if followed.position < last:
                self._step(connection, followed, facts, (low, last))
        return len(entries)

    def _pass(self, connection: psycopg.Connection[Row], views: list[Followed], last: int) -> None:
        """Moves the views whom no event concerns, without a transaction for each; who set one back finds it there."""
        if not views:
            return
        began = time.perf_counter()
        stores = [(followed.store, followed.position) for followed in views]
        moved = self._tracking.move_past(connection, stores, last)
        for followed in views:
            if followed.store.view.name in moved:
                self._metrics.applied(followed.store.view.name, last - followed.position, time.perf_counter() - began)
                followed.position, followed.failed_until = last, 0.0

    def _advance_singly(
        self, connection: psycopg.Connection[Row], views: list[Followed], entries: Iterable[Entry]
    ) -> int:
        applied = 0
        for entry in entries:
            behind = [view for view in views if view.position < entry.position]
            try:
                facts = self._reader.facts(connection, [entry])
            except LedgerError as error:
                failures = [ViewFailed(view.store.view.name, entry.position, error, entry) for view in behind]
                for followed, failed in zip(behind, failures, strict=True):
                    self._fail(connection, followed, failed)
                if self._raising and failures:
                    raise failures[0] from error
                return applied
            for followed in behind:
                self._step(connection, followed, facts, (entry.position - 1, entry.position))
            applied += 1
        return applied

    def _step(
        self, connection: psycopg.Connection[Row], followed: Followed, facts: list[Fact], span: tuple[int, int]
    ) -> None:
        """Moves one view over a span of positions (after, up to); where it fails, up to right before that."""
        low, last = span
        try:
            try:
                self._move(connection, followed, facts, low, last)
            except ViewFailed as error:
                if error.position - 1 > max(low, followed.position):
                    self._move(connection, followed, facts, low, error.position - 1)
                raise
        except ViewFailed as error:
            self._fail(connection, followed, error)
            if self._raising:
                raise

    def _move(
        self, connection: psycopg.Connection[Row], followed: Followed, facts: list[Fact], low: int, last: int
    ) -> None:
        """Rows and tracking in one transaction.

        Raises:
            ViewFailed: nothing was changed.
        """
        store = followed.store
        stored = followed.position
        began = time.perf_counter()
        try:
            with self._span(store.view.name, low, last), connection.transaction():
                stored = self._tracking.lock(connection, store) or 0
                if stored < low:
                    # Somebody set the view back (a rebuild): this batch begins too late for it.
                    followed.position = stored
                    return
                if stored < last:
                    store.apply(connection, [fact for fact in facts if stored < fact.entry.position <= last])
                    self._tracking.move(connection, store, last)
        except ViewFailed:
            raise
        except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction):
            raise
        except (psycopg.Error, LedgerError) as error:
            raise ViewFailed(store.view.name, stored + 1, error) from error
        self._metrics.applied(store.view.name, max(last - stored, 0), time.perf_counter() - began)
        followed.position = max(stored, last)
        followed.failed_until = 0.0

    def _span(self, view: str, low: int, last: int) -> AbstractContextManager[None]:
        return nullcontext() if self._tracing is None else self._tracing.view_batch(view, low, last)

    def _fail(self, connection: psycopg.Connection[Row], followed: Followed, error: ViewFailed) -> None:
        self._metrics.failed(error.view)
        logger.error(error.detail, view=error.view, position=error.position, exception=trace(error))
        followed.failed_until = time.monotonic() + RETRY_FAILED_S
        self._tracking.fail(connection, followed.store, error)
