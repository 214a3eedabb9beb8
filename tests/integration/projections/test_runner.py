from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ledger.aggregates.student.marks import MarkRecorded
from ledger.errors import LedgerError
from ledger.projections import follower
from ledger.projections.runner import ProjectionRunner
from ledger.projections.store import ViewFailed
from ledger.projections.view import Rule
from ledger.store.keyring import Keyring
from ledger.telemetry.parts import Telemetry
from tests.support.desk import an_audit, positions_of
from tests.support.projector import broken, running, running_projector
from tests.support.tampering import FLIPPED, in_events, schema_of_view
from tests.support.waiting import until

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ledger.bootstrap import Foundation
    from ledger.projections.view import Fact, Rows, View
    from ledger.store.database import Database, Row
    from tests.support.desk import Desk

LEADING = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = hashtextextended(%s, 0) & 4294967295"
)
"""Who follows a view, by the name of its schema."""


def with_views(base: Foundation, views: list[View]) -> ProjectionRunner:
    return ProjectionRunner(base.database, base.mapper, Keyring(base.keks), views)


def failures(database: Database) -> dict[str, tuple[int, str]]:
    with database.connect("owner") as connection:
        rows = connection.execute("SELECT view, failed_position, failure FROM tracking WHERE failed_at IS NOT NULL")
        return {view: (position, failure) for view, position, failure in rows.fetchall()}


def position_of(owner: psycopg.Connection[Row], event_id: UUID) -> int:
    row = owner.execute("SELECT position FROM events WHERE event_id = %s", (event_id,)).fetchone()
    assert row is not None
    return int(row[0])


async def a_history(desk: Desk, students: int = 4) -> list[UUID]:
    """Records some events of every view and returns the marks."""
    enrolled = await desk.enrols(students)
    return [*await desk.marks(*enrolled), *await desk.marks(*enrolled, value="4")]


async def test_batches_of_any_size_end_where_the_history_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_history(desk)
    monkeypatch.setattr(follower, "BATCH", 7)
    steps: list[tuple[int, int]] = []
    last = await asyncio.to_thread(desk.base.runner().catch_up, lambda at, end: steps.append((at, end)))
    assert len(steps) >= last // 7
    assert set(positions_of(desk.base.database).values()) == {last}
    assert desk.audits().equal


async def test_views_at_different_positions_take_each_event_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_history(desk)
    monkeypatch.setattr(follower, "BATCH", 5)
    ahead = [view for view in desk.base.views if view.name in {"retention", "rosters"}]
    at = await asyncio.to_thread(with_views(desk.base, ahead).catch_up)
    await a_history(desk)
    monkeypatch.setattr(follower, "BATCH", 7)
    assert at % 7, "The batches would not overlap."
    await desk.catches_up()
    assert desk.audits().equal


async def test_failing_view_notes_position_and_error_and_holds_nobody_up(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    marks = await a_history(desk)
    views = [broken(view, MarkRecorded, marks[2]) if view.name == "journals" else view for view in desk.base.views]
    stopped_at = position_of(owner, marks[2])
    last = position_of(owner, marks[-1])
    with running(with_views(desk.base, views)):
        await until(lambda: set(positions_of(desk.base.database).values()) == {stopped_at - 1, last})
        await until(lambda: "journals" in failures(desk.base.database))
    found = failures(desk.base.database)
    assert list(found) == ["journals"]
    assert found["journals"][0] == stopped_at
    assert f"position {stopped_at}" in found["journals"][1]
    assert "KeyError" in found["journals"][1]
    assert "fault" not in found["journals"][1], "The text of a foreign error may hold values."
    assert positions_of(desk.base.database)["journals"] == stopped_at - 1
    assert not desk.audits().equal


async def test_failed_view_goes_on_from_its_own_position_after_the_mend(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = await a_history(desk)
    monkeypatch.setattr(follower, "BATCH", 5)
    faulty = [broken(view, MarkRecorded, marks[-1]) if view.name == "journals" else view for view in desk.base.views]
    with pytest.raises(ViewFailed) as failed:
        await asyncio.to_thread(with_views(desk.base, faulty).catch_up)
    assert (failed.value.view, failed.value.position) == ("journals", position_of(owner, marks[-1]))
    behind = positions_of(desk.base.database)["journals"]
    assert 0 < behind < failed.value.position
    last = await desk.catches_up()
    assert positions_of(desk.base.database) == dict.fromkeys(positions_of(desk.base.database), last)
    assert failures(desk.base.database) == {}
    assert desk.audits().equal


async def test_running_projector_tries_a_failed_view_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_history(desk)
    monkeypatch.setattr(follower, "RETRY_FAILED_S", 0.05)
    journals = next(view for view in desk.base.views if view.name == "journals")
    rule = journals.rules[MarkRecorded]
    mended = threading.Event()

    def apply(fact: Fact, rows: Rows) -> None:
        if not mended.is_set():
            raise KeyError
        rule.apply(fact, rows)

    flaky = replace(journals, rules={**journals.rules, MarkRecorded: Rule(apply)})
    views = [flaky if view is journals else view for view in desk.base.views]
    with running(with_views(desk.base, views)):
        await until(lambda: "journals" in failures(desk.base.database))
        mended.set()
        await until(
            lambda: not failures(desk.base.database) and len(set(positions_of(desk.base.database).values())) == 1
        )
    assert desk.audits().equal


async def test_unreadable_event_stops_every_view_right_before_it_and_is_named(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    marks = await a_history(desk)
    at = position_of(owner, marks[3])
    in_events(desk.base.database, f"UPDATE events SET state = {FLIPPED.format('state')} WHERE position = %s", at)
    with pytest.raises(ViewFailed) as failed:
        await desk.catches_up()
    assert failed.value.position == at
    assert set(positions_of(desk.base.database).values()) == {at - 1}
    assert {position for position, _ in failures(desk.base.database).values()} == {at}
    in_events(desk.base.database, f"UPDATE events SET state = {FLIPPED.format('state')} WHERE position = %s", at)
    await desk.catches_up()
    assert failures(desk.base.database) == {}
    assert desk.audits().equal


def leaders(desk: Desk, owner: psycopg.Connection[Row]) -> list[int]:
    """Returns the connections that follow the journals."""
    rows = owner.execute(f"SELECT pid {LEADING}", (schema_of_view(desk.base.database, "journals"),)).fetchall()
    return [pid for (pid,) in rows]


async def test_one_of_two_projectors_leads_and_the_other_takes_over(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    async def follow_a_mark() -> None:
        (student,) = await desk.enrols(1)
        last = (await desk.does(desk.mark(student))).position
        await until(lambda: set(positions_of(desk.base.database).values()) == {last})

    with running(desk.base.runner()) as first:
        await until(lambda: len(leaders(desk, owner)) == 1)
        before = leaders(desk, owner)
        with running(desk.base.runner()):
            await follow_a_mark()
            assert leaders(desk, owner) == before
            first.set()
            await until(lambda: leaders(desk, owner) not in ([], before))
            await follow_a_mark()
            assert len(leaders(desk, owner)) == 1
    assert desk.audits().equal


async def test_catch_up_lets_the_leading_projector_do_the_work(desk: Desk) -> None:
    with running(desk.base.runner()):
        await until(lambda: len(positions_of(desk.base.database)) == len(desk.base.views))
        await a_history(desk)
        last = await desk.catches_up()
        assert set(positions_of(desk.base.database).values()) >= {last}
        assert min(positions_of(desk.base.database).values()) >= last


async def test_catch_up_says_that_the_leading_projector_has_stopped(desk: Desk) -> None:
    marks = await a_history(desk)
    views = [broken(view, MarkRecorded, marks[0]) if view.name == "journals" else view for view in desk.base.views]
    with running(with_views(desk.base, views)):
        await until(lambda: "journals" in failures(desk.base.database))
        with pytest.raises(ViewFailed, match="journals"):
            await desk.catches_up()


async def test_catch_up_of_nothing_makes_the_views(base: Foundation) -> None:
    assert await asyncio.to_thread(base.runner().catch_up) == 0
    assert positions_of(base.database) == dict.fromkeys((view.name for view in base.views), 0)


async def test_runner_goes_on_after_its_connection_was_cut(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    with running(desk.base.runner()):
        await a_history(desk, students=1)
        # The views may have been there before the runner was: who leads is who holds the lock.
        await until(lambda: len(leaders(desk, owner)) == 1)
        cut = owner.execute(
            f"SELECT count(pg_terminate_backend(pid)) {LEADING}", (schema_of_view(desk.base.database, "journals"),)
        ).fetchone()
        assert cut == (1,)
        (student,) = await desk.enrols(1)
        last = (await desk.does(desk.mark(student))).position
        await until(lambda: set(positions_of(desk.base.database).values()) == {last})
    assert desk.audits().equal


async def test_projector_killed_anywhere_goes_on_exactly_once(desk: Desk, kek_text: str) -> None:
    marks = await a_history(desk, students=30)
    last = 0
    for mark, student in zip(marks[:20], await desk.enrols(20), strict=True):
        del mark
        last = (await desk.does(desk.mark(student))).position
    rng = random.Random(20260101)  # noqa: S311 - where it is killed is no secret
    for batch in (9, 7, 11, 5):  # so that the batches overlap where the views stand at different positions
        seen = rng.randrange(1, 6)
        with running_projector(desk.base.database, kek_text, batch=batch, batches=seen + 3) as process:
            assert process.stdout is not None
            for _ in range(seen):
                assert await asyncio.to_thread(process.stdout.readline)
            process.kill()
        assert max(positions_of(desk.base.database).values()) < last, "It was done before it could be killed."
    await desk.catches_up()
    assert set(positions_of(desk.base.database).values()) == {last}
    report = an_audit(desk.base)
    assert report.equal
    assert {digest.served == digest.replayed for digest in report.views} == {True}


async def test_error_of_the_rule_never_reaches_the_caller_bare(desk: Desk) -> None:
    await a_history(desk, students=1)
    views = [broken(view, MarkRecorded) if view.name == "retention" else view for view in desk.base.views]
    with pytest.raises(LedgerError) as failed:
        await asyncio.to_thread(with_views(desk.base, views).catch_up)
    assert "retention" in failed.value.detail


async def test_views_whom_no_event_concerns_are_moved_all_the_same_and_count_it(
    desk: Desk, ledger_db: Database
) -> None:
    students = await desk.enrols(2)
    await asyncio.to_thread(desk.base.runner().catch_up)
    before = positions_of(ledger_db)
    marks = len(await desk.marks(*students))
    telemetry = Telemetry()
    runner = ProjectionRunner(desk.base.database, desk.base.mapper, Keyring(desk.base.keks), desk.base.views, telemetry)
    last = await asyncio.to_thread(runner.catch_up)
    assert set(positions_of(ledger_db).values()) == {last}
    registry = telemetry.metrics.registry
    for view in before:
        assert registry.get_sample_value("ledger_view_events_total", {"view": view}) == last - before[view] >= marks


async def test_view_that_was_set_back_is_not_moved_past_what_it_lacks(desk: Desk, ledger_db: Database) -> None:
    (student,) = await desk.enrols(1)
    await desk.does(desk.achievement(student))
    runner = desk.base.runner()
    await asyncio.to_thread(runner.catch_up)
    with running(runner):
        with ledger_db.connect("owner") as connection, connection.transaction():
            connection.execute("UPDATE tracking SET position = 0 WHERE view = 'portfolios'")
            connection.execute(f"DELETE FROM {schema_of_view(ledger_db, 'portfolios')}.items")
        recorded = await desk.does(desk.mark(student))
        await until(lambda: set(positions_of(ledger_db).values()) == {recorded.position})
    assert an_audit(desk.base).equal
