"""No answer without a record: after each kind of reading, and after each refused one, the register tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from ledger.ids import new_id
from ledger.policy.offices import Office
from ledger.store.openings import CountedKeyring

if TYPE_CHECKING:
    from tests.support.api import AClass, Api, Json, Served


def register(served: Served, student: str) -> list[Json]:
    """Returns who saw the student's data up to now, oldest first, without this very look at it."""
    auditor = served.acts(Office.AUDITOR)
    with served.base.database.connect("owner") as connection:
        query = served.base.database.bind("SELECT max(position) FROM {schema}.events")
        row = connection.execute(query).fetchone()
    assert row is not None
    page = auditor.reads(f"/v1/students/{student}/disclosures", min_position=row[0])
    return [entry for entry in reversed(page["items"]) if entry["access_id"] != page["access_id"]]


READS = (
    ("/v1/students/{student}", "student", ["personal_file"]),
    ("/v1/students?group_id={group}", "students", ["personal_file"]),
    ("/v1/journals/{course}", "journal", ["personal_file", "marks", "final_results", "credits"]),
    ("/v1/students/{student}/courses/{course}/period-marks", "marks", ["final_results"]),
    ("/v1/students/{student}/portfolio", "portfolio", ["achievements", "awards", "credits"]),
    ("/v1/students/{student}/retention", "retention", None),
    ("/v1/students/{student}/disclosures", "disclosures", ["disclosures"]),
    ("/v1/students/{student}/history", "history", None),
)


def _address(template: str, a_class: AClass) -> str:
    return template.format(student=a_class.students[0], group=a_class.group_id, course=a_class.course_id)


@pytest.mark.parametrize(("template", "resource", "categories"), READS)
def test_reading_is_recorded_with_purpose_and_basis(
    served: Served, director: Api, a_class: AClass, template: str, resource: str, categories: list[str] | None
) -> None:
    person = new_id()
    reader = served.acts(Office.DIRECTOR, person=person)
    reader.reads("/v1/courses", min_position=a_class.position)
    reader.reads(_address(template, a_class))
    last = register(served, a_class.students[0])[-1]
    assert (last["actor"], last["office"], last["resource"], last["granted"]) == (
        str(person),
        "director",
        resource,
        True,
    )
    assert (last["purpose"], last["channel"]) == ("quality_control", "api")
    assert last["legal_basis"]
    if categories is not None:
        assert sorted(last["categories"]) == sorted(categories)


@pytest.mark.parametrize(("template", "resource", "categories"), READS)
def test_refused_reading_is_recorded_and_shows_nothing(
    served: Served, a_class: AClass, template: str, resource: str, categories: list[str] | None
) -> None:
    person = new_id()
    served.acts().reads("/v1/courses", min_position=a_class.position)
    stranger = served.acts(Office.STUDENT, person=person, students=(new_id(),))
    answer = stranger.get(_address(template, a_class))
    # Groups and courses are public inside the school; whether somebody is a student here is not.
    public = template.startswith(("/v1/students?", "/v1/journals"))
    assert (answer.status_code, answer.json()["code"]) == ((403, "forbidden") if public else (404, "not-found"))
    assert "Синтетический" not in answer.text
    last = register(served, a_class.students[0])[-1]
    assert (last["actor"], last["resource"], last["granted"]) == (str(person), resource, False)


@pytest.mark.parametrize(("template", "resource", "categories"), READS)
def test_head_and_not_modified_are_disclosed_as_a_page_is(
    served: Served, a_class: AClass, template: str, resource: str, categories: list[str] | None
) -> None:
    """Both tell that somebody is there and whether their data have changed: who learns that is written down."""
    del categories
    person, address = new_id(), _address(template, a_class)
    reader = served.acts(Office.DIRECTOR, person=person).http
    served.acts().reads("/v1/courses", min_position=a_class.position)
    page = reader.get(address)
    head = reader.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["cache-control"] == "no-store"
    assert head.headers.get("etag") == page.headers.get("etag")
    assert int(head.headers["content-length"]) > 0
    tag, readings = page.headers.get("etag"), 2
    if tag is not None:  # register, history and terms have none: each reading is counted in them
        for known in (tag, f'"other", {tag}', "*"):
            same = reader.get(address, headers={"If-None-Match": known})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
            assert same.headers["cache-control"] == "no-store"
        assert reader.head(address, headers={"If-None-Match": tag}).status_code == 304
        assert reader.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
        readings += 5
    told = [entry for entry in register(served, a_class.students[0]) if entry["actor"] == str(person)]
    assert [entry["resource"] for entry in told] == [resource] * readings
    assert all(entry["granted"] for entry in told)


def test_refused_readers_learn_nothing_by_asking_for_the_head_or_for_changes(served: Served, a_class: AClass) -> None:
    person = new_id()
    served.acts().reads("/v1/courses", min_position=a_class.position)
    address = f"/v1/students/{a_class.students[0]}"
    tag = served.acts().get(address).headers["etag"]
    stranger = served.acts(Office.STUDENT, person=person, students=(new_id(),)).http
    head = stranger.head(address)
    assert (head.status_code, head.content) == (404, b"")
    assert "etag" not in head.headers
    assert stranger.get(address, headers={"If-None-Match": tag}).status_code == 404
    assert stranger.get(address, headers={"If-Match": '"r0"'}).status_code == 404
    told = [entry for entry in register(served, a_class.students[0]) if entry["actor"] == str(person)]
    assert [entry["granted"] for entry in told] == [False] * 3


def test_every_student_of_a_page_is_disclosed_and_nobody_else(served: Served, a_class: AClass) -> None:
    person = a_class.teacher
    teacher = served.acts(Office.TEACHER, person=person)
    page = teacher.reads(f"/v1/journals/{a_class.course_id}", limit=1, min_position=a_class.position)
    shown = page["lines"][0]["student_id"]
    for student in a_class.students:
        seen = [entry["actor"] for entry in register(served, student)]
        assert (str(person) in seen) == (student == shown)


def test_register_names_the_access_that_a_page_carried(served: Served, director: Api, a_class: AClass) -> None:
    page = director.reads(f"/v1/students/{a_class.students[0]}/portfolio")
    assert register(served, a_class.students[0])[-1]["access_id"] == page["access_id"]


def test_register_comes_in_pages_newest_first(served: Served, director: Api, a_class: AClass) -> None:
    path = f"/v1/students/{a_class.students[0]}/disclosures"
    for _ in range(4):
        director.reads(path)
    whole = [entry["position"] for entry in reversed(register(served, a_class.students[0]))]
    first = director.reads(path, limit=2, min_position=whole[0])
    rest = director.reads(path, limit=2, cursor=first["next"])
    got = [entry["position"] for entry in first["items"] + rest["items"]]
    assert got == sorted(got, reverse=True)
    assert len(set(got)) == len(got) == 4


def test_what_does_not_exist_is_not_found_and_not_recorded(director: Api) -> None:
    for path in ("/v1/students/{}", "/v1/students/{}/history", "/v1/journals/{}", "/v1/students?group_id={}"):
        assert director.get(path.format(uuid4())).status_code == 404


def test_own_data_are_read_by_student_and_representative_only(served: Served, a_class: AClass) -> None:
    own, other = a_class.students
    for office in (Office.STUDENT, Office.REPRESENTATIVE):
        reader = served.acts(office, students=(UUID(own),))
        for what in ("", "/portfolio", "/retention", "/disclosures", "/history"):
            query = {} if what == "/history" else {"min_position": a_class.position}
            assert reader.get(f"/v1/students/{own}{what}", **query).status_code == 200
            assert reader.get(f"/v1/students/{other}{what}").status_code == 404
        assert reader.get(f"/v1/journals/{a_class.course_id}").status_code == 403


@pytest.mark.parametrize(
    ("office", "allowed"),
    [
        (Office.SECRETARY, {"", "/portfolio", "/retention"}),
        (Office.INSPECTOR, {"/retention", "/disclosures"}),
        (Office.AUDITOR, {"", "/portfolio", "/retention", "/disclosures", "/history"}),
        (Office.TEACHER, set()),
        (Office.CLASS_TEACHER, set()),
    ],
)
def test_offices_read_what_their_purpose_covers(
    served: Served, a_class: AClass, office: Office, allowed: set[str]
) -> None:
    reader = served.acts(office)
    served.acts().reads("/v1/courses", min_position=a_class.position)
    for what in ("", "/portfolio", "/retention", "/disclosures", "/history"):
        answer = reader.get(f"/v1/students/{a_class.students[0]}{what}")
        refused = 403 if allowed else 404  # who may read nothing of a student may not know that there is one
        assert answer.status_code == (200 if what in allowed else refused), what


def test_class_teacher_reads_the_own_class(served: Served, a_class: AClass) -> None:
    reader = served.acts(Office.CLASS_TEACHER, person=a_class.class_teacher)
    reader.reads("/v1/students", group_id=a_class.group_id, min_position=a_class.position)
    reader.reads(f"/v1/students/{a_class.students[0]}/portfolio")
    reader.reads(f"/v1/journals/{a_class.course_id}")


@pytest.mark.parametrize(
    ("office", "status"),
    [
        (Office.SECRETARY, 403),
        (Office.AUDITOR, 403),
        (Office.INSPECTOR, 403),
        (Office.TEACHER, 403),
        (Office.DEPUTY_HEAD, 201),
    ],
)
def test_offices_record_marks_as_they_may(served: Served, a_class: AClass, office: Office, status: int) -> None:
    answer = served.acts(office).post("/v1/marks", a_class.mark(a_class.students[0]))
    assert answer.status_code == status


def test_student_and_representative_record_nothing(served: Served, a_class: AClass) -> None:
    for office in (Office.STUDENT, Office.REPRESENTATIVE):
        own = served.acts(office, students=(UUID(a_class.students[0]),))
        assert own.post("/v1/marks", a_class.mark(a_class.students[0])).status_code == 403
        assert own.post("/v1/students", {"family_name": "А", "given_name": "Б"}).status_code == 403


def test_register_of_everybody_is_filtered_and_exported(served: Served, director: Api, a_class: AClass) -> None:
    person = new_id()
    served.acts(Office.DIRECTOR, person=person).reads(
        "/v1/students", group_id=a_class.group_id, min_position=a_class.position
    )
    served.acts(Office.STUDENT, person=person, students=(new_id(),)).get(f"/v1/students/{a_class.students[0]}")
    with served.base.database.connect("owner") as connection:
        last = connection.execute(served.base.database.bind("SELECT max(position) FROM {schema}.events")).fetchone()
    assert last is not None
    inspector = served.acts(Office.INSPECTOR)
    asked = {"actor": str(person), "office": "director", "from": "2020-01-01T00:00:00Z", "min_position": last[0]}
    page = inspector.reads("/v1/disclosures", **asked)
    assert {line["student_id"] for line in page["items"]} == set(a_class.students)
    assert {(line["granted"], line["resource"]) for line in page["items"]} == {(True, "students")}
    refused = inspector.reads("/v1/disclosures", actor=str(person), granted=False)
    assert [line["office"] for line in refused["items"]] == ["student"]
    assert inspector.reads("/v1/disclosures", actor=str(person), to="2020-01-01T00:00:00Z")["items"] == []
    whole = inspector.http.get("/v1/disclosures/export", params={"actor": str(person)})
    assert whole.headers["content-type"] == "application/x-ndjson"
    assert len(whole.text.splitlines()) == int(whole.headers["ledger-lines"]) == len(a_class.students) + 1
    as_csv = inspector.http.get("/v1/disclosures/export", params=asked, headers={"Accept": "text/csv"})
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(as_csv.text.splitlines()) == len(a_class.students) + 1
    assert inspector.http.get("/v1/disclosures/export", headers={"Accept": "image/png"}).status_code == 406
    assert inspector.get("/v1/disclosures", office="king").status_code == 422
    assert served.acts(Office.TEACHER).get("/v1/disclosures/export").status_code == 403


def test_document_on_paper_stands_in_the_register_and_a_refused_one_as_refused(served: Served, a_class: AClass) -> None:
    student = a_class.students[0]
    secretary = served.acts(Office.SECRETARY)
    paper = {
        "students": [student], "categories": ["personal_file"], "document_kind": "copy", "document_number": "б/н",
        "channel": "letter", "purpose": "custody", "received_by": student,
    }  # fmt: skip
    answer = secretary.post("/v1/hand-overs", paper, key="paper")
    again = secretary.post("/v1/hand-overs", paper, key="paper")
    assert (answer.status_code, again.content) == (201, answer.content)
    assert again.headers["idempotency-replayed"] == "true"
    last = register(served, student)[-1]
    assert (last["access_id"], last["granted"], last["channel"]) == (answer.json()["id"], True, "letter")
    assert (last["handed_over"]["number"], last["handed_over"]["received_by"]) == ("б/н", student)
    outside = paper | {"received_by": None, "recipient": "Синтетическая газета"}
    refused = secretary.post("/v1/hand-overs", outside)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    (line,) = secretary.bulk({"key": "line", "command": "RecordHandOver", **outside})
    assert (line["status"], line["code"]) == (403, "forbidden")
    assert secretary.get("/v1/commands/line").status_code == 404
    lines = register(served, student)
    assert [(one["granted"], one["channel"]) for one in lines[-2:]] == [(False, "letter")] * 2
    missing = secretary.post("/v1/hand-overs", paper | {"students": []})
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "body.students")


def test_parent_asks_about_an_access_and_gets_a_day_by_which_it_is_answered(
    served: Served, director: Api, a_class: AClass
) -> None:
    student = a_class.students[0]
    director.reads(f"/v1/students/{student}/portfolio")
    with served.base.database.connect("owner") as connection:
        last = connection.execute(served.base.database.bind("SELECT max(position) FROM {schema}.events")).fetchone()
    assert last is not None
    parent = served.acts(Office.REPRESENTATIVE, students=(UUID(student),))
    entry = parent.reads(f"/v1/students/{student}/who-saw", min_position=last[0])["items"][0]
    assert "директор смотрел портфолио" in entry["text"]
    ask = entry["ask"]
    body = {"kind": ask["kind"], "about_access": ask["about_access"], "text": "Почему смотрели?"}
    asked = parent.records(ask["address"], body)
    mine = parent.reads(ask["address"], min_position=asked["position"])["items"]
    assert [(one["about_access"], one["kind"], one["status"]) for one in mine] == [
        (entry["access_id"], "information", "open")
    ]
    assert mine[0]["due_on"]


def test_what_the_service_opens_is_counted_for_whoever_asked(served: Served, a_class: AClass) -> None:
    person = new_id()
    reader = served.acts(Office.DIRECTOR, person=person)
    reader.reads("/v1/courses", min_position=a_class.position)
    for template, *_ in READS:
        reader.reads(_address(template, a_class))
    reader.http.get("/v1/disclosures/export")
    counted = served.service.ledger.keyring
    assert isinstance(counted, CountedKeyring)
    actors = {actor for actor, _ in counted.openings.counted()}
    assert person in actors
    assert None not in actors
