"""`ledger doctor`: what it prints, how it exits, and that it leaves nothing behind."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.cli import Cli, Json


def _by_state(lines: list[Json], state: str) -> dict[str, str]:
    return {line["check"]: line["what"] for line in lines[:-1] if line["state"] == state}


async def test_served_ledger_is_healthy_and_exits_with_0(cli: Cli) -> None:
    with cli.started("serve", "--port", "0", "--workers", "1") as running:
        found = re.search(r"http://\S+:\d+", running.line("Serving"))
        assert found is not None
        await until(lambda: httpx.get(f"{found.group()}/readyz", timeout=30).status_code == 200)
        lines = cli.works("doctor", "--json").lines
        (cli.home / "keys" / "kek").write_text("1 canary")
        broken = cli.run("doctor", "--json")
    assert (lines[-1]["healthy"], lines[-1]["problems"]) == (True, 0)
    assert lines[-1]["checks"] == len(lines) - 1 > 25
    assert _by_state(lines, "problem") == {}
    assert {line["check"] for line in lines[:-1] if line["state"] == "ok"} >= {
        "settings", "key file", "token key", "log key", "database", "view journals", "seal", "triggers",
    }  # fmt: skip
    assert broken.code == 1
    assert "key file" in _by_state(broken.lines, "problem")
    assert "canary" not in broken.out + broken.err


def test_nothing_is_made_where_there_is_no_ledger(cli: Cli) -> None:
    failed = cli.fails("doctor")
    assert "There is no ledger in" in failed.out
    assert "НЕИСПРАВНО / PROBLEM" in failed.out
    assert list(cli.home.iterdir()) == []


def test_bad_settings_and_a_database_that_is_away_are_findings(cli: Cli) -> None:
    bad = cli.fails("doctor", "--json", LEDGER_PORT="canary")
    assert "LEDGER_PORT" in _by_state(bad.lines, "problem")["settings"]
    assert "canary" not in bad.out
    url = "postgresql://nobody:canary@127.0.0.1:1/nowhere"
    away = replace(cli, settings={"LEDGER_DATABASE_URL": url}).fails("doctor", "--json")
    told = _by_state(away.lines, "problem")
    assert set(told) == {"key file", "token key", "log key", "database"}
    assert "canary" not in away.out + away.err


def test_mistyped_setting_is_a_warning_that_names_it_without_its_value(cli: Cli) -> None:
    shown = cli.fails("doctor", "--json", LEDGER_WORKER="canary")
    assert "LEDGER_WORKER" in _by_state(shown.lines, "warning")["settings"]
    assert "canary" not in shown.out
