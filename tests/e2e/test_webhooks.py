"""Webhooks over HTTP: registering, listing, secrets, and what is answered to who may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledger.policy.offices import Office

if TYPE_CHECKING:
    from tests.support.api import Api, Served

URL = "https://diary.school.example/ledger"


def registers(director: Api, **more: object) -> str:
    return str(director.records("/v1/webhooks", {"url": URL, **more})["id"])


def listed(api: Api, webhook_id: str) -> dict[str, object] | None:
    found = [item for item in api.reads("/v1/webhooks")["items"] if item["webhook_id"] == webhook_id]
    return found[0] if found else None


def test_webhook_lives_from_its_registration_to_its_removal(served: Served, director: Api) -> None:
    webhook = registers(director, topics=["marks."])
    shown = listed(served.acts(Office.AUDITOR), webhook)
    assert shown is not None
    assert (shown["url"], shown["topics"], shown["state"], shown["failure"]) == (URL, ["marks."], "working", None)
    secret = director.reads(f"/v1/webhooks/{webhook}/secret")
    assert director.reads(f"/v1/webhooks/{webhook}/secret") == secret
    assert secret["secret"].startswith("whsec_")
    director.records(f"/v1/webhooks/{webhook}/secrets", {"reason": "Плановая замена"})
    rotated = director.reads(f"/v1/webhooks/{webhook}/secret")
    assert rotated["secret"] != secret["secret"]
    assert rotated["since"] > secret["since"]
    director.records(f"/v1/webhooks/{webhook}/resumptions", {"reason": "Сервер исправлен"})
    director.records(f"/v1/webhooks/{webhook}/removals", {"reason": "Договор закончился"})
    assert listed(director, webhook) is None
    again = director.post(f"/v1/webhooks/{webhook}/removals", {"reason": "Ещё раз"})
    assert (again.status_code, again.json()["violations"][0]["code"]) == (422, "webhook_removed")
    told = director.reads("/v1/events", limit=1000, topic="webhook.", after=0)["items"]
    assert [item["topic"] for item in told if item["stream_id"] == webhook] == [
        "webhook.registered",
        "webhook.secret_rotated",
        "webhook.resumed",
        "webhook.removed",
    ]


def test_same_key_registers_once_and_answers_the_same(director: Api) -> None:
    first = director.post("/v1/webhooks", {"url": URL}, key="register-once")
    second = director.post("/v1/webhooks", {"url": URL}, key="register-once")
    assert (first.status_code, first.content) == (201, second.content)
    other = director.post("/v1/webhooks", {"url": URL + "/other"}, key="register-once")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


def test_url_that_a_webhook_may_not_have_is_named(director: Api) -> None:
    refused = director.post("/v1/webhooks", {"url": "http://school.example/"})
    assert refused.status_code == 422
    assert [violation["code"] for violation in refused.json()["violations"]] == ["webhook_url"]


@pytest.mark.parametrize("office", [Office.TEACHER, Office.SECRETARY, Office.DEPUTY_HEAD, Office.AUDITOR])
def test_others_register_nothing_and_see_no_secret(served: Served, director: Api, office: Office) -> None:
    webhook = registers(director)
    other = served.acts(office)
    assert other.post("/v1/webhooks", {"url": URL}).status_code == 403
    assert other.get(f"/v1/webhooks/{webhook}/secret").status_code == 403
    assert other.post(f"/v1/webhooks/{webhook}/removals", {"reason": "Нельзя"}).status_code == 403
    may_look = office in {Office.DEPUTY_HEAD, Office.AUDITOR}
    assert other.get("/v1/webhooks").status_code == (200 if may_look else 403)


def test_what_is_no_webhook_is_not_found(director: Api) -> None:
    unknown = "/v1/webhooks/019a0000-0000-7000-8000-000000000005"
    assert director.get(f"{unknown}/secret").status_code == 404
    assert director.post(f"{unknown}/removals", {"reason": "Нет такого"}).status_code == 404
