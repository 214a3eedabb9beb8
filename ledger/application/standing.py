"""Where the history and its views stand, as the database has it: true also while a projector is dead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg import sql

from ledger.application.reconciliation import coverage_of
from ledger.application.webhooks.standing import WebhooksStanding, read_webhooks_standing
from ledger.errors import LedgerError
from ledger.projections.requests.projection import REQUESTS
from ledger.projections.tracking import Tracking
from ledger.store.database import translated
from ledger.store.log_troubles import read_troubles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.core import Metric

    from ledger.projections.tracking import Tracked
    from ledger.projections.view import View
    from ledger.store.database import Database, Row

PATIENCE_MS = 2_000
_OVERDUE = "SELECT count(*) FROM {}.requests WHERE answered_on IS NULL AND due_on < (now() AT TIME ZONE %s)::date"
_RECONCILED = "SELECT reconciled_at, covered, uncovered, unknown FROM {schema}.reconciliations ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Standing:
    """The last position, the seal, the webhooks, and every view: as served, or as it is made where it is not yet."""

    position: int
    views: Mapping[str, Tracked]
    sealed: int
    alarmed: bool
    troubles: tuple[str, ...]
    """Who contradicts the log without proof (a witness), or does not start (the sealer)."""
    webhooks: WebhooksStanding
    reconciled: Reconciled | None
    """What `ledger reconcile` found last; None where it has not run yet."""
    overdue: int | None
    """How many requests nobody answered in time; None while their view is not served."""


class Reconciled(NamedTuple):
    """When openings and disclosures were compared, how many openings had none, and the share that is known to have."""

    at: datetime
    uncovered: int
    coverage: float


def read_standing(database: Database, views: Iterable[View], timezone: str = "UTC") -> Standing:
    """Returns where the history and these versions of the views stand, on a connection of its own.

    Args:
        database: of the ledger.
        views: that this process knows.
        timezone: of the school's calendar day, by which a request is overdue.

    Raises:
        LedgerError: the database does not answer, or does not let us look.
    """
    with translated(), database.connect("projector") as connection:
        connection.execute(f"SET statement_timeout = {PATIENCE_MS}")
        # The views first: they never get ahead of what is read after them.
        rows = Tracking(database).rows(connection)
        last = connection.execute(database.bind("SELECT coalesce(max(position), 0) FROM {schema}.events")).fetchone()
        webhooks = read_webhooks_standing(connection, database)
    with translated(), database.connect("reader") as connection:
        seal = connection.execute(
            database.bind(
                "SELECT (SELECT coalesce(max(size), 0) FROM {schema}.log_checkpoints),"
                " EXISTS (SELECT FROM {schema}.log_alarm)"
            )
        ).fetchone()
        compared = connection.execute(database.bind(_RECONCILED)).fetchone()
        troubles = tuple(trouble.name for trouble in read_troubles(connection, database))
        versions = {view.name: view for view in views}
        own = [row for row in rows if row.view in versions and versions[row.view].version == row.version]
        made = {row.view: row for row in own if row.shadow}
        served = {row.view: row for row in own if not row.shadow}
        overdue = None
        if REQUESTS.name in served:
            schema = sql.Identifier(versions[REQUESTS.name].schema(database.schema))
            counted = connection.execute(sql.SQL(_OVERDUE).format(schema), (timezone,)).fetchone()
            overdue = counted[0] if counted else None
    sealed, alarmed = seal or (0, False)
    return Standing(
        last[0] if last else 0, made | served, sealed, alarmed, troubles, webhooks, _compared(compared), overdue
    )


def _compared(row: Row | None) -> Reconciled | None:
    if row is None:
        return None
    at, covered, uncovered, unknown = row
    return Reconciled(at, uncovered, coverage_of(covered, uncovered, unknown))


class HistoryCollector(Collector):
    """The standing as metrics, read when somebody scrapes."""

    def __init__(self, database: Database, views: Iterable[View], timezone: str = "UTC") -> None:
        self._database = database
        self._timezone = timezone
        self._views = list(views)

    def describe(self) -> Iterable[Metric]:
        """Names the metrics without asking the database."""
        return self._families(None)

    def collect(self) -> Iterable[Metric]:
        """Reads the standing; without a database only that it is down."""
        try:
            return self._families(read_standing(self._database, self._views, self._timezone))
        except LedgerError:
            return self._families(None)

    @staticmethod
    def _families(standing: Standing | None) -> list[Metric]:
        up = GaugeMetricFamily("ledger_database_up", "1 if the database answers.")
        last = GaugeMetricFamily("ledger_last_position", "Position of the last recorded event.")
        by = ["view"]
        position = GaugeMetricFamily("ledger_view_position", "Position that a view has reached.", labels=by)
        lag = GaugeMetricFamily("ledger_view_lag_events", "Events that a view is behind the history.", labels=by)
        failed = GaugeMetricFamily(
            "ledger_view_failed_position", "Position of the event that stopped a view; 0 where none did.", labels=by
        )
        sealed = GaugeMetricFamily("ledger_sealed_events", "Events under the newest checkpoint.")
        alarm = GaugeMetricFamily("ledger_seal_alarm", "1 after the history contradicted what was signed.")
        trouble = GaugeMetricFamily(
            "ledger_log_trouble",
            "1 while a witness contradicts the log without proof, or the sealer waits for its key or its file.",
            labels=["source"],
        )
        webhooks = GaugeMetricFamily("ledger_webhooks", "Webhooks by what becomes of their messages.", labels=["state"])
        pending = GaugeMetricFamily(
            "ledger_webhook_pending_events", "Events that the webhook furthest behind has not been told of."
        )
        age = GaugeMetricFamily("ledger_webhook_lag_seconds", "Time since the first of them was recorded.")
        coverage = GaugeMetricFamily(
            "ledger_disclosure_coverage",
            "Share of openings known to have been disclosed, by the newest reconciliation.",
        )
        uncovered = GaugeMetricFamily(
            "ledger_undisclosed_openings", "Openings without a disclosure that the newest reconciliation found."
        )
        compared = GaugeMetricFamily(
            "ledger_reconciled_timestamp_seconds", "When openings and disclosures were compared last."
        )
        overdue = GaugeMetricFamily("ledger_requests_overdue", "Requests that nobody answered in time.")
        up.add_metric([], float(standing is not None))
        if standing is not None and standing.overdue is not None:
            overdue.add_metric([], standing.overdue)
        if standing is not None and standing.reconciled is not None:
            coverage.add_metric([], standing.reconciled.coverage)
            uncovered.add_metric([], standing.reconciled.uncovered)
            compared.add_metric([], standing.reconciled.at.timestamp())
        if standing is not None:
            sealed.add_metric([], standing.sealed)
            alarm.add_metric([], standing.alarmed)
            for source in standing.troubles:
                trouble.add_metric([source], 1)
            last.add_metric([], standing.position)
            for state in ("working", "failing", "given_up"):
                webhooks.add_metric([state], getattr(standing.webhooks, state))
            pending.add_metric([], standing.webhooks.pending)
            age.add_metric([], standing.webhooks.lag_s)
            for name, view in standing.views.items():
                position.add_metric([name], view.position)
                lag.add_metric([name], max(standing.position - view.position, 0))
                failed.add_metric([name], view.failed_position or 0)
        return [
            up,
            last,
            position,
            lag,
            failed,
            sealed,
            alarm,
            trouble,
            webhooks,
            pending,
            age,
            coverage,
            uncovered,
            compared,
            overdue,
        ]
