"""The real example class, read whole: the counts are the data set's own."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.interchange.oneroster import LineItem, Result, RowError, ScoreStatus, open_package

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.interchange.oneroster import Package, Row

EXAMPLE = Path(__file__).parents[3] / "examples" / "oulad-aaa-2013j-oneroster-1.2.zip"


@pytest.fixture(name="package")
def _package() -> Iterator[Package]:
    with open_package(EXAMPLE) as package:
        yield package


def test_every_row_of_the_example_class_is_read_and_none_is_refused(package: Package) -> None:
    read: dict[str, list[Row | RowError]] = {
        "academicSessions.csv": list(package.academic_sessions()),
        "orgs.csv": list(package.orgs()),
        "courses.csv": list(package.courses()),
        "classes.csv": list(package.classes()),
        "roles.csv": list(package.roles()),
        "users.csv": list(package.users()),
        "enrollments.csv": list(package.enrollments()),
        "categories.csv": list(package.categories()),
        "lineItems.csv": list(package.line_items()),
        "results.csv": list(package.results()),
    }

    assert {file: len(rows) for file, rows in read.items()} == dict(package.row_counts)
    assert package.row_counts["users.csv"] == package.row_counts["enrollments.csv"] == 383
    assert package.row_counts["results.csv"] == 2016
    assert not [row for rows in read.values() for row in rows if isinstance(row, RowError)]
    assert all(row.file == file for file, rows in read.items() for row in rows)


def test_the_source_is_the_exporting_systems_code(package: Package) -> None:
    assert package.source == "OULAD"


def test_all_persons_of_the_example_are_students(package: Package) -> None:
    assert all(not isinstance(user, RowError) and user.is_student for user in package.users())


def test_the_weights_of_the_works_stand_in_their_descriptions(package: Package) -> None:
    weights = [item.weight for item in package.line_items() if isinstance(item, LineItem)]

    assert weights == [*map(Decimal, (10, 20, 20, 20, 30, 100)), None]


def test_final_results_are_text_scores_and_scores_are_numbers(package: Package) -> None:
    results = [result for result in package.results() if isinstance(result, Result)]

    graded = [result for result in results if result.status is ScoreStatus.FULLY_GRADED]
    finals = Counter(result.text_score for result in results if result.text_score)
    assert finals.total() == 383
    assert set(finals) == {"Pass", "Distinction", "Fail", "Withdrawn"}
    assert all((result.score is None) == bool(result.text_score) for result in graded)
    assert len(graded) == 2014


def test_the_first_result_is_read_as_it_stands_in_the_file(package: Package) -> None:
    first = next(package.results())

    assert isinstance(first, Result)
    assert (first.row, first.sourced_id, first.line_item_id, first.student_id) == (
        2,
        "res-1752-11391",
        "li-1752",
        "student-11391",
    )
    assert (first.score, str(first.score_date), first.class_id) == (Decimal(78), "2013-10-23", "class-AAA-2013J")


def test_the_digest_of_a_row_never_changes_between_versions(package: Package) -> None:
    """An import compares with digests stored years ago; if this fails, every known row would be taken for changed."""
    first = next(package.results())

    assert isinstance(first, Result)
    assert first.digest.hex() == "0d182d831bca9b7ce6b58160a4997173185864b8dfbe33e3471f367cd557c10b"
