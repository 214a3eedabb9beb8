"""Whether what was opened is counted and has been compared with what was disclosed, and how that came out."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ledger.application.doctor.findings import Finding, ok, problem, warning
from ledger.application.reconciliation import LOST, coverage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from ledger.store.database import Database, Row

CHECK = "disclosures"
OVERDUE = timedelta(days=2)
"""Comparing is daily work; a day may be missed."""
LATELY = timedelta(days=1)
"""What happened longer ago is told by `ledger reconcile` alone."""

_NEWEST = (
    "SELECT clock_timestamp() - reconciled_at, covered, uncovered, unknown FROM {schema}.reconciliations"
    " ORDER BY id DESC LIMIT 1"
)
_SINCE = "SELECT clock_timestamp() - min(ended_at) FROM {schema}.opening_intervals"
_UNTOLD = (
    "SELECT count(*), max(ended_at) FROM {schema}.opening_intervals i WHERE NOT last"
    " AND ended_at BETWEEN clock_timestamp() - %s AND clock_timestamp() - %s AND NOT EXISTS"
    " (SELECT FROM {schema}.opening_intervals n WHERE n.process = i.process AND n.number = i.number + 1)"
)
_DAILY = "Run `ledger reconcile` daily, from a timer."


def check_disclosures(connection: psycopg.Connection[Row], database: Database) -> Iterator[Finding]:
    """Yields how the newest comparison came out, or that there should have been one."""
    row = connection.execute(database.bind(_NEWEST)).fetchone()
    if row is None:
        counted = connection.execute(database.bind(_SINCE)).fetchone()
        if counted is not None and counted[0] is not None and counted[0] > OVERDUE:
            yield warning(CHECK, "What was opened was never compared with what was disclosed.", _DAILY)
        else:
            yield ok(CHECK, "nothing to compare yet")
        return
    age, covered, uncovered, unknown = row
    if uncovered:
        said = f"{uncovered:,} openings had no disclosure when that was compared last."
        yield problem(CHECK, said, "`ledger reconcile --json` names student, person, process and time.")
    elif age > OVERDUE:
        yield warning(CHECK, f"What was opened was compared with what was disclosed {age.days} days ago.", _DAILY)
    elif (untold := connection.execute(database.bind(_UNTOLD), (LATELY, LOST)).fetchone()) and untold[0]:
        number, newest = untold
        said = f"Processes that told nothing more of what they opened: {number:,}, the newest at {newest:%H:%M:%S} UTC."
        yield warning(CHECK, said, "They were killed, or cannot store their counts: the log of that time says which.")
    else:
        yield ok(CHECK, f"compared {age.days} days ago, coverage {coverage_of(covered, uncovered, unknown):.2%}")
