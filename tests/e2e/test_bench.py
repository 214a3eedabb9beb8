"""The benchmark measures what it says, beside the stock library and without the seal, and leaves nothing behind.

No speed is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psycopg

from ledger.store.database import Database


def test_bench_prints_every_figure_with_its_ratio_and_removes_what_it_made(ledger_db: Database, kek_text: str) -> None:
    environment = {**os.environ, "LEDGER_DATABASE_URL": ledger_db.url, "LEDGER_DB_SCHEMA": ledger_db.schema}
    environment["LEDGER_KEK"] = kek_text.strip().splitlines()[-1]
    command = [sys.executable, "-m", "ledger", "bench", "--json", "--rounds", "1", "--seconds", "0.2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in map(json.loads, done.stdout.splitlines())}
    assert list(figures) == ["single_mark_64", "lesson_30", "import_full", "sealing_cost", "receipt_p99"]
    for name in ("single_mark_64", "lesson_30"):
        figure = figures[name]
        assert figure["unit"] == "events/s"
        assert figure["value"] > 0
        assert abs(figure["value"] / figure["stock"] - figure["ratio"]) < 0.1
    assert figures["import_full"]["stock"] is None
    assert figures["import_full"]["value"] > 0
    cost, receipts = figures["sealing_cost"], figures["receipt_p99"]
    assert abs(cost["value"] / cost["unsealed"] - cost["ratio"]) < 0.01
    assert cost["met"] == (cost["ratio"] >= 0.9)
    assert receipts["samples"] > 0
    assert 0 < receipts["p50"] <= receipts["value"] <= receipts["worst"]
    assert receipts["met"] == (receipts["value"] <= 2)
    with psycopg.connect(ledger_db.url) as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'bench\\_%'").fetchall()
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'bench\\_%'").fetchall()
    assert (left, roles) == ([], [])


def test_figure_that_is_not_there_is_refused_with_the_names_of_those_that_are() -> None:
    command = [sys.executable, "-m", "ledger", "bench", "--only", "speed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no figure speed" in done.stderr
