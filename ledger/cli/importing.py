"""`ledger import`: a package from another system, with bars, and a report of every row that did not go in."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ledger.application.record.oneroster.package import import_package
from ledger.cli.console import bars, example, out, print_json
from ledger.cli.options import JsonOption
from ledger.cli.session import catch_up, opened, operator_id, with_ledger
from ledger.interchange.oneroster import open_package
from ledger.policy.offices import Actor, Office

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from ledger.application.ledger import Ledger
    from ledger.application.record.oneroster.report import ImportReport, RowNote
    from ledger.bootstrap import Foundation
    from ledger.interchange.oneroster import Package

SHOWN = 20

import_app = typer.Typer(no_args_is_help=True, help="Import what another system exported.")


@import_app.callback()
def importing() -> None:
    """Import what another system exported."""


@import_app.command(epilog=example("ledger import oneroster class.zip"))
def oneroster(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="A OneRoster 1.2 CSV package.")],
    source: Annotated[
        str | None, typer.Option(help="The exporting system, where its manifest does not name it.")
    ] = None,
    apply_changes: Annotated[
        bool, typer.Option("--apply-changes", help="Record changed rows as corrections; needs --reason.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why changed rows are applied; it stands in each correction.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import a OneRoster 1.2 CSV package; importing it again adds nothing. Exit 1 where a row was refused."""
    if apply_changes != (reason is not None):
        message = "--apply-changes and --reason go together: a change is recorded with the reason for it."
        raise typer.BadParameter(message)
    with package_of(file, source) as package, opened(making=True) as base:
        report = run_import(base, package, operator_id(base.settings), reason=reason)
        catch_up(base)
    if as_json:
        _print_lines(report)
    else:
        show_report(report)
    if report.refused:
        raise typer.Exit(1)


@contextmanager
def package_of(file: Path, source: str | None = None) -> Iterator[Package]:
    """Yields the package, checked as a whole before any database is started.

    Raises:
        PackageError: it is broken; nothing was recorded.
    """
    with open_package(file, source=source) as package:
        yield package


def run_import(base: Foundation, package: Package, actor: UUID, *, reason: str | None = None) -> ImportReport:
    """Imports with a bar for each file and returns the report."""
    with bars(package.row_counts) as shown:

        async def work(ledger: Ledger) -> ImportReport:
            return await import_package(
                ledger, package, Actor(actor, Office.SYSTEM), reason=reason, progress=shown.reach
            )

        report = with_ledger(base, work)
        shown.fill()
    return report


def show_report(report: ImportReport) -> None:
    """Prints the report for a person."""
    table = Table(
        "файл\nfile",
        "в реестре\nin the ledger",
        "без изменений\nunchanged",
        "отказ\nrefused",
        "иначе\ndiffers",
    )
    for file in dict.fromkeys([*report.rows, *(note.file for note in report.refused)]):
        refused = sum(note.file == file for note in report.refused)
        differs = sum(note.file == file for note in report.differs)
        table.add_row(file, f"{report.rows[file]:,}", f"{report.unchanged[file]:,}", f"{refused:,}", f"{differs:,}")
    out.print(table)
    _show_notes("refused", report.refused)
    _show_notes("differs from what was imported", report.differs)
    for flag, count in sorted(report.flags.items()):
        out.print(f"{count:,} recorded with the flag {flag}")
    for file, count in sorted(report.passed_over.items()):
        out.print(f"{count:,} rows of {file} are nobody's record here and were passed over")
    out.print(
        f"{report.events_added:,} events added, {report.applied:,} changes applied, in {report.seconds:.1f} seconds."
    )


def _show_notes(what: str, notes: Sequence[RowNote]) -> None:
    for note in notes[:SHOWN]:
        out.print(f"{escape(note.file)}, row {note.row} ({escape(note.sourced_id)}) {what}: {escape(note.reason)}")
    if len(notes) > SHOWN:
        out.print(f"... and {len(notes) - SHOWN:,} more rows that were {what}; --json lists all")


def _print_lines(report: ImportReport) -> None:
    for status, notes in (("refused", report.refused), ("differs", report.differs)):
        for note in notes:
            print_json(
                {
                    "status": status,
                    "file": note.file,
                    "row": note.row,
                    "sourced_id": note.sourced_id,
                    "reason": note.reason,
                }
            )
    print_json(report.summary())
