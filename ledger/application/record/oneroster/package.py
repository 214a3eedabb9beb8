"""A whole package, file by file in the order in which rows refer to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.application.record.oneroster.importer import RowImporter
from ledger.application.record.oneroster.rows import (
    FINAL_SCALE,
    Classes,
    Enrolments,
    ImportedIds,
    Periods,
    Results,
    RowKind,
    Schools,
    Students,
    Works,
    range_scale,
    scale_code,
)
from ledger.application.record.oneroster.rows import Years as YearRows
from ledger.application.record.school import DefineMarkScale
from ledger.errors import InvalidInput
from ledger.interchange.oneroster import RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ledger.application.ledger import Ledger
    from ledger.application.record.oneroster.report import ImportReport
    from ledger.interchange.oneroster import Package, Row
    from ledger.policy.offices import Actor

FINAL_CATEGORY = "final result"


async def import_package(
    ledger: Ledger,
    package: Package,
    actor: Actor,
    *,
    reason: str | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> ImportReport:
    """Imports a package and returns what came of every row.

    Args:
        reason: applies changed rows, for this reason; without it they are listed.
        progress: called with (file, rows done).

    Raises:
        InvalidInput: the reason is empty, or the package has not exactly one school.
        LedgerError: the store failed; what is committed stays, and the import can be started again.
    """
    if reason is not None and not reason.strip():
        raise InvalidInput("Changes need a reason.", help="Say why: --reason 'letter of 12 November'.")
    importer = RowImporter(ledger, actor, package.source, reason=reason, progress=progress)
    ids = ImportedIds()

    def kind(of: type[RowKind]) -> RowKind:
        return of(ledger.id, package.source, ids)

    await importer.send("orgs.csv", _schools(package, importer), kind(Schools))
    sessions = list(package.academic_sessions())
    years = (row for row in sessions if isinstance(row, RowError) or row.type == "schoolYear")
    await importer.send("academicSessions.csv", years, kind(YearRows))
    periods = (row for row in sessions if not isinstance(row, RowError) and row.type != "schoolYear")
    await importer.send("academicSessions.csv", periods, kind(Periods))
    for course in package.courses():
        if isinstance(course, RowError):
            importer.refuse(course)
        else:
            ids.courses[course.sourced_id] = course.title
            importer.count(course)
    await importer.send("classes.csv", package.classes(), kind(Classes))
    for role in package.roles():
        if isinstance(role, RowError):
            importer.refuse(role)
    await importer.send("users.csv", _students(package, importer, ids), kind(Students))
    await importer.send("enrollments.csv", _student_enrolments(package, importer), kind(Enrolments))
    for category in package.categories():
        if isinstance(category, RowError):
            importer.refuse(category)
            continue
        importer.count(category)
        if category.title.strip().lower() == FINAL_CATEGORY:
            ids.finals.add(category.sourced_id)
    await _define_scales(ledger, package, importer, ids)
    await importer.send("lineItems.csv", package.line_items(), kind(Works))
    await importer.send("results.csv", package.results(), kind(Results))
    return importer.report


def _schools(package: Package, importer: RowImporter) -> Iterator[Row | RowError]:
    schools = 0
    for row in package.orgs():
        if isinstance(row, RowError):
            yield row
        elif row.type.lower() == "school":
            schools += 1
            if schools > 1:
                raise InvalidInput(
                    "The package has more than one school.",
                    help="One school is one ledger: split the package by school, and import each into its own.",
                )
            yield row
        else:
            importer.pass_over(row.file)


def _students(package: Package, importer: RowImporter, ids: ImportedIds) -> Iterator[Row | RowError]:
    for row in package.users():
        if isinstance(row, RowError) or row.is_student:
            yield row
        else:
            ids.passed_over.add(row.sourced_id)
            importer.pass_over(row.file)


def _student_enrolments(package: Package, importer: RowImporter) -> Iterator[Row | RowError]:
    for row in package.enrollments():
        if isinstance(row, RowError) or row.is_student:
            yield row
        else:
            importer.pass_over(row.file)


async def _define_scales(ledger: Ledger, package: Package, importer: RowImporter, ids: ImportedIds) -> None:
    """Defines the scales that line items and final results need, once each, by keys of their content."""
    ranges = set()
    finals = set()
    for item in package.line_items():
        if isinstance(item, RowError):
            continue
        if item.category_id in ids.finals:
            finals.add(item.sourced_id)
        elif item.minimum is not None and item.maximum is not None and item.minimum < item.maximum:
            ranges.add((item.minimum, item.maximum))
    for minimum, maximum in sorted(ranges):
        if scale_code(minimum, maximum) != "hundred":
            command = range_scale(ledger.id, minimum, maximum)
            await importer.send_own(command, f"scale/{command.scale}")
    symbols = sorted(
        {
            row.text_score
            for row in package.results()
            if not isinstance(row, RowError) and row.line_item_id in finals and row.text_score
        }
    )
    if symbols:
        command = DefineMarkScale(school=ledger.id, scale=FINAL_SCALE, title="Final result", symbols=tuple(symbols))
        key = f"scale/{FINAL_SCALE}/" + ledger.hasher.request("\x00".join(symbols).encode()).hex()
        await importer.send_own(command, key)
