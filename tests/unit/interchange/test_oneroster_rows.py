"""Each row becomes one record or one row error; an error says what to write, and never what stood there."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.interchange.oneroster import LineItem, Result, RowError, ScoreStatus, User, open_package
from tests.support.oneroster import HEADERS, line_item, result, tiny_school, to_csv, write_package

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CANARY = "Канарейка"


@pytest.fixture(name="zip_path")
def _zip_path(tmp_path: Path) -> Path:
    return tmp_path / "school.zip"


def results_of(path: Path, results: list[dict[str, object]] | bytes) -> list[Result | RowError]:
    with open_package(write_package(path, results=results)) as package:
        return list(package.results())


def one_result(path: Path, **cells: object) -> Result | RowError:
    (found,) = results_of(path, [result("work-1", "anna", **cells)])
    return found


def digest_of(path: Path, results: list[dict[str, object]] | bytes) -> bytes:
    (found,) = results_of(path, results)
    assert isinstance(found, Result)
    return found.digest


def test_a_result_is_read_with_all_its_cells(zip_path: Path) -> None:
    found = one_result(
        zip_path,
        score="4.50",
        comment=" Well, done ",
        textScore="B",
        late="TRUE",
        missing="false",
        scoreStatus="Exempt",
    )

    assert isinstance(found, Result)
    assert (found.row, found.file, found.sourced_id) == (2, "results.csv", "work-1-anna")
    assert (found.line_item_id, found.student_id, found.class_id) == ("work-1", "anna", "algebra-7a")
    assert (found.status, str(found.score), found.score_date) == (ScoreStatus.EXEMPT, "4.50", date(2024, 9, 20))
    assert (found.comment, found.text_score) == ("Well, done", "B")
    assert (found.in_progress, found.incomplete, found.late, found.missing) == (None, None, True, False)


def test_persons_get_the_roles_of_the_roles_file(zip_path: Path) -> None:
    roles: list[dict[str, object]] = [
        *tiny_school()["roles"],
        {"sourcedId": "r4", "userSourcedId": "vera", "role": "Student"},
    ]
    with open_package(write_package(zip_path, roles=roles)) as package:
        users = [user for user in package.users() if isinstance(user, User)]

    assert {user.sourced_id: user.roles for user in users} == {
        "anna": ("student",),
        "boris": ("student",),
        "vera": ("student", "teacher"),
    }
    assert all(user.is_student for user in users)


def test_a_teacher_is_no_student_in_the_school_or_in_the_class(zip_path: Path) -> None:
    with open_package(write_package(zip_path)) as package:
        assert [user.is_student for user in package.users() if isinstance(user, User)] == [True, True, False]
        assert [row.is_student for row in package.enrollments() if not isinstance(row, RowError)] == [True, True, False]


def test_a_changed_role_changes_the_digest_of_the_person(tmp_path: Path) -> None:
    roles = [{**role, "role": "student"} for role in tiny_school()["roles"]]
    with (
        open_package(write_package(tmp_path / "a.zip")) as before,
        open_package(write_package(tmp_path / "b.zip", roles=roles)) as after,
    ):
        same = [old.digest == new.digest for old, new in zip(users(before.users()), users(after.users()), strict=True)]

    assert same == [True, True, False]


def users(rows: Iterable[User | RowError]) -> list[User]:
    return [row for row in rows if isinstance(row, User)]


def test_a_role_that_cannot_be_read_makes_nobody_a_student_and_is_listed(zip_path: Path) -> None:
    roles = [{"sourcedId": "r1", "userSourcedId": "anna", "role": ""}]
    with open_package(write_package(zip_path, roles=roles)) as package:
        assert not any(user.is_student for user in users(package.users()))
        assert [type(role) for role in package.roles()] == [RowError]


@pytest.mark.parametrize(
    ("description", "weight"),
    [
        ("weight 12.5", Decimal("12.5")),
        ("Weight 0", Decimal(0)),
        ("", None),
        ("weight", None),
        ("weight 12,5", None),
        ("measure the weight 12 of a stone", None),
    ],
)
def test_a_works_weight_is_read_from_its_description(zip_path: Path, description: str, weight: Decimal | None) -> None:
    items = [line_item("work-1", description=description)]
    with open_package(write_package(zip_path, line_items=items, results=[])) as package:
        (item,) = package.line_items()

    assert isinstance(item, LineItem)
    assert item.weight == weight
    assert (item.minimum, item.maximum, item.due_date) == (Decimal(2), Decimal(5), date(2024, 9, 20))


@pytest.mark.parametrize(
    ("column", "cell", "advice"),
    [
        ("scoreDate", "20.09.2024", "YYYY-MM-DD"),
        ("scoreDate", "2024-02-30", "not in the calendar"),
        ("scoreDate", "20240920", "YYYY-MM-DD"),
        ("score", "4,5", "decimal number with a dot"),
        ("score", "NaN", "decimal number with a dot"),
        ("score", "1e9", "decimal number with a dot"),
        ("score", "٤", "decimal number with a dot"),
        ("score", "9" * 40, "decimal number with a dot"),
        ("late", "yes", "true or false"),
        ("scoreStatus", "", "write one of: exempt, fully graded"),
        ("scoreStatus", CANARY, "write one of: exempt, fully graded"),
        ("lineItemSourcedId", "", "is blank; give the sourcedId"),
        ("studentSourcedId", "x" * 256, "at most 255 printable characters"),
        ("studentSourcedId", "a\tb", "at most 255 printable characters"),
        ("status", "tobedeleted", "leave it blank"),
    ],
)
def test_a_malformed_cell_is_a_row_error_that_says_what_to_write(
    zip_path: Path, column: str, cell: str, advice: str
) -> None:
    found = one_result(zip_path, comment=CANARY, **{column: cell})

    assert isinstance(found, RowError)
    assert (found.file, found.row, found.sourced_id) == ("results.csv", 2, "work-1-anna")
    assert re.search(rf"column {column}: .*{re.escape(advice)}", found.reason)
    assert CANARY not in found.reason
    assert cell not in found.reason or cell == ""


def test_every_malformed_cell_of_a_row_is_named_at_once(zip_path: Path) -> None:
    found = one_result(zip_path, score="good", scoreDate="today")

    assert isinstance(found, RowError)
    assert "column score:" in found.reason
    assert "column scoreDate:" in found.reason


def test_a_missing_name_is_a_row_error_for_that_person_only(zip_path: Path) -> None:
    persons = [{**user, "familyName": ""} if user["sourcedId"] == "boris" else user for user in tiny_school()["users"]]
    with open_package(write_package(zip_path, users=persons)) as package:
        assert [type(user) for user in package.users()] == [User, RowError, User]


def test_a_missing_start_of_the_year_is_a_row_error(zip_path: Path) -> None:
    sessions = [{**tiny_school()["academicSessions"][0], "startDate": ""}]
    with open_package(write_package(zip_path, academic_sessions=sessions)) as package:
        (session,) = package.academic_sessions()

    assert isinstance(session, RowError)
    assert "column startDate: is blank" in session.reason


def test_a_row_without_usable_sourced_id_is_listed_by_its_line(zip_path: Path) -> None:
    found = one_result(zip_path, sourcedId="")

    assert isinstance(found, RowError)
    assert (found.row, found.sourced_id) == (2, "")


def test_a_sourced_id_that_comes_again_is_refused_and_the_first_one_kept(zip_path: Path) -> None:
    first, again = results_of(zip_path, [result("work-1", "anna", score="5"), result("work-1", "anna", score="2")])

    assert isinstance(first, Result)
    assert again == RowError("results.csv", 3, "work-1-anna", "sourcedId stands already in row 2; make it unique")


def test_a_row_with_too_few_cells_is_listed_and_the_next_one_read(zip_path: Path) -> None:
    header, *rows = to_csv("results", tiny_school()["results"]).splitlines(keepends=True)
    short, good = results_of(zip_path, header + b"work-9,\r\n" + rows[0])

    assert isinstance(short, RowError)
    assert "the row has 2 cells and the header 15" in short.reason
    assert isinstance(good, Result)
    assert good.row == 3


def test_rows_are_counted_by_lines_with_blank_lines_and_line_ends_inside_quotes(zip_path: Path) -> None:
    header, *rows = to_csv("results", tiny_school()["results"]).splitlines(keepends=True)
    long = to_csv("results", [result("work-2", "boris", comment="two\r\nlines")]).removeprefix(header)
    found = results_of(zip_path, header + b"\r\n" + rows[0] + long + rows[1])

    assert [row.row for row in found] == [3, 4, 6]


def test_order_of_columns_byte_order_mark_line_ends_and_foreign_columns_leave_the_digest_alone(
    tmp_path: Path,
) -> None:
    row = result("work-1", "anna", score="5")
    ours = {"metadata.ours": "x", **row, "status": "active", "dateLastModified": "2024-10-01T00:00:00Z"}
    columns = sorted({*HEADERS["results"], *ours}, reverse=True)
    lines = [",".join(columns), ",".join(str(ours.get(column, "")) for column in columns)]
    turned = b"\xef\xbb\xbf" + "\n".join(lines).encode()

    assert digest_of(tmp_path / "a.zip", [row]) == digest_of(tmp_path / "b.zip", turned)


@pytest.mark.parametrize("column", ["score", "scoreDate", "comment", "textScore", "late"])
def test_a_changed_cell_changes_the_digest(tmp_path: Path, column: str) -> None:
    changed = {"score": "4", "scoreDate": "2024-09-21", "comment": "5", "textScore": "5", "late": "true"}
    row = result("work-1", "anna", score="5")

    assert digest_of(tmp_path / "a.zip", [row]) != digest_of(tmp_path / "b.zip", [{**row, column: changed[column]}])


def test_a_record_shows_where_it_stands_and_not_what_it_says(zip_path: Path) -> None:
    found = one_result(zip_path, score="5", comment=CANARY)

    assert repr(found) == "<Result work-1-anna: results.csv, row 2>"


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
TEXT = st.text(st.characters(codec="utf-8"), max_size=60).map(str.strip)
FLAG = st.sampled_from([None, True, False])
RESULTS = st.lists(
    st.fixed_dictionaries(
        {
            "sourcedId": PRINTABLE,
            "lineItemSourcedId": PRINTABLE,
            "studentSourcedId": PRINTABLE,
            "scoreStatus": st.sampled_from(ScoreStatus),
            "score": st.none() | st.decimals(-1000, 1000, places=3),
            "scoreDate": st.none() | st.dates(),
            "comment": TEXT,
            "textScore": TEXT,
            "classSourcedId": st.none() | PRINTABLE,
            "inProgress": FLAG,
            "incomplete": FLAG,
            "late": FLAG,
            "missing": FLAG,
        }
    ),
    max_size=8,
    unique_by=lambda row: row["sourcedId"],
)


@settings(deadline=None)
@given(rows=RESULTS)
def test_what_is_written_as_csv_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("round") / "school.zip"
    found = results_of(path, rows)

    assert [
        {
            "sourcedId": row.sourced_id,
            "lineItemSourcedId": row.line_item_id,
            "studentSourcedId": row.student_id,
            "scoreStatus": row.status,
            "score": row.score,
            "scoreDate": row.score_date,
            "comment": row.comment or "",
            "textScore": row.text_score or "",
            "classSourcedId": row.class_id,
            "inProgress": row.in_progress,
            "incomplete": row.incomplete,
            "late": row.late,
            "missing": row.missing,
        }
        for row in found
        if isinstance(row, Result)
    ] == rows
