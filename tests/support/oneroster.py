"""Build OneRoster 1.2 CSV packages for tests: a tiny valid school, of which a test changes only what it is about.

    write_package(path)                                             a valid school: 2 students, 1 class, 2 line items
    write_package(path, results=[*tiny_school()["results"], row])   the same with one more result
    write_package(path, results=None)                               the same without results (absent in the manifest)
    write_package(path, results=b"sourcedId")                       the same with these very bytes as results.csv
    write_package(path, manifest={"oneroster.version": "1.1"})      the same with another property in the manifest

Files go by their OneRoster name or in snake case (`line_items` is lineItems.csv). Rows are dicts of column to value;
columns left out are blank, columns unknown to OneRoster stand last, `None` as a value leaves the cell blank.
"""

from __future__ import annotations

import csv
import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

HEADERS: dict[str, tuple[str, ...]] = {
    name: ("sourcedId", "status", "dateLastModified", *columns.split())
    for name, columns in {
        "academicSessions": "title type startDate endDate parentSourcedId schoolYear",
        "orgs": "name type identifier parentSourcedId",
        "courses": "schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes",
        "classes": "title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds subjects "
        "subjectCodes periods",
        "users": "enabledUser username userIds givenName familyName middleName identifier email sms phone "
        "agentSourcedIds grades password userMasterIdentifier preferredGivenName preferredMiddleName "
        "preferredFamilyName primaryOrgSourcedId pronouns",
        "roles": "userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId",
        "enrollments": "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
        "categories": "title weight",
        "lineItems": "title description assignDate dueDate classSourcedId categorySourcedId academicSessionSourcedId "
        "resultValueMin resultValueMax schoolSourcedId",
        "results": "lineItemSourcedId studentSourcedId scoreStatus score scoreDate comment textScore classSourcedId "
        "inProgress incomplete late missing",
    }.items()
}


def tiny_school() -> dict[str, list[dict[str, object]]]:
    """Give the rows of a valid school, new for each call: two students, a teacher, a class, two line items, results."""
    return {
        "academicSessions": [
            {
                "sourcedId": "year-2024",
                "title": "2024/25",
                "type": "schoolYear",
                "startDate": "2024-09-01",
                "endDate": "2025-05-31",
                "schoolYear": "2025",
            },
        ],
        "orgs": [{"sourcedId": "school", "name": "School 1", "type": "school"}],
        "courses": [
            {
                "sourcedId": "algebra",
                "schoolYearSourcedId": "year-2024",
                "title": "Algebra",
                "courseCode": "ALG",
                "orgSourcedId": "school",
            },
        ],
        "classes": [
            {
                "sourcedId": "algebra-7a",
                "title": "Algebra 7A",
                "grades": "7",
                "courseSourcedId": "algebra",
                "classCode": "7A",
                "classType": "scheduled",
                "schoolSourcedId": "school",
                "termSourcedIds": "year-2024",
            },
        ],
        "users": [
            _user("anna", "Anna", "Antonova"),
            _user("boris", "Boris", "Borisov"),
            _user("vera", "Vera", "Volkova"),
        ],
        "roles": [_role("anna", "student"), _role("boris", "student"), _role("vera", "teacher")],
        "enrollments": [
            _enrollment("anna", "student", beginDate="2024-09-01"),
            _enrollment("boris", "student", beginDate="2024-09-01", endDate="2025-02-01"),
            _enrollment("vera", "teacher", primary="true"),
        ],
        "categories": [{"sourcedId": "tests", "title": "Tests", "weight": "40"}],
        "lineItems": [
            line_item("work-1", title="Test 1", description="weight 12.5"),
            line_item("work-2", title="Test 2", assignDate="2024-10-01", dueDate="2024-10-15"),
        ],
        "results": [
            result("work-1", "anna", score="5", comment="Well done"),
            result("work-1", "boris", score="3", late="true"),
            result("work-2", "anna", scoreStatus="submitted", scoreDate="2024-10-15"),
        ],
    }


def line_item(sourced_id: str, **cells: object) -> dict[str, object]:
    """Give a valid row of lineItems.csv for the class of the tiny school, on a scale from 2 to 5."""
    return {
        "sourcedId": sourced_id,
        "title": sourced_id,
        "assignDate": "2024-09-02",
        "dueDate": "2024-09-20",
        "classSourcedId": "algebra-7a",
        "categorySourcedId": "tests",
        "academicSessionSourcedId": "year-2024",
        "resultValueMin": "2",
        "resultValueMax": "5",
        "schoolSourcedId": "school",
        **cells,
    }


def result(line_item_id: str, student_id: str, **cells: object) -> dict[str, object]:
    """Give a valid row of results.csv, fully graded unless told otherwise."""
    return {
        "sourcedId": f"{line_item_id}-{student_id}",
        "lineItemSourcedId": line_item_id,
        "studentSourcedId": student_id,
        "scoreStatus": "fully graded",
        "scoreDate": "2024-09-20",
        "classSourcedId": "algebra-7a",
        **cells,
    }


def write_package(
    path: Path,
    *,
    manifest: Mapping[str, str | None] | bytes | None = None,
    **files: Iterable[Mapping[str, object]] | str | bytes | None,
) -> Path:
    """Write a package: the tiny school with the given files instead of its own.

    Args:
        path: where the zip goes.
        manifest: properties to change (`None` takes one out), or the very bytes of manifest.csv.
        files: rows, the very content, or `None` for absent, by the file's name.

    Returns:
        The path, so that it can be opened in the same expression.
    """
    content: dict[str, bytes] = {name: to_csv(name, rows) for name, rows in tiny_school().items()}
    absent = []
    for key, given in files.items():
        name = _camel(key)
        if given is None:
            content.pop(name, None)
            absent.append(name)
        elif isinstance(given, bytes):
            content[name] = given
        else:
            content[name] = given.encode() if isinstance(given, str) else to_csv(name, list(given))
    if not isinstance(manifest, bytes):
        manifest = _manifest(content, absent, manifest or {})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("manifest.csv", manifest)
        for name, data in content.items():
            package.writestr(f"{name}.csv", data)
    return path


def to_csv(name: str, rows: Sequence[Mapping[str, object]]) -> bytes:
    """Write rows as the bytes of a OneRoster file, headers in the binding's order."""
    columns = dict.fromkeys([*HEADERS[name], *(column for row in rows for column in row)])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _manifest(content: Mapping[str, bytes], absent: Iterable[str], changes: Mapping[str, str | None]) -> bytes:
    properties: dict[str, str | None] = {
        "manifest.version": "1.0",
        "oneroster.version": "1.2",
        **{f"file.{name}": "bulk" for name in content},
        **{f"file.{name}": "absent" for name in absent},
        "source.systemName": "Tests",
        "source.systemCode": "tests",
        **changes,
    }
    rows = [f"{name},{value}\r\n" for name, value in properties.items() if value is not None]
    return "".join(["propertyName,value\r\n", *rows]).encode()


def _user(sourced_id: str, given: str, family: str) -> dict[str, object]:
    return {
        "sourcedId": sourced_id,
        "enabledUser": "true",
        "username": sourced_id,
        "givenName": given,
        "familyName": family,
        "primaryOrgSourcedId": "school",
    }


def _role(user: str, role: str) -> dict[str, object]:
    return {
        "sourcedId": f"role-{user}",
        "userSourcedId": user,
        "roleType": "primary",
        "role": role,
        "orgSourcedId": "school",
    }


def _enrollment(user: str, role: str, **cells: object) -> dict[str, object]:
    return {
        "sourcedId": f"enrolment-{user}",
        "classSourcedId": "algebra-7a",
        "schoolSourcedId": "school",
        "userSourcedId": user,
        "role": role,
        **cells,
    }


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
