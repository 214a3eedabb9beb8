"""`ledger bench`: how fast, against the stock part, measured in one run on one database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ledger.benchmarks.harness import Measurement, busy, measure
from ledger.bootstrap import foundation
from ledger.cli.demo import EXAMPLE
from ledger.settings import read_settings

QUIET = 0.5


def bench(
    *,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds of ours and stock in turn.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds of each side in each round.")] = 2.0,
    package: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="OneRoster package for import_full; the example without it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a figure.")] = False,
) -> None:
    """Measure the ledger against the stock library, both in one run on one database."""
    notes = Console(stderr=True)
    if (load := busy()) > QUIET:
        notes.print(f"[yellow]The machine is busy (load {load:.2f} per processor): figures will be noisy.[/yellow]")
    chosen = package or (EXAMPLE if EXAMPLE.exists() else None)
    if chosen is None:
        notes.print("No OneRoster package was named and the example is not here: import_full is left out.")
    measured: list[Measurement] = []
    with foundation(read_settings()) as base:
        for measurement in measure(base, rounds=rounds, seconds=seconds, package=chosen):
            measured.append(measurement)
            if as_json:
                print(json.dumps(measurement.plain()), flush=True)  # noqa: T201 - the command's output
            else:
                notes.print(f"{measurement.name}: done")
    if not as_json:
        Console().print(_table(measured))


def _table(measured: list[Measurement]) -> Table:
    table = Table(title="Medians; in brackets the smallest and largest round")
    for heading in ("figure", "ours", "stock", "ratio"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for entry in measured:
        own = f"{entry.value:,.0f} {entry.unit} ({entry.spread[0]:,.0f}–{entry.spread[1]:,.0f})"
        stock = "—"
        if entry.stock is not None and entry.stock_spread is not None:
            stock = f"{entry.stock:,.0f} ({entry.stock_spread[0]:,.0f}–{entry.stock_spread[1]:,.0f})"
        table.add_row(entry.name, own, stock, f"{entry.ratio:.1f}×" if entry.ratio is not None else "—")
    return table
