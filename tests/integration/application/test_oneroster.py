"""The import: every row counted or listed, restartable anywhere, changes only on request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ledger.application.disclose.history import read_history
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.school import list_courses, list_works, read_school
from ledger.application.disclose.students import find_student
from ledger.application.record.oneroster.package import import_package
from ledger.application.record.school import FoundSchool
from ledger.errors import Forbidden, InvalidInput, NotFound
from ledger.interchange.oneroster import open_package
from ledger.policy.offices import Actor, Office
from tests.support.desk import DIRECTOR, Desk, reads
from tests.support.importing import EXAMPLE, imports
from tests.support.oneroster import line_item, result, tiny_school, write_package

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ledger.application.disclose.shown import JournalLine, StudentShown
    from ledger.application.record.oneroster.report import ImportReport
    from ledger.store.database import Row as DbRow

Cells = dict[str, object]


def with_results(package: Path, *rows: Cells, **files: Any) -> Path:  # noqa: ANN401 - as `write_package` takes them
    return write_package(package, results=[*tiny_school()["results"], *rows], **files)


def changed(file: str, sourced_id: str, **cells: object) -> list[Cells]:
    """Returns the rows of the tiny school's file with one changed."""
    return [{**row, **cells} if row["sourcedId"] == sourced_id else row for row in tiny_school()[file]]


def refusals(report: ImportReport) -> list[tuple[str, int, str]]:
    """Returns file, row and sourcedId of what was refused; each has a reason."""
    assert all(note.reason for note in report.refused)
    return [(note.file, note.row, note.sourced_id) for note in report.refused]


async def course_of(desk: Desk) -> UUID:
    await desk.catches_up()
    page = await list_courses(desk.ledger, group_id=None, after=None, limit=50)
    return page.items[0].course_id


async def line_of(desk: Desk, name: str) -> JournalLine:
    course = await course_of(desk)
    page = await read_journal(desk.ledger, reads(), course, after=None, limit=50)
    return next(line for line in page.lines if line.given_name == name)


async def card_of(desk: Desk, sourced_id: str) -> StudentShown:
    await desk.catches_up()
    return await find_student(desk.ledger, reads(), "tests", sourced_id)


async def values_of(desk: Desk, name: str) -> list[tuple[str, str | None]]:
    return [(cell.kind, cell.value) for cell in (await line_of(desk, name)).cells]


# --- the example ------------------------------------------------------------------------------------------------------


async def test_example_class_is_imported_whole_and_a_second_import_adds_nothing(office: Desk) -> None:
    report = await imports(office.ledger, EXAMPLE)
    summary = report.summary()
    wanted = {"students": 383, "enrolments": 383, "line_items": 7, "results": 2016, "flagged": 60, "refused": 0}
    assert {name: summary[name] for name in wanted} == wanted
    last = await office.catches_up()
    assert summary["events_added"] == last
    assert office.audits().equal
    again = (await imports(office.ledger, EXAMPLE)).summary()
    assert again["events_added"] == 0
    assert {name: again[name] for name in ("students", "enrolments", "line_items", "results", "refused")} == {
        name: summary[name] for name in ("students", "enrolments", "line_items", "results", "refused")
    }
    assert (again["differs"], again["applied"]) == (0, 0)
    course = await course_of(office)
    seen: list[UUID] = []
    after = None
    while True:
        page = await read_journal(office.ledger, reads(), course, after=after, limit=50)
        assert len(page.lines) <= 50
        seen += [line.student_id for line in page.lines]
        if page.next is None:
            break
        after = type(course)(page.next)
    assert len(seen) == len(set(seen)) == 383


# --- what rows become -------------------------------------------------------------------------------------------------


async def test_tiny_school_becomes_students_memberships_works_and_marks(office: Desk, package: Path) -> None:
    report = await imports(office.ledger, write_package(package))
    assert report.refused == []
    assert report.summary() | {"seconds": 0} == {
        "students": 2,
        "enrolments": 2,
        "line_items": 2,
        "results": 3,
        "flagged": 0,
        "flags": {},
        "unchanged": 0,
        "differs": 0,
        "applied": 0,
        "passed_over": {"users.csv": 1, "enrollments.csv": 1},
        "refused": 0,
        "events_added": report.events_added,
        "seconds": 0,
    }
    assert await values_of(office, "Anna") == [("mark", "5"), ("submitted", None)]
    assert await values_of(office, "Boris") == [("mark", "3")]
    boris = await card_of(office, "boris")
    assert (boris.family_name, boris.foreign_ids) == ("Borisov", [("tests", "boris")])
    (membership,) = boris.memberships
    assert (str(membership.starts_on), str(membership.ends_on)) == ("2024-09-01", "2025-02-01")
    works = await list_works(office.ledger, await course_of(office), after=None, limit=50)
    assert [(work.title, str(work.weight), work.scale) for work in works.items] == [
        ("Test 1", "12.5", "range-2-5"),
        ("Test 2", "1", "range-2-5"),
    ]
    school = await read_school(office.ledger)
    assert (school.name, [year.year for year in school.years]) == ("School 1", ["year-2024"])
    with pytest.raises(NotFound):
        await card_of(office, "vera")


async def test_enrolment_without_a_beginning_is_recorded_and_flagged(office: Desk, package: Path) -> None:
    rows = changed("enrollments", "enrolment-anna", beginDate="")
    report = await imports(office.ledger, write_package(package, enrollments=rows))
    assert (report.refused, dict(report.flags)) == ([], {"begin_unknown": 1})
    (membership,) = (await card_of(office, "anna")).memberships
    assert (membership.starts_on, membership.flags) == (None, ["begin_unknown"])


async def test_result_after_the_leaving_is_recorded_and_flagged(office: Desk, package: Path) -> None:
    late = result("work-2", "boris", score="4", scoreDate="2025-03-01")
    report = await imports(office.ledger, with_results(package, late))
    assert (report.refused, report.summary()["flagged"]) == ([], 1)
    assert [cell.flags for cell in (await line_of(office, "Boris")).cells] == [[], ["outside_enrolment"]]


async def test_banked_result_is_credited_and_flagged_for_what_it_lacks(office: Desk, package: Path) -> None:
    banked = result("work-2", "boris", score="4", comment="Banked: from an earlier presentation")
    report = await imports(office.ledger, with_results(package, banked))
    assert report.refused == []
    assert set(report.flags) == {"no_will_recorded", "no_order_recorded"}
    assert sorted(await values_of(office, "Boris")) == [("credited", "4"), ("mark", "3")]


FINALS: dict[str, Any] = {
    "academicSessions": [
        *tiny_school()["academicSessions"],
        {
            "sourcedId": "term-1",
            "title": "Term 1",
            "type": "term",
            "startDate": "2024-09-01",
            "endDate": "2025-01-31",
            "parentSourcedId": "year-2024",
            "schoolYear": "2025",
        },
    ],
    "categories": [*tiny_school()["categories"], {"sourcedId": "final", "title": "Final result"}],
    "lineItems": [
        *tiny_school()["lineItems"],
        line_item(
            "the-end",
            categorySourcedId="final",
            academicSessionSourcedId="term-1",
            resultValueMin="",
            resultValueMax="",
        ),
    ],
}


def final(student: str, text: str, **cells: object) -> Cells:
    return result("the-end", student, textScore=text, scoreDate="2025-01-31", **cells)


async def test_final_results_stand_on_their_own_scale(office: Desk, package: Path) -> None:
    rows = (final("anna", "Distinction"), final("boris", "Withdrawn"))
    report = await imports(office.ledger, with_results(package, *rows, **FINALS))
    assert report.refused == []
    line = await line_of(office, "Anna")
    assert [(one.period, one.kind, one.value, one.scale) for one in line.results] == [
        ("term-1", "final", "Distinction", "final-result")
    ]
    scales = {scale.scale: scale.symbols for scale in (await read_school(office.ledger)).scales}
    assert scales["final-result"] == ["Distinction", "Withdrawn"]
    again = await imports(office.ledger, with_results(package, *rows, **FINALS))
    assert again.events_added == 0


async def test_changed_final_result_is_corrected_with_the_reason(office: Desk, package: Path) -> None:
    await imports(office.ledger, with_results(package, final("anna", "Pass"), final("boris", "Fail"), **FINALS))
    mended = with_results(package, final("anna", "Fail"), final("boris", "Fail"), **FINALS)
    report = await imports(office.ledger, mended, reason="Апелляция отклонена")
    assert (report.applied, report.differs, report.refused) == (1, [], [])
    (shown,) = (await line_of(office, "Anna")).results
    assert (shown.value, shown.changes[0].old_value, shown.changes[0].reason) == (
        "Fail",
        "Pass",
        "Апелляция отклонена",
    )


# --- rows that cannot be recorded -------------------------------------------------------------------------------------

BAD_RESULTS: list[tuple[Cells, str]] = [
    (result("work-2", "nobody", score="4"), "studentSourcedId"),
    (result("work-2", "vera", score="4"), "studentSourcedId"),
    (result("nothing", "boris", score="4"), "lineItemSourcedId"),
    (result("work-2", "boris", score="6"), "number from 2 to 5"),
    (result("work-2", "boris", score="4.125"), "number from 2 to 5"),
    (result("work-2", "boris", score="4", scoreDate=""), "scoreDate"),
    (result("work-2", "boris"), "no score"),
    (result("work-2", "boris", scoreStatus="exempt"), "no score"),
    (result("work-1", "boris", score="4"), "row 3"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_RESULTS)
async def test_bad_result_is_listed_with_its_reason_and_nothing_else_is_lost(
    office: Desk, package: Path, row: Cells, reason: str
) -> None:
    report = await imports(office.ledger, with_results(package, row))
    assert refusals(report) == [("results.csv", 5, row["sourcedId"])]
    assert reason in report.refused[0].reason
    assert report.rows["results.csv"] == 3
    assert await values_of(office, "Anna") == [("mark", "5"), ("submitted", None)]
    again = await imports(office.ledger, with_results(package, row))
    assert (again.events_added, refusals(again)) == (0, refusals(report))


async def test_one_bad_row_in_each_file_leaves_all_good_ones(office: Desk, package: Path) -> None:
    rows = tiny_school()
    stranger = {**rows["classes"][0], "sourcedId": "stranger", "courseSourcedId": "nothing"}
    no_term = {**rows["classes"][0], "sourcedId": "no-term", "termSourcedIds": "nothing"}
    orphan = {**rows["academicSessions"][0], "sourcedId": "orphan", "type": "term", "parentSourcedId": "nothing"}
    wrong_way = {**rows["enrollments"][0], "sourcedId": "back", "beginDate": "2025-01-02", "endDate": "2025-01-01"}
    nobody = {**rows["enrollments"][0], "sourcedId": "nobody", "userSourcedId": "nobody"}
    nowhere = {**rows["enrollments"][0], "sourcedId": "nowhere", "classSourcedId": "nothing"}
    twice = {**rows["enrollments"][0], "sourcedId": "twice"}
    unnamed = {**rows["users"][0], "sourcedId": "unnamed", "familyName": ""}
    files: dict[str, Any] = {
        "academicSessions": [*rows["academicSessions"], orphan],
        "classes": [*rows["classes"], stranger, no_term],
        "users": [*rows["users"], unnamed],
        "enrollments": [*rows["enrollments"], wrong_way, nobody, nowhere, twice],
        "lineItems": [
            *rows["lineItems"],
            line_item("flat", resultValueMin="5", resultValueMax="5"),
            line_item("loose", classSourcedId="nothing"),
        ],
    }
    report = await imports(office.ledger, write_package(package, **files))
    assert refusals(report) == [
        ("academicSessions.csv", 3, "orphan"),
        ("classes.csv", 3, "stranger"),
        ("classes.csv", 4, "no-term"),
        ("users.csv", 5, "unnamed"),
        ("enrollments.csv", 5, "back"),
        ("enrollments.csv", 6, "nobody"),
        ("enrollments.csv", 7, "nowhere"),
        ("enrollments.csv", 8, "twice"),
        ("lineItems.csv", 4, "flat"),
        ("lineItems.csv", 5, "loose"),
    ]
    assert (report.rows["users.csv"], report.rows["enrollments.csv"], report.rows["results.csv"]) == (2, 2, 3)
    reasons = " ".join(note.reason for note in report.refused)
    assert not any(name in reasons for name in ("Anna", "Antonova", "Algebra"))


async def test_every_row_of_a_file_is_counted_listed_or_passed_over(office: Desk, package: Path) -> None:
    path = with_results(package, *(row for row, _ in BAD_RESULTS[:8:3]))
    with open_package(path) as opened:
        counts = dict(opened.row_counts)
    report = await imports(office.ledger, path)
    for file, rows in counts.items():
        if file == "roles.csv":
            continue  # joined to the users
        listed = sum(note.file == file for note in report.refused)
        assert report.rows[file] + report.passed_over[file] + listed == rows, file


# --- the school -------------------------------------------------------------------------------------------------------


async def test_two_schools_are_refused_and_nothing_is_recorded(
    office: Desk, package: Path, owner: psycopg.Connection[DbRow]
) -> None:
    orgs: list[Cells] = [*tiny_school()["orgs"], {"sourcedId": "second", "name": "School 2", "type": "school"}]
    with pytest.raises(InvalidInput, match="more than one school"):
        await imports(office.ledger, write_package(package, orgs=orgs))
    assert owner.execute("SELECT count(*) FROM events").fetchone() == (0,)


async def test_district_above_the_school_is_passed_over(office: Desk, package: Path) -> None:
    orgs: list[Cells] = [{"sourcedId": "district", "name": "District", "type": "district"}, *tiny_school()["orgs"]]
    report = await imports(office.ledger, write_package(package, orgs=orgs))
    assert (report.refused, report.passed_over["orgs.csv"]) == ([], 1)


async def test_school_that_exists_keeps_its_name_and_takes_the_rows(office: Desk, package: Path) -> None:
    await office.does(FoundSchool(school=office.school, name="Школа была раньше"))
    report = await imports(office.ledger, write_package(package))
    assert (report.refused, report.passed_over["orgs.csv"]) == ([], 1)
    await office.catches_up()
    assert (await read_school(office.ledger)).name == "Школа была раньше"
    assert (await imports(office.ledger, write_package(package))).events_added == 0


async def test_second_source_has_ids_of_its_own(office: Desk, package: Path) -> None:
    await imports(office.ledger, write_package(package))
    other: dict[str, Any] = {"academicSessions": changed("academicSessions", "year-2024", sourcedId="y2")}
    other["classes"] = changed("classes", "algebra-7a", termSourcedIds="y2")
    report = await imports(office.ledger, write_package(package, manifest={"source.systemCode": "other"}, **other))
    assert report.refused == []
    assert (report.rows["users.csv"], report.unchanged.total()) == (2, 0)
    first, second = await card_of(office, "anna"), await find_student(office.ledger, reads(), "other", "anna")
    assert first.student_id != second.student_id


# --- changes ----------------------------------------------------------------------------------------------------------


def score(package: Path, value: str) -> Path:
    return write_package(package, results=changed("results", "work-1-anna", score=value))


async def test_changed_row_is_listed_and_leaves_the_ledger_as_it_is(office: Desk, package: Path) -> None:
    await imports(office.ledger, write_package(package))
    report = await imports(office.ledger, score(package, "4"))
    assert [(note.file, note.row, note.sourced_id) for note in report.differs] == [("results.csv", 2, "work-1-anna")]
    assert "--apply-changes" in report.differs[0].reason
    assert (report.events_added, report.applied, report.rows["results.csv"]) == (0, 0, 3)
    assert (await values_of(office, "Anna"))[0] == ("mark", "5")


async def test_changes_are_applied_once_each_and_back_again(office: Desk, package: Path) -> None:
    """5 → 4 → 3 → 5: each is one correction with its reason, and each package again adds nothing."""
    await imports(office.ledger, write_package(package))
    for number, value in enumerate(("4", "3", "5"), start=1):
        path = write_package(package) if value == "5" else score(package, value)
        listed = await imports(office.ledger, path)
        assert (len(listed.differs), listed.events_added) == (1, 0)
        applied = await imports(office.ledger, path, reason=f"Письмо {number}")
        assert (applied.applied, applied.events_added, applied.differs, applied.refused) == (1, 1, [], [])
        again = await imports(office.ledger, path, reason="ещё раз")
        assert (again.applied, again.events_added, again.unchanged["results.csv"]) == (0, 0, 3)
    cell = (await line_of(office, "Anna")).cells[0]
    assert [(one.old_value, one.value, one.reason) for one in cell.changes] == [
        ("5", "4", "Письмо 1"),
        ("4", "3", "Письмо 2"),
        ("3", "5", "Письмо 3"),
    ]
    assert cell.changes[0].actor.int == 0x1A
    assert office.audits().equal


async def test_end_of_an_enrolment_that_came_later_is_applied_as_a_leaving(office: Desk, package: Path) -> None:
    await imports(office.ledger, write_package(package))
    ended = write_package(package, enrollments=changed("enrollments", "enrolment-anna", endDate="2025-03-01"))
    report = await imports(office.ledger, ended, reason="Отчисление")
    assert (report.applied, report.refused, report.differs) == (1, [], [])
    (membership,) = (await card_of(office, "anna")).memberships
    assert str(membership.ends_on) == "2025-03-01"


@pytest.mark.parametrize(
    ("file", "row", "cells"),
    [
        ("users", "anna", {"familyName": "Another"}),
        ("results", "work-1-anna", {"comment": "Another"}),
        ("results", "work-1-anna", {"score": "9"}),
        ("enrollments", "enrolment-boris", {"endDate": "2025-01-01"}),
        ("lineItems", "work-1", {"title": "Another"}),
    ],
)
async def test_change_that_cannot_be_applied_is_listed_every_time(
    office: Desk, package: Path, file: str, row: str, cells: Cells
) -> None:
    await imports(office.ledger, write_package(package))
    files: dict[str, Any] = {file: changed(file, row, **cells)}
    path = write_package(package, **files)
    for _ in range(2):
        report = await imports(office.ledger, path, reason="Письмо")
        assert [note.sourced_id for note in report.differs] == [row]
        assert "--apply-changes" not in report.differs[0].reason
        assert (report.applied, report.events_added, report.refused) == (0, 0, [])


async def test_id_that_looks_like_the_change_of_another_row_is_a_row_of_its_own(office: Desk, package: Path) -> None:
    twin = {**result("work-2", "boris", score="2"), "sourcedId": "work-1-anna#2"}
    rows = [*changed("results", "work-1-anna", score="4"), twin]
    await imports(office.ledger, with_results(package, twin))
    report = await imports(office.ledger, write_package(package, results=rows), reason="Письмо")
    assert (report.applied, report.differs, report.refused) == (1, [], [])
    assert (await values_of(office, "Anna"))[0] == ("mark", "4")
    assert sorted(await values_of(office, "Boris")) == [("mark", "2"), ("mark", "3")]


async def test_changes_without_a_reason_in_words_are_not_begun(office: Desk, package: Path) -> None:
    with pytest.raises(InvalidInput, match="reason"):
        await imports(office.ledger, write_package(package), reason="  ")


async def test_teacher_does_not_import(office: Desk, package: Path) -> None:
    with open_package(write_package(package)) as opened, pytest.raises(Forbidden):
        await import_package(office.ledger, opened, Actor(DIRECTOR.id, Office.TEACHER))


async def test_history_names_the_importer_and_no_cell_reaches_a_report(office: Desk, package: Path) -> None:
    await imports(office.ledger, write_package(package))
    card = await card_of(office, "anna")
    history = await read_history(office.ledger, reads(), card.student_id, after=0, limit=50)
    assert {line.office for line in history.items if not line.topic.startswith("disclosure")} == {"system"}
