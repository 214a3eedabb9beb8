"""Tokens, keys, migrations, settings and starting over."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ledger.api.tokens import TokenVerifier, load_token_key
from ledger.bootstrap import foundation
from ledger.policy.offices import Actor, Office
from ledger.seal.note import SignerKey, VerifierKey
from ledger.settings import Settings

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row
    from tests.e2e.cli.conftest import Imported
    from tests.support.cli import Cli


def test_token_is_all_of_stdout_and_says_who_acts(tiny: Imported) -> None:
    actor, student = uuid4(), uuid4()
    printed = tiny.cli.works(
        "token", "--office", "representative", "--actor", str(actor), "--student", str(student), "--hours", "2"
    )
    with foundation(Settings(home=tiny.cli.home)) as base:
        verifier = TokenVerifier(load_token_key(base.settings), base.id)
        found = verifier.verify(printed.out.removesuffix("\n"))
    assert found == Actor(actor, Office.REPRESENTATIVE, frozenset({student}))


def test_token_that_could_not_be_used_is_not_made(tiny: Imported) -> None:
    assert tiny.cli.fails("token", "--office", "student").out == ""
    assert tiny.cli.fails("token", "--office", "director", "--student", str(uuid4())).out == ""
    tiny.cli.fails("token", "--office", "king", code=2)
    tiny.cli.fails("token", "--office", "director", "--hours", "0", code=2)


def test_bad_setting_is_named_without_its_value_and_nothing_is_started(cli: Cli) -> None:
    failed = cli.fails("audit", LEDGER_PORT="canary", LEDGER_TIMEZONE="Mars/Olympus")
    assert "LEDGER_PORT" in failed.err
    assert "LEDGER_TIMEZONE" in failed.err
    assert "canary" not in failed.err
    assert list(cli.home.iterdir()) == []


@pytest.mark.parametrize("command", ["audit", "verify", "views", "rebuild"])
def test_who_only_looks_makes_no_ledger_where_there_is_none(cli: Cli, command: str) -> None:
    assert cli.fails(command).error == f"There is no ledger in {cli.home}."
    assert list(cli.home.iterdir()) == []


def test_database_that_does_not_answer_is_an_error_without_its_password(cli: Cli) -> None:
    key = cli.home / "kek"
    cli.works("keygen", str(key))
    url = "postgresql://ledger:canary@127.0.0.1:1/none?connect_timeout=2"
    failed = cli.fails("audit", LEDGER_DATABASE_URL=url, LEDGER_KEK_FILE=str(key))
    assert failed.err.startswith("error: The database does not answer.")
    assert "canary" not in failed.err


def test_keygen_writes_a_private_key_and_never_overwrites_one(cli: Cli) -> None:
    for options in ((), ("--token",)):
        path = cli.home / f"key{len(options)}"
        cli.works("keygen", str(path), *options)
        content = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "is never overwritten" in cli.fails("keygen", str(path), *options).err
        assert path.read_bytes() == content
    assert "cannot be written" in cli.fails("keygen", "/proc/nowhere/key").err


def test_log_key_of_the_environment_is_printed_begun_by_an_operator_and_never_shown(cli: Cli, tmp_path: Path) -> None:
    made = cli.works("keygen", "--log", "--origin", "log.example/env", "-")
    key, told = made.out.removesuffix("\n"), made.err
    assert SignerKey.parse(key).verifier == VerifierKey.parse(told.split("Its verifier key: ")[1].strip())
    assert "Only a log's key" in cli.fails("keygen", "-").error
    assert not (Path.cwd() / "-").exists()
    variables = {"LEDGER_LOG_KEY": key}
    cli.works("migrate", **variables)
    pack = ("evidence", "export", "--out", str(tmp_path / "pack"))
    said = [cli.fails("verify", "--hashes-only", LEDGER_LOG_KEY=key[:-1])]
    said += [cli.run("log", "anchor", "--accept", "--reason", "первый запуск", **variables)]
    said += [cli.run("log", "rotate", "--reason", "новый ключ", **variables)]
    said += [cli.run("doctor", **variables), cli.run(*pack, **variables)]
    assert [done.code for done in said[:3]] == [1, 0, 1]
    assert "--key VKEY" in said[2].err
    assert "in the environment" in said[3].out
    assert not (cli.home / "keys" / "log.key").exists()
    assert all(key[40:] not in done.out + done.err for done in said)


def test_migrate_makes_the_ledger_and_then_has_nothing_to_do(cli: Cli) -> None:
    assert "Applied migrations: 1" in cli.works("migrate").out
    assert cli.works("migrate").out == "Nothing to apply.\n"
    assert cli.postmaster() is None


def test_version_and_help_need_no_ledger(cli: Cli) -> None:
    assert cli.works("version") == cli.from_nothing("version")
    assert cli.works("version").out.startswith("ledger ")
    assert "import" in cli.works("--help").out
    assert list(cli.home.iterdir()) == []


def test_reset_asks_removes_the_ledger_and_lets_a_new_one_begin(cli: Cli) -> None:
    cli.works("migrate")
    first = cli.works("token", "--office", "director").out
    kept = cli.run("reset", stdin="n\n")
    assert kept.code == 1
    assert (cli.home / "postgres").exists()
    assert "was deleted" in cli.works("reset", "--yes").out
    assert not (cli.home / "postgres").exists()
    assert not (cli.home / "keys").exists()
    assert cli.works("token", "--office", "director").out != first


def test_reset_touches_neither_a_server_nor_a_ledger_in_use(tiny: Imported, cli: Cli, tmp_path: Path) -> None:
    refused = cli.fails("reset", "--yes", LEDGER_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert "never deleted from here" in refused.err
    assert "in use by another process" in tiny.cli.fails("reset", "--yes").err
    tiny.cli.works("audit")
    nowhere = cli.works("reset", "--yes", LEDGER_HOME=str(tmp_path / "none"))
    assert "There is nothing" in nowhere.out


ISSUER = "https://id.school.example"


def test_operator_makes_the_first_director_and_the_history_says_who_did_it(
    tiny: Imported, owner: psycopg.Connection[Row]
) -> None:
    made = tiny.cli.works("appoint", "4f1c-subject", "--document", "Приказ 1-к", LEDGER_OIDC_ISSUER=ISSUER)
    assert "director appointed" in made.out
    assert "4f1c-subject" not in made.out
    topics = owner.execute("SELECT topic FROM events WHERE topic LIKE 'staff.%' ORDER BY position").fetchall()
    assert topics == [("staff.register_opened",), ("staff.office_assumed",), ("staff.login_linked",)]
    again = tiny.cli.fails("appoint", "4f1c-subject", "--document", "Приказ 2-к", LEDGER_OIDC_ISSUER=ISSUER)
    assert "holds the office" in again.err
    assert "LEDGER_OIDC_ISSUER" in tiny.cli.fails("appoint", "4f1c-subject", "--document", "Приказ 2-к").err


def test_production_issues_no_development_tokens_and_is_not_served_without_a_provider(cli: Cli) -> None:
    assert "neither issued nor taken" in cli.fails("token", "--office", "director", LEDGER_ENV="production").err
    assert "no identity provider is named" in cli.fails("serve", "--port", "0", LEDGER_ENV="production").err
    assert "neither issued nor taken" in cli.fails("demo", "--once", LEDGER_ENV="production").err
    assert "use development or production" in cli.fails("serve", LEDGER_ENV="canary").err
    assert list(cli.home.iterdir()) == []
