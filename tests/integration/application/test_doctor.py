"""The doctor: each thing that can be wrong is made wrong on a real server, found, and told with what to do."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ledger.application.doctor import keys, progress, rights, server
from ledger.application.doctor.examine import examine
from ledger.application.doctor.findings import Finding, State
from ledger.clock import utc_now
from ledger.errors import LedgerError
from ledger.projections.views import all_views
from ledger.settings import Settings
from ledger.store.database import Database
from ledger.store.keyring import KeyEncryptionKeys, Keyring
from ledger.store.migrate import migrations
from tests.support.api import projecting
from tests.support.cluster import Server, a_folder
from tests.support.postgres import own_ledger
from tests.support.tampering import FLIPPED, in_events
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.bootstrap import Foundation
    from ledger.store.database import Row
    from tests.support.desk import Desk

Found = dict[str, list[Finding]]


@pytest.fixture
def ledger_db(postgres_url: str, keks: KeyEncryptionKeys) -> Iterator[Database]:
    """With roles of its own: tests change them."""
    with own_ledger(postgres_url, keks) as database:
        yield database


def by_check(findings: Iterator[Finding]) -> Found:
    found: Found = defaultdict(list)
    for finding in findings:
        assert finding.what
        assert finding.help or finding.state in {State.OK, State.UNKNOWN}, finding
        found[finding.check].append(finding)
    return found


def examined(database: Database, home: Path, keks: KeyEncryptionKeys | None = None, **settings: int) -> Found:
    return by_check(examine(database, Settings(home=home, **settings), keks))  # type: ignore[arg-type]  # whole numbers


def problems(found: Found) -> dict[str, str]:
    return {
        check: "\n".join(finding.what for finding in findings if finding.state is State.PROBLEM)
        for check, findings in found.items()
        if any(finding.state is State.PROBLEM for finding in findings)
    }


def run(database: Database, *statements: str) -> None:
    with database.connect("owner") as owner:
        for statement in statements:
            owner.execute(sql.SQL(statement.replace("{schema}", database.schema)))


def test_new_ledger_is_healthy_and_lacks_only_those_who_follow_it(
    ledger_db: Database, tmp_path: Path, keks: KeyEncryptionKeys
) -> None:
    found = examined(ledger_db, tmp_path, keks)
    assert problems(found) == {}
    assert {check for check, findings in found.items() if findings[0].state is State.OK} >= {
        "database", "version", "fsync", "full_page_writes", "wal_level", "connections", "migrations", "roles", "rights",
        "triggers", "functions", "clock", "last event", "key-encryption key", "epochs", "disk of LEDGER_HOME",
    }  # fmt: skip
    assert found["view journals"][0].what == "No projector leads it."
    assert found["seal"][0].state is State.WARNING


def test_doctor_knows_every_role_that_the_migrations_make(ledger_db: Database, owner: psycopg.Connection[Row]) -> None:
    rows = owner.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (ledger_db.schema + "_",))
    assert {row[0].removeprefix(ledger_db.schema + "_") for row in rows} == set(rights.ROLES)


# --- rights ----------------------------------------------------------------------------------------------------------


def test_every_right_to_change_the_history_is_named_with_who_has_it(ledger_db: Database, tmp_path: Path) -> None:
    run(
        ledger_db,
        "GRANT UPDATE ON {schema}.events TO {schema}_reader",
        "GRANT DELETE ON {schema}.events TO {schema}_projector",
        "GRANT TRUNCATE ON {schema}.commands TO {schema}_eraser",
        "GRANT TRIGGER ON {schema}.events TO {schema}_writer",
        "GRANT INSERT ON {schema}.events TO {schema}_sealer",
        "GRANT UPDATE (topic) ON {schema}.events TO {schema}_writer",
    )
    name, found = ledger_db.schema, examined(ledger_db, tmp_path)
    assert {finding.what for finding in found["rights"]} == {
        f"{name}_reader may UPDATE on {name}.events.",
        f"{name}_projector may DELETE on {name}.events.",
        f"{name}_eraser may TRUNCATE on {name}.commands.",
        f"{name}_writer may TRIGGER on {name}.events.",
        f"{name}_sealer may INSERT on {name}.events.",
        f"{name}_writer may UPDATE on {name}.events.",
    }
    for finding in found["rights"]:
        assert finding.state is State.PROBLEM
        assert "REVOKE" in finding.help


def test_right_of_everybody_is_found(ledger_db: Database, tmp_path: Path) -> None:
    run(ledger_db, "GRANT DELETE ON {schema}.commands TO PUBLIC")
    assert f"{ledger_db.schema}_reader may DELETE" in problems(examined(ledger_db, tmp_path))["rights"]


def test_roles_with_more_than_their_part_are_found(ledger_db: Database, tmp_path: Path) -> None:
    name = ledger_db.schema
    run(
        ledger_db,
        "ALTER ROLE {schema}_reader SUPERUSER",
        "ALTER ROLE {schema}_projector CREATEROLE",
        "CREATE ROLE {schema}_owner",
        "ALTER TABLE {schema}.events OWNER TO {schema}_owner",
        "GRANT {schema}_owner TO {schema}_writer",
        "DROP OWNED BY {schema}_eraser",
        "DROP ROLE {schema}_eraser",
    )
    told = problems(examined(ledger_db, tmp_path))["roles"]
    run(ledger_db, "ALTER TABLE {schema}.events OWNER TO postgres", "DROP ROLE {schema}_owner")
    assert f"The role {name}_reader has SUPERUSER." in told
    assert f"The role {name}_projector has BYPASSRLS, CREATEROLE or REPLICATION." in told
    assert f"The role {name}_writer can become the owner of the history." in told
    assert f"The role {name}_eraser does not exist." in told


@pytest.fixture
def poor_login(ledger_db: Database) -> Iterator[Database]:
    """The ledger by a login that may read views and nothing else."""
    login = f"{ledger_db.schema}_clerk"
    run(ledger_db, f"CREATE ROLE {login} LOGIN", f"GRANT {{schema}}_reader TO {login}")
    try:
        yield replace(ledger_db, url=make_conninfo(ledger_db.url, user=login))
    finally:
        run(ledger_db, f"DROP ROLE {login}")


def test_login_that_lacks_roles_is_told_which_and_what_it_cannot_see(poor_login: Database, tmp_path: Path) -> None:
    found = examined(poor_login, tmp_path)
    assert found["migrations"][0].state is State.UNKNOWN
    assert found["disk of the database"][0].state is State.UNKNOWN
    told = problems(found)["roles"]
    for role in ("writer", "projector", "sealer"):
        assert f"This login cannot work as {poor_login.schema}_{role}." in told
    assert "_reader" not in told
    assert "_eraser" not in told


def test_triggers_that_are_off_gone_or_circumvented_are_found(ledger_db: Database, tmp_path: Path) -> None:
    run(
        ledger_db,
        "ALTER TABLE {schema}.events DISABLE TRIGGER events_refuse_change",
        "DROP TRIGGER commands_refuse_truncate ON {schema}.commands",
        "ALTER TABLE {schema}.events ENABLE REPLICA TRIGGER events_refuse_truncate",
        "ALTER ROLE {schema}_writer SET session_replication_role = replica",
    )
    told = problems(examined(ledger_db, tmp_path))["triggers"]
    assert "The trigger events_refuse_change on events is switched off." in told
    assert "The trigger events_refuse_truncate on events is switched off." in told
    assert "The trigger commands_refuse_truncate on commands is missing." in told
    assert f"session_replication_role switches triggers off for {ledger_db.schema}_writer" in told


def test_functions_that_were_opened_up_are_found(ledger_db: Database, tmp_path: Path) -> None:
    name = ledger_db.schema
    run(
        ledger_db,
        "ALTER FUNCTION {schema}.append RESET search_path",
        "GRANT EXECUTE ON FUNCTION {schema}.append TO {schema}_reader",
        "GRANT CREATE ON SCHEMA {schema} TO {schema}_projector",
        "ALTER FUNCTION {schema}.refuse_change OWNER TO {schema}_projector",
    )
    told = problems(examined(ledger_db, tmp_path))["functions"]
    assert "append runs as its owner with the caller's search_path." in told
    assert f"append may be executed by {name}_reader." in told
    assert "refuse_change does not belong to the owner of the history." in told
    run(
        ledger_db,
        "CREATE OR REPLACE FUNCTION {schema}.only_grow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    )
    assert (
        "The function only_grow is not as the migrations wrote it."
        in problems(examined(ledger_db, tmp_path))["functions"]
    )
    run(ledger_db, "DROP FUNCTION {schema}.append")
    assert "The function append is missing." in problems(examined(ledger_db, tmp_path))["functions"]


# --- migrations ------------------------------------------------------------------------------------------------------


def test_schema_that_is_not_there_or_behind_or_ahead_or_reworded_is_told(
    empty_db: Database, ledger_db: Database, tmp_path: Path
) -> None:
    last = migrations()[-1].number
    assert problems(examined(empty_db, tmp_path))["migrations"].startswith("Not applied yet: 1")
    run(ledger_db, f"DELETE FROM {{schema}}.migrations WHERE number = {last}")
    found = examined(ledger_db, tmp_path)
    assert problems(found) == {"migrations": f"Not applied yet: {last}."}
    assert "ledger migrate" in found["migrations"][0].help
    run(ledger_db, "INSERT INTO {schema}.migrations (number, name, digest) VALUES (9999, 'later', '')")
    assert "newer version" in problems(examined(ledger_db, tmp_path))["migrations"]
    run(ledger_db, "DELETE FROM {schema}.migrations WHERE number = 9999", "UPDATE {schema}.migrations SET digest = ''")
    assert "another wording" in problems(examined(ledger_db, tmp_path))["migrations"]


# --- server ----------------------------------------------------------------------------------------------------------


def test_database_that_does_not_answer_is_the_only_finding(tmp_path: Path) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nowhere", "ledger")
    assert list(problems(examined(away, tmp_path))) == ["database"]


def test_server_that_could_lose_what_it_acknowledged_is_told_from_one_that_is_merely_careless(tmp_path: Path) -> None:
    with a_folder() as folder:
        careless = Server(folder, "a")
        careless.create()
        careless.configure("fsync = off\nfull_page_writes = off\nsynchronous_commit = off")
        careless.configure("wal_level = minimal\nmax_wal_senders = 0\narchive_mode = off")
        careless.start()
        careless.run_sql("CREATE DATABASE ledger")
        found = examined(Database(careless.url, "ledger"), tmp_path)
        careless.stop("immediate")
    told = problems(found)
    assert {"fsync", "full_page_writes", "migrations"} == set(told)
    warned = {check for check, findings in found.items() if findings[0].state is State.WARNING}
    assert {"synchronous_commit", "wal_level", "backup"} <= warned
    assert found["disk of the database"][0].state in {State.OK, State.WARNING}


@pytest.mark.parametrize(("number", "state"), [(180004, State.OK), (170009, State.WARNING), (190001, State.OK)])
def test_version_that_is_older_than_what_is_tested_is_a_warning(number: int, state: State) -> None:
    assert server.check_version(number).state is state


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(0, State.OK), (5, State.WARNING), (-5, State.WARNING), (300, State.PROBLEM), (-300, State.PROBLEM)],
)
def test_clocks_that_disagree_are_told(
    ledger_db: Database, owner: psycopg.Connection[Row], seconds: int, state: State
) -> None:
    found = by_check(server.check_clock(owner, ledger_db, lambda: utc_now() + timedelta(seconds=seconds)))
    assert found["clock"][0].state is state


async def test_event_from_the_future_is_told_before_recording_stops(desk: Desk, tmp_path: Path) -> None:
    in_events(desk.base.database, "UPDATE events SET recorded_at = recorded_at + interval '5 minutes'")
    assert "recording stops with an alarm" in problems(examined(desk.base.database, tmp_path))["last event"]


def test_more_workers_than_connections_are_told(ledger_db: Database, tmp_path: Path) -> None:
    found = examined(ledger_db, tmp_path, workers=64)
    assert "64 workers may open" in problems(found)["connections"]
    assert "LEDGER_WORKERS" in found["connections"][0].help


def test_full_disk_is_told_before_it_is_full(owner: psycopg.Connection[Row], tmp_path: Path) -> None:
    gib = 1024**3
    for free, state in ((500 * gib, State.OK), (50 * gib, State.WARNING), (gib // 5, State.PROBLEM)):
        looked = by_check(server.check_disk(owner, tmp_path, lambda _folder, free=free: (1000 * gib, free)))  # type: ignore[misc]  # bound now
        assert {check: findings[0].state for check, findings in looked.items()} == {
            "disk of the database": state,
            "disk of LEDGER_HOME": state,
        }
    total, free = server.free_space(tmp_path)
    assert 0 < free <= total


# --- keys ------------------------------------------------------------------------------------------------------------


def test_wrong_key_encryption_key_is_told(ledger_db: Database, tmp_path: Path) -> None:
    found = examined(ledger_db, tmp_path, KeyEncryptionKeys({1: os.urandom(32)}))
    assert "does not open with the key-encryption key of epoch 1" in problems(found)["key-encryption key"]
    missing = examined(ledger_db, tmp_path, KeyEncryptionKeys({2: os.urandom(32)}))
    assert "epoch 1 is missing" in problems(missing)["key-encryption key"]


async def test_epochs_of_stored_data_keys_must_be_here_and_fit(desk: Desk, tmp_path: Path) -> None:
    await desk.enrols(1)
    database = desk.base.database
    first = b"\x01" * 32
    _, row = Keyring(KeyEncryptionKeys({2: first})).create(desk.school, "marks")
    with database.connect("owner") as owner:
        owner.execute("INSERT INTO data_keys VALUES (%s, %s, %s, %s)", row)
    assert problems(examined(database, tmp_path, desk.base.keks))["epochs"] == (
        "Data keys of epoch 2 are stored; its key is not here."
    )
    assert desk.base.keks.epochs == {1}


def test_key_files_are_missed_checked_and_must_be_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "kek"

    def read() -> None:
        KeyEncryptionKeys.parse(path.read_text())

    def look(*, made: bool = False) -> Finding:
        (finding,) = keys.check_file("key file", path, read, made=made, command="ledger keygen")
        return finding

    assert look().state is State.PROBLEM
    assert "ledger keygen" in look().help
    assert look(made=True).state is State.OK
    KeyEncryptionKeys.generate(path)
    assert look().state is State.OK
    path.chmod(0o644)
    assert look().state is State.WARNING
    tmp_path.chmod(0o700)
    assert look().state is State.OK
    path.write_text("1 canary")
    assert look().state is State.PROBLEM
    assert "canary" not in look().what + look().help


# --- what follows the history ----------------------------------------------------------------------------------------


async def test_views_that_are_led_and_up_to_date_are_well(desk: Desk, tmp_path: Path) -> None:
    await desk.enrols(1)
    behind = problems(examined(desk.base.database, tmp_path))
    assert "events behind, and no projector leads it." in behind["view rosters"]

    def views() -> set[State]:
        found = examined(desk.base.database, tmp_path)
        return {findings[0].state for check, findings in found.items() if check.startswith("view ")}

    with projecting(desk.base):
        await until(lambda: views() == {State.OK})
        found = examined(desk.base.database, tmp_path)
    assert "events are not sealed, and no sealer runs." in problems(found)["seal"]


async def test_view_that_an_event_stopped_is_told_with_its_position(desk: Desk, tmp_path: Path) -> None:
    await desk.marks(*await desk.enrols(1))
    in_events(desk.base.database, f"UPDATE events SET state = {FLIPPED.format('state')} WHERE topic = 'marks.recorded'")
    with pytest.raises(LedgerError):
        await desk.catches_up()
    found = examined(desk.base.database, tmp_path)
    assert "It was stopped by the event at position" in problems(found)["view journals"]
    assert "ledger rebuild journals" in found["view journals"][0].help


async def test_view_that_is_far_behind_its_projector_is_a_warning(
    base: Foundation, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = all_views(lambda _field, _value: b"")
    with projecting(base), base.database.connect("owner") as owner:

        def states() -> set[State]:
            return {finding.state for finding in progress.check_views(owner, base.database, views)}

        await until(lambda: states() == {State.OK})
        monkeypatch.setattr(progress, "BEHIND", -1)
        assert states() == {State.WARNING}


def test_alarm_of_the_sealer_is_told(ledger_db: Database, tmp_path: Path) -> None:
    run(ledger_db, "INSERT INTO {schema}.log_alarm (reason) VALUES ('The log does not continue what was signed.')")
    assert problems(examined(ledger_db, tmp_path))["seal"] == "The log does not continue what was signed."
