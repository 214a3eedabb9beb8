"""What follows the server: standbys, which acknowledged events wait for, and the receiver of the backup's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.application.doctor.findings import Finding, ok, problem, unknown, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from ledger.store.database import Row

BACKUP_SLOT = "ledger_backup"
"""The replication slot of docs/backup.md."""

_SELECT = """
SELECT current_setting('synchronous_standby_names'), pg_has_role('pg_read_all_stats', 'USAGE'),
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'),
    current_setting('archive_mode') <> 'off',
    (SELECT active FROM pg_replication_slots WHERE slot_name = %s)
"""


def check_standbys(connection: psycopg.Connection[Row], *, required: bool) -> Iterator[Finding]:
    """Yields whether acknowledged events have the second disk that was asked for, and the backup its log.

    Args:
        required: `LEDGER_REQUIRE_SYNC_REPLICA`.
    """
    names, may_look, following, archiving, receiving = connection.execute(_SELECT, (BACKUP_SLOT,)).fetchone() or (
        "", False, 0, False, None,
    )  # fmt: skip
    if not names and required:
        yield problem(
            "standby",
            "The server has no synchronous standby, and LEDGER_REQUIRE_SYNC_REPLICA asks for one: nothing is recorded.",
            "Set synchronous_standby_names (docs/failover.md), or unset LEDGER_REQUIRE_SYNC_REPLICA.",
        )
    elif not names:
        yield ok("standby", "none that acknowledged events wait for; they are on this server's disk")
    elif not may_look:
        yield unknown("standby", "This login may not see who follows the server.", "GRANT pg_monitor to it to see.")
    elif not following:
        yield problem(
            "standby",
            "No synchronous standby follows the server: recording stands still.",
            "Bring it back, or decide to go on without it (docs/failover.md).",
        )
    else:
        yield ok("standby", f"{following} synchronous")
    if receiving is False:
        yield warning(
            "backup",
            "Nobody receives the log of the backup; the server keeps it until its disk is full.",
            f"Start pg_receivewal again, or drop the slot {BACKUP_SLOT} (docs/backup.md).",
        )
    elif archiving or receiving:
        yield ok("backup", "the log is archived" if archiving else "the log is received")
    else:
        yield warning(
            "backup",
            "The log is neither archived nor received: a restore brings back the last copy only.",
            "Run pg_receivewal (docs/backup.md), or set archive_mode = on and an archive_command.",
        )
