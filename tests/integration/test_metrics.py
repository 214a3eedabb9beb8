"""What the metrics say is what happened: recording, refusing, conflicts, views, failures, disclosures, pools."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ledger.application.disclose.gate import open_access
from ledger.application.standing import HistoryCollector, read_standing
from ledger.errors import Forbidden, LedgerError, NotFound, Refused
from ledger.policy.reading import Resource
from ledger.projections.runner import ProjectionRunner
from ledger.projections.view import Rule
from ledger.store.keyring import Keyring
from ledger.telemetry.metrics import Metrics
from ledger.telemetry.parts import Telemetry
from tests.support.desk import CLASS_TEACHER, DIRECTOR, TEACHER, Desk, at_desk, reads

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from ledger.projections.view import Fact, Rows
    from ledger.store.database import Database


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


async def test_recording_is_counted_once_for_each_batch_command_and_event(desk: Desk) -> None:
    registry = desk.base.telemetry.metrics.registry

    def read(name: str) -> float:
        return value(registry, name)

    students = await desk.enrols(5)
    events, commands = read("ledger_events_recorded_total"), read("ledger_commands_recorded_total")
    batches, sizes = read("ledger_batch_commands_count"), read("ledger_batch_commands_sum")
    uses = read("ledger_keyring_uses_total")
    recorded = await asyncio.gather(*(desk.does(desk.mark(student), TEACHER) for student in students))
    assert read("ledger_commands_recorded_total") - commands == 5
    added = sum(one.count for one in recorded)
    assert read("ledger_events_recorded_total") - events == added
    assert read("ledger_keyring_uses_total") - uses == added
    assert read("ledger_batch_commands_sum") - sizes == 5
    assert 1 <= read("ledger_batch_commands_count") - batches <= 5
    assert read("ledger_writer_position") == max(one.position for one in recorded)
    assert read("ledger_batch_decide_seconds_sum") > 0
    assert read("ledger_batch_append_seconds_sum") > 0
    assert value(registry, "ledger_appends_total", outcome="appended") >= 1
    assert (read("ledger_recording"), read("ledger_history_alarm"), read("ledger_commands_waiting")) == (1, 0, 0)
    assert read("ledger_lane_cache_lanes") >= 10
    assert read("ledger_lane_cache_misses_total") >= 10
    assert read("ledger_lane_cache_hits_total") > 0
    assert read("ledger_keyring_keys") > 5
    assert read("ledger_keyring_loads_total") >= 6
    assert read("ledger_writer_connects_total") == 1


async def test_refusals_are_counted_by_their_codes_and_count_as_nothing_recorded(desk: Desk) -> None:
    registry = desk.base.telemetry.metrics.registry
    (student,) = await desk.enrols(1)
    before = value(registry, "ledger_commands_recorded_total")
    for _ in range(2):
        with pytest.raises(Refused):
            await desk.does(desk.mark(student, "десять"), TEACHER)
    with pytest.raises(Forbidden):
        await desk.does(desk.mark(student), CLASS_TEACHER)
    assert value(registry, "ledger_commands_refused_total", code="off_scale") == 2
    assert value(registry, "ledger_commands_refused_total", code="forbidden") == 1
    assert value(registry, "ledger_commands_recorded_total") == before


async def test_append_that_others_overtook_is_counted_as_moved(desk: Desk) -> None:
    (student,) = await desk.enrols(1)
    async with at_desk(replace(desk.base, telemetry=Telemetry())) as other:
        other.group, other.course, other.work = desk.group, desk.course, desk.work
        for one in (desk, other, desk, other):
            await one.does(one.mark(student), TEACHER)
        registry = other.base.telemetry.metrics.registry
        assert value(registry, "ledger_appends_total", outcome="moved") >= 1
        assert value(registry, "ledger_commands_recorded_total") == 2


async def test_stopped_executor_does_not_claim_to_record(desk: Desk) -> None:
    telemetry = Telemetry()
    async with at_desk(replace(desk.base, telemetry=telemetry)):
        assert value(telemetry.metrics.registry, "ledger_recording") == 1
    assert value(telemetry.metrics.registry, "ledger_recording") == 0


async def test_views_and_their_failures_are_counted(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(2))
    metrics = Metrics()
    journals = next(view for view in desk.base.views if view.name == "journals")
    event, rule = next((kind, rule) for kind, rule in journals.rules.items() if kind.TOPIC == "marks.recorded")

    def fails(_fact: Fact, _rows: Rows) -> None:
        raise ZeroDivisionError

    views = [
        replace(view, rules={**view.rules, event: Rule(fails, rule.reads)}) if view is journals else view
        for view in desk.base.views
    ]
    runner = ProjectionRunner(desk.base.database, desk.base.mapper, Keyring(desk.base.keks), views, Telemetry(metrics))
    with pytest.raises(LedgerError):
        await asyncio.to_thread(runner.catch_up)
    standing = read_standing(desk.base.database, desk.base.views)
    failed = standing.views["journals"].failed_position
    assert failed is not None
    assert value(metrics.registry, "ledger_view_failures_total", view="journals") == 1
    assert value(metrics.registry, "ledger_view_events_total", view="journals") == failed - 1
    assert value(metrics.registry, "ledger_view_events_total", view="rosters") == standing.position
    assert value(metrics.registry, "ledger_view_batch_seconds_count", view="rosters") == 1
    assert value(metrics.registry, "ledger_keyring_uses_total") == standing.position
    shown = {
        (sample.name, sample.labels.get("view")): sample.value
        for family in HistoryCollector(desk.base.database, desk.base.views).collect()
        for sample in family.samples
    }
    assert shown["ledger_database_up", None] == 1
    assert shown["ledger_last_position", None] == standing.position
    assert shown["ledger_view_failed_position", "journals"] == failed
    assert shown["ledger_view_failed_position", "rosters"] == 0
    assert (shown["ledger_sealed_events", None], shown["ledger_seal_alarm", None]) == (0, 0)
    assert ("ledger_log_trouble", None) not in shown
    with desk.base.database.connect("owner") as owner:
        owner.execute("INSERT INTO log_alarm (reason) VALUES ('The log does not continue what was signed.')")
    assert read_standing(desk.base.database, desk.base.views).alarmed
    assert shown["ledger_view_lag_events", "journals"] == standing.position - failed + 1
    assert shown["ledger_view_lag_events", "rosters"] == 0


def test_database_that_does_not_answer_is_shown_as_down(ledger_db: Database) -> None:
    away = replace(ledger_db, url="postgresql://nobody@127.0.0.1:1/nowhere")
    samples = [sample for family in HistoryCollector(away, []).collect() for sample in family.samples]
    assert [(sample.name, sample.value) for sample in samples] == [("ledger_database_up", 0.0)]


async def test_disclosures_are_counted_by_policy_and_channel_and_refusals_too(desk: Desk) -> None:
    students = await desk.enrols(3)
    registry = desk.base.telemetry.metrics.registry

    async def opens(reader: object, resource: Resource, **more: object) -> None:
        await open_access(desk.ledger, reader, resource, students=students, categories=("marks",), **more)  # type: ignore[arg-type]  # as the callers below give them

    await opens(reads(DIRECTOR), Resource.STUDENTS)
    await opens(reads(TEACHER), Resource.JOURNAL, course_id=desk.course)
    with pytest.raises(NotFound):
        await opens(reads(TEACHER), Resource.HISTORY)
    by = {"channel": "api"}
    assert value(registry, "ledger_disclosures_total", policy="director", **by) == 3
    assert value(registry, "ledger_disclosures_total", policy="teacher-own-course", **by) == 3
    refused = {"policy": "teacher-own-course", "resource": "history", "outcome": "refused", **by}
    assert value(registry, "ledger_accesses_total", **refused) == 1
    granted = {"policy": "director", "resource": "students", "outcome": "granted", **by}
    assert value(registry, "ledger_accesses_total", **granted) == 1


async def test_pools_show_open_and_idle_connections(desk: Desk) -> None:
    registry = desk.base.telemetry.metrics.registry
    await desk.ledger.pool.wait()
    async with desk.ledger.pool.connection():
        assert value(registry, "ledger_database_pool_connections", pool="reader", state="open") >= 1
        assert value(registry, "ledger_database_pool_connections", pool="reader", state="idle") == 0
        assert value(registry, "ledger_database_pool_connections", pool="reader", state="most") == 8
    assert value(registry, "ledger_database_pool_waiting", pool="reader") == 0
