"""`ledger bench`: how fast, against the stock part and without the seal, measured in one run on one database."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ledger.benchmarks.figures import Measurement
from ledger.benchmarks.harness import FIGURES, IMPORT, busy, measure
from ledger.bootstrap import foundation
from ledger.cli.demo import EXAMPLE
from ledger.collector import collect_seldom
from ledger.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = 0.5
SEALER = (sys.executable, "-m", "ledger.cli.worker", "sealer")


def _figures(names: list[str] | None) -> list[str]:
    if unknown := sorted(set(names or ()) - set(FIGURES)):
        message = f"there is no figure {unknown[0]}; the figures are {', '.join(FIGURES)}"
        raise typer.BadParameter(message)
    return names or list(FIGURES)


def bench(
    *,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds, each with both sides in turn.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds of each side in each round.")] = 2.0,
    package: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="OneRoster package for import_full; the example without it."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", callback=_figures, help=f"Only this figure; repeatable: {', '.join(FIGURES)}."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a figure.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table in Markdown, for a document.")] = False,
) -> None:
    """Measure the ledger against the stock library, and with its seal against without, in one run on one database."""
    notes = Console(stderr=True)
    if (load := busy()) > QUIET:
        notes.print(f"[yellow]The machine is busy (load {load:.2f} per processor): figures will be noisy.[/yellow]")
    chosen = package or (EXAMPLE if EXAMPLE.exists() else None)
    wanted = only or list(FIGURES)
    if chosen is None and IMPORT in wanted:
        notes.print("No OneRoster package was named and the example is not here: import_full is left out.")
    measured: list[Measurement] = []
    collect_seldom()  # as in every process of the service; for both sides
    with foundation(read_settings()) as base:
        for measurement in measure(base, rounds=rounds, seconds=seconds, package=chosen, sealer=SEALER, only=wanted):
            measured.append(measurement)
            if as_json:
                print(json.dumps(measurement.plain()), flush=True)  # noqa: T201 - the command's output
            else:
                notes.print(f"{measurement.name}: done")
    if as_markdown:
        print("\n".join(_markdown(measured)))  # noqa: T201 - the command's output
    elif not as_json:
        Console().print(_table(measured))


HEADINGS = ("figure", "ours", "beside", "ratio", "goal")


def _table(measured: list[Measurement]) -> Table:
    table = Table(title="Medians; in brackets the smallest and largest round")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for row in _rows(measured):
        table.add_row(*row)
    return table


def _markdown(measured: list[Measurement]) -> Iterator[str]:
    """Yields the lines of the table in Markdown; medians, in brackets the smallest and largest round."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield "|---|--:|--:|--:|---|"
    for name, *cells in _rows(measured):
        yield f"| `{name}` | {' | '.join(cells)} |".replace("\n", "<br>")


def _rows(measured: list[Measurement]) -> Iterator[tuple[str, str, str, str, str]]:
    for entry in measured:
        own = f"{_number(entry, entry.value)} {entry.unit} {_bounds(entry, entry.spread)}"
        own += "".join(f"\n{name} {_number(entry, value)}" for name, value in entry.more.items())
        if entry.samples is not None:
            own += f"\nsamples {entry.samples:,}"
        if entry.load is not None:
            own += f"\nat {entry.load:,.0f} events/s"
        beside = "—"
        if entry.other is not None and entry.other_spread is not None:
            beside = f"{entry.beside} {_number(entry, entry.other)} {_bounds(entry, entry.other_spread)}"
        ratio = "—"
        if entry.ratio is not None:
            ratio = f"{entry.ratio:.2f}×" if entry.ratio_spread else f"{entry.ratio:.1f}×"
        if entry.ratio_spread is not None:
            ratio += f" ({entry.ratio_spread[0]:.2f}–{entry.ratio_spread[1]:.2f})"
        goal = f"{entry.goal.text}: {'met' if entry.goal.met else 'NOT MET'}" if entry.goal is not None else ""
        yield entry.name, own, beside, ratio, goal


def _number(entry: Measurement, value: float) -> str:
    return f"{value:.3f}" if entry.unit == "s" else f"{value:,.0f}"


def _bounds(entry: Measurement, bounds: tuple[float, float]) -> str:
    return f"({_number(entry, bounds[0])}–{_number(entry, bounds[1])})"
