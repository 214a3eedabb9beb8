"""Who may read what, for which purpose: a table for lawyers (`fixtures/access-matrix.csv`), every cell tried over HTTP.

A row is a person, in an office and a relation, who states something or nothing; a column is what they ask for. `yes`:
it is shown. `refused`: 403, with the reason. `unseen`: 404, as of a student who does not exist.
"""

from __future__ import annotations

import asyncio
import csv
import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import UUID

import httpx

from ledger.api.terms import DOCUMENT, PURPOSE, REASON, RECIPIENT
from ledger.ids import new_id
from ledger.policy.offices import Office
from ledger.policy.reading import Resource
from tests.support.api import YESTERDAY

if TYPE_CHECKING:
    from tests.support.api import AClass, Api, Served

FIXTURES = Path(__file__).parents[1] / "fixtures"
TABLE = FIXTURES / "access-matrix.csv"
REGULATION = FIXTURES / "regulation-cells.csv"
"""What the regulations themselves say, paragraph by paragraph; written from their text, not from our policies."""
ANSWERS = {"yes": 200, "refused": 403, "unseen": 404}
AT_ONCE = 24

ADDRESSES = {
    "card": "/v1/students/{student}",
    "class list": "/v1/students?group_id={group}",
    "journal": "/v1/journals/{course}",
    "period marks": "/v1/students/{student}/courses/{course}/period-marks",
    "portfolio": "/v1/students/{student}/portfolio",
    "retention": "/v1/students/{student}/retention",
    "who saw it": "/v1/students/{student}/disclosures",
    "everybody's register": "/v1/disclosures?limit=1",
    "history": "/v1/students/{student}/history",
    "state": "/v1/students/{student}/state",
    "feed": "/v1/events?limit=1",
    "representatives": "/v1/students/{student}/representatives",
    "consents": "/v1/students/{student}/consents",
    "requests": "/v1/students/{student}/requests",
    "everybody's requests": "/v1/requests?status=open&limit=1",
}
STATED: dict[str, dict[str, str]] = {
    "nothing": {},
    "award": {PURPOSE: "award"},
    "material aid": {PURPOSE: "material_aid"},
    "own request": {PURPOSE: "own_request"},
    "audit": {PURPOSE: "audit"},
    "an outsider": {RECIPIENT: "synthetic%20committee"},
    "an outsider and a document": {
        PURPOSE: "statutory_duty", RECIPIENT: "synthetic%20court", DOCUMENT: quote("Синтетический запрос № 1"),
    },
    "an outsider and consent": {PURPOSE: "consent", RECIPIENT: "synthetic%20newspaper"},
    "an emergency": {REASON: quote("Упал на перемене, без сознания, родители не отвечают")},
}  # fmt: skip


def table() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def people(served: Served, director: Api, a_class: AClass) -> dict[str, Api]:
    """Returns everybody who has a row: an office, and what they are to the student whom they ask about."""
    own, other = (UUID(one) for one in a_class.students)
    substitute, former = new_id(), new_id()
    for person, first, last in (
        (substitute, YESTERDAY, YESTERDAY + timedelta(days=3)),
        (former, YESTERDAY - timedelta(days=3), YESTERDAY),
    ):
        form = {"teacher": str(person), "starts_on": str(first), "ends_on": str(last), "substitute": True}
        director.records(f"/v1/courses/{a_class.course_id}/teachers", form)
    somebody = {
        office.value.replace("_", " "): served.acts(office)
        for office in Office
        if office not in (Office.TEACHER, Office.CLASS_TEACHER, Office.STUDENT, Office.REPRESENTATIVE)
    }
    return somebody | {
        "teacher of the course": served.acts(Office.TEACHER, person=a_class.teacher),
        "substitute today": served.acts(Office.TEACHER, person=substitute),
        "substitute until yesterday": served.acts(Office.TEACHER, person=former),
        "teacher of others": served.acts(Office.TEACHER),
        "class teacher": served.acts(Office.CLASS_TEACHER, person=a_class.class_teacher),
        "class teacher of others": served.acts(Office.CLASS_TEACHER),
        "the student": served.acts(Office.STUDENT, person=own, students=(own,)),
        "another student": served.acts(Office.STUDENT, person=other, students=(other,)),
        "the representative": served.acts(Office.REPRESENTATIVE, students=(own,)),
        "representative of another": served.acts(Office.REPRESENTATIVE, students=(other,)),
    }


def test_table_is_whole() -> None:
    rows = table()
    assert len(rows) * len(ADDRESSES) > 600
    assert {row["stated"] for row in rows} == set(STATED)
    assert len({(row["who"], row["stated"]) for row in rows}) == len(rows)
    assert {cell for row in rows for name, cell in row.items() if name in ADDRESSES} == set(ANSWERS)
    reached = {"card", "class list", "journal", "portfolio", "retention", "who saw it", "everybody's register"}
    reached |= {"history", "state", "feed", "period marks"}
    reached |= {"representatives", "consents", "requests", "everybody's requests"}
    assert reached == set(ADDRESSES) == set(rows[0]) - {"who", "stated"}
    assert len(Resource) >= len(ADDRESSES) - 2, "Two of them have two addresses each."


def test_every_cell_is_answered_as_the_table_says(served: Served, director: Api, a_class: AClass) -> None:
    who = people(served, director, a_class)
    rows = table()
    assert {row["who"] for row in rows} == set(who)
    views_are_there(director, a_class)
    cells: list[tuple[tuple[str, str, str], int, httpx.Request]] = []
    for row in rows:
        for what, address in ADDRESSES.items():
            path = address.format(student=a_class.students[0], group=a_class.group_id, course=a_class.course_id)
            request = who[row["who"]].http.build_request("GET", path, headers=STATED[row["stated"]])
            cells.append(((row["who"], row["stated"], what), ANSWERS[row[what]], request))
    answers = asyncio.run(statuses([request for *_, request in cells]))
    wrong = [
        (*cell, expected, answered)
        for (cell, expected, _), answered in zip(cells, answers, strict=True)
        if answered != expected
    ]
    assert wrong == []


def test_what_the_regulations_say_is_so(served: Served, director: Api, a_class: AClass) -> None:
    who = people(served, director, a_class)
    views_are_there(director, a_class)
    told = (Path(__file__).parents[2] / "docs" / "regulations.md").read_text(encoding="utf-8")
    with REGULATION.open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    assert {cell["answer"] for cell in cells} == {"shown", "not shown"}
    assert [cell["paragraph"] for cell in cells if cell["paragraph"] not in told] == []
    requests = []
    for cell in cells:
        path = ADDRESSES[cell["what"]].format(
            student=a_class.students[0], group=a_class.group_id, course=a_class.course_id
        )
        requests.append(who[cell["who"]].http.build_request("GET", path, headers=STATED[cell["stated"]]))
    answers = asyncio.run(statuses(requests))
    expected = {"shown": (200,), "not shown": (403, 404)}
    assert [
        (cell, answer) for cell, answer in zip(cells, answers, strict=True) if answer not in expected[cell["answer"]]
    ] == []


def views_are_there(director: Api, a_class: AClass) -> None:
    """Passes when every view shows the class."""
    student = f"/v1/students/{a_class.students[0]}"
    for path in (student, f"{student}/portfolio", f"{student}/retention", f"/v1/journals/{a_class.course_id}"):
        director.reads(path, min_position=a_class.position)


async def statuses(requests: list[httpx.Request]) -> list[int]:
    """Returns how requests were answered; some of them are under way at once."""
    answers = [0] * len(requests)
    waiting = iter(enumerate(requests))

    async def some(client: httpx.AsyncClient) -> None:
        for number, request in waiting:
            answers[number] = (await client.send(request)).status_code

    # As many askers as connections: a client's pool looks through all who wait each time that one is served. Beyond the
    # connections that it keeps (20 of its own accord) it closes idle ones, and at times one that was just given away.
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await asyncio.gather(*(some(client) for _ in range(AT_ONCE)))
    return answers


def test_explanation_is_what_the_reading_would_be_answered(served: Served, director: Api, a_class: AClass) -> None:
    """In words, Russian and English, with the policy; and nothing is recorded of it."""
    who = people(served, director, a_class)
    of_student = {"student": a_class.students[0]}
    of_course = {"course": a_class.course_id}
    questions = {
        "card": {"resource": "student", **of_student},
        "class list": {"resource": "students", "group": a_class.group_id},
        "journal": {"resource": "journal", **of_course},
        "period marks": {"resource": "marks", **of_student, **of_course},
        "who saw it": {"resource": "disclosures", **of_student},
        "feed": {"resource": "feed"},
    }
    with served.base.database.connect("owner") as connection:
        count = served.base.database.bind("SELECT count(*) FROM {schema}.events WHERE topic LIKE 'access.%'")
        before = connection.execute(count).fetchone()
        for row in table():
            if row["stated"] != ("an emergency" if row["who"] == "teacher of others" else "nothing"):
                continue
            for what, question in questions.items():
                answer = who[row["who"]].http.get("/v1/access/explain", params=question, headers=STATED[row["stated"]])
                assert answer.status_code == 200, answer.text
                told = answer.json()
                assert told["answer"] == ANSWERS[row[what]], (row["who"], row["stated"], what)
                assert told["allowed"] == (row[what] == "yes")
                assert told["policy"]
                assert told["ru"].startswith("Разрешено: " if told["allowed"] else "Отказано: ")
                assert told["en"].startswith("Allowed: " if told["allowed"] else "Refused: ")
        assert connection.execute(count).fetchone() == before


def test_explanation_tells_no_stranger_whether_a_student_exists(served: Served, a_class: AClass) -> None:
    for office in (Office.TEACHER, Office.STUDENT, Office.REPRESENTATIVE):
        stranger = served.acts(office, students=() if office is Office.TEACHER else (new_id(),))
        told = [
            stranger.reads("/v1/access/explain", resource="student", student=one)
            for one in (a_class.students[0], str(new_id()))
        ]
        assert told[0] == told[1]
        assert told[0]["answer"] == 404
    absent = served.acts(Office.DIRECTOR).get("/v1/access/explain", resource="student", student=str(new_id()))
    assert absent.status_code == 404


def test_director_asks_for_others_and_others_do_not(served: Served, director: Api, a_class: AClass) -> None:
    asked = {"resource": "student", "student": a_class.students[0], "office": "class_teacher"}
    told = director.reads("/v1/access/explain", actor=str(a_class.class_teacher), **asked)
    assert (told["allowed"], told["office"], told["facts"][0]) == (True, "class_teacher", "class_teacher")
    assert "классный руководитель" in told["ru"]
    assert director.reads("/v1/access/explain", actor=str(new_id()), **asked)["answer"] == 404
    special = director.reads("/v1/access/explain", resource="student", student=a_class.students[0], category="health")
    assert (special["allowed"], special["policy"]) == (False, "special-records")
    teacher = served.acts(Office.TEACHER, person=a_class.teacher)
    assert teacher.get("/v1/access/explain", **asked).status_code == 403
    assert director.get("/v1/access/explain", resource="student").status_code == 422
    assert director.get("/v1/access/explain", resource="cards").status_code == 422


def test_exceptional_access_is_told_and_stands_out(served: Served, director: Api, a_class: AClass) -> None:
    """In the register of the student, to the representatives, and in the feed for the director, by its topic."""
    student, person = a_class.students[0], new_id()
    stranger = served.acts(Office.TEACHER, person=person).http
    director.reads("/v1/courses", min_position=a_class.position)
    path = f"/v1/students/{student}"
    for reason in ("", "short", quote("помогите " * 3), "a" * 40, "%zz three words here", quote("ё" * 501)):
        refused = stranger.get(path, headers={REASON: reason})
        assert (refused.status_code, "Синтетический" in refused.text) == (400, False), reason
    assert stranger.get(path, headers=STATED["an emergency"] | {PURPOSE: "award"}).status_code == 400
    assert stranger.get(path).status_code == 404
    assert stranger.get(path, headers=STATED["an emergency"]).status_code == 200
    feed = director.reads("/v1/events", topic="disclosure.exceptional", limit=1000)
    mine = [event for event in feed["items"] if event["actor"] == str(person)]
    assert [event["subject_id"] for event in mine] == [student]
    parent = served.acts(Office.REPRESENTATIVE, students=(UUID(student),))
    seen = parent.reads(f"{path}/disclosures", min_position=mine[0]["position"])
    first, before = (line for line in seen["items"] if line["actor"] == str(person))
    assert (first["exceptional"], first["granted"], first["purpose"]) == (True, True, "protection")
    assert first["reason"] == "Упал на перемене, без сознания, родители не отвечают"
    assert (before["exceptional"], before["granted"], before["reason"]) == (False, False, None)


def test_client_that_goes_away_in_mid_answer_stands_in_the_register(served: Served, a_class: AClass) -> None:
    served.acts().reads("/v1/courses", min_position=a_class.position)
    for taken in (0, 1, 200):
        person = new_id()
        token = served.token(Office.DIRECTOR, person=person)
        address = served.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=30) as connection:
            head = [f"GET /v1/journals/{a_class.course_id} HTTP/1.1", "Host: ledger", f"Authorization: Bearer {token}"]
            connection.sendall("\r\n".join([*head, "", ""]).encode())
            got = connection.recv(taken) if taken else b""
        with served.base.database.connect("owner") as database:
            query = served.base.database.bind(
                "SELECT count(*) FROM {schema}.events WHERE topic = 'access.opened' AND subject_id = %s"
            )
            recorded = database.execute(query, (person,)).fetchone()
        assert recorded is not None
        assert recorded[0] == 1 or not got, "Something was answered, and nothing recorded."
