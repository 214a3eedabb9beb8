"""The database server: its version and settings, its clock, its connections, its disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.application.doctor.findings import Finding, ok, problem, unknown, warning
from ledger.store.embedded import MAJOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    import psycopg

    from ledger.store.database import Database, Row

SKEW_WARNING_S, SKEW_PROBLEM_S = 2.0, 30.0
BEHIND_PROBLEM_S = 60.0
"""How far the database's clock may be behind the last event before recording stops (see the append function)."""

FREE_WARNING, FREE_PROBLEM = 0.10, 256 * 1024**2

OF_A_WORKER, OF_OTHERS = 8 + 4 + 2 + 2, 8
"""Connections of an API worker at most (pools of readers and writers, executor, tails), and of all others."""

_SETTINGS: tuple[tuple[str, str, str, bool, str], ...] = (
    ("fsync", "off", "an acknowledged event could be lost; the ledger refuses to record", True, "on"),
    ("full_page_writes", "off", "a crash can tear pages; the ledger refuses to record", True, "on"),
    ("synchronous_commit", "off", "other programs lose commits; the ledger's writer sets its own", False, "on"),
    ("wal_level", "minimal", "neither base backups nor standbys are possible", False, "replica"),
    ("data_checksums", "off", "a disk that alters a page is noticed late, by `ledger audit`", False, "on"),
)
"""Name, bad value, what follows, whether that is a problem, and what it should be."""


def check_version(number: int) -> Finding:
    """Returns what to think of a server's version, such as 180001."""
    major = number // 10_000
    if major < int(MAJOR):
        return warning("version", f"The server is PostgreSQL {major}.", f"The ledger is tested with {MAJOR}: upgrade.")
    return ok("version", f"PostgreSQL {major}.{number % 10_000}")


def check_settings(connection: psycopg.Connection[Row]) -> Iterator[Finding]:
    """Yields what the server's settings mean for an acknowledged event."""
    stored: dict[str, str] = dict(connection.execute("SELECT name, reset_val FROM pg_settings").fetchall())
    for name, bad, means, grave, good in _SETTINGS:
        value = stored.get(name, "")
        if value != bad:
            yield ok(name, value)
            continue
        todo = f"Set {name} = {good} in postgresql.conf" + (
            " and restart the server." if name != "data_checksums" else ": `pg_checksums --enable`, server stopped."
        )
        yield (problem if grave else warning)(name, f"{name} is {bad}: {means}.", todo)


def check_clock(
    connection: psycopg.Connection[Row], database: Database, now: Callable[[], datetime]
) -> Iterator[Finding]:
    """Yields whether this machine and the database agree on the time, and the database with the last event."""
    before = now()
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    after = now()
    there: datetime = row[0] if row else before
    away = max((before - there).total_seconds(), (there - after).total_seconds(), 0.0)
    todo = "Let both keep time by NTP (chrony, systemd-timesyncd)."
    said = f"This machine and the database are {away:.1f} s apart."
    if away >= SKEW_PROBLEM_S:
        yield problem("clock", said, f"{todo} Tokens count as expired or not valid yet.")
    elif away >= SKEW_WARNING_S:
        yield warning("clock", said, todo)
    else:
        yield ok("clock", f"within {SKEW_WARNING_S:.0f} s of the database's")
    with database.connect("projector") as reading:
        last = reading.execute(
            "SELECT extract(epoch FROM recorded_at - clock_timestamp())::float FROM events"
            " ORDER BY position DESC LIMIT 1"
        ).fetchone()
    behind = max(last[0], 0.0) if last else 0.0
    if behind > BEHIND_PROBLEM_S:
        yield problem(
            "last event",
            f"The database's clock is {behind:.0f} s behind the last event: recording stops with an alarm.",
            "Set the server's clock right; if it was right before, see how the event got its time: `ledger audit`.",
        )
    elif behind > SKEW_WARNING_S:
        yield warning("last event", f"The database's clock is {behind:.0f} s behind the last event.", todo)
    else:
        yield ok("last event", "not later than the database's clock")


def check_connections(connection: psycopg.Connection[Row], workers: int) -> Iterator[Finding]:
    """Yields whether the server has as many connections as the service may open."""
    row = connection.execute(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true)::int, 0), d.datconnlimit,"
        " CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END"
        " FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = session_user"
    ).fetchone()
    kinds = ("max_connections of the server", "limit of the database", "limit of the login")
    limits = [(limit, kind) for limit, kind in zip(row or (), kinds, strict=False) if limit >= 0]  # -1 is no limit
    least, name = min(limits)
    needed = workers * OF_A_WORKER + OF_OTHERS
    if needed > least:
        yield problem(
            "connections",
            f"{workers} workers may open {needed} connections; there are {least} ({name}).",
            "Raise that limit, or lower LEDGER_WORKERS.",
        )
    else:
        yield ok("connections", f"{needed} needed at most, {least} there")


def free_space(folder: Path) -> tuple[int, int]:
    """Returns the size of a folder's disk and how much of it is free, in bytes."""
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def check_disk(
    connection: psycopg.Connection[Row], home: Path, space: Callable[[Path], tuple[int, int]] = free_space
) -> Iterator[Finding]:
    """Yields how full the disks are that can be seen from here: of the home, and of a database on this machine."""
    row = connection.execute(
        "SELECT CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END,"
        " inet_server_addr() IS NULL OR inet_server_addr() << '127.0.0.0/8'"
    ).fetchone()
    folder, here = row or (None, False)
    if folder and here and Path(folder).is_dir():
        yield _judge("disk of the database", Path(folder), space)
    else:
        yield unknown(
            "disk of the database",
            "It cannot be seen from here.",
            "Watch it where the server runs: full, it stops recording.",
        )
    if home.is_dir():
        yield _judge("disk of LEDGER_HOME", home, space)


def _judge(check: str, folder: Path, space: Callable[[Path], tuple[int, int]]) -> Finding:
    total, free = space(folder)
    said = f"{free / 1024**3:.1f} of {total / 1024**3:.1f} GiB are free."
    if free < FREE_PROBLEM:
        return problem(check, said, "Free some now: when it is full nothing is recorded.")
    if free < total * FREE_WARNING:
        return warning(check, said, "Free some, or give it a larger disk, before it is full.")
    return ok(check, said)
