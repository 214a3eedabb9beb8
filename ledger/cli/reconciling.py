"""`ledger reconcile`: what was opened for reading against what was recorded as disclosed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape

from ledger.application.reconciliation import Reconciler
from ledger.cli.console import bars, out, print_json
from ledger.cli.moments import When
from ledger.cli.options import JsonOption
from ledger.cli.session import opened

if TYPE_CHECKING:
    from ledger.application.reconciliation import Difference, Reconciliation

SHOWN = 50


def reconcile(
    since: Annotated[
        When | None,
        typer.Option(
            parser=When, metavar="WHEN", help="From then on; without it a day ago, or where the newest run ended."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what processes opened for reading with the disclosures that were recorded; exit 1 names what differs."""
    with opened() as base, bars() as shown:
        begin = since.begins(base.settings.timezone) if since is not None else None
        reconciler = Reconciler(base.database, base.mapper, base.keks)
        report = reconciler.reconcile(begin, shown.follow("сверка, секунд / seconds compared"))
    if as_json:
        for difference in report.differences:
            print_json(difference)
        told = {name: value for name, value in msgspec.to_builtins(report).items() if name != "differences"}
        print_json({"equal": report.equal, "coverage": report.coverage, **told})
    else:
        _show(report)
    if not report.equal:
        raise typer.Exit(1)


def _show(report: Reconciliation) -> None:
    for difference in report.differences[:SHOWN]:
        _show_difference(difference)
    if report.uncovered > SHOWN:
        out.print(f"... ещё / and {report.uncovered - SHOWN:,} more; --json lists up to {len(report.differences):,}")
    out.print(f"С / from {report.since:%Y-%m-%d %H:%M:%S} по / to {report.until:%Y-%m-%d %H:%M:%S} UTC.")
    out.print(
        f"Раскрытий записано / disclosures recorded: {report.disclosures:,},"
        f" из них ничего не открыто / nothing was opened for {report.unopened:,} of them."
    )
    if report.unknown or report.lost:
        out.print(
            f"Процессов оборвано / processes killed: {report.lost:,};"
            f" неизвестно, что открыто / unknown what was opened: {report.unknown:,} disclosures."
        )
    out.print(
        f"Открыто после раскрытия / opened after a disclosure: {report.covered:,}; без него / without one:"
        f" [bold]{report.uncovered:,}[/bold]. Покрытие / coverage: [bold]{report.coverage:.4%}[/bold]."
    )


def _show_difference(difference: Difference) -> None:
    who = difference.actor or "кто-то неизвестный / somebody unknown"
    out.print(
        f"[bold]БЕЗ ЗАПИСИ / NOT DISCLOSED[/bold] {difference.student_id} ({escape(difference.record_class)},"
        f" {difference.opened:,}×): {who}; {difference.began_at:%Y-%m-%d %H:%M:%S}–{difference.ended_at:%H:%M:%S} UTC,"
        f" {escape(difference.process)}"
    )
