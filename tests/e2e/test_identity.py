"""A provider of identities and the ledger, both served: who comes, in which office, and what is refused at once."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from ledger.api.limits import Limit, Standing
from ledger.application.record.command import Request, record
from ledger.application.record.staff import AppointDirector
from ledger.bootstrap import open_ledger
from ledger.identity.access_token import AccessTokens
from ledger.identity.provider import DISCOVERY
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from tests.support.api import (
    BEGIN,
    TODAY,
    YESTERDAY,
    AClass,
    Api,
    Served,
    a_foundation,
    found,
    make_class,
    projecting,
    serving,
)
from tests.support.postgres import fresh_schema
from tests.support.provider import Issuer, published
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from pathlib import Path

    from ledger.identity.access_token import Bearer

DIRECTOR = "director-of-the-school"


class School:
    """A served ledger whose people log in through a provider."""

    def __init__(self, served: Served, issuer: Issuer) -> None:
        self.served, self.issuer = served, issuer

    def client(self, subject: str, office: str | None = None, **claims: object) -> Api:
        """Returns a client with a token of the provider."""
        headers = {"Authorization": f"Bearer {self.issuer.token(subject, **claims)}"}
        if office is not None:
            headers["Ledger-Office"] = office
        client = httpx.Client(base_url=self.served.url, timeout=30, headers=headers)
        self.served.clients.append(client)
        return Api(client)

    @property
    def director(self) -> Api:
        """The director."""
        return self.client(DIRECTOR, "director")

    def links(self, subject: str, *capacities: str, person: UUID | None = None) -> str:
        """Links the login of a subject to a person, and returns the person."""
        login = self.client(subject).reads("/v1/me")["login_id"]
        named = str(person or new_id())
        form = {"person_id": named, "capacities": list(capacities or ("staff",))}
        self.director.records(f"/v1/logins/{login}", form)
        return named

    def appoints(self, person: str, office: str, **more: object) -> str:
        """Gives a person an office, and returns the tenure."""
        form = {"office": office, "starts_on": BEGIN.isoformat(), "document": "Приказ 2-к", **more}
        recorded = self.director.records(f"/v1/staff/{person}/offices", form)
        tenure: str = recorded["events"][-1]["event_id"]
        return tenure


@pytest.fixture(scope="module")
def school(postgres_url: str, kek_text: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    with a_school(postgres_url, kek_text, tmp_path_factory.mktemp("identity")) as made:
        yield made


@contextmanager
def a_school(url: str, kek: str, folder: Path, **settings: Any) -> Iterator[School]:  # noqa: ANN401 - settings
    issuer = Issuer()
    with (
        fresh_schema(url) as database,
        published(issuer),
        a_foundation(
            url, database.schema, kek, folder, oidc_issuer=issuer.issuer, oidc_refetch_seconds=1e-9, **settings
        ) as base,
        projecting(base),
        serving(base) as served,
    ):
        login = base.hasher.login(issuer.issuer, DIRECTOR)
        appoint(served, AppointDirector(school=base.id, login_id=login, document="Приказ 1-к"))
        made = School(served, issuer)
        founded = found(made.director)
        served.service.door._window_s = 3_600  # no minute ends in the midst of a test
        anybody = served.anonymous()
        asyncio.run(until(lambda: anybody.get("/readyz").status_code == 200))
        made.director.reads("/v1/school", min_position=founded)
        yield made


def appoint(served: Served, command: AppointDirector) -> None:
    async def run() -> None:
        async with open_ledger(served.base) as ledger:
            await record(ledger, command, Request(Actor(new_id(), Office.SYSTEM)))

    asyncio.run(run())


@pytest.fixture
def a_class(school: School) -> AClass:
    return make_class(school.director)


def refused(answer: httpx.Response, status: int = 403) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return f"{answer.json()['detail']} {answer.json()['help']}"


def test_operator_makes_the_director_who_makes_the_others(school: School) -> None:
    me = school.client(DIRECTOR).reads("/v1/me")
    assert (me["office"], me["offices"], me["help"]) == ("director", ["director", "class_teacher", "teacher"], "")
    person = school.links("deputy")
    school.appoints(person, "deputy_head", level="basic")
    assert school.client("deputy").reads("/v1/me")["office"] == "deputy_head"
    school.client("deputy").reads("/v1/school")
    assert "offices" in refused(
        school.client("deputy").post(
            f"/v1/staff/{person}/offices", {"office": "director", "starts_on": TODAY.isoformat(), "document": "Приказ"}
        )
    )


def test_login_that_is_nobodys_is_told_how_to_be_linked_and_reads_nothing(school: School, a_class: AClass) -> None:
    stranger = school.client("stranger")
    me = stranger.reads("/v1/me")
    assert (me["person_id"], me["office"], me["offices"]) == (None, None, [])
    assert me["login_id"] in me["help"]
    for path in ("/v1/school", "/v1/class-groups", f"/v1/students/{a_class.students[0]}", "/v1/staff", "/v1/events"):
        assert "not linked" in refused(stranger.get(path)), path
    assert "not linked" in refused(stranger.post("/v1/marks", a_class.mark(a_class.students[0])))


@pytest.mark.parametrize("claim", ["director", "system", "auditor", "inspector", "deputy_head", "secretary"])
def test_what_a_token_claims_about_offices_is_not_believed(school: School, claim: str) -> None:
    subject = f"claims-{claim}"
    school.links(subject)
    assert school.client(subject, ledger_office=claim).reads("/v1/me")["office"] == "teacher"
    assert "not yours" in refused(school.client(subject, claim, ledger_office=claim).get("/v1/school"))


def test_withdrawn_office_is_refused_at_the_next_request_with_the_same_token(school: School, a_class: AClass) -> None:
    person = school.links("leaves")
    tenure = school.appoints(person, "deputy_head")
    deputy = school.client("leaves", "deputy_head")
    deputy.reads(f"/v1/students/{a_class.students[0]}", min_position=a_class.position)
    deputy.records(f"/v1/courses/{a_class.course_id}/works", {"title": "Диктант", "kind": "test"})
    leaving = {"last_day": YESTERDAY.isoformat(), "document": "Приказ 3-к"}
    school.director.records(f"/v1/staff/{person}/offices/{tenure}/leavings", leaving)
    for path in (f"/v1/students/{a_class.students[0]}", "/v1/school", f"/v1/journals/{a_class.course_id}"):
        assert "not yours" in refused(deputy.get(path))
    assert "not yours" in refused(deputy.post("/v1/marks", a_class.mark(a_class.students[0])))
    assert "not yours" in refused(
        deputy.http.post("/v1/bulk", content=b"{}", headers={"Content-Type": "application/x-ndjson"})
    )


def turned_away(school: School, person: str) -> int:
    """Returns how many events tell that somebody was turned away."""
    database = school.served.base.database
    with database.connect("owner") as connection:
        query = "SELECT count(*) FROM {schema}.events WHERE topic = 'access.turned_away' AND subject_id = %s"
        row = connection.execute(database.bind(query), (person,)).fetchone()
    assert row is not None
    return int(row[0])


def test_who_is_turned_away_is_recorded_once_a_minute_and_who_is_nobody_is_not(school: School) -> None:
    person = school.links("pushes")
    assert turned_away(school, person) == 0
    for _ in range(5):
        assert "not yours" in refused(school.client("pushes", "director").get("/v1/school"))
        assert turned_away(school, person) == 1
    refused(school.client("pushes", "secretary").get("/v1/students/nobody"))
    assert turned_away(school, person) == 2
    login = school.client("comes-anew").reads("/v1/me")["login_id"]
    assert turned_away(school, login) == 0, "Whoever asks who they are is refused nothing."
    refused(school.client("comes-anew").post("/v1/marks", {}))
    assert turned_away(school, login) == 1
    database = school.served.base.database
    with database.connect("owner") as connection:
        query = database.bind("SELECT max(position) FROM {schema}.events")
        before = connection.execute(query).fetchone()
        refused(school.client("pushes", None, aud="payroll").get("/v1/school"), 401)
        assert connection.execute(query).fetchone() == before


def test_login_that_was_unlinked_is_refused_at_once(school: School) -> None:
    school.links("dismissed")
    client = school.client("dismissed")
    login = client.reads("/v1/me")["login_id"]
    client.reads("/v1/school")
    school.director.records(f"/v1/logins/{login}/removals", {"reason": "Уволен"})
    assert "not linked" in refused(client.get("/v1/school"))


def test_several_offices_are_told_apart_by_the_header(school: School) -> None:
    person = school.links("both")
    school.appoints(person, "deputy_head")
    school.appoints(person, "secretary")
    assert "Ledger-Office" in refused(school.client("both").get("/v1/school"))
    assert school.client("both", "secretary").reads("/v1/me")["office"] == "secretary"
    assert school.client("both", ledger_office="deputy_head").reads("/v1/me")["office"] == "deputy_head"
    assert school.client("both", "teacher", ledger_office="deputy_head").reads("/v1/me")["office"] == "teacher"
    assert refused(school.client("both", "king").get("/v1/school"), 400)


def test_teacher_records_in_the_courses_that_the_school_gave_them(school: School) -> None:
    teaches = make_class(school.director)
    school.links("teaches", person=teaches.teacher)
    other = make_class(school.director)
    client = school.client("teaches")
    client.records("/v1/marks", teaches.mark(teaches.students[0]))
    client.reads(f"/v1/journals/{teaches.course_id}", min_position=other.position)
    refused(client.post("/v1/marks", other.mark(other.students[0])))
    refused(client.get(f"/v1/journals/{other.course_id}"))


def test_student_reads_their_own_and_nobody_elses(school: School, a_class: AClass) -> None:
    own, other = a_class.students
    school.links("pupil", "student", person=UUID(own))
    client = school.client("pupil")
    assert client.reads(f"/v1/students/{own}", min_position=a_class.position)["student_id"] == own
    assert client.get(f"/v1/students/{other}").status_code in {403, 404}


def test_representative_reads_of_whom_the_school_has_recorded(school: School, a_class: AClass) -> None:
    child, other = a_class.students
    person = school.links("parent", "representative")
    parent = school.client("parent")
    assert parent.get(f"/v1/students/{child}").status_code in {403, 404}
    naming = {
        "person": person, "kind": "parent", "document_kind": "birth_certificate", "document": "I-АБ № 000000",
        "document_on": BEGIN.isoformat(), "effective_on": BEGIN.isoformat(),
    }  # fmt: skip
    named = school.director.records(f"/v1/students/{child}/representatives", naming)["position"]
    assert parent.reads(f"/v1/students/{child}", min_position=named)["student_id"] == child
    assert parent.get(f"/v1/students/{other}").status_code in {403, 404}


def test_inspector_needs_a_claim_and_a_mandate_that_is_in_force(school: School, a_class: AClass) -> None:
    person = school.links("inspector", "external")
    register = f"/v1/students/{a_class.students[0]}/disclosures"
    claiming = school.client("inspector", ledger_office="inspector")
    assert "No office" in refused(claiming.get(register))
    mandate = {
        "kind": "inspector", "document": "Распоряжение 7", "scope": "everything",
        "starts_on": BEGIN.isoformat(), "ends_on": TODAY.isoformat(),
    }  # fmt: skip
    recorded = school.director.records(f"/v1/staff/{person}/mandates", mandate)
    claiming.reads(register)
    assert "No office" in refused(school.client("inspector").get(register))
    withdrawal = f"/v1/staff/{person}/mandates/{recorded['events'][-1]['event_id']}/withdrawals"
    school.director.records(withdrawal, {"reason": "Проверка закончена"})
    assert "No office" in refused(claiming.get(register))


def test_program_acts_by_its_own_token_and_mandate_and_as_nothing_else(school: School) -> None:
    person = school.links("register-sync", "external")
    mandate = {"kind": "system", "document": "Договор 4", "scope": "everything", "starts_on": BEGIN.isoformat()}
    school.director.records(f"/v1/staff/{person}/mandates", mandate)
    program = school.client("register-sync", client_id="register-sync")
    assert program.reads("/v1/me")["office"] == "system"
    program.reads("/v1/school")
    assert "No office" in refused(school.client("register-sync").get("/v1/school"))
    school.links("robot", "staff")
    assert "No office" in refused(school.client("robot", client_id="robot").get("/v1/school"))


def test_secretary_links_students_and_representatives_and_nobody_else(school: School, a_class: AClass) -> None:
    person = school.links("secretary")
    school.appoints(person, "secretary")
    secretary = school.client("secretary")
    login = school.client("friend").reads("/v1/me")["login_id"]
    director = school.client(DIRECTOR).reads("/v1/me")["person_id"]
    staff = {"person_id": director, "capacities": ["staff"]}
    assert "students and representatives" in refused(secretary.post(f"/v1/logins/{login}", staff))
    second = {"person_id": director, "capacities": ["representative"]}
    assert "login already" in refused(secretary.post(f"/v1/logins/{login}", second)), "They would look as the director."
    parent = {"person_id": str(new_id()), "capacities": ["representative"]}
    secretary.records(f"/v1/logins/{login}", parent)
    assert school.client("friend").reads("/v1/me")["offices"] == ["representative"]
    assert "not yours" in refused(school.client("friend", "director").get("/v1/school"))
    secretary.records(f"/v1/logins/{login}/removals", {"reason": "Утрачен телефон"})
    other = school.client("other").reads("/v1/me")["login_id"]
    assert "or had one" in refused(secretary.post(f"/v1/logins/{other}", parent)), "They would look as the parent."
    school.director.records(f"/v1/logins/{other}", parent)


def test_register_lists_who_held_what_and_others_see_their_own(school: School) -> None:
    person = school.links("listed")
    tenure = school.appoints(person, "secretary")
    leaving = {"last_day": TODAY.isoformat(), "document": "Приказ 9-к"}
    position = school.director.records(f"/v1/staff/{person}/offices/{tenure}/leavings", leaving)["position"]
    mine = {"person_id": person, "min_position": position}
    items = {item["kind"]: item for item in school.director.reads("/v1/staff", **mine)["items"]}
    assert (
        items["office"] | {"entry_id": tenure, "office": "secretary", "ends_on": TODAY.isoformat()} == items["office"]
    )
    assert (items["office"]["document"], items["office"]["ended_by"]) == ("Приказ 2-к", "Приказ 9-к")
    assert items["login"]["capacities"] == ["staff"]
    assert school.client("listed", "teacher").reads("/v1/staff", **mine)["items"]
    assert "register of others" in refused(school.client("listed", "teacher").get("/v1/staff"))
    held = school.director.reads("/v1/staff", kind="office", on=BEGIN.isoformat(), min_position=position)["items"]
    assert tenure in {item["entry_id"] for item in held}


def provider_part(school: School) -> dict[str, object]:
    """Returns what is said of the provider's keys, without what nothing is said of."""
    answer = school.served.anonymous().get("/readyz")
    assert answer.status_code == 200
    (part,) = [part for part in answer.json()["parts"] if part["name"] == "identity provider"]
    return {name: value for name, value in part.items() if value is not None}


def test_keys_rotate_while_the_service_runs_and_it_goes_on_while_the_provider_is_away(school: School) -> None:
    issuer, before = school.issuer, school.client(DIRECTOR)
    before.reads("/v1/school")
    issuer.rotate("two", keeping=True)
    after = school.client(DIRECTOR)
    after.reads("/v1/school")
    before.reads("/v1/school")
    assert provider_part(school) == {"name": "identity provider", "ready": True, "reason": ""}
    issuer.answers |= {DISCOVERY: (503, {}, b""), "/keys": (503, {}, b"")}
    issuer.rotate("three", keeping=True)
    during = school.client(DIRECTOR)
    refused(during.get("/v1/school"), 401)
    after.reads("/v1/school")
    assert provider_part(school)["reason"] == "Keys held: 2. The newest look for them failed."
    issuer.answers.clear()
    during.reads("/v1/school")
    issuer.keys.pop("one")
    issuer.rotate("four", keeping=True)
    school.client(DIRECTOR).reads("/v1/school")
    refused(before.get("/v1/school"), 401)
    after.reads("/v1/school")


@pytest.mark.parametrize(
    "changes", [{"aud": "payroll"}, {"iss": "https://attacker.example"}, {"exp": 1}, {"client_id": None}]
)
def test_token_that_is_not_for_us_is_refused_and_not_told_why(school: School, changes: dict[str, object]) -> None:
    answer = school.client(DIRECTOR, None, **changes).get("/v1/school")
    refused(answer, 401)
    assert answer.json()["detail"] == "The token is not valid here, or no longer."
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_signatures_are_checked_where_a_token_is_needed_and_within_the_limit_of_the_address(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, checked = school.served.service, []
    assert service.identity is not None
    read = service.identity.tokens.read
    school.director.reads("/v1/school")

    def counted(_: AccessTokens, token: str, *rest: Any) -> Bearer:  # noqa: ANN401 - passed on
        checked.append(token)
        return read(token, *rest)

    monkeypatch.setattr(AccessTokens, "read", counted)
    monkeypatch.setattr(service.limits, "strangers", Limit("address", 0.3, clock=lambda: 0.0))
    known = school.director
    known.reads("/v1/school")
    checked.clear()
    stranger = school.client(DIRECTOR, aud="payroll")
    for path in ("/log/checkpoint", "/livez", "/v1/nothing-here", "/docs"):
        stranger.get(path)
    assert checked == []
    statuses = [stranger.get("/v1/school").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert len(checked) == 3
    known.reads("/v1/school")


def test_bulk_lines_count_for_the_login_that_the_request_counted_for(
    school: School, a_class: AClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = school.served.service.limits.clients
    spent: list[object] = []
    spend, owe = limit.spend, limit.owe

    def spending(whose: Hashable) -> Standing | None:
        spent.append(whose)
        return spend(whose)

    def owing(whose: Hashable, tokens: float) -> None:
        spent.append(whose)
        owe(whose, tokens)

    monkeypatch.setattr(limit, "spend", spending)
    monkeypatch.setattr(limit, "owe", owing)
    lines = [{"key": str(new_id()), "command": "RecordMark", **a_class.mark(one)} for one in a_class.students]
    assert all("position" in answer for answer in school.director.bulk(*lines))
    assert len(spent) == 1 + len(lines)
    assert len(set(spent)) == 1


def test_development_token_serves_beside_a_provider_and_keeps_its_office(school: School) -> None:
    client = school.served.acts(Office.SECRETARY)
    assert client.reads("/v1/me")["office"] == "secretary"
    client.http.headers["Ledger-Office"] = "director"
    assert "development token" in refused(client.get("/v1/school"))


def test_production_takes_tokens_of_the_provider_alone(postgres_url: str, kek_text: str, tmp_path: Path) -> None:
    with a_school(postgres_url, kek_text, tmp_path, env="production") as school:
        school.director.reads("/v1/school")
        refused(school.served.acts(Office.DIRECTOR).get("/v1/school"), 401)
