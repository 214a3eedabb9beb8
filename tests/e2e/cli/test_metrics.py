"""`/metrics` of a served ledger: one door for all processes, true figures, and nobody in the labels."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict_families
from prometheus_client.parser import text_string_to_metric_families

from ledger.cli.serving import FOLLOWERS
from tests.support.api import Api, found, make_class
from tests.support.cli import Cli, Running, a_home
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

CANARY = "Канарейкинс"
PROCESSES = {"api-1", "api-2", "supervisor", *FOLLOWERS}


@dataclass
class Scraped:
    """A served ledger and the address of its metrics."""

    running: Running
    api: Api
    url: str

    def families(self) -> list[Metric]:
        """Scrapes as Prometheus does by default."""
        return list(text_string_to_metric_families(httpx.get(self.url, timeout=30).text))

    def sum(self, name: str, /, **labels: str) -> float:
        """Returns the sum of all samples of a name that have the labels."""
        return sum(
            sample.value
            for family in self.families()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def up(self) -> set[str]:
        """Returns the processes that answer."""
        return {
            sample.labels["process"]
            for family in self.families()
            if family.name == "ledger_process_up"
            for sample in family.samples
            if sample.value == 1
        }


@pytest.fixture(scope="module")
def scraped() -> Iterator[Scraped]:
    with (
        a_home() as cli,
        cli.started("serve", "--port", "0", "--workers", "2", LEDGER_METRICS_PORT="0") as running,
    ):
        served = re.search(r"http://\S+:\d+", running.line("Serving"))
        shown = re.search(r"http://127\.0\.0\.1:\d+/metrics", running.line("Metrics"))
        assert served is not None
        assert shown is not None
        headers = {"Authorization": f"Bearer {cli.works('token', '--office', 'director').out.strip()}"}
        with httpx.Client(base_url=served.group(), timeout=60, headers=headers) as client:
            found(Api(client))
            yield Scraped(running, Api(client), shown.group())


async def test_figures_of_all_processes_come_through_one_door_and_are_true(scraped: Scraped) -> None:
    director = scraped.api
    await until(lambda: scraped.up() == PROCESSES)
    nowhere = scraped.sum("ledger_http_requests_total", route="-", status="404")
    a_class = make_class(director, family=CANARY)
    student = a_class.students[0]
    mark = director.records("/v1/marks", a_class.mark(student, comment=CANARY), key="canary-key-1")
    assert director.post("/v1/marks", a_class.mark(student, CANARY)).status_code == 422
    assert director.get(f"/v1/{CANARY}").status_code == 404
    read = director.reads(f"/v1/journals/{a_class.course_id}", min_position=mark["position"])
    await until(lambda: scraped.sum("ledger_view_lag_events") == 0)
    assert scraped.sum("ledger_http_requests_total", route="/v1/marks", method="POST", status="201") == 1
    assert scraped.sum("ledger_http_requests_total", route="/v1/marks", status="422") == 1
    assert scraped.sum("ledger_http_request_seconds_count", route="/v1/marks") == 2
    assert scraped.sum("ledger_http_requests_total", route="-", status="404") == nowhere + 1
    assert scraped.sum("ledger_commands_refused_total", code="off_scale") == 1
    last = scraped.sum("ledger_last_position")
    assert last >= read["position"]
    assert scraped.sum("ledger_events_recorded_total") == last
    await until(lambda: scraped.sum("ledger_view_events_total", view="journals") == last)
    assert scraped.sum("ledger_disclosures_total", policy="director", channel="api") == 2
    assert scraped.sum("ledger_recording") == 2
    assert scraped.sum("ledger_projector_leads", process="projector") >= 5
    assert scraped.sum("ledger_database_up") == 1
    await until(lambda: scraped.sum("ledger_sealed_events") == last)
    assert scraped.sum("ledger_seal_alarm") == 0
    assert scraped.sum("process_resident_memory_bytes", process="projector") > 1_000_000


def test_no_label_names_anybody_or_has_endless_values(scraped: Scraped) -> None:
    words: dict[str, set[str]] = defaultdict(set)
    for family in scraped.families():
        for sample in family.samples:
            for label, word in sample.labels.items():
                words[label].add(word)
    assert CANARY not in str(words)
    for label, seen in words.items():
        for word in seen - {"+Inf"}:
            assert re.fullmatch(r"[\w./{}+-]*", word, re.ASCII), (label, word)
            assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", word), (label, word)
    assert words["process"] == PROCESSES


async def test_other_format_of_prometheus_is_valid_by_its_strict_parser(scraped: Scraped) -> None:
    def answer() -> httpx.Response:
        return httpx.get(scraped.url, headers={"Accept": "application/openmetrics-text; version=1.0.0"}, timeout=30)

    await until(lambda: "ledger_batch_events" in answer().text)  # the workers have started
    assert answer().headers["content-type"].startswith("application/openmetrics-text")
    names = [family.name for family in strict_families(answer().text)]  # type: ignore[no-untyped-call]  # the library's
    assert len(names) == len(set(names))
    assert "ledger_batch_events" in names


def test_metrics_listen_on_this_machine_only_and_not_on_the_service_s_port(scraped: Scraped) -> None:
    for process in (scraped.running.tree, *scraped.running.tree.children(recursive=True)):
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"
    assert scraped.api.get("/metrics").status_code == 404


async def test_process_that_dies_is_seen_as_down_and_counted(scraped: Scraped) -> None:
    assert scraped.sum("ledger_process_restarts_total", name="projector") == 0
    (projector,) = scraped.running.children("projector")
    projector.kill()
    await until(lambda: scraped.sum("ledger_process_restarts_total", name="projector") == 1)
    await until(lambda: scraped.up() == PROCESSES)
    scraped.api.records("/v1/class-groups", {"title": str(uuid4())[:8], "year": "2025-2026", "level": "basic"})
    await until(lambda: scraped.sum("ledger_view_events_total", view="rosters") == 1)


def test_taken_port_of_metrics_is_an_error_that_names_the_setting(cli: Cli, scraped: Scraped) -> None:
    port = scraped.url.removesuffix("/metrics").rpartition(":")[2]
    failed = cli.fails("serve", "--port", "0", LEDGER_METRICS_PORT=port)
    assert "LEDGER_METRICS_PORT" in failed.err
