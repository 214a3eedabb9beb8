"""`ledger replay` and `ledger disclosures`: what is shown of a student, through the gate, page by page."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ledger.application import words
from ledger.application.disclose.history import read_history
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.register import read_disclosures
from ledger.cli.console import out, print_json
from ledger.cli.moments import Names, When
from ledger.cli.options import ActorOption, JsonOption, OfficeOption, StudentArgument, reader_of
from ledger.cli.session import catch_up, opened, with_ledger
from ledger.policy.offices import Office

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from ledger.application.disclose.gate import Reader
    from ledger.application.disclose.shown import DisclosureLine, HistoryLine
    from ledger.application.ledger import Ledger

PAGE = 1_000
"""Lines read at once. Each page is an access of its own, so that what is shown never gets ahead of what is recorded."""

COLUMNS = (
    "recorded_at",
    "position",
    "granted",
    "actor",
    "office",
    "on_behalf_of",
    "recipient",
    "purpose",
    "legal_basis",
    "policy",
    "channel",
    "resource",
    "students",
    "categories",
    "access_id",
)


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


def disclosures(
    student: StudentArgument,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    as_json: JsonOption = False,
    office: OfficeOption = Office.AUDITOR,
    actor: ActorOption = None,
) -> None:
    """Print who saw a student's data, and why, newest first. Reading this is recorded, too."""
    if as_csv and as_json:
        message = "choose one of --csv and --json"
        raise typer.BadParameter(message)
    writer = csv.writer(sys.stdout)

    def write_row(line: DisclosureLine) -> None:
        writer.writerow([_cell(getattr(line, name)) for name in COLUMNS])

    show: Callable[[DisclosureLine], None] = _show_access
    if as_json:
        show = print_json
    elif as_csv:
        show = write_row
    with opened() as base:
        catch_up(base)
        reader = reader_of(base.settings, office, actor)

        async def work(ledger: Ledger) -> tuple[UUID, int]:
            found = await student.find(ledger, reader)
            if as_csv:
                writer.writerow(COLUMNS)
            count = 0
            async for line in _register(ledger, reader, found):
                show(line)
                count += 1
            return found, count

        student_id, count = with_ledger(base, work)
    if as_json:
        print_json({"student_id": student_id, "disclosures": count})
    elif not as_csv:
        out.print(f"Доступов / accesses: {count:,}. Этот просмотр записан / this access was recorded.")


async def _register(ledger: Ledger, reader: Reader, student_id: UUID) -> AsyncIterator[DisclosureLine]:
    before: int | None = None
    while True:
        page = await read_disclosures(ledger, reader, student_id, before=before, limit=PAGE)
        for line in page.items:
            yield line
        if page.next is None:
            return
        before = int(page.next)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)


def _show_access(line: DisclosureLine) -> None:
    when = line.recorded_at.strftime("%Y-%m-%d %H:%M")
    verdict = "" if line.granted else "[bold]ОТКАЗ / REFUSED[/bold] "
    whom = f", для / to {escape(line.recipient)}" if line.recipient else ""
    basis = f"{escape(line.legal_basis)}; " if line.legal_basis else ""
    purpose = f", цель / purpose {escape(line.purpose)}" if line.granted else ""
    out.print(
        f"{when} UTC {verdict}{escape(line.office)} {line.actor}{whom}: {escape(line.resource)}"
        f" ({escape(', '.join(line.categories))}){purpose}"
        f" [dim]({basis}{escape(line.channel)}; #{line.position:,})[/dim]"
    )
