"""The stock part that follows events: the library's `ProjectionRunner` with one upsert for each of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from ledger.benchmarks.stock import StockStudent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventsourcing.persistence import Tracking

PATIENCE_S = 120.0


class MarksTable(PostgresTrackingRecorder):
    """A table with a row for each mark, moved together with its tracking as the library's documentation shows it."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:  # noqa: ANN401 - as the library declares it
        super().__init__(datastore, **kwargs)
        table = Identifier(datastore.schema, "bench_marks")
        columns = "(student uuid, version int, course uuid, work uuid, value text, PRIMARY KEY (student, version))"
        self.sql_create_statements.append(SQL("CREATE TABLE IF NOT EXISTS {} " + columns).format(table))
        self._upsert = SQL(
            "INSERT INTO {} VALUES (%s, %s, %s, %s, %s) ON CONFLICT (student, version) DO UPDATE"
            " SET value = excluded.value"
        ).format(table)

    def put(self, event: StockStudent.MarkRecorded, tracking: Tracking) -> None:
        """Writes the row of a mark and the tracking in one transaction."""
        row = (event.originator_id, event.originator_version, event.course_id, event.work_id, event.value)
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(self._upsert, row, prepare=True)
            self._insert_tracking(cursor, tracking)


class Marks(Projection[MarksTable]):
    """The journal as the library would have it: in clear, a row for each mark."""

    def process_event(self, domain_event: object, tracking: Tracking) -> None:
        """Passes marks to the table, and the tracking of everything else."""
        if isinstance(domain_event, StockStudent.MarkRecorded):
            self.view.put(domain_event, tracking)
        else:
            self.view.insert_tracking(tracking)


def follow(environment: Mapping[str, str]) -> float:
    """Follows what was recorded since the last time, and returns for how many seconds.

    Raises:
        TimeoutError: it does not reach the end.
    """
    runner: ProjectionRunner[Application[UUID], MarksTable]
    began = time.perf_counter()
    with ProjectionRunner(
        application_class=Application[UUID],
        projection_class=Marks,
        view_class=MarksTable,
        env=dict(environment),
    ) as runner:
        last = runner.app.recorder.max_notification_id()
        runner.wait(last, timeout=PATIENCE_S)
        return time.perf_counter() - began
