"""`ledger demo`: the example class, served; or with `--once` the whole main job, checked step by step."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.table import Table

from ledger.api.tokens import check_development, issue_token, load_token_key
from ledger.application.disclose.school import list_courses, read_school
from ledger.application.disclose.students import find_student
from ledger.application.record.achievements import GrantAward, RecordAchievement
from ledger.application.record.command import Request, record
from ledger.cli import tamper
from ledger.cli.auditing import run_audit
from ledger.cli.console import out, print_json
from ledger.cli.importing import package_of, run_import
from ledger.cli.options import reader_of
from ledger.cli.serving import FOLLOWERS, PortOption, children, door, ready, until_told
from ledger.cli.session import catch_up, opened, operator_id, with_ledger
from ledger.cli.story import Story, must
from ledger.cli.supervisor import supervise
from ledger.errors import Conflict, NotFound, SettingsError
from ledger.policy.offices import Actor, Office
from ledger.settings import read_settings

if TYPE_CHECKING:
    from ledger.application.audit import AuditReport
    from ledger.application.ledger import Ledger
    from ledger.application.record.oneroster.report import ImportReport
    from ledger.bootstrap import Foundation
    from ledger.cli.serving import Door
    from ledger.cli.story import Told
    from ledger.interchange.oneroster import Package
    from ledger.settings import Settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "oulad-aaa-2013j-oneroster-1.2.zip"
SCHOOL = "Open University"
SHOWN = ("OULAD", "student-11391")
"""The student whose portfolio the demo shows."""

DEMO = UUID("64656d6f-0000-5000-8000-6c6564676572")
"""Client id of the demo's own commands: each is recorded once, however often the demo starts."""

DAY = date(2013, 11, 8)


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to look at."""

    course_id: UUID
    student_id: UUID


def demo(
    port: PortOption = None,
    once: Annotated[bool, typer.Option("--once", help="Go through the main job, report, and exit.")] = False,
) -> None:
    """Import the example class and serve it on this machine; starting again goes on where it was."""
    os.environ.setdefault("LEDGER_LOG_LEVEL", "warning")  # the demo says itself what happens
    settings = read_settings()
    if settings.database_url is not None:
        raise SettingsError(
            "LEDGER_DATABASE_URL is set, and the demo does not write into a database on a server.",
            help="Unset it: the demo starts an embedded database under LEDGER_HOME.",
        )
    check_development(settings)
    if not EXAMPLE.is_file():
        raise NotFound(f"The example package {EXAMPLE} is not here.", help="Run the demo from a clone of the project.")
    if once and port is None:
        port = 0
    with (
        door(settings, "127.0.0.1", port) as entrance,
        package_of(EXAMPLE) as package,
        opened(settings, making=True) as base,
    ):
        load_token_key(settings)
        base.ensure_log_key()
        report, shown = _prepare(base, package)
        if once:
            _go_through(base, entrance, report, shown)
        else:
            asyncio.run(supervise(children(entrance, settings.workers), until_told(_announce(base, entrance, shown))))


def _prepare(base: Foundation, package: Package) -> tuple[ImportReport, Shown]:
    """Imports the example and returns what came of it and what there is to see."""
    catch_up(base)
    with_ledger(base, _check_school)
    out.print(f"импорт / import: {EXAMPLE.name} into {base.settings.home}")
    report = run_import(base, package, operator_id(base.settings))
    must(not report.refused, "every row of the example is imported")
    added = f"{report.events_added:,} events added" if report.events_added else "nothing new: all of it was here"
    summary = report.summary()
    out.print(f"  {summary['students']} students, {summary['results']} results, 0 rows refused; {added}")
    catch_up(base)
    shown = with_ledger(base, lambda ledger: _decorate(ledger, base.settings))
    catch_up(base)
    return report, shown


async def _check_school(ledger: Ledger) -> None:
    """Passes if the ledger is new or the example's.

    Raises:
        Conflict: it is a real school's; the demo keeps its hands off it.
    """
    try:
        school = await read_school(ledger)
    except NotFound:
        return
    if school.name != SCHOOL:
        raise Conflict(
            f"The ledger in {ledger.settings.home} belongs to a school.",
            help="The demo needs a home of its own: LEDGER_HOME=.ledger-demo.",
        )


async def _decorate(ledger: Ledger, settings: Settings) -> Shown:
    """Records an achievement and an award of one student, once, and returns what there is to see."""
    reader = reader_of(settings, Office.DIRECTOR, None)
    operator = reader.actor
    course = (await list_courses(ledger, group_id=None, after=None, limit=1)).items[0]
    student_id = (await find_student(ledger, reader, *SHOWN)).student_id
    achievement = await record(
        ledger,
        RecordAchievement(
            school=ledger.id,
            student_id=student_id,
            kind="olympiad",
            level="municipal",
            outcome="winner",
            title="Пример: олимпиада / an example",
            achieved_on=DAY,
            evidence="Пример: диплом № 1",
        ),
        Request(operator, key="achievement", client=DEMO),
    )
    await record(
        ledger,
        GrantAward(
            school=ledger.id,
            student_id=student_id,
            form="diploma",
            sphere="study",
            title="Пример: грамота / an example",
            basis=(achievement.events[-1].event_id,),
            order="Пример: приказ № 1",
            granted_on=DAY,
        ),
        Request(operator, key="award", client=DEMO),
    )
    return Shown(course.course_id, student_id)


# --- served ----------------------------------------------------------------------------------------------------------


async def _announce(base: Foundation, entrance: Door, shown: Shown) -> None:
    """Waits until the service is ready and says what to open."""
    await ready(entrance.url)
    director = Actor(operator_id(base.settings), Office.DIRECTOR)
    token = issue_token(load_token_key(base.settings), base.id, director)
    curl = f'curl -H "Authorization: Bearer $TOKEN" {entrance.url}/v1'
    for line in (
        "",
        f"Open {entrance.url}/docs to try everything (Authorize with the token), or copy these lines:",
        "",
        "# a director's token for 12 hours; `ledger token` makes others",
        f"TOKEN={token}",
        "# журнал / a page of the journal; each student on it gets a disclosure first",
        f"{curl}/journals/{shown.course_id}",
        "# портфолио / a portfolio",
        f"{curl}/students/{shown.student_id}/portfolio",
        "# кто видел / who saw this student's data, your own reading included",
        f"{curl}/students/{shown.student_id}/disclosures",
        "",
        "Ctrl-C stops everything; `make demo` goes on from here, `make reset` starts over.",
    ):
        typer.echo(line)


# --- once ------------------------------------------------------------------------------------------------------------


def _go_through(base: Foundation, entrance: Door, report: ImportReport, shown: Shown) -> None:
    told = asyncio.run(_serve_and_tell(base, entrance, shown))
    catch_up(base)
    first = run_audit(base)
    _say(f"повтор / replay: {first.events:,} events; every view equals what is served: {first.equal}")
    found = _tamper(base, told)
    last = run_audit(base)
    _say(f"возвращено / put back byte for byte; audit equal again: {last.equal}")
    equal = first.equal and last.equal
    _report(base, report, last, equal=equal, found=found)
    if not (equal and found):
        raise typer.Exit(1)


def _say(line: str) -> None:
    out.print(f"  {line}", markup=False)


async def _serve_and_tell(base: Foundation, entrance: Door, shown: Shown) -> Told:
    async def tell() -> Told:
        await ready(entrance.url)
        out.print(f"сервер / service: {entrance.url}, {base.settings.workers} workers and {', '.join(FOLLOWERS)}")
        story = Story(base, entrance.url, operator_id(base.settings), shown.student_id, _say)
        return await asyncio.to_thread(story.run)

    return await supervise(children(entrance, base.settings.workers), tell())


def _tamper(base: Foundation, told: Told) -> bool:
    """Alters the correction behind the ledger's back and returns whether the audit named exactly it."""
    refused = tamper.owner_is_refused(base.database, told.mark_position)
    must(refused, "the triggers refuse to change the history, even to the owner of the database")
    _say("подделка / tampering: an UPDATE is refused even to the owner of the database; so with the triggers off:")
    with tamper.altered(base.database, told.mark_position):
        report = run_audit(base)
    named = [finding for finding in report.findings if finding.where == "events"]
    for finding in report.findings[:3]:
        _say(f"  {finding.where}: {finding.record}: {finding.what}")
    record = f"position {told.mark_position} (event {told.mark_event}"
    found = not report.equal and len(named) == 1 and named[0].record.startswith(record)
    _say(f"найдено / found: audit names position {told.mark_position:,}, event {told.mark_event}: {found}")
    return found


def _report(base: Foundation, report: ImportReport, audit: AuditReport, *, equal: bool, found: bool) -> None:
    journals = next(view.rows for view in audit.views if view.view == "journals")
    summary = report.summary()
    counts = {
        "students": summary["students"],
        "results": summary["results"],
        "events": audit.events,
        "journal_rows": journals,
        "disclosures": tamper.count_disclosures(base.database),
        "replay_equal": equal,
        "tamper_found": found,
    }
    table = Table("что / what", "сколько / count", title="Итог / summary")
    for name, value in counts.items():
        table.add_row(name, str(value))
    out.print(table)
    print_json(counts)
