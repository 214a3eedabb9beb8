"""The benchmark measures what it says, beside the stock library and without the seal, and leaves nothing behind.

No speed is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ledger.benchmarks import growing, served
from ledger.benchmarks.harness import FIGURES, RECORDING
from ledger.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Collection


def bench(database: Database, kek_text: str, seconds: float, names: Collection[str]) -> dict[str, Any]:
    """Returns the figures of a short run, by name, when it has left nothing behind."""
    environment = {**os.environ, "LEDGER_DATABASE_URL": database.url, "LEDGER_DB_SCHEMA": database.schema}
    environment["LEDGER_KEK"] = kek_text.strip().splitlines()[-1]
    command = [sys.executable, "-m", "ledger", "bench", "--json", "--rounds", "1", "--seconds", str(seconds)]
    command += [f"--only={name}" for name in names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(database.url) as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'bench\\_%'").fetchall()
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'bench\\_%'").fetchall()
    assert (left, roles) == ([], [])
    return {figure["name"]: figure for figure in map(json.loads, done.stdout.splitlines())}


def test_bench_prints_every_figure_with_its_ratio_and_removes_what_it_made(ledger_db: Database, kek_text: str) -> None:
    long = (*served.FIGURES, *growing.FIGURES)
    figures = bench(ledger_db, kek_text, 0.2, [name for name in FIGURES if name not in long])
    assert list(figures) == [*RECORDING, "import_full", "sealing_cost", "receipt_p99"]
    for name in RECORDING:
        figure = figures[name]
        assert figure["unit"] == "events/s"
        assert figure["value"] > 0
        other = figure["bare" if name == "single_mark_64_bare" else "stock"]
        assert abs(figure["value"] / other - figure["ratio"]) < 0.1
    assert figures["import_full"]["stock"] is None
    assert figures["import_full"]["value"] > 0
    cost, receipts = figures["sealing_cost"], figures["receipt_p99"]
    assert abs(cost["value"] / cost["unsealed"] - cost["ratio"]) < 0.01
    assert cost["met"] == (cost["ratio"] >= 0.9)
    assert receipts["samples"] > 0
    assert receipts["load"] > 0
    assert 0 < receipts["p50"] <= receipts["value"] <= receipts["worst"]
    assert receipts["met"] == (receipts["value"] <= 2)


@pytest.mark.soak
def test_bench_measures_over_http_beside_the_rivals(ledger_db: Database, kek_text: str) -> None:
    figures = bench(ledger_db, kek_text, 1.0, served.FIGURES)
    pages = [f"{name}_{what}" for name in served.PAGES for what in ("p95", "16")]
    assert list(figures) == ["http_mark_64", "http_mark_64_table", "http_lesson_30", *pages]
    assert all(figure["value"] > 0 for figure in figures.values())
    assert figures["http_mark_64"]["stock"] > 0
    assert figures["http_mark_64_table"]["table"] > 0


@pytest.mark.soak
def test_bench_measures_what_must_not_grow_with_the_history(ledger_db: Database, kek_text: str) -> None:
    figures = bench(ledger_db, kek_text, 1.0, growing.FIGURES)
    assert list(figures) == list(growing.FIGURES)
    journal, load = figures["project_journal"], figures["load_student"]
    assert journal["met"] == (journal["ratio"] >= 25)
    assert load["met"] == (load["ratio"] <= 1.5)


def test_figure_that_is_not_there_is_refused_with_the_names_of_those_that_are() -> None:
    command = [sys.executable, "-m", "ledger", "bench", "--only", "speed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no figure speed" in done.stderr
