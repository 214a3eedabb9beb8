"""The alarm of the log: what is stored contradicts what was signed, so nothing more is signed until somebody looked.

It stands in the database (`log_alarm`), so that every host's sealer stops and everybody is told; a sealer that is
started after it and finds everything right ends it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from ledger.errors import HistoryAlarm, NotProven
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ledger.store.database import Database, Row

logger = get_logger(__name__)

_REFUSED = frozenset({"LG001", "23505", "23514"})
"""SQLSTATEs of the log's triggers and constraints: somebody else has written to it."""

_LOOK = "Compare the database with its backups, the published checkpoints and the witnesses."
_STANDING = "SELECT reason FROM {schema}.log_alarm WHERE raised_at >= coalesce(%b::timestamptz, '-infinity')"
_SOUND = "INSERT INTO {schema}.log_alarm (reason) SELECT %b::text WHERE NOT EXISTS (SELECT FROM {schema}.log_alarm)"


def alarm(detail: str) -> HistoryAlarm:
    """Returns what is to be raised where the history contradicts what was signed."""
    return HistoryAlarm(f"Nothing more is sealed. {detail}", help=_LOOK)


@contextmanager
def alarming() -> Iterator[None]:
    """Turns what cannot be proven, and what the log's own triggers refuse, into an alarm."""
    try:
        yield
    except NotProven as error:
        raise alarm(error.detail) from error
    except psycopg.Error as error:
        if error.sqlstate not in _REFUSED:
            raise
        raise alarm("The database refused a change of the log.") from error


@contextmanager
def sounding(connection: psycopg.Connection[Row], database: Database) -> Iterator[None]:
    """Sounds an alarm that is raised inside, for everybody."""
    try:
        yield
    except HistoryAlarm as raised:
        logger.critical(raised.detail, help=raised.help)
        connection.execute(database.bind(_SOUND), (raised.detail,))
        raise


def check_alarm(connection: psycopg.Connection[Row], database: Database, *, since: datetime | None = None) -> None:
    """Passes if no alarm stands, or none that was sounded after a time.

    Raises:
        HistoryAlarm: one does.
    """
    row = connection.execute(database.bind(_STANDING), (since,)).fetchone()
    if row is not None:
        raise HistoryAlarm(row[0], help=_LOOK)


def end_alarm(connection: psycopg.Connection[Row], database: Database) -> None:
    """Ends the alarm, after everything was found right."""
    connection.execute(database.bind("DELETE FROM {schema}.log_alarm"))
