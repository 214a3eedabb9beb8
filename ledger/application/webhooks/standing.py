"""How all webhooks stand together, as the database has it: figures for metrics, true also while no dispatcher runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Database, Row

# Who has been given up is counted, and behind in nothing: it is told nothing more until somebody resumes it.
_SELECT = """
SELECT w.working, w.failing, w.given_up, coalesce(l.position - w.position, 0),
    coalesce((
        SELECT greatest(extract(epoch FROM clock_timestamp() - e.recorded_at), 0)::float8
        FROM {schema}.events e WHERE e.position > w.position ORDER BY e.position LIMIT 1
    ), 0)
FROM (
    SELECT count(*) FILTER (WHERE failures = 0) AS working,
        count(*) FILTER (WHERE failures > 0 AND given_up_at IS NULL) AS failing,
        count(*) FILTER (WHERE given_up_at IS NOT NULL) AS given_up,
        min(position) FILTER (WHERE given_up_at IS NULL) AS position
    FROM {schema}.webhooks
) w, (SELECT coalesce(max(position), 0) AS position FROM {schema}.events) l
"""


class WebhooksStanding(NamedTuple):
    """How many webhooks take what they are sent, do not at present, or were given up; and how far they are behind.

    Args:
        pending: events that the webhook furthest behind has not been told of, of those that were not given up.
        lag_s: how long ago the first of them was recorded; 0 where there is none.
    """

    working: int
    failing: int
    given_up: int
    pending: int
    lag_s: float


def read_webhooks_standing(connection: psycopg.Connection[Row], database: Database) -> WebhooksStanding:
    """Returns how they stand, on a connection of the projector role; one that no dispatcher has seen is not counted."""
    row = connection.execute(database.bind(_SELECT)).fetchone()
    working, failing, given_up, pending, lag_s = row or (0, 0, 0, 0, 0.0)
    return WebhooksStanding(working, failing, given_up, max(pending, 0), lag_s)
