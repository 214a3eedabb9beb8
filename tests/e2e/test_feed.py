"""The feed over HTTP: pages, waiting, streams and envelopes, as a program uses them."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from ledger.api import stream
from ledger.policy.offices import Office
from tests.support.api import AClass, Api, Json, Served, make_class, serving
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT, BATCH, STREAM = "application/cloudevents+json", "application/cloudevents-batch+json", "text/event-stream"


def last(api: Api) -> int:
    return int(api.reads("/v1/events", limit=1)["until"])


def follow(api: Api, after: int = 0, **query: object) -> Iterator[Json]:
    """Yields the items up to where the paging ends."""
    page = api.reads("/v1/events", after=after, **query)
    while True:
        yield from page["items"]
        if page["next"] is None:
            return
        page = api.reads("/v1/events", cursor=page["next"], **query)


def blocks(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Yields the fields of each block of a stream."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if fields:
                yield fields
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def events(answer: httpx.Response) -> Iterator[Json]:
    """Yields the CloudEvents of a stream."""
    for block in blocks(answer.iter_lines()):
        if "data" in block:
            event: Json = json.loads(block["data"])
            assert block["id"] == str(event["position"])
            assert block["event"] == event["type"]
            yield event


def test_pages_follow_each_other_without_gaps(served: Served, a_class: AClass) -> None:
    auditor = served.acts(Office.AUDITOR)
    found = [item["position"] for item in follow(auditor, limit=7)]
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= a_class.position
    everything = list(follow(auditor, limit=1000))
    assert [item["position"] for item in everything][: len(found)] == found
    assert not {"state", "payload"} & everything[0].keys()
    assert everything[0]["topic"] == "school.founded"


def test_payload_comes_with_a_disclosure_that_the_student_can_see(served: Served, a_class: AClass) -> None:
    director = served.acts()
    mark = director.records("/v1/marks", a_class.mark(a_class.students[0], "4", comment="За старание"))
    auditor = served.acts(Office.AUDITOR, person=UUID(int=0xA0D))
    page = auditor.reads("/v1/events", after=mark["first_position"] - 1, until=mark["position"], payload=True)
    (item,) = [item for item in page["items"] if item["topic"] == "marks.recorded"]
    assert item["payload"] == "opened"
    assert item["state"]["value"] == "4"
    assert item["state"]["comment"] == "За старание"
    seen = director.reads(f"/v1/students/{a_class.students[0]}/disclosures", limit=5, min_position=last(director))[
        "items"
    ]
    assert page["access_id"] in {line["access_id"] for line in seen}


@pytest.mark.parametrize("office", [Office.TEACHER, Office.SECRETARY, Office.STUDENT, Office.INSPECTOR])
@pytest.mark.parametrize("accept", ["application/json", STREAM, BATCH])
def test_others_are_refused_however_they_ask(served: Served, a_class: AClass, office: Office, accept: str) -> None:
    students = (UUID(a_class.students[0]),) if office is Office.STUDENT else ()
    refused = served.acts(office, students=students).http.get("/v1/events", headers={"Accept": accept})
    assert refused.status_code == 403, refused.text
    assert refused.json()["code"] == "forbidden"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"cursor": "x"}, 400, "cursor"),
        ({"cursor": "01-2"}, 400, "cursor"),
        ({"cursor": "1-2", "after": 1}, 400, "cursor"),
        ({"after": 10**15}, 409, "ahead-of-history"),
        ({"cursor": f"1-{10**15}"}, 409, "ahead-of-history"),
        ({"after": -1}, 422, "invalid-input"),
        ({"limit": 1001}, 422, "invalid-input"),
        ({"wait": 31}, 422, "invalid-input"),
        ({"topic": "a'b"}, 422, "invalid-input"),
        ({"affter": 1}, 422, "invalid-input"),
    ],
)
def test_what_cannot_be_asked_is_said(served: Served, query: Any, status: int, code: str) -> None:  # noqa: ANN401 - any query
    refused = served.acts().get("/v1/events", **query)
    assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_stream_takes_no_end_and_no_broken_id(served: Served) -> None:
    http = served.acts().http
    stream_of = {"Accept": STREAM}
    assert http.get("/v1/events", params={"until": 1}, headers=stream_of).json()["code"] == "stream"
    broken = http.get("/v1/events", headers={**stream_of, "Last-Event-ID": "five"})
    assert broken.json()["code"] == "last-event-id"
    assert http.get("/v1/events", headers={"Accept": "text/html"}).json()["code"] == "not-acceptable"


def test_waiting_answers_as_soon_as_something_is_there(served: Served, director: Api, a_class: AClass) -> None:
    after = last(director)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(served.acts(Office.SYSTEM).reads, "/v1/events", after=after, wait=30)
        mark = director.records("/v1/marks", a_class.mark(a_class.students[0]))
        page = waiting.result(60)
    assert page["items"][0]["position"] == after + 1 == mark["first_position"]


def test_waiting_in_vain_ends_with_nothing(served: Served, director: Api, a_class: AClass) -> None:
    after = last(director)
    page = director.reads("/v1/events", after=after, wait=0.2)
    assert page == {"items": [], "next": None, "seen": after, "until": after, "access_id": None}
    filtered = director.reads("/v1/events", after=0, wait=0.2, topic="no.such")
    assert (filtered["items"], filtered["seen"]) == ([], after)


def test_stream_goes_on_where_it_was_left(served: Served, director: Api, a_class: AClass) -> None:
    http = served.acts(Office.SYSTEM).http
    got: list[int] = []
    while len(got) < 30:
        headers = {"Accept": STREAM, "Last-Event-ID": str(got[-1]) if got else "0"}
        with http.stream("GET", "/v1/events", headers=headers) as answer:
            assert answer.headers["content-type"].startswith(STREAM)
            coming = events(answer)
            got += [event["position"] for event in islice(coming, 9)]
            if len(got) >= 18:
                mark = director.records("/v1/marks", a_class.mark(a_class.students[0]))
                while got[-1] < mark["position"]:
                    got.append(next(coming)["position"])
    assert got == list(range(1, len(got) + 1))


async def test_ended_and_left_streams_leave_nothing_behind(
    served: Served, director: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = served.service.streams
    await until(lambda: streams.open == 0)
    monkeypatch.setattr(stream, "LIFE_S", 0.05)
    after = str(last(director))
    with director.http.stream("GET", "/v1/events", headers={"Accept": STREAM, "Last-Event-ID": after}) as answer:
        text = answer.read().decode()
    assert text.startswith("retry: 1000\n\n")
    assert f"id: {after}\n" in text
    await until(lambda: streams.open == 0)
    monkeypatch.setattr(stream, "LIFE_S", 300)
    monkeypatch.setattr(stream, "KEEP_ALIVE_S", 0.01)
    with director.http.stream("GET", "/v1/events", headers={"Accept": STREAM, "Last-Event-ID": after}) as answer:
        lines = answer.iter_lines()  # held: a generator that is dropped closes the connection
        assert len(list(islice((line for line in lines if line == ": alive"), 2))) == 2
        assert streams.open == 1
    await until(lambda: streams.open == 0)
    monkeypatch.setattr(stream, "MAX_STREAMS", 0)
    full = director.http.get("/v1/events", headers={"Accept": STREAM})
    assert (full.status_code, full.json()["code"]) == (503, "busy")


async def test_client_that_does_not_read_is_cut_off(
    served: Served, a_class: AClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LIFE_S", 0.2)
    monkeypatch.setattr(stream, "GRACE_S", 0.1)
    monkeypatch.setattr(stream, "RETRY_MS", "0" * 64_000_000)  # more than any buffer between server and client
    streams = served.service.streams
    with served.acts().http.stream("GET", "/v1/events", headers={"Accept": STREAM}) as answer:
        assert answer.status_code == 200
        await until(lambda: streams.open == 0)
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


async def test_service_that_stops_ends_streams_and_answers_who_waits(served: Served) -> None:
    with serving(served.base) as other:
        api = other.acts()
        after = last(api)
        headers = {"Accept": STREAM, "Last-Event-ID": str(after)}
        with ThreadPoolExecutor() as pool, api.http.stream("GET", "/v1/events", headers=headers) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "retry: 1000"
            waiting = pool.submit(other.acts().reads, "/v1/events", after=after, wait=30)
            await until(lambda: other.service.ledger.tail.waiting == 2)
            other.server.should_exit = True
            rest = list(await asyncio.to_thread(blocks, lines))
            page = await asyncio.to_thread(waiting.result, 25)  # it would have waited for 30
    assert not any("data" in block for block in rest)
    assert page["items"] == []


def test_cloudevents_have_what_the_specification_demands(served: Served, director: Api, a_class: AClass) -> None:
    mark = director.records("/v1/marks", a_class.mark(a_class.students[0], "5"))
    query: Any = {"after": mark["position"] - 1, "until": mark["position"]}
    batch = director.http.get("/v1/events", params={**query, "payload": True}, headers={"Accept": BATCH})
    assert batch.headers["content-type"] == BATCH
    (event,) = batch.json()
    assert event["specversion"] == "1.0"
    assert event["id"] == mark["events"][-1]["event_id"]
    assert event["source"] == f"urn:uuid:{served.base.id}"
    assert event["type"] == "marks.recorded"
    assert event["subject"] == a_class.students[0]
    assert event["time"] == mark["recorded_at"]
    assert event["position"] == mark["position"]
    assert event["datacontenttype"] == "application/json"
    assert event["data"]["value"] == "5"
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in event)
    assert None not in event.values()
    single = director.http.get("/v1/events", params=query, headers={"Accept": EVENT})
    assert single.headers["content-type"] == EVENT
    assert single.json() == {k: v for k, v in event.items() if k not in {"data", "datacontenttype"}}
    assert single.headers["ledger-seen"] == str(mark["position"])
    assert "ledger-next" not in single.headers
    nothing = director.http.get("/v1/events", params={"after": last(director)}, headers={"Accept": EVENT})
    assert (nothing.status_code, nothing.content) == (204, b"")
    more = director.http.get("/v1/events", params={"limit": 2}, headers={"Accept": BATCH})
    assert more.headers["ledger-next"] == f"2-{more.headers['ledger-until']}"


def test_nobody_misses_what_two_classes_record_at_once(served: Served, director: Api) -> None:
    begin = last(director)
    done = threading.Event()

    def following() -> list[int]:
        got: list[int] = []
        api = served.acts(Office.SYSTEM)
        while True:
            ended = done.is_set()
            page = api.reads("/v1/events", after=got[-1] if got else begin, wait=0.5, limit=3)
            got += [item["position"] for item in page["items"]]
            if ended and not page["items"]:
                return got

    with ThreadPoolExecutor() as pool:
        follower = pool.submit(following)
        for made in [pool.submit(make_class, served.acts(), students=4) for _ in range(2)]:
            made.result()
        done.set()
        got = follower.result()
    assert got == list(range(begin + 1, last(director) + 1))
