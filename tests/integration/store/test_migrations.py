"""Numbered migrations: once, in order, whoever starts them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.errors import SettingsError, StoreUnavailable
from ledger.store import migrate as module
from ledger.store.migrate import Migration, migrate, migrations
from tests.support.catalogue import catalogue
from tests.support.postgres import fresh_schema

if TYPE_CHECKING:
    from ledger.store.database import Database, Row

MIGRATE = """
import sys
from ledger.store.database import Database
from ledger.store.migrate import migrate

sys.stdin.readline()
print(migrate(Database(sys.argv[1], sys.argv[2])))
"""


def test_second_run_applies_nothing(empty_db: Database) -> None:
    numbers = [migration.number for migration in migrations()]
    assert migrate(empty_db) == numbers
    before = catalogue(empty_db)
    assert migrate(empty_db) == []
    assert catalogue(empty_db) == before


def test_numbers_are_unique_and_without_gaps() -> None:
    numbers = [migration.number for migration in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_two_processes_at_once_apply_each_migration_once(empty_db: Database) -> None:
    arguments = [sys.executable, "-c", MIGRATE, empty_db.url, empty_db.schema]
    starters = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    outputs = [starter.communicate(timeout=60)[0].strip() for starter in starters]
    assert sorted(outputs) == sorted(["[]", str([migration.number for migration in migrations()])])


def test_changed_wording_is_refused(ledger_db: Database, owner: psycopg.Connection[Row]) -> None:
    owner.execute("UPDATE migrations SET digest = '\\x00' WHERE number = 1")
    with pytest.raises(SettingsError, match="Migration 1 was applied in another wording"):
        migrate(ledger_db)


def test_database_of_a_newer_version_is_refused(ledger_db: Database, owner: psycopg.Connection[Row]) -> None:
    owner.execute("INSERT INTO migrations (number, name, digest) VALUES (9999, 'future', '\\x00')")
    with pytest.raises(SettingsError, match="newer version"):
        migrate(ledger_db)


def test_failed_migration_changes_nothing_and_those_before_it_stay(
    ledger_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = Migration(9998, "fine", "CREATE TABLE {schema}.fine ()")
    broken = Migration(9999, "broken", "CREATE TABLE {schema}.half (); SELECT 1 / 0")
    known = migrations()
    monkeypatch.setattr(module, "migrations", lambda: [*known, fine])
    with fresh_schema(ledger_db.url) as other:
        assert migrate(other)[-1] == fine.number
        wanted = catalogue(other)
    monkeypatch.setattr(module, "migrations", lambda: [*known, fine, broken])
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(ledger_db)
    assert catalogue(ledger_db) == wanted
    monkeypatch.setattr(module, "migrations", lambda: [*known, fine, broken._replace(text="SELECT 1")])
    assert migrate(ledger_db) == [broken.number]


def test_migration_that_needs_a_table_in_use_gives_up_and_goes_on_next_time(
    ledger_db: Database, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    widening = Migration(9999, "widening", "ALTER TABLE {schema}.meta ADD COLUMN more text")
    known = [*migrations(), widening]
    monkeypatch.setattr(module, "migrations", lambda: known)
    monkeypatch.setattr(module, "LOCK_TIMEOUT", "20ms")
    before = catalogue(ledger_db)
    with owner.transaction():
        owner.execute("SELECT * FROM meta")
        with pytest.raises(StoreUnavailable, match="Migration 9999 needs a table that stayed in use"):
            migrate(ledger_db)
    assert catalogue(ledger_db) == before
    assert migrate(ledger_db) == [9999]


def test_migration_that_takes_too_long_is_rolled_back(ledger_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Migration(9999, "slow", "CREATE TABLE {schema}.half (); SELECT pg_sleep(30)")
    known = [*migrations(), slow]
    monkeypatch.setattr(module, "migrations", lambda: known)
    monkeypatch.setattr(module, "STATEMENT_TIMEOUT", "50ms")
    before = catalogue(ledger_db)
    with pytest.raises(StoreUnavailable, match="Migration 9999 took longer than 50ms"):
        migrate(ledger_db)
    assert catalogue(ledger_db) == before


def test_process_that_waits_too_long_for_another_one_says_so(
    ledger_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OTHERS_TIMEOUT", "20ms")
    with ledger_db.connect("owner") as other:
        other.execute("SELECT pg_advisory_lock(%s)", (module._LOCK,))
        with pytest.raises(StoreUnavailable, match="Another process has been migrating"):
            migrate(ledger_db)
    monkeypatch.undo()
    assert migrate(ledger_db) == []


def test_one_release_after_another_gives_the_same_schema_as_all_at_once(
    ledger_db: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = migrations()
    with fresh_schema(postgres_url) as stepwise:
        for count in range(1, len(steps) + 1):
            known = steps[:count]
            monkeypatch.setattr(module, "migrations", lambda known=known: known)
            assert migrate(stepwise) == [known[-1].number]
        assert catalogue(stepwise) == catalogue(ledger_db)


def test_two_ledgers_of_one_database_do_not_touch_each_other(ledger_db: Database) -> None:
    before = catalogue(ledger_db)
    with fresh_schema(ledger_db.url) as other:
        migrate(other)
        assert catalogue(other) == before
    assert catalogue(ledger_db) == before


@pytest.mark.parametrize("role", ["writer", "reader", "projector", "eraser"])
def test_connecting_before_the_first_migration_says_what_to_do(empty_db: Database, role: str) -> None:
    with pytest.raises(SettingsError, match="ledger migrate"):
        empty_db.connect(role)
