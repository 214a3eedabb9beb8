"""Links of the OpenAPI document: which value of an answer leads on to which other operation (Link Object).

A reader of the document sees where ids come from; a client or a fuzzer that follows links finds its way from the list
of class groups to each student's records.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Leading(NamedTuple):
    """What an answer of an operation leads to.

    Args:
        parameters: of each operation that it leads to, by where their values stand in the answer.
        operations: by their ids.
    """

    status: str
    parameters: dict[str, str]
    operations: tuple[str, ...]


_OF_STUDENT = (
    "readStudent",
    "readPortfolio",
    "readState",
    "readHistory",
    "readPeriodMarks",
    "readRetention",
    "readDisclosures",
    "whoSaw",
    "readRepresentatives",
    "readConsents",
    "readRequests",
)
_OF_GROUP = ("readClassGroup", "listStudents", "listCourses")
_OF_COURSE = ("readCourse", "listWorks", "readJournal")

LINKS: dict[str, tuple[Leading, ...]] = {
    "listClassGroups": (Leading("200", {"group_id": "/items/0/group_id"}, _OF_GROUP),),
    "listCourses": (Leading("200", {"course_id": "/items/0/course_id"}, _OF_COURSE),),
    "listStudents": (Leading("200", {"student_id": "/items/0/student_id"}, _OF_STUDENT),),
    "formClassGroup": (Leading("201", {"group_id": "/id"}, _OF_GROUP),),
    "openCourse": (Leading("201", {"course_id": "/id"}, _OF_COURSE),),
    "enrolStudent": (Leading("201", {"student_id": "/id"}, _OF_STUDENT),),
    "recordMark": (Leading("201", {"student_id": "/events/0/subject_id", "mark_id": "/id"}, ("readMark",)),),
}
"""By the operation whose answer leads on; ids come from the first item of a list, as an expression can name but one."""


def add_links(document: dict[str, Any]) -> None:
    """Writes the links into the answers of a document's operations.

    Raises:
        KeyError: a link names an operation, answer or parameter that is not there.
    """
    operations = {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
        if "operationId" in operation
    }
    for name, leadings in LINKS.items():
        for leading in leadings:
            links = operations[name]["responses"][leading.status].setdefault("links", {})
            for target in leading.operations:
                known = {parameter["name"] for parameter in operations[target]["parameters"]}
                if unknown := leading.parameters.keys() - known:
                    raise KeyError(f"{target} has no parameter {min(unknown)}")
                links[target] = {
                    "operationId": target,
                    "parameters": {one: f"$response.body#{place}" for one, place in leading.parameters.items()},
                }
