"""Representatives, consents and requests over HTTP, with tokens of the school and of the family."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.application.record import consents as recording
from ledger.ids import new_id
from ledger.policy.offices import Office
from tests.support.api import BEGIN, TODAY, YESTERDAY, make_class

if TYPE_CHECKING:
    from tests.support.api import AClass, Api, Json, Served

DAY = TODAY.isoformat()
AWAY = "2-1/2025"


@pytest.fixture
def family(director: Api) -> AClass:
    return make_class(director, students=1, family="Семья")


def a_parent(person: UUID) -> Json:
    return {
        "person": str(person),
        "kind": "parent",
        "document_kind": "birth_certificate",
        "document": "I-АБ 000000",
        "document_on": "2012-05-20",
        "effective_on": BEGIN.isoformat(),
        "contact": "parent@example.org",
    }


def test_court_takes_a_parents_access_away_at_once(served: Served, director: Api, family: AClass) -> None:
    student = family.students[0]
    mother, father = new_id(), new_id()
    of_mother, of_father = (
        served.acts(Office.REPRESENTATIVE, person=one, students=(UUID(student),)) for one in (mother, father)
    )
    secretary = served.acts(Office.SECRETARY)
    named = [secretary.records(f"/v1/students/{student}/representatives", a_parent(one)) for one in (mother, father)]
    of_mother.reads(f"/v1/students/{student}/portfolio")
    of_father.reads(f"/v1/students/{student}/portfolio")
    restriction = {"powers": ["information"], "document": AWAY, "document_on": DAY, "effective_on": DAY}
    address = f"/v1/students/{student}/representatives/{named[1]['id']}/restrictions"
    secretary.records(address, restriction)
    assert of_father.get(f"/v1/students/{student}/portfolio").status_code in (403, 404)
    shown = of_mother.reads(f"/v1/students/{student}/representatives")
    assert [(one["status"], one["withheld"], one["contact"]) for one in shown["items"]] == [
        ("in_force", False, "parent@example.org"),
        ("restricted", True, ""),
    ]
    ending = {"reason": "rights_taken", "document": AWAY, "effective_on": DAY}
    director.records(f"/v1/students/{student}/representatives/{named[0]['id']}/endings", ending)
    assert of_mother.get(f"/v1/students/{student}/representatives").status_code in (403, 404)
    again = secretary.post(f"/v1/students/{student}/representatives", a_parent(mother) | {"effective_on": DAY})
    assert again.status_code == 422
    assert [one["code"] for one in again.json()["violations"]] == ["court_decision_needed"]
    born = director.records(
        f"/v1/students/{student}/birth-date", {"birth_date": "2014-05-17", "reason": "Свидетельство I-АБ 000000"}
    )
    card = director.reads(f"/v1/students/{student}", min_position=born["position"])
    assert card["birth_date"] == "2014-05-17"


def test_parent_agrees_and_withdraws_with_a_token_of_their_own(served: Served, family: AClass) -> None:
    student = family.students[0]
    mother, stranger = (
        served.acts(Office.REPRESENTATIVE, person=new_id(), students=(UUID(one),)) for one in (student, str(new_id()))
    )
    consent: Json = {
        "kind": "dissemination",
        "purpose": "honours_board",
        "categories": ["personal_file", "awards", "photo"],
        "recipients": ["Доска почёта"],
        "form": "electronic",
        "document": "Согласие в электронном дневнике",
        "effective_on": DAY,
        "until": DAY,
    }
    where = f"/v1/students/{student}/consents"
    for wrong in ({"form": "written"}, {"effective_on": YESTERDAY.isoformat()}):
        refused = mother.post(where, consent | wrong)
        assert [one["code"] for one in refused.json()["violations"]] == ["given_now"], "Nobody agrees to yesterday."
    given = mother.records(where, consent)
    assert stranger.post(where, consent).status_code == 404
    assert mother.post(where, consent | {"by": str(new_id())}).status_code == 403
    unnamed = served.acts(Office.SECRETARY).post(where, consent)
    assert [one["code"] for one in unnamed.json()["violations"]] == ["by_missing"]
    narrower = {"categories": ["awards"], "recipients": ["Доска почёта"], "until": DAY}
    mother.records(f"{where}/{given['id']}/limitations", narrower)
    shown = mother.reads(where)["items"][0]
    assert (shown["status"], shown["categories"], shown["limited_on"]) == ("in_force", ["awards"], [DAY])
    mother.records(f"{where}/{given['id']}/withdrawals", {})
    assert mother.reads(where)["items"][0]["status"] == "withdrawn"
    assert mother.reads(where, effective_on=YESTERDAY.isoformat())["items"] == []
    assert stranger.get(where).status_code in (403, 404)


def test_family_fills_no_record_without_end(served: Served, family: AClass, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each decision about the student reads all of it, and whoever waits for one waits for that."""
    where = f"/v1/students/{family.students[0]}/consents"
    mother = served.acts(Office.REPRESENTATIVE, person=new_id(), students=(UUID(family.students[0]),))
    consent: Json = {
        "kind": "processing",
        "purpose": "contests",
        "categories": ["achievements", "awards"],
        "recipients": ["Оргкомитет"],
        "form": "electronic",
        "document": "Согласие",
        "effective_on": DAY,
    }
    given = mother.records(where, consent)
    monkeypatch.setattr(recording, "MOST_OWN", 3)
    for path, form in ((where, consent), (f"{where}/{given['id']}/limitations", {"categories": ["awards"]})):
        refused = mother.post(path, form | {"recipients": ["Оргкомитет"]})
        assert [one["code"] for one in refused.json()["violations"]] == ["record_full"]
    mother.records(f"{where}/{given['id']}/withdrawals", {})
    office = served.acts(Office.SECRETARY).post(where, consent | {"by": str(new_id())})
    assert [one["code"] for one in office.json()["violations"]] == ["no_standing"], "It is not full for the office."


def test_parent_asks_about_an_access_and_gets_an_answer_in_time(served: Served, director: Api, family: AClass) -> None:
    student = family.students[0]
    mother = served.acts(Office.REPRESENTATIVE, person=new_id(), students=(UUID(student),))
    secretary = served.acts(Office.SECRETARY)
    access = director.reads(f"/v1/students/{student}/portfolio", min_position=family.position)["access_id"]
    where = f"/v1/students/{student}/requests"
    question = {"kind": "information", "text": "Почему смотрели?", "about_access": access}
    asked = mother.records(where, question)
    oral = mother.post(where, question | {"form": "oral"})
    assert [one["code"] for one in oral.json()["violations"]] == ["received_now"]
    secretary.records(f"{where}/{asked['id']}/extensions", {"reason": "Опрашиваем учителя; уведомление № 3"})
    answer = {"how": "letter", "text": "Смотрел директор при проверке"}
    assert mother.post(f"{where}/{asked['id']}/answers", answer).status_code == 403
    answered = secretary.records(f"{where}/{asked['id']}/answers", answer)
    (shown,) = mother.reads(where, min_position=answered["position"])["items"]
    assert (shown["status"], shown["answer"], shown["about_access"]) == ("answered", answer["text"], access)
    assert (shown["by_kind"], shown["extended_on"], shown["late"]) == ("representative", DAY, False)


def test_oral_request_that_nobody_answered_is_overdue(served: Served, family: AClass) -> None:
    student, secretary = family.students[0], served.acts(Office.SECRETARY)
    oral = {
        "by": str(new_id()),
        "kind": "copies",
        "form": "oral",
        "received_on": BEGIN.isoformat(),
        "text": "Копии грамот",
    }
    asked = secretary.records(f"/v1/students/{student}/requests", oral)
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        more: Json = {"cursor": cursor} if cursor else {}
        page = secretary.reads("/v1/requests", status="overdue", min_position=asked["position"], limit=5, **more)
        seen |= {one["request_id"] for one in page["items"]}
        cursor = page["next"]
        if cursor is None:
            break
    assert asked["id"] in seen
    assert secretary.get("/v1/requests", status="forgotten").status_code == 422
    assert served.acts(Office.TEACHER).get("/v1/requests").status_code in (403, 404)
    school = secretary.reads("/v1/school")
    declared = served.acts().records(
        "/v1/school/working-days", {"day": "2031-01-04", "working": True, "reason": f"Приказ {new_id()}"}
    )
    assert len(served.acts().reads("/v1/school", min_position=declared["position"])["days"]) == len(school["days"]) + 1


def test_family_is_not_told_why_late_entries_were_permitted(served: Served, director: Api, family: AClass) -> None:
    """The reason is words about somebody; what a family is told of the school is not told with a disclosure."""
    permission = {
        "year": director.reads("/v1/school")["years"][0]["year"],
        "course_id": family.course_id,
        "until": TODAY.isoformat(),
        "reason": "Синтетический Ученик болел",
    }
    position = director.records("/v1/school/permissions", permission)["position"]
    assert director.reads("/v1/school", min_position=position)["permits"]
    for office in (Office.STUDENT, Office.REPRESENTATIVE):
        reader = served.acts(office, students=(UUID(family.students[0]),))
        assert reader.reads("/v1/school", min_position=position)["permits"] == []
