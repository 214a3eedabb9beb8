"""Views that are new, or of a new version, in a ledger that is running; two versions of the ledger at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ledger.aggregates.student.marks import MarkRecorded
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.students import list_students
from ledger.application.readiness import read_readiness, view_states
from ledger.errors import Busy
from ledger.projections import follower, runner
from ledger.projections.rebuild import Rebuild
from ledger.projections.runner import ProjectionRunner
from ledger.projections.states import Stage
from ledger.projections.store import ViewFailed
from ledger.projections.view import Rule, schema_of
from ledger.store.keyring import Keyring
from tests.support.desk import Desk, an_audit, at_desk, positions_of, reads
from tests.support.projector import broken, running
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import psycopg

    from ledger.application.readiness import Part
    from ledger.bootstrap import Foundation
    from ledger.projections.states import ViewState
    from ledger.projections.view import Fact, Rows, View
    from ledger.store.database import Row

NEWER = 70


def with_views(base: Foundation, views: Sequence[View]) -> Foundation:
    return replace(base, views=tuple(views))


def newer(base: Foundation) -> Foundation:
    """Returns the foundation of a later version of the ledger, with another version of the journals."""
    return with_views(base, [replace(view, version=NEWER) if view.name == "journals" else view for view in base.views])


@asynccontextmanager
async def at_the_same_school(base: Foundation, desk: Desk) -> AsyncIterator[Desk]:
    """Yields a desk of another process, maybe of another version, at the school of `desk`."""
    async with at_desk(base) as other:
        yield Desk(base, other.ledger, desk.group, desk.course, desk.work)


async def journal_of(desk: Desk) -> int:
    """Returns how many cells a reader sees in the journal."""
    page = await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
    return sum(len(line.cells) for line in page.lines)


async def part_of(desk: Desk, view: str) -> Part:
    return next(part for part in await read_readiness(desk.ledger) if part.name == f"view {view}")


async def rows_of_tracking(owner: psycopg.Connection[Row]) -> set[tuple[str, int, bool]]:
    return set(owner.execute("SELECT view, version, shadow FROM tracking").fetchall())


@pytest.mark.no_views
async def test_view_that_is_added_to_a_running_ledger_is_made_while_the_others_go_on(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "BATCH", 5)
    students = await desk.enrols(3)
    await desk.marks(*students)
    before = with_views(desk.base, [view for view in desk.base.views if view.name != "journals"])
    with running(before.runner()):
        await until(lambda: _served(desk, "rosters"))
        with pytest.raises(Busy, match="journals has not been made yet"):
            await journal_of(desk)
    last = (await desk.does(desk.mark(students[0]))).position
    done = asyncio.Event()

    def all_made(last: int) -> bool:
        return done.is_set() or min(positions_of(desk.base.database).values()) >= last

    async def keeps_reading() -> int:
        count = 0
        while not done.is_set():
            page = await list_students(desk.ledger, reads(), desk.group, after=None, limit=50)
            assert {card.student_id for card in page.items} == set(students)
            count += 1
            # Who reads records it: nobody shall read faster than the view is made.
            await until(partial(all_made, _recorded(owner)))
        return count

    reader = asyncio.create_task(keeps_reading())
    with running(desk.base.runner()):
        await until(lambda: positions_of(desk.base.database).get("journals", 0) >= last)
        await until(lambda: _served(desk, "journals"))
        done.set()
        assert await reader > 0
        assert await journal_of(desk) == 4
    await desk.catches_up()
    assert desk.audits().equal


def _recorded(owner: psycopg.Connection[Row]) -> int:
    row = owner.execute("SELECT max(position) FROM events").fetchone()
    assert row is not None
    return int(row[0])


async def _served(desk: Desk, view: str) -> bool:
    states = await view_states(desk.ledger)
    return next(state.position is not None for state in states if state.name == view)


async def test_two_versions_at_once_each_serve_and_follow_their_own(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    students = await desk.enrols(2)
    await desk.marks(*students)
    later = newer(desk.base)
    old_version = next(view.version for view in desk.base.views if view.name == "journals")
    async with at_the_same_school(later, desk) as upgraded:
        with running(desk.base.runner()):
            await until(lambda: _served(desk, "journals"))
            with pytest.raises(Busy, match="not been made yet"):
                await journal_of(upgraded)
            with running(later.runner()):
                await until(lambda: _served(upgraded, "journals"))
                last = (await desk.does(desk.mark(students[0]))).position
                for one in (desk, upgraded):
                    page = await read_journal(one.ledger, reads(), desk.course, after=None, limit=50, min_position=last)
                    assert sum(len(line.cells) for line in page.lines) == 3
        assert await rows_of_tracking(owner) >= {("journals", old_version, False), ("journals", NEWER, False)}
        for base in (desk.base, later):
            await asyncio.to_thread(base.runner().catch_up)
            assert an_audit(base).equal
        states = {state.name: state for state in await view_states(upgraded.ledger)}
        assert states["journals"].other_versions == (old_version,)


async def test_old_version_is_dropped_once_nobody_follows_it_and_only_by_a_newer_one(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.marks(*await desk.enrols(1))
    await desk.catches_up()
    later = newer(desk.base)
    (old,) = [view for view in desk.base.views if view.name == "journals"]
    await asyncio.to_thread(later.runner().catch_up)
    monkeypatch.setattr(runner, "LEAD_S", 0.05)
    monkeypatch.setattr(runner, "RETIRE_AFTER_S", 0.2)
    both = {("journals", old.version, False), ("journals", NEWER, False)}
    with running(desk.base.runner()):
        last = (await desk.does(desk.mark((await desk.enrols(1))[0]))).position
        with running(later.runner()):
            await until(lambda: set(positions_of(desk.base.database).values()) == {last})
            await asyncio.sleep(0.5)  # longer than an old version that nobody follows may stay
            assert await rows_of_tracking(owner) >= both
        await asyncio.sleep(0.5)  # the older projector alone drops nothing
        assert await rows_of_tracking(owner) >= both
    with running(later.runner()):
        await until(lambda: _gone(owner, schema_of(desk.base.database.schema, "journals", old.version)))
    with pytest.raises(Busy, match="not there in version"):
        await journal_of(desk)
    assert await asyncio.to_thread(lambda: an_audit(later).equal)
    await desk.catches_up()  # whoever goes back to the older version gets its view again
    assert await journal_of(desk) == 2


def _gone(owner: psycopg.Connection[Row], schema: str) -> bool:
    return owner.execute("SELECT to_regnamespace(%s) IS NULL", (schema,)).fetchone() == (True,)


async def test_rebuild_that_was_killed_goes_on_from_its_shadow(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "BATCH", 5)
    await desk.marks(*await desk.enrols(6))
    last = await desk.catches_up()
    seen: list[int] = []

    def dies(at: int, _: int) -> None:
        seen.append(at)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(_rebuilds, desk.base, dies)
    assert seen == [5, 10, 15]
    states = {state.name: state for state in await view_states(desk.ledger)}
    assert (states["journals"].stage, states["journals"].made) == (Stage.IDLE, 15)
    again: list[int] = []
    await asyncio.to_thread(desk.base.runner().rebuild, desk.base.views, lambda at, _: again.append(at))
    assert again[0] == 20
    assert again[-1] == last
    assert desk.audits().equal
    states = {state.name: state for state in await view_states(desk.ledger)}
    assert states["journals"].made is None


def _rebuilds(base: Foundation, progress: object) -> None:
    base.runner().rebuild(base.views, progress)  # type: ignore[arg-type]  # a callback that raises


async def test_shadow_of_other_columns_is_not_gone_on_with(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "BATCH", 5)
    await desk.marks(*await desk.enrols(3))
    await desk.catches_up()
    (view,) = [view for view in desk.base.views if view.name == "journals"]

    def dies(at: int, _: int) -> None:
        if at >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(_rebuilds, with_views(desk.base, [view]), dies)
    shadow = schema_of(desk.base.database.schema, "journals", view.version, shadow=True)
    owner.execute(f"ALTER TABLE {shadow}.entries DROP COLUMN sealed")
    again: list[int] = []
    await asyncio.to_thread(desk.base.runner().rebuild, [view], lambda at, _: again.append(at))
    assert again[0] == 5
    assert desk.audits().equal


async def test_new_version_can_be_made_before_the_service_that_reads_it_is_started(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(1))
    await desk.catches_up()
    later = newer(desk.base)
    prepared = later.runner()
    (missing,) = await asyncio.to_thread(prepared.missing)
    assert missing.version == NEWER
    with running(desk.base.runner()):
        await asyncio.to_thread(prepared.rebuild, [missing])
        assert await journal_of(desk) == 1
    assert await asyncio.to_thread(prepared.missing) == []
    async with at_the_same_school(later, desk) as upgraded:
        assert await journal_of(upgraded) == 1


async def test_stopped_view_says_what_stopped_it_and_goes_on_after_the_mend(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RETRY_FAILED_S", 0.05)
    students = await desk.enrols(2)
    await desk.marks(*students)
    await desk.catches_up()
    recorded = await desk.does(desk.mark(students[0], comment="Канареева"))
    (journals,) = [view for view in desk.base.views if view.name == "journals"]
    rule, mended = journals.rules[MarkRecorded], asyncio.Event()

    def apply(fact: Fact, rows: Rows) -> None:
        if fact.entry.position == recorded.position and not mended.is_set():
            raise ValueError(fact.event)
        rule.apply(fact, rows)

    faulty = replace(journals, rules={**journals.rules, MarkRecorded: Rule(apply)})
    views = [faulty if view is journals else view for view in desk.base.views]
    with running(ProjectionRunner(desk.base.database, desk.base.mapper, Keyring(desk.base.keks), views)):
        await until(lambda: _stage(desk, "journals", Stage.FAILED))
        last = (await desk.does(desk.achievement(students[1]))).position
        await until(lambda: positions_of(desk.base.database)["portfolios"] == last)
        part = await part_of(desk, "journals")
        assert not part.ready
        assert part.position == recorded.position - 1, "It is served up to right before the event."
        assert part.failed_position == recorded.position
        assert (part.failed_event, part.failed_topic) == (recorded.events[-1].event_id, "marks.recorded")
        assert part.failed_error == "ValueError"
        assert "Канареева" not in repr(await read_readiness(desk.ledger))
        assert await journal_of(desk) == 2
        mended.set()
        await until(lambda: _stage(desk, "journals", Stage.FOLLOWING))
        await until(lambda: positions_of(desk.base.database)["journals"] >= last)
    assert (await part_of(desk, "journals")).ready
    await desk.catches_up()
    assert desk.audits().equal


async def test_event_that_stopped_an_older_projector_stops_no_view_that_is_past_it(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    """Both follow a version that both have; only the newer one knows the event."""
    await desk.enrols(1)
    await desk.catches_up()
    owner.execute("UPDATE tracking SET failed_position = position, failure = 'newer-event' WHERE view = 'portfolios'")
    assert (await part_of(desk, "portfolios")).failed_position is None
    assert desk.audits().equal


async def _stage(desk: Desk, view: str, stage: Stage) -> bool:
    return next(state.stage is stage for state in await view_states(desk.ledger) if state.name == view)


async def test_new_version_that_cannot_be_made_leaves_the_old_one_served(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(1))
    await desk.catches_up()
    later = newer(desk.base)
    views = [broken(view, MarkRecorded) if view.name == "journals" else view for view in later.views]
    async with at_the_same_school(with_views(later, views), desk) as upgraded:
        with running(desk.base.runner()), running(upgraded.base.runner()):
            await until(lambda: _stage(upgraded, "journals", Stage.FAILED))
            with pytest.raises(Busy, match="is being made") as busy:
                await journal_of(upgraded)
            assert "KeyError" in busy.value.help
            last = (await desk.does(desk.achievement((await desk.enrols(1))[0]))).position
            await until(lambda: min(positions_of(desk.base.database).values()) == last)
            assert await journal_of(desk) == 1


async def test_view_that_is_far_behind_does_not_keep_the_others_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "BATCH", 5)
    await desk.marks(*await desk.enrols(5))
    late = with_views(desk.base, [view for view in desk.base.views if view.name == "retention"])
    await asyncio.to_thread(late.runner().catch_up)
    await desk.does(desk.achievement((await desk.enrols(1))[0]))
    runner_ = desk.base.runner()
    with runner_._connect() as connection:
        runner_.prepare(connection)
        runner_.advance(connection)
        after = positions_of(desk.base.database)
    assert after["journals"] == 5
    assert after["retention"] > 25, "It is near the end and went on in the same step."


async def test_swap_with_too_much_to_apply_waits_and_is_allowed_more_each_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.catches_up()
    (view,) = [view for view in desk.base.views if view.name == "journals"]
    projector = desk.base.runner()
    with projector._connect() as connection:
        making = Rebuild(desk.base.database, projector._reader, projector._keyring)
        assert making.begin(connection, view, waiting=False)
        making.advance(connection)
        await desk.marks(*await desk.enrols(10))
        last = await desk.catches_up()
        monkeypatch.setattr(follower, "BATCH", 4)
        tries = 0
        while tries < 10 and not (swapped := making.swap(connection)):
            tries += 1
        assert swapped[0].position == last
    assert tries == 4, "4, 8, 16 and 32 events were too few; the work under the lock is bounded each time."
    assert desk.audits().equal


@pytest.mark.parametrize(("limit", "ready"), [(0, True), (2, True), (1, False)])
async def test_view_that_lags_too_far_makes_the_service_not_ready(desk: Desk, limit: int, ready: bool) -> None:  # noqa: FBT001 - a parameter
    await desk.enrols(2)
    last = await desk.catches_up()
    await desk.enrols(1)
    desk.ledger.settings = desk.ledger.settings.model_copy(update={"lag_limit": limit})
    part = await part_of(desk, "rosters")
    assert (part.ready, part.position, part.lag, part.stage) == (ready, last, 2, "idle")
    assert ("LEDGER_LAG_LIMIT (1)" in part.reason) == (not ready)


@pytest.mark.no_views
async def test_wait_told_to_a_client_follows_from_what_is_left(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "BATCH", 5)
    monkeypatch.setattr("ledger.projections.query.MAKING_PER_S", 2)
    await desk.marks(*await desk.enrols(3))
    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(_rebuilds, desk.base, _stops)
    with pytest.raises(Busy, match=r"is being made: it is at position 5 of \d+\.") as busy:
        await journal_of(desk)
    assert 2 < busy.value.retry_after <= 60
    assert (await part_of(desk, "journals")).reason.startswith("The view is being made: it is at position 5 of")


def _stops(_: int, __: int) -> None:
    raise KeyboardInterrupt


async def test_rebuild_says_which_event_it_cannot_apply_and_goes_on_after_the_mend(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(3))
    last = await desk.catches_up()
    (view,) = [view for view in desk.base.views if view.name == "journals"]
    faulty = with_views(desk.base, [broken(view, MarkRecorded)])
    with pytest.raises(ViewFailed) as failed:
        await asyncio.to_thread(faulty.runner().rebuild, faulty.views)
    assert positions_of(desk.base.database)["journals"] == last
    assert (await _state(desk, "journals")).made == failed.value.position - 1
    (swapped,) = await asyncio.to_thread(desk.base.runner().rebuild, [view])
    assert swapped.position == last
    assert desk.audits().equal


async def _state(desk: Desk, view: str) -> ViewState:
    return next(state for state in await view_states(desk.ledger) if state.name == view)
