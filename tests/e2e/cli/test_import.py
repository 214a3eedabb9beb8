"""`ledger import oneroster`: once, again, changed, and broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cli import count_events
from tests.support.oneroster import line_item, result, tiny_school, write_package

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from ledger.store.database import Row
    from tests.e2e.cli.conftest import Imported


def test_example_is_imported_whole_and_a_second_import_adds_nothing(example: Imported) -> None:
    first = example.first.last
    assert (first["students"], first["enrolments"], first["results"], first["refused"]) == (383, 383, 2016, 0)
    assert first["events_added"] > 2016
    second = example.cli.works("import", "oneroster", str(example.package), "--json").last
    assert second["events_added"] == 0
    assert {name: second[name] for name in ("students", "enrolments", "line_items", "results", "refused")} == {
        name: first[name] for name in ("students", "enrolments", "line_items", "results", "refused")
    }
    assert second["unchanged"] > 2016


def test_json_has_every_count_and_progress_goes_to_stderr(tiny: Imported) -> None:
    wanted = {"students", "enrolments", "line_items", "results", "flagged", "refused", "events_added", "seconds"}
    assert wanted <= set(tiny.first.last)
    assert len(tiny.first.lines) == 1
    assert "results.csv" in tiny.first.err
    assert "3/3" in tiny.first.err


def test_report_for_people_counts_rows_by_file(tiny: Imported) -> None:
    shown = tiny.cli.works("import", "oneroster", str(tiny.package))
    assert "results.csv" in shown.out
    assert "0 events added" in shown.out
    assert "1 rows of users.csv are nobody's record here" in shown.out


def _cut_off(folder: Path) -> Path:
    whole = write_package(folder / "whole.zip").read_bytes()
    path = folder / "cut.zip"
    path.write_bytes(whole[: len(whole) // 2])
    return path


def _without_column(folder: Path) -> Path:
    return write_package(folder / "column.zip", results="sourcedId,status\r\nx,\r\n")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_cut_off, "this is not a zip file, or it is cut off"),
        (_without_column, "results.csv"),
        (lambda folder: folder / "nowhere.zip", "there is no such file"),
    ],
)
def test_broken_package_is_refused_as_a_whole(
    make: object, said: str, tiny: Imported, owner: psycopg.Connection[Row], tmp_path: Path
) -> None:
    assert callable(make)
    before = count_events(owner)
    failed = tiny.cli.fails("import", "oneroster", str(make(tmp_path)))
    assert failed.err.startswith("error: ")
    assert said in failed.err
    assert failed.out == ""
    assert count_events(owner) == before


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (result("work-1", "nobody", score="4"), "studentSourcedId"),
        (result("work-9", "anna", score="4"), "lineItemSourcedId"),
        ({**result("work-2", "boris", score="7"), "scoreDate": "2024-10-15"}, "from 2 to 5"),
    ],
)
def test_row_that_cannot_be_recorded_is_listed_and_changes_nothing(
    row: dict[str, object], said: str, tiny: Imported, owner: psycopg.Connection[Row], tmp_path: Path
) -> None:
    before = count_events(owner)
    package = str(write_package(tmp_path / "p.zip", results=[*tiny_school()["results"], row]))
    failed = tiny.cli.fails("import", "oneroster", package, "--json")
    listed, summary = failed.lines
    assert (listed["status"], listed["file"], listed["row"]) == ("refused", "results.csv", 5)
    assert said in listed["reason"]
    assert (summary["refused"], summary["events_added"]) == (1, 0)
    assert count_events(owner) == before


def test_many_refused_rows_are_listed_up_to_twenty_and_counted(tiny: Imported, tmp_path: Path) -> None:
    rows = [result("work-1", f"nobody-{number}", score="4") for number in range(25)]
    package = write_package(tmp_path / "p.zip", results=[*tiny_school()["results"], *rows])
    failed = tiny.cli.fails("import", "oneroster", str(package))
    assert failed.out.count("refused: studentSourcedId") == 20
    assert "and 5 more rows" in failed.out
    assert "row 5 (work-1-nobody-0)" in failed.out


def test_changed_row_is_listed_and_applied_only_with_a_reason(
    tiny: Imported, owner: psycopg.Connection[Row], tmp_path: Path
) -> None:
    works = [*tiny_school()["lineItems"], line_item("work-3")]
    first = [*tiny_school()["results"], result("work-3", "anna", score="4")]
    changed = [*tiny_school()["results"], result("work-3", "anna", score="5")]
    tiny.cli.works("import", "oneroster", str(write_package(tmp_path / "1.zip", line_items=works, results=first)))
    before = count_events(owner)
    package = str(write_package(tmp_path / "2.zip", line_items=works, results=changed))
    listed, summary = tiny.cli.works("import", "oneroster", package, "--json").lines
    assert (listed["status"], listed["sourced_id"]) == ("differs", "work-3-anna")
    assert (summary["differs"], summary["applied"], summary["events_added"]) == (1, 0, 0)
    assert count_events(owner) == before
    applied = tiny.cli.works("import", "oneroster", package, "--json", "--apply-changes", "--reason", "letter 12").last
    assert (applied["differs"], applied["applied"], applied["events_added"]) == (0, 1, 1)
    history = tiny.cli.works("replay", "tests:anna", "--json").lines
    correction = next(line for line in history if line.get("topic") == "marks.corrected")
    assert (correction["state"]["old_value"], correction["state"]["value"]) == ("4", "5")
    assert correction["state"]["reason"] == "letter 12"
    again = tiny.cli.works("import", "oneroster", package, "--json").last
    assert (again["differs"], again["events_added"]) == (0, 0)


@pytest.mark.parametrize("options", [("--apply-changes",), ("--reason", "x")])
def test_changes_and_their_reason_go_together(options: tuple[str, ...], tiny: Imported) -> None:
    failed = tiny.cli.fails("import", "oneroster", str(tiny.package), *options, code=2)
    assert "go together" in failed.err
