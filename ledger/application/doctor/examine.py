"""The examination, from what everything else stands on upwards; what cannot be looked at hides nothing after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ledger.application.doctor import disclosures, keys, log, progress, rights, server, standbys
from ledger.application.doctor.findings import Finding, State, ok, problem, unknown
from ledger.clock import utc_now
from ledger.errors import LedgerError
from ledger.projections.views import all_views
from ledger.store.database import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ledger.settings import Settings
    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyEncryptionKeys

    Look = Callable[[], Iterator[Finding]]


def examine(database: Database, settings: Settings, keks: KeyEncryptionKeys | None) -> Iterator[Finding]:
    """Yields the findings on a database that can be named; the caller has looked at settings and key files.

    Args:
        keks: None where they could not be read, which the caller has told.
    """
    try:
        with translated(), database.connect("owner") as connection:  # as the login itself
            yield ok("database", "answers")
            yield from _examine(connection, database, settings, keks)
    except LedgerError as error:
        yield problem("database", error.detail, error.help)


def _examine(
    connection: psycopg.Connection[Row], database: Database, settings: Settings, keks: KeyEncryptionKeys | None
) -> Iterator[Finding]:
    yield server.check_version(connection.info.server_version)
    yield from _looked("server settings", lambda: server.check_settings(connection))
    required = settings.require_sync_replica
    yield from _looked("standby", lambda: standbys.check_standbys(connection, required=required))
    yield from _looked("connections", lambda: server.check_connections(connection, settings.workers))
    yield from _looked("disk", lambda: server.check_disk(connection, settings.home))
    migrated = list(_looked("migrations", lambda: rights.check_migrations(connection, database)))
    yield from migrated
    if any(finding.state is State.PROBLEM for finding in migrated):
        return
    views = all_views(lambda _field, _value: b"")
    looks: list[tuple[str, Look]] = [
        ("roles", lambda: rights.check_roles(connection, database)),
        ("triggers", lambda: rights.check_triggers(connection, database)),
        ("functions", lambda: rights.check_functions(connection, database)),
        ("clock", lambda: server.check_clock(connection, database, utc_now)),
        ("views", lambda: progress.check_views(connection, database, views)),
        (disclosures.CHECK, lambda: disclosures.check_disclosures(connection, database)),
        ("seal", lambda: log.check_seal(connection, database)),
        ("log keys", lambda: log.check_keys(database, settings)),
        ("seal file", lambda: log.check_anchor(database, settings)),
        ("witnesses", lambda: log.check_witnesses(database, settings)),
    ]
    if keks is not None:
        looks.append(("key-encryption key", lambda: keys.check_kek(database, keks)))
    for check, look in looks:
        yield from _looked(check, look)


def _looked(check: str, look: Look) -> Iterator[Finding]:
    """Yields what a look finds; one that this login may not take, or that fails, is a finding as well."""
    try:
        yield from look()
    except psycopg.errors.InsufficientPrivilege:
        todo = "Run `ledger doctor` with the owner's login in LEDGER_DATABASE_URL to see it."
        yield unknown(check, "This login may not look.", todo)
    except psycopg.Error as error:
        yield problem(check, f"The database refused the look (SQLSTATE {error.sqlstate}).", "See the server's log.")
    except LedgerError as error:
        yield problem(check, error.detail, error.help)
