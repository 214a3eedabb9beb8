"""`ledger audit`, `rebuild` and `views`: whether what is served is what the history says, and making it so again."""

from __future__ import annotations

import gc
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from ledger.application.audit import Auditor
from ledger.application.readiness import view_states
from ledger.cli.console import bars, out, print_json
from ledger.cli.options import JsonOption
from ledger.cli.session import opened, with_ledger
from ledger.projections.states import Stage
from ledger.projections.views import all_views

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ledger.application.audit import AuditReport
    from ledger.bootstrap import Foundation

SHOWN = 50


def audit(as_json: JsonOption = False) -> None:
    """Replay the whole history and compare every view with what is served; exit 1 names what differs."""
    with opened() as base:
        report = run_audit(base)
    if as_json:
        for finding in report.findings:
            print_json(finding)
        print_json(
            {
                "equal": report.equal,
                "events": report.events,
                "erased": report.erased,
                "position": report.position,
                "findings": len(report.findings) + report.unlisted,
                "views": msgspec.to_builtins(report.views),
            }
        )
    else:
        show_audit(report)
    if not report.equal:
        raise typer.Exit(1)


@contextmanager
def uncollected() -> Iterator[None]:
    """Leaves out the search for cyclic garbage.

    An audit keeps millions of rows; looking through them again and again finds nothing and doubles its time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run_audit(base: Foundation) -> AuditReport:
    """Audits with a bar."""
    auditor = Auditor(base.database, base.mapper, base.keks, base.views)
    with bars() as shown, uncollected():
        return auditor.audit(shown.follow("повтор / events replayed"))


def show_audit(report: AuditReport) -> None:
    """Prints an audit for a person: the views with their digests, then what was found."""
    table = Table("представление\nview", "позиция\nposition", "строк\nrows", "показано\nserved", "повтор\nreplayed", "")
    for view in report.views:
        same = "равно / equal" if view.served == view.replayed else "НЕ РАВНО / DIFFERS"
        table.add_row(view.view, f"{view.position:,}", f"{view.rows:,}", view.served[:10], view.replayed[:10], same)
    out.print(table)
    for finding in report.findings[:SHOWN]:
        out.print(f"{escape(finding.where)}: {escape(finding.record)}: {escape(finding.what)}")
    listed = min(len(report.findings), SHOWN)
    more = len(report.findings) + report.unlisted - listed
    if more:
        out.print(f"... ещё / and {more:,} more; --json lists up to {len(report.findings):,}")
    erased = f", из них уничтожено / of them erased {report.erased:,}" if report.erased else ""
    out.print(f"Событий повторено / events replayed: {report.events:,}{erased}.")
    equal = "Равно: каждое представление таково, как говорит история. / Equal: every view is what the history says."
    out.print(equal if report.equal else "НЕ РАВНО. / NOT EQUAL.")


def _view_name(name: str | None) -> str | None:
    known = [view.name for view in all_views(lambda _field, _value: b"")]
    if name is not None and name not in known:
        message = f"there is no such view; the views are {', '.join(known)}"
        raise typer.BadParameter(message)
    return name


YIELDING = 5
"""Niceness of a rebuild: nobody waits for it, so it leaves the processor to those who record and read. With 10 it
hardly gained on what was recorded meanwhile."""


def rebuild(
    view: Annotated[
        str | None, typer.Argument(metavar="VIEW", callback=_view_name, help="One view; without it all of them.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Only views that are not served in this version yet: before an upgrade.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compute views anew from the history, beside the old ones, and swap them; readers are served meanwhile."""
    with opened() as base:
        os.nice(YIELDING)  # not before: a database server that this starts would inherit it
        runner = base.runner()
        views = runner.missing() if new else base.views
        began = time.monotonic()
        with bars() as shown:
            progress = shown.follow("представления / views")
            swapped = runner.rebuild([wanted for wanted in views if view in (None, wanted.name)], progress)
        seconds = round(time.monotonic() - began, 3)
    for done in swapped:
        if as_json:
            held = {"held_ms": round(done.held_ms, 1), "paused_ms": round(done.paused_ms, 1)}
            print_json({"view": done.view, "position": done.position, "seconds": seconds, **held})
        else:
            out.print(
                f"{done.view}: перестроено / rebuilt up to position {done.position:,} in {seconds:.1f} seconds;"
                f" читатели ждали / readers were held for {done.held_ms:.0f} ms"
            )
    if not swapped and not as_json:
        out.print("Всё уже есть. / Every view is served in this version: nothing to do.")


STAGES: Mapping[Stage, str] = {
    Stage.FOLLOWING: "следует за записями / following",
    Stage.IDLE: "никто не ведёт / no projector follows",
    Stage.REBUILDING: "перестраивается / rebuilding",
    Stage.MAKING: "строится / being made",
    Stage.MISSING: "не построено / not made yet",
    Stage.FAILED: "остановлено / stopped",
}


def views(as_json: JsonOption = False) -> None:
    """Show how each view stands: version, position, lag, rows, what is being made, and what stopped it."""
    with opened() as base:
        states = with_ledger(base, lambda ledger: view_states(ledger, counting=True))
    if as_json:
        for state in states:
            print_json(state)
        return
    table = Table("представление\nview", "версия\nversion", "позиция\nposition", "отстаёт\nlag", "строк\nrows", "")
    for state in states:
        share = f" {state.made_share:.0%}" if state.made_share is not None else ""
        cells = [None if cell is None else f"{cell:,}" for cell in (state.position, state.lag, state.rows)]
        table.add_row(state.name, str(state.version), *(cell or "—" for cell in cells), f"{STAGES[state.stage]}{share}")
    out.print(table)
    for state in states:
        if state.stopped:
            out.print(escape(f"{state.name}: {state.stopped}"))
        if state.other_versions:
            others = ", ".join(map(str, state.other_versions))
            out.print(f"{state.name}: есть и версии / other versions are there as well: {others}")
