"""`ledger diff`: what became of a student between two moments, in words, through the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ledger.application import words
from ledger.application.disclose.differences import read_difference
from ledger.application.disclose.moment import NOW
from ledger.cli.console import out, print_json
from ledger.cli.moments import When
from ledger.cli.options import ActorOption, JsonOption, OfficeOption, StudentArgument, reader_of
from ledger.cli.session import catch_up, opened, with_ledger
from ledger.policy.offices import Office

if TYPE_CHECKING:
    from ledger.application.disclose.differences import Change, Difference
    from ledger.application.disclose.moment import MomentShown
    from ledger.application.ledger import Ledger

_SIGNS = {"added": "+", "changed": "~", "voided": "×"}


def diff(
    student: StudentArgument,
    since: Annotated[
        When, typer.Option("--from", parser=When, metavar="WHEN", help="Position, day (its end) or time.")
    ],
    until: Annotated[
        When | None,
        typer.Option("--to", parser=When, metavar="WHEN", help="The same, to compare with (now)."),
    ] = None,
    happened: Annotated[
        bool, typer.Option("--happened", help="The days are those on which things happened, not those of recording.")
    ] = False,
    office: OfficeOption = Office.AUDITOR,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what was added, changed or declared void, by whom and why. The access is recorded."""
    days = (since.happened(), until.happened() if until else NOW) if happened else None
    with opened() as base:
        catch_up(base)
        zone = base.settings.timezone
        before, after = days or (since.known(zone), until.known(zone) if until else NOW)
        reader = reader_of(base.settings, office, actor)

        async def work(ledger: Ledger) -> Difference:
            found = await student.find(ledger, reader)
            return await read_difference(ledger, reader, found, since=before, until=after)

        found = with_ledger(base, work)
    if as_json:
        print_json(found)
        return
    out.print(f"[dim]{_moment(found.before)} → {_moment(found.after)}[/dim]")
    for change in found.changes:
        _show(change)
    for record_class in found.erased:
        out.print(f"[bold]стёрто / erased[/bold]: {escape(record_class)}")
    out.print(f"Изменений / changes: {len(found.changes):,}. Этот просмотр записан / this access was recorded.")


def _moment(shown: MomentShown) -> str:
    when = f" ({shown.recorded_at:%Y-%m-%d %H:%M} UTC)" if shown.recorded_at else ""
    day = f", произошло по / happened by {shown.effective_on}" if shown.effective_on else ""
    return f"#{shown.position:,}{when}{day}"


def _show(change: Change) -> None:
    out.print(f"[bold]{_SIGNS[change.kind]}[/bold] {escape(change.text)}")
    for cause in change.causes:
        act = f", акт / act {escape(cause.local_act)}" if cause.local_act else ""
        out.print(
            f"    [dim]#{cause.position:,} {escape(words.title(cause.topic))}, записано / recorded"
            f" {cause.recorded_at:%Y-%m-%d %H:%M} UTC, {escape(cause.office)} {cause.actor}{act}[/dim]"
        )
