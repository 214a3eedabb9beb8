"""`ledger replay`: a student's history, through the gate, page by page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ledger.application import words
from ledger.application.disclose.history import read_history
from ledger.application.disclose.moment import AsOf
from ledger.cli.console import out, print_json
from ledger.cli.moments import Names, When
from ledger.cli.options import ActorOption, JsonOption, OfficeOption, StudentArgument, reader_of
from ledger.cli.session import catch_up, opened, with_ledger
from ledger.policy.offices import Office

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from ledger.application.disclose.gate import Reader
    from ledger.application.disclose.shown import HistoryLine
    from ledger.application.ledger import Ledger

PAGE = 1_000
"""Lines read at once. Each page is an access of its own, so that what is shown never gets ahead of what is recorded."""


def replay(
    student: StudentArgument,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Only what had happened by this day."),
    ] = None,
    at: Annotated[
        int | None, typer.Option(min=0, metavar="POSITION", help="Only what had been recorded by this position.")
    ] = None,
    known_at: Annotated[
        When | None,
        typer.Option(parser=When, metavar="WHEN", help="Only what had been recorded by this day (its end) or time."),
    ] = None,
    office: OfficeOption = Office.AUDITOR,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a student's history, event by event. The access is recorded like every other one."""
    if at is not None and known_at is not None:
        message = "choose one of --at and --known-at"
        raise typer.BadParameter(message)
    names, day = Names(), as_of.date() if as_of else None
    with opened() as base:
        catch_up(base)
        reader = reader_of(base.settings, office, actor)
        moment = known_at.known(base.settings.timezone, day) if known_at else AsOf(at, effective_on=day)

        async def work(ledger: Ledger) -> tuple[UUID, int]:
            found = await student.find(ledger, reader)
            count = 0
            async for page in _history(ledger, reader, found, moment):
                if not as_json:
                    await names.learn(ledger, page)
                for line in page:
                    if as_json:
                        print_json(line)
                    else:
                        _show_event(line, names)
                count += len(page)
            return found, count

        student_id, count = with_ledger(base, work)
    if as_json:
        asked = {"as_of": day, "at_position": moment.position, "known_at": moment.known_at}
        print_json({"student_id": student_id, "events": count, **asked})
    else:
        out.print(f"Событий / events: {count:,}. Этот просмотр записан / this access was recorded.")


async def _history(ledger: Ledger, reader: Reader, student_id: UUID, as_of: AsOf) -> AsyncIterator[list[HistoryLine]]:
    after: int | None = 0
    while after is not None:
        page = await read_history(ledger, reader, student_id, after=after, limit=PAGE, as_of=as_of)
        yield page.items
        after = int(page.next) if page.next else None


def _show_event(line: HistoryLine, names: Names) -> None:
    told = "стёрто / erased" if line.state is None else words.tell(names.told(line.state))
    when = line.recorded_at.strftime("%Y-%m-%d %H:%M")
    out.print(
        f"[bold]#{line.position:,}[/bold] {escape(words.title(line.topic))}: {escape(told)}"
        f" [dim](записано / recorded {when} UTC, {escape(line.office)})[/dim]"
    )
