"""Whether the views follow the history, and whether somebody is at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.application.doctor.findings import Finding, ok, problem, warning
from ledger.application.standing import read_standing
from ledger.projections.tracking import LOCK_KEY
from ledger.projections.view import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from ledger.projections.view import View
    from ledger.store.database import Database, Row

BEHIND = 1_000
"""Events that a view may be behind before somebody should look: one batch."""

_HELD = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND ((classid::bigint << 32) | objid::bigint) = "
)


def check_views(connection: psycopg.Connection[Row], database: Database, views: Sequence[View]) -> Iterator[Finding]:
    """Yields how far each view is, what stopped it, and whether a projector leads it."""
    standing = read_standing(database, views)
    for view in views:
        check = f"view {view.name}"
        row = standing.views.get(view.name)
        schema = schema_of(database.schema, view.name, view.version)
        led = held(connection, LOCK_KEY.replace("%s", "%(schema)s"), schema=schema)
        lag = standing.position - row.position if row else standing.position
        if row is not None and row.stopped:
            todo = f"See the projector's log. Run `ledger audit`, mend the cause, or `ledger rebuild {view.name}`."
            yield problem(check, row.stopped, todo)
        elif lag > 0 and not led:
            said = f"It is {lag:,} events behind, and no projector leads it."
            yield problem(check, said, "Start `ledger serve`, or see in its log why the projector does not run.")
        elif not led:
            yield warning(check, "No projector leads it.", "Nothing is missing yet; `ledger serve` starts one.")
        elif lag > BEHIND:
            yield warning(check, f"It is {lag:,} events behind.", "It catches up, or the projector's log says why not.")
        else:
            yield ok(check, f"at position {standing.position - lag:,}")


def held(connection: psycopg.Connection[Row], key: str, **parameters: str) -> bool:
    """Tells whether somebody holds an advisory lock."""
    row = connection.execute((_HELD + key).encode(), parameters).fetchone()
    return bool(row and row[0])
