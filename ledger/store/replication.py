"""What an acknowledgement is worth when the primary has synchronous standbys.

A commit is written on the primary first and waits for the standby then. An operator who cancels that wait or ends the
session, and a primary that crashes in it, leave a commit that everybody sees and no standby has: a failover would lose
it. The server tells whom it cancelled by a warning and calls the commit a success all the same. So an append that came
with this warning counts as one of unknown fate, and whatever is answered because it was *found* is confirmed first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ledger.errors import SettingsError

if TYPE_CHECKING:
    from ledger.store.database import Row

# A transaction that writes something, so that its commit waits for the standbys like any other: standbys receive the
# log in order, so who has this has everything before it. Without synchronous standbys it writes nothing.
CONFIRM = (
    "SELECT pg_logical_emit_message(true, 'ledger', 'confirm') WHERE current_setting('synchronous_standby_names') <> ''"
)
_WAITING = "SyncRepWaitForLSN"
_SETTINGS = (
    "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),"
    " current_setting('synchronous_standby_names')"
)
_WITHOUT_STANDBY = {"on", "remote_write", "remote_apply", "local"}
_WITH_STANDBY = {"on", "remote_apply"}


class NotReplicated(psycopg.OperationalError):
    """The wait for the synchronous standby was cancelled: the commit stands on the primary, and perhaps only there."""


class Warned:
    """Listens on a connection for the warning that a commit did not wait for its standby."""

    __slots__ = ("_connection", "_heard")

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._heard = False
        self._connection = connection
        connection.add_notice_handler(self._notice)

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        # By the place in the server's source: the SQLSTATE is that of any warning, and the text is translated.
        self._heard = self._heard or diagnostic.source_function == _WAITING

    def check(self) -> None:
        """Raises NotReplicated if the warning came since the last check."""
        heard, self._heard = self._heard, False
        if heard:
            raise NotReplicated

    def stop(self) -> None:
        """Listens no more."""
        self._connection.remove_notice_handler(self._notice)


async def confirm(connection: psycopg.AsyncConnection[Row]) -> None:
    """Returns when the synchronous standbys have everything that this connection may have read.

    Raises:
        NotReplicated: the wait was cancelled.
    """
    warned = Warned(connection)
    try:
        await connection.execute(CONFIRM)
    finally:
        warned.stop()
    warned.check()


async def check_durability(connection: psycopg.AsyncConnection[Row], *, standby_required: bool) -> None:
    """Passes where an acknowledged commit is on disk, and on that of the synchronous standbys if there are any.

    Raises:
        SettingsError: the server or the session is set so that an acknowledged event could be lost.
    """
    row = await (await connection.execute(_SETTINGS)).fetchone()
    fsync, full_page_writes, commit, standbys = row or ("", "", "", "")
    for name, value in (("fsync", fsync), ("full_page_writes", full_page_writes)):
        if value != "on":
            raise SettingsError(
                f"The database runs with {name} off; an acknowledged event could be lost.",
                help=f"Set {name} = on in postgresql.conf and restart the database.",
            )
    if commit not in (_WITH_STANDBY if standbys else _WITHOUT_STANDBY):
        raise SettingsError(
            f"The database runs with synchronous_commit {commit}; an acknowledged event could be lost.",
            help="Set synchronous_commit = on, also for the login and the database of LEDGER_DATABASE_URL.",
        )
    if standby_required and not standbys:
        raise SettingsError(
            "The database has no synchronous standby, and LEDGER_REQUIRE_SYNC_REPLICA asks for one.",
            help="Set synchronous_standby_names (docs/failover.md), or unset the variable (one disk then).",
        )
