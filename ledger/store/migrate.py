"""Numbered migrations, each applied once, in order, by the owner; views have their own (`projections`).

All pending ones run in one transaction under a lock, so two starting processes do not race and a crash leaves the
schema as it was.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from ledger.errors import SettingsError
from ledger.store.database import translated

if TYPE_CHECKING:
    from ledger.store.database import Database

_LOCK = 0x4C45_4447_4D49_4752


def migrations() -> list[tuple[int, str, str]]:
    """Returns every migration as (number, name, SQL), in order."""
    found = []
    for entry in files("ledger.store").joinpath("migrations").iterdir():
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append((int(number), name, entry.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(database: Database) -> list[int]:
    """Brings the ledger's schema up to date and returns the numbers that were applied.

    Raises:
        SettingsError: an applied migration is not the one of this version, or the database is ahead of it.
    """
    applied_now: list[int] = []
    known = migrations()
    with translated(), database.connect("owner") as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(database.bind("CREATE SCHEMA IF NOT EXISTS {schema}"))
        connection.execute(
            database.bind(
                "CREATE TABLE IF NOT EXISTS {schema}.migrations (number integer PRIMARY KEY, name text NOT NULL,"
                " digest bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
            )
        )
        rows = connection.execute(database.bind("SELECT number, digest FROM {schema}.migrations")).fetchall()
        done = {number: bytes(digest) for number, digest in rows}
        if done and max(done) > known[-1][0]:
            raise SettingsError(
                "The database was migrated by a newer version of the ledger.", help="Start that version or a newer one."
            )
        for number, name, text in known:
            digest = hashlib.sha256(text.encode()).digest()
            if number in done:
                if done[number] != digest:
                    raise SettingsError(
                        f"Migration {number} was applied in another wording.",
                        help="A released migration never changes: restore it, and add a new one.",
                    )
                continue
            connection.execute(database.bind(text))
            connection.execute(
                database.bind("INSERT INTO {schema}.migrations (number, name, digest) VALUES (%s, %s, %s)"),
                (number, name, digest),
            )
            applied_now.append(number)
    return applied_now
