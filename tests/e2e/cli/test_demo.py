"""`ledger demo`: the main job from end to end, and the example served."""

from __future__ import annotations

import shlex
import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from tests.support.cli import Cli

if TYPE_CHECKING:
    from tests.e2e.cli.conftest import Imported


def test_main_job_runs_through_on_the_imported_class_and_reports(example: Imported) -> None:
    done = example.cli.works("demo", "--once")
    report = done.last
    assert set(report) == {
        "students",
        "results",
        "events",
        "journal_rows",
        "disclosures",
        "replay_equal",
        "tamper_found",
    }
    assert (report["students"], report["results"]) == (383, 2016)
    assert report["replay_equal"] is True
    assert report["tamper_found"] is True
    assert report["journal_rows"] >= 2016 + 5
    assert report["disclosures"] >= 50
    assert report["events"] > example.first.last["events_added"]
    assert "nothing new" in done.out
    for step in (
        "урок / lesson",
        "отказ / refusal",
        "исправление / correction",
        "перевод / transfer",
        "найдено / found",
    ):
        assert step in done.out
    verified = example.cli.works("verify", "--json").last
    assert (verified["sound"], verified["sealed"] > example.first.last["events_added"]) == (True, True)


def test_served_example_is_read_with_the_printed_lines_and_goes_on_after_ctrl_c(example: Imported) -> None:
    with example.cli.started("demo", "--port", "0") as running:
        running.line("Ctrl-C stops everything")
        token = running.line("TOKEN=").removeprefix("TOKEN=")
        for place, shown in (("/journals/", "lines"), ("/portfolio", "items"), ("/disclosures", "items")):
            command = shlex.split(running.line(place))
            assert command[:2] == ["curl", "-H"]
            name, _, value = command[2].replace("$TOKEN", token).partition(": ")
            answer = httpx.get(command[3], headers={name: value}, timeout=30)
            assert answer.status_code == 200
            assert answer.json()[shown]
        docs = running.line("/docs").split()[1]
        assert urlsplit(docs).hostname == "127.0.0.1"
        assert httpx.get(docs, timeout=30).status_code == 200
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0


def test_demo_keeps_its_hands_off_a_real_schools_ledger(tiny: Imported, cli: Cli) -> None:
    refused = tiny.cli.fails("demo", "--once")
    assert "belongs to a school" in refused.err
    on_server = cli.fails("demo", LEDGER_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert on_server.err.startswith("error: LEDGER_DATABASE_URL is set")
