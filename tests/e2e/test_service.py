"""The service itself: health, the docs page, and a database that goes away and comes back."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ledger.api.server import listen, serve
from ledger.errors import SettingsError, StoreUnavailable
from ledger.store.executor import ExecutorSettings
from tests.support.api import Api, Served, a_foundation, found, make_class, projecting, serving
from tests.support.postgres import fresh_schema
from tests.support.proxy import Proxy
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.store.database import Database


def test_live_and_ready_need_no_token_and_tell_no_names(served: Served, director: Api) -> None:
    client = served.anonymous()
    assert client.get("/livez").json() == {"status": "alive"}
    answer = client.get("/readyz")
    assert answer.status_code == 200
    parts = {part["name"]: part for part in answer.json()["parts"]}
    views = {f"view {view.name}" for view in served.base.views}
    assert parts.keys() == {"database", "recording", "seal"} | views
    assert all(part["ready"] and part["lag"] is not None for name, part in parts.items() if name in views)


def test_docs_page_loads_nothing_from_another_origin(served: Served) -> None:
    client = served.anonymous()
    front = client.get("/")
    assert (front.status_code, front.headers["location"]) == (307, "docs")
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    assert "//" not in page.text
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 5
    for link in links:
        assert client.get(f"/{link}").status_code == 200, link
    assert not re.search(r"<script>|style=|onload", page.text)
    assert "//" not in client.get("/docs/docs.js").text.replace("// The validator", "")


def test_server_says_that_the_database_went_away_before_it_could_begin(
    postgres_url: str, kek_text: str, tmp_path: Path
) -> None:
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, tmp_path) as base,
        listen("127.0.0.1", 0) as nobody,
        listen("127.0.0.1", 0) as entrance,
    ):
        nobody.shutdown(socket.SHUT_RDWR)
        elsewhere = f"postgresql://postgres@127.0.0.1:{nobody.getsockname()[1]}/ledger"
        gone = replace(base, database=replace(base.database, url=elsewhere))
        with pytest.raises(StoreUnavailable):
            serve(gone, entrance)


def test_taken_port_says_so() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(SettingsError, match="taken by another program"):
        listen("127.0.0.1", first.getsockname()[1])


def test_unusable_address_says_so() -> None:
    with pytest.raises(SettingsError, match="cannot listen on"):
        listen("192.0.2.1", 0)


def test_two_servers_share_one_socket(served: Served, director: Api) -> None:
    with listen("127.0.0.1", 0) as first, socket.socket(fileno=socket.dup(first.fileno())) as second:
        assert first.getsockname() == second.getsockname()
        assert first.get_inheritable()


@pytest.fixture
def before_views(postgres_url: str, kek_text: str, tmp_path: Path) -> Iterator[Served]:
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, tmp_path) as base,
        serving(base) as service,
    ):
        yield service


def test_without_a_projector_the_service_records_and_is_not_ready(before_views: Served) -> None:
    director = before_views.acts()
    founded = director.records("/v1/school", {"name": "Школа"})["position"]
    assert director.get("/v1/school").status_code == 503
    answer = before_views.anonymous().get("/readyz")
    assert answer.status_code == 503
    reasons = {part["name"]: part["reason"] for part in answer.json()["parts"] if not part["ready"]}
    assert reasons["view journals"] == "The view has not been made yet: no projector has run."
    with projecting(before_views.base):
        asyncio.run(until(lambda: before_views.anonymous().get("/readyz").status_code == 200))
        assert director.reads("/v1/school", min_position=founded)["name"] == "Школа"


class _Wire:
    """A wire to the database on a loop of its own, so that plain tests can cut it."""

    def __init__(self, database: Database) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="wire")
        self.thread.start()
        self.proxy = Proxy(database)
        self.run(self.proxy.accept())

    def run(self, step: object) -> None:
        asyncio.run_coroutine_threadsafe(step, self.loop).result(60)  # type: ignore[arg-type]  # a coroutine

    def close(self) -> None:
        self.run(self.proxy.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def test_database_that_goes_away_is_a_problem_and_comes_back(postgres_url: str, kek_text: str, tmp_path: Path) -> None:
    with fresh_schema(postgres_url) as database:
        wire = _Wire(database)
        try:
            with (
                a_foundation(wire.proxy.database.url, database.schema, kek_text, tmp_path) as base,
                projecting(base),
                serving(base) as service,
            ):
                _goes_away_and_comes_back(service, wire)
        finally:
            wire.close()


def _goes_away_and_comes_back(service: Served, wire: _Wire) -> None:
    director = service.acts()
    found(director)
    a_class = make_class(director)
    ledger = service.service.ledger
    patient, ledger.executor._writer._settings = ledger.executor._writer._settings, ExecutorSettings(patience_s=0.5)
    ledger.pool.timeout = ledger.keys.timeout = 0.5
    student = f"/v1/students/{a_class.students[0]}"
    director.reads(student, min_position=a_class.position)
    wire.run(wire.proxy.refuse())
    for answer in (
        director.get("/v1/school"),
        director.get(student),
        director.post("/v1/marks", a_class.mark(a_class.students[0])),
        director.get("/v1/commands/some-key"),
    ):
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["code"] in {"store-unavailable", "outcome-unknown"}
    client = service.anonymous()
    assert client.get("/livez").status_code == 200
    readiness = client.get("/readyz")
    assert readiness.status_code == 503
    assert readiness.json()["code"] == "not-ready"
    assert [part["name"] for part in readiness.json()["parts"] if not part["ready"]] == ["database"]
    ledger.executor._writer._settings = patient
    wire.run(wire.proxy.accept())
    asyncio.run(until(lambda: client.get("/readyz").status_code == 200))
    made = director.records("/v1/marks", a_class.mark(a_class.students[0]))
    asyncio.run(until(lambda: director.get(student, min_position=made["position"]).status_code == 200))
