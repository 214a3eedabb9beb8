from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.opening import snapshot
from ledger.application.disclose.students import list_students
from ledger.errors import LedgerError
from ledger.ids import new_id
from ledger.projections import follower
from ledger.projections.runner import ProjectionRunner
from ledger.store.keyring import Keyring
from tests.support.desk import TEACHER, Desk, positions_of, reads
from tests.support.tampering import schema_of_view
from tests.support.waiting import until

if TYPE_CHECKING:
    import psycopg

    from ledger.projections.view import View
    from ledger.store.database import Row


def view_of(desk: Desk, name: str) -> View:
    return next(view for view in desk.base.views if view.name == name)


async def rebuilt(desk: Desk, *names: str) -> None:
    """Rebuilds views, one after the other, with a runner of their own."""
    runner = desk.base.runner()
    for name in names:
        await asyncio.to_thread(runner.rebuild, [view_of(desk, name)])


async def digests(desk: Desk) -> dict[str, tuple[str, str]]:
    report = await asyncio.to_thread(desk.audits)
    assert report.equal, report.findings[:3]
    return {one.view: (one.served, one.replayed) for one in report.views}


async def test_rebuilt_views_equal_the_live_ones(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(3))
    last = await desk.catches_up()
    before = await digests(desk)
    seen: list[tuple[int, int]] = []
    views = desk.base.views
    swapped = await asyncio.to_thread(desk.base.runner().rebuild, views, lambda at, end: seen.append((at, end)))
    assert {(one.view, one.position) for one in swapped} == {(view.name, last) for view in views}
    assert await digests(desk) == before
    assert seen[-1] == (last, last)


async def test_rebuild_mends_rows_that_were_altered(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await desk.marks(*await desk.enrols(2))
    await desk.catches_up()
    owner.execute(f"DELETE FROM {schema_of_view(desk.base.database, 'journals')}.entries")
    assert not desk.audits().equal
    await rebuilt(desk, "journals")
    assert desk.audits().equal


@pytest.mark.no_views
async def test_rebuild_of_a_view_that_was_never_built_builds_it(desk: Desk) -> None:
    await desk.enrols(1)
    (swapped,) = await asyncio.to_thread(desk.base.runner().rebuild, [view_of(desk, "rosters")])
    assert positions_of(desk.base.database) == {"rosters": swapped.position}
    await desk.catches_up()
    assert desk.audits().equal


async def test_shadow_that_a_crash_left_is_no_hindrance(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await desk.enrols(1)
    await desk.catches_up()
    shadow = f"{schema_of_view(desk.base.database, 'rosters')}_shadow"
    owner.execute(f"CREATE SCHEMA {shadow}")
    owner.execute(f"ALTER SCHEMA {shadow} OWNER TO {desk.base.database.schema}_projector")
    await rebuilt(desk, "rosters")
    assert desk.audits().equal


async def test_no_read_fails_and_nothing_is_lost_while_views_are_rebuilt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers write, readers read their own writes, and every view is rebuilt again and again under them."""
    monkeypatch.setattr(follower, "BATCH", 50)
    students = await desk.enrols(10)
    await desk.catches_up()
    stop = threading.Event()
    projector = threading.Thread(target=desk.base.runner().run, args=(stop,))
    projector.start()
    done = asyncio.Event()
    counts = {"written": 0, "read": 0}

    async def writes_and_reads(number: int) -> None:
        while not done.is_set():
            student = students[number]
            recorded = await desk.does(desk.mark(student), TEACHER)
            counts["written"] += 1
            page = await read_journal(
                desk.ledger, reads(TEACHER), desk.course, after=None, limit=50, min_position=recorded.position
            )
            line = next(line for line in page.lines if line.student_id == student)
            assert line.family_name
            assert recorded.events[-1].event_id in {cell.entry_id for cell in line.cells}
            assert page.position >= recorded.position
            counts["read"] += 1

    def reads_more_than(read: int) -> bool:
        return done.is_set() or counts["read"] > read

    async def lists() -> None:
        """As often as somebody has read what they wrote: the history that is rebuilt must not outgrow the projector."""
        while not done.is_set():
            read = counts["read"]
            page = await list_students(desk.ledger, reads(), desk.group, after=None, limit=50)
            assert {card.student_id for card in page.items} == set(students)
            await until(partial(reads_more_than, read))

    async def rebuilds() -> None:
        try:
            for _ in range(3):
                await rebuilt(desk, "journals", "rosters")
            await rebuilt(desk, "disclosures", "retention", "portfolios")
        finally:
            done.set()

    try:
        await asyncio.gather(rebuilds(), lists(), *(writes_and_reads(number) for number in range(3)))
    finally:
        stop.set()
        projector.join()
    assert counts["read"] == counts["written"] > 0
    await desk.catches_up()
    assert desk.audits().equal


async def test_audit_during_rebuilds_finds_nothing(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(5))
    await desk.catches_up()
    done = threading.Event()
    found: list[str] = []

    def audits() -> None:
        while not done.is_set():
            found.extend(finding.what for finding in desk.audits().findings)

    audit = asyncio.create_task(asyncio.to_thread(audits))
    try:
        for _ in range(4):
            await rebuilt(desk, "rosters", "journals")
    finally:
        done.set()
        await audit
    assert found == []


async def test_rebuild_waits_for_who_reads_and_lets_others_read_meanwhile(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(1))
    await desk.catches_up()
    async with snapshot(desk.ledger, ("journals",)):  # which has read nothing yet
        rebuild = asyncio.create_task(rebuilt(desk, "journals"))
        shadow = f"{schema_of_view(desk.base.database, 'journals')}_shadow"
        with desk.base.database.connect("owner") as watcher:
            await until(
                lambda: (
                    watcher.execute(
                        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                        " WHERE NOT l.granted AND a.query LIKE %s",
                        (f'%{schema_of_view(desk.base.database, "journals")}"."entries%',),
                    ).fetchone()
                    != (0,)
                )
            )
            assert watcher.execute("SELECT to_regnamespace(%s) IS NULL", (shadow,)).fetchone() == (False,)
        page = await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
        assert len(page.lines) == 1
        assert not rebuild.done()
    await rebuild
    assert desk.audits().equal


async def test_two_rebuilds_of_one_view_follow_each_other(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(3))
    await desk.catches_up()
    await asyncio.gather(rebuilt(desk, "journals"), rebuilt(desk, "journals"))
    assert desk.audits().equal


async def test_view_of_another_version_is_made_beside_the_old_one_when_the_projector_starts(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(2))
    await desk.catches_up()
    newer = [replace(view, version=7) if view.name == "journals" else view for view in desk.base.views]
    base = replace(desk.base, views=newer)
    stale = Desk(base, desk.ledger).audits()
    assert [finding.where for finding in stale.findings] == ["view journals"]
    await asyncio.to_thread(ProjectionRunner(base.database, base.mapper, Keyring(base.keks), newer).catch_up)
    assert Desk(base, desk.ledger).audits().equal
    assert desk.audits().equal, "The old version keeps its own tables."


async def test_rebuild_stops_at_an_event_that_it_cannot_apply_and_leaves_the_old_view(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    await desk.marks(*await desk.enrols(1))
    last = await desk.catches_up()
    owner.execute("ALTER TABLE events DISABLE TRIGGER USER")
    owner.execute("UPDATE events SET topic = 'unknown.topic' WHERE position = %s", (last,))
    with pytest.raises(LedgerError, match="journals cannot apply the event"):
        await rebuilt(desk, "journals")
    assert positions_of(desk.base.database)["journals"] == last
    page = await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
    assert len(page.lines[0].cells) == 1


async def test_rebuild_puts_back_a_projector_that_was_ahead_of_it(desk: Desk) -> None:
    """A student enrolled in another group while the view is away is there afterwards."""
    await desk.enrols(1)
    await desk.catches_up()
    group = new_id()
    await desk.forms("5Б", group)
    (student,) = await desk.enrols(1, into=group)
    await rebuilt(desk, "rosters")
    page = await list_students(desk.ledger, reads(), group, after=None, limit=50)
    assert [card.student_id for card in page.items] == [student]
    await desk.catches_up()
    assert desk.audits().equal
