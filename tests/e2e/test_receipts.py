"""Receipts from what was recorded: linked in every answer, brought along where the client waits for them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from ledger.policy.offices import Office
from ledger.seal.checkpoint import open_checkpoint
from ledger.seal.note import VerifierKey
from ledger.seal.proof import parse_receipt, verify_receipt
from ledger.seal.tiles import ENTRIES, read_bundle, tile_at
from tests.support.api import YESTERDAY, a_foundation, found, serving
from tests.support.postgres import fresh_schema

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.support.api import AClass, Api, Served


def sends(api: Api, path: str, form: object, *, key: str | None = None, prefer: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key or str(uuid4())} | ({"Prefer": prefer} if prefer else {})
    answer = api.http.post(path, json=form, headers=headers)
    assert answer.is_success, answer.text
    return answer


def linked(answer: httpx.Response) -> str:
    link = answer.links["receipt"]
    assert link["rel"] == "receipt"
    return link["url"]


def a_lesson(a_class: AClass) -> dict[str, Any]:
    return a_class.lesson(*({"student_id": student, "marks": ["4"]} for student in a_class.students))


def test_answer_links_to_the_receipt_of_its_last_event(director: Api, a_class: AClass) -> None:
    key = str(uuid4())
    answer = sends(director, "/v1/lessons", a_lesson(a_class), key=key)
    assert linked(answer) == f"/v1/events/{answer.json()['position']}/receipt"
    receipt = director.get(linked(answer), wait=10)
    assert parse_receipt(receipt.content).leaf == answer.json()["position"] - 1
    later = director.get(f"/v1/commands/{key}")
    again = sends(director, "/v1/lessons", a_lesson(a_class), key=key)
    assert linked(later) == linked(again) == linked(answer)
    assert later.content == again.content == answer.content


def test_answer_without_a_body_has_the_link_alone(director: Api, a_class: AClass) -> None:
    answer = sends(director, "/v1/marks", a_class.mark(a_class.students[0]), prefer="return=minimal, wait=10")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["preference-applied"] == "return=minimal, wait=10"
    assert director.get(linked(answer)).status_code == 200  # it was waited for


def test_line_of_a_bulk_answer_says_where_its_receipt_is(director: Api, a_class: AClass) -> None:
    line = {"key": str(uuid4()), "command": "RecordMark", **a_class.mark(a_class.students[0])}
    [first] = director.bulk(line)
    assert first["receipt"] == f"/v1/events/{first['position']}/receipt"
    assert director.bulk(line) == [first]


def test_lines_bring_their_receipts_along_where_the_client_waits(
    served: Served, director: Api, a_class: AClass
) -> None:
    lines = [
        {"key": str(uuid4()), "command": "RecordMark", **a_class.mark(student)} for student in a_class.students[:2]
    ]
    lesson = {"key": str(uuid4()), "command": "RecordLesson", **a_lesson(a_class)}
    wrong = {"key": str(uuid4()), "command": "RecordMark", **a_class.mark(str(uuid4()))}
    *told, refused, last = director.bulk(*lines, lesson, wrong, lines[0], prefer="wait=10")
    log_key = VerifierKey.parse(served.anonymous().get("/log/key").text.splitlines()[0])
    for answer in (*told, last):
        assert [one["position"] for one in answer["receipts"]] == [event["position"] for event in answer["events"]]
        for one in answer["receipts"]:
            receipt = parse_receipt(one["receipt"].encode())
            assert receipt.leaf == one["position"] - 1
            assert open_checkpoint(receipt.checkpoint, log_key).checkpoint.size >= one["position"]
    assert len(told[2]["receipts"]) > 1
    assert "receipts" not in refused
    assert refused["status"] >= 400
    assert last["events"] == told[0]["events"]
    assert "receipts" not in director.bulk(lines[0])[0]


def test_who_waits_gets_a_receipt_of_every_event_and_each_proves_its_own(
    served: Served, director: Api, a_class: AClass
) -> None:
    key = str(uuid4())
    answer = sends(director, "/v1/lessons", a_lesson(a_class), key=key, prefer="wait=10")
    assert answer.headers["preference-applied"] == "wait=10"
    told = answer.json()
    assert told["receipt"] == linked(answer)
    assert [one["position"] for one in told["receipts"]] == [event["position"] for event in told["events"]]
    assert len(told["receipts"]) >= 2
    log_key = VerifierKey.parse(served.anonymous().get("/log/key").text.splitlines()[0])
    auditor = served.acts(Office.AUDITOR)
    for one in told["receipts"]:
        receipt = parse_receipt(one["receipt"].encode())
        size = int(receipt.checkpoint.split(b"\n")[1])
        tile = tile_at(ENTRIES, receipt.leaf // 256, size)
        entry = read_bundle(auditor.get(f"/log/{tile.path}").content, tile)[receipt.leaf % 256]
        assert verify_receipt(receipt, entry, log_key).checkpoint.size >= told["position"]
    plain = sends(director, "/v1/lessons", a_lesson(a_class), key=key)  # the same answer, without the proofs of today
    assert plain.json() == {name: told[name] for name in told.keys() - {"receipt", "receipts"}}


@pytest.mark.parametrize("prefer", ["wait=1", "wait=1, return=representation"])
def test_when_nothing_is_sealed_in_time_the_answer_is_the_usual_one(
    postgres_url: str, kek_text: str, tmp_path: Path, prefer: str
) -> None:
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, tmp_path, request_seconds=0.9) as base,
        serving(base) as service,
    ):
        director = service.acts()
        found(director)
        key = str(uuid4())
        form = {"act": "grading", "title": "Положение", "consulted": ["совет"], "approved_by": "приказ 1"}
        form["in_force_from"] = YESTERDAY.isoformat()
        waited = sends(director, "/v1/school/local-acts", form, key=key, prefer=prefer)
        assert "wait" not in waited.headers.get("preference-applied", "")
        assert waited.content == sends(director, "/v1/school/local-acts", form, key=key).content
        assert director.get(linked(waited)).status_code == 503
        line = {"key": key, "command": "AdoptLocalAct", **form}
        began = monotonic()
        answers = director.bulk(*[line] * 20, prefer=prefer)
        assert monotonic() - began < 15  # the first one waited for a second, and the others for nothing
        assert answers == director.bulk(*[line] * 20)
