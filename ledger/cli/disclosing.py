"""`ledger disclosures`: who saw whose data, on the screen or as a file; through the gate, like every other access."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from typer.core import TyperGroup

from ledger.application.disclose.exporting import csv_header, csv_lines, json_lines
from ledger.application.disclose.findings import read_findings
from ledger.application.disclose.register import RegisterQuery, export_register
from ledger.cli.console import bars, err, example, out, print_json
from ledger.cli.moments import When
from ledger.cli.options import ActorOption, JsonOption, OfficeOption, StudentArgument, StudentName, reader_of
from ledger.cli.session import catch_up, opened, with_ledger
from ledger.policy.offices import Office
from ledger.policy.watching import Kind

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.application.disclose.findings import Findings
    from ledger.application.disclose.shown import DisclosureLine
    from ledger.application.ledger import Ledger
    from ledger.bootstrap import Foundation

STUDENT = "student"
NAMED = 10
"""Events of a finding that are named on the screen; `--json` has them all."""


class _Group(TyperGroup):
    """Takes what is no name of a command for a student: `ledger disclosures OULAD:student-11391`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - Typer keeps its click to itself
        if args and args[0] not in self.commands:
            args = [STUDENT, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - likewise
        if args and args[0].startswith("-") and args[0] != "--help":
            args = [STUDENT, *args]
        return super().parse_args(ctx, args)


disclosures_app = typer.Typer(
    cls=_Group, no_args_is_help=True, help="Who saw a student's data, and why; or the register as a file."
)


@disclosures_app.command(name=STUDENT, epilog=example("ledger disclosures student OULAD:student-11391"))
def of_student(
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
    write = csv_lines if as_csv else json_lines
    with opened() as base:
        catch_up(base)
        reader = reader_of(base.settings, office, actor)

        async def work(ledger: Ledger) -> tuple[UUID, int]:
            found = await student.find(ledger, reader)
            export = await export_register(ledger, reader, RegisterQuery(found))
            if as_csv:
                _put(csv_header())
            count = 0
            async for lines in export.batches:
                count += len(lines)
                if as_csv or as_json:
                    _put(write(lines))
                else:
                    for line in lines:
                        _show_access(line)
            return found, count

        student_id, count = with_ledger(base, work)
    if as_json:
        print_json({"student_id": student_id, "disclosures": count})
    elif not as_csv:
        out.print(f"Доступов / accesses: {count:,}. Этот просмотр записан / this access was recorded.")


@disclosures_app.command(epilog=example("ledger disclosures export --from 2025-09-01 --csv > register.csv"))
def export(
    student: Annotated[
        StudentName | None, typer.Option(metavar="STUDENT", parser=StudentName, help="UUID, or SOURCE:FOREIGN_ID.")
    ] = None,
    person: Annotated[UUID | None, typer.Option(metavar="UUID", help="Who looked.")] = None,
    in_office: Annotated[Office | None, typer.Option(help="In which office they looked.")] = None,
    recipient: Annotated[str | None, typer.Option(help="For whom.")] = None,
    purpose: Annotated[str | None, typer.Option(help="For which purpose.")] = None,
    legal_basis: Annotated[str | None, typer.Option(help="On which legal basis.")] = None,
    channel: Annotated[str | None, typer.Option(help="By which way.")] = None,
    granted: Annotated[
        bool | None, typer.Option("--granted/--refused", help="Only granted ones, or only refused ones.")
    ] = None,
    exceptional: Annotated[bool, typer.Option("--exceptional", help="Only exceptional access.")] = False,
    since: Annotated[
        When | None, typer.Option("--from", parser=When, metavar="WHEN", help="From this day or time on.")
    ] = None,
    until: Annotated[
        When | None, typer.Option("--to", parser=When, metavar="WHEN", help="Up to the end of this day, or this time.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header instead of JSON lines.")] = False,
    office: OfficeOption = Office.AUDITOR,
    actor: ActorOption = None,
) -> None:
    """Write the register, or what the filters leave of it, to stdout; as one access, which is recorded."""
    query = RegisterQuery(
        None, person, in_office, recipient, purpose, legal_basis, channel, granted, exceptional or None
    )
    with opened() as base, bars() as shown:
        catch_up(base)
        begin, end = _period(base, since, until)
        query = replace(query, since=begin, until=end)
        reader, moved = reader_of(base.settings, office, actor), shown.follow("register")

        async def work(ledger: Ledger) -> int:
            found = await student.find(ledger, reader) if student is not None else None
            made = await export_register(ledger, reader, replace(query, student_id=found))
            if as_csv:
                _put(csv_header())
            count = 0
            moved(0, made.lines)
            async for lines in made.batches:
                _put((csv_lines if as_csv else json_lines)(lines))
                count += len(lines)
                moved(count, made.lines)
            shown.fill()
            return count

        count = with_ledger(base, work)
    err.print(f"Строк / lines: {count:,}. Эта выгрузка записана / this export was recorded.")


def findings(
    since: Annotated[
        When | None, typer.Option("--from", parser=When, metavar="WHEN", help="From this day or time on; a month ago.")
    ] = None,
    until: Annotated[
        When | None, typer.Option("--to", parser=When, metavar="WHEN", help="Up to the end of this day, or this time.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Findings of this kind only.")] = None,
    office: OfficeOption = Office.AUDITOR,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print which accesses are worth a question: at night, in bursts, outside the own classes; each with its events."""
    with opened() as base, bars() as shown:
        catch_up(base)
        begin, end = _period(base, since, until)
        reader, moved = reader_of(base.settings, office, actor), shown.follow("доступы / accesses")

        async def work(ledger: Ledger) -> Findings:
            return await read_findings(ledger, reader, since=begin, until=end, kind=kind, progress=moved)

        found, zone = with_ledger(base, work), ZoneInfo(base.settings.timezone)
    for one in found.items:
        if as_json:
            print_json(one)
        else:
            at = one.last_at.astimezone(zone)  # nights are the school's
            out.print(f"{at:%Y-%m-%d %H:%M %Z} [bold]{escape(one.office)}[/bold] {one.actor}: {one.text}")
            numbers = ", ".join(f"#{position:,}" for position in one.positions[:NAMED])
            more = f" … ({one.accesses})" if one.accesses > NAMED else ""
            out.print(f"  [dim]{escape(one.text_en)} {numbers}{more}[/dim]")
    if as_json:
        print_json({"findings": found.total, "accesses": found.accesses, "from": found.since, "to": found.until})
    else:
        out.print(
            f"Доступов просмотрено / accesses looked at: {found.accesses:,}. Находок / findings: {found.total:,}."
            " Этот просмотр записан / this access was recorded."
        )


def _put(piece: bytes) -> None:
    sys.stdout.write(piece.decode())


def _period(base: Foundation, since: When | None, until: When | None) -> tuple[datetime | None, datetime | None]:
    zone = base.settings.timezone
    return since.begins(zone) if since is not None else None, until.ends(zone) if until is not None else None


def _show_access(line: DisclosureLine) -> None:
    when = line.recorded_at.strftime("%Y-%m-%d %H:%M")
    verdict = "" if line.granted else "[bold]ОТКАЗ / REFUSED[/bold] "
    if line.exceptional:
        verdict += "[bold red]ИСКЛЮЧИТЕЛЬНЫЙ ДОСТУП / EXCEPTIONAL[/bold red] "
    whom = f", для / to {escape(line.recipient)}" if line.recipient else ""
    basis = f"{escape(line.legal_basis)}; " if line.legal_basis else ""
    purpose = f", цель / purpose {escape(line.purpose)}" if line.granted else ""
    out.print(
        f"{when} UTC {verdict}{escape(line.office)} {line.actor}{whom}: {escape(line.resource)}"
        f" ({escape(', '.join(line.categories))}){purpose}"
        f" [dim]({basis}{escape(line.channel)}; #{line.position:,})[/dim]"
    )
    paper = line.handed_over
    handed = f"{paper.kind} № {paper.number}, {paper.effective_on}" if paper is not None else None
    for what, text in (
        ("выдано / handed over", handed),
        ("документ / document", line.document),
        ("причина / reason", line.reason),
    ):
        if text is not None:
            out.print(f"    {what}: {escape(text)}")
