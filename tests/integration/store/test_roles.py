"""What each role may do: none may change the history, and the owner is refused as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.store.migrate import migrate
from tests.support.appending import Row1, call, columns, foreign
from tests.support.postgres import ROLES, fresh_ledger, fresh_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyEncryptionKeys

INSERT = (
    "INSERT INTO events SELECT 99, gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 't', now(), 'c', 1, '',"
    " '', ''"
)
CHANGES = {
    "update": "UPDATE events SET topic = 'altered'",
    "update of nothing": "UPDATE events SET topic = 'altered' WHERE false",
    "delete": "DELETE FROM events",
    "truncate": "TRUNCATE events",
}
COMMANDS = {
    name: text.replace("events", "commands").replace("topic = 'altered'", "count = 1") for name, text in CHANGES.items()
}
FORBIDDEN_TO_READ = {
    "reader": (
        "openings",
        "opening_intervals",
        "webhook_secrets",
        "events",
        "stored_events",
        "commands",
        "data_keys",
        "secrets",
        "snapshots",
    ),
    "projector": ("stored_events", "commands", "snapshots"),
    "eraser": (
        "openings",
        "opening_intervals",
        "reconciliations",
        "webhooks",
        "webhook_secrets",
        "events",
        "stored_events",
        "commands",
        "secrets",
    ),
    "writer": ("openings", "opening_intervals", "reconciliations"),
}


@pytest.fixture(scope="module")
def history(postgres_url: str, keks: KeyEncryptionKeys) -> Iterator[Database]:
    """A ledger with one event and one idempotency row; nearly all that is tried on it is refused."""
    with fresh_ledger(postgres_url, keks) as database:
        foreign(database)
        with database.connect("owner") as owner:
            owner.execute("INSERT INTO commands SELECT '\\x01', gen_random_uuid(), '\\x01', 1, 1")
        yield database


@pytest.fixture
def owner(history: Database) -> Iterator[psycopg.Connection[Row]]:
    with history.connect("owner") as connection:
        yield connection


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("statement", [*CHANGES.values(), INSERT, *COMMANDS.values()])
def test_no_role_of_the_service_changes_the_history(history: Database, role: str, statement: str) -> None:
    with history.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize("what", ["update", "delete", "truncate"])
@pytest.mark.parametrize("statements", [CHANGES, COMMANDS], ids=["events", "commands"])
def test_triggers_refuse_the_owner_too(
    history: Database, owner: psycopg.Connection[Row], what: str, statements: dict[str, str]
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        owner.execute(statements[what])
    assert caught.value.sqlstate == "LG001"
    assert owner.execute("SELECT count(*), max(topic) FROM events").fetchone() == (1, "topic")
    assert owner.execute("SELECT count(*) FROM commands").fetchone() == (1,)


@pytest.mark.parametrize(
    ("role", "table"), [(role, table) for role, tables in FORBIDDEN_TO_READ.items() for table in tables]
)
def test_roles_do_not_read_what_they_do_not_need(history: Database, role: str, table: str) -> None:
    with history.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize("role", ["reader", "projector", "eraser"])
def test_only_the_writer_appends(history: Database, role: str) -> None:
    with history.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT lock_appends()")


@pytest.mark.parametrize("role", ["writer", "reader", "projector"])
def test_only_the_eraser_removes_data_keys(history: Database, role: str) -> None:
    with history.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM data_keys")
    with history.connect("eraser") as connection:
        connection.execute("DELETE FROM data_keys")


@pytest.mark.parametrize("role", ["writer", "reader", "eraser"])
def test_only_the_dispatcher_moves_webhooks(history: Database, role: str) -> None:
    for statement in ("INSERT INTO webhooks SELECT gen_random_uuid(), 0", "UPDATE webhooks SET position = 9"):
        with history.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.parametrize("role", ["reader", "projector", "eraser"])
def test_data_keys_come_only_with_events(history: Database, role: str) -> None:
    with history.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("INSERT INTO data_keys SELECT gen_random_uuid(), 'marks', 1, '\\x01'")


@pytest.mark.parametrize("role", ROLES)
def test_roles_of_another_ledger_do_not_get_in(history: Database, role: str) -> None:
    with fresh_schema(history.url) as other:
        migrate(other)
        with other.connect(role) as connection:
            for table in ("events", "data_keys", "snapshots", "tracking", "meta"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT count(*) FROM {history.schema}.{table}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {history.schema}.lock_appends()")


def test_append_does_not_run_what_a_caller_puts_into_its_search_path(ledger_db: Database) -> None:
    with ledger_db.connect("writer") as connection:
        connection.execute("SET search_path = pg_temp, public")
        connection.execute("CREATE TEMP TABLE events (LIKE pg_class)")
        connection.execute("CREATE TEMP TABLE data_keys (LIKE pg_class)")
        assert call(connection, ledger_db, columns(Row1())).last_position == 1
    with ledger_db.connect("owner") as connection:
        assert connection.execute("SELECT max(position) FROM events").fetchone() == (1,)


def test_functions_with_the_owners_rights_have_a_path_of_their_own(owner: psycopg.Connection[Row]) -> None:
    found = owner.execute(
        "SELECT proname, 'search_path=pg_catalog, pg_temp' = ANY (proconfig) FROM pg_proc"
        " WHERE prosecdef AND pronamespace = current_schema()::regnamespace"
    ).fetchall()
    assert found == [("append", True)]


@pytest.mark.parametrize("role", ["reader", "projector", "eraser", "public"])
def test_nobody_but_the_writer_may_call_a_function_of_the_ledger(
    history: Database, owner: psycopg.Connection[Row], role: str
) -> None:
    name = role if role == "public" else f"{history.schema}_{role}"
    found = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
        " AND has_function_privilege(%s, oid, 'EXECUTE')",
        (name,),
    ).fetchall()
    assert found == []
