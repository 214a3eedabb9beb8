"""Random histories: a page as of any position is the page that was served there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ledger.aggregates.student.record import Membership
from ledger.application.disclose.differences import read_difference
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.moment import NOW, AsOf, MomentShown
from ledger.application.disclose.past import Past
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.states import read_state
from ledger.application.disclose.students import list_students, read_student
from ledger.errors import NotFound
from ledger.projections.journals.projection import JOURNALS
from ledger.projections.portfolios.projection import PORTFOLIOS
from ledger.projections.view import Moment
from ledger.projections.views import all_views
from tests.support.desk import a_base, at_desk, reads
from tests.support.examples import examples
from tests.support.postgres import fresh_ledger
from tests.support.story import Step, Story, again, histories, steps, told
from tests.support.views import body, facts_of, replay
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ledger.aggregates.student import StudentRecord
    from ledger.application.disclose.differences import Difference
    from ledger.application.disclose.shown import JournalPage, Page, Portfolio, StudentShown
    from ledger.application.disclose.states import StudentState
    from ledger.projections.view import Key, Row, View
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper
    from tests.support.desk import Desk
    from tests.support.views import Stored

VIEWS = all_views(lambda field, value: f"{field}|{value}".encode())
NIL = UUID(int=0)
LIMIT = 2


@dataclass(frozen=True)
class Served:
    """Everything that somebody was shown at one position; what differs by its nature is blanked out."""

    journal: list[JournalPage]
    portfolio: list[Portfolio]
    group: list[Page[StudentShown]]
    cards: list[StudentShown | None]
    states: list[StudentState | None]


async def served(desk: Desk, story: Story, as_of: AsOf = NOW) -> tuple[Served, set[int]]:
    """Returns what is shown, and the positions that it says it is of."""
    course, student = story.course.stream_id, story.student.subject_id
    journal = [page async for page in _journal(desk, course, as_of)]
    portfolio = [page async for page in _portfolio(desk, student, as_of)]
    group = [page async for page in _group(desk, story.group.stream_id, as_of)]
    cards = [await _card(desk, one.subject_id, as_of) for one in story.students[:2]]
    shown = Served(
        [replace(page, access_id=NIL, position=0) for page in journal],
        [replace(page, access_id=NIL, position=0) for page in portfolio],
        [replace(page, position=0) for page in group],
        cards,
        [await _state(desk, one.subject_id, as_of) for one in story.students[:1]],
    )
    return shown, {page.position for page in journal}


async def _journal(desk: Desk, course: UUID, as_of: AsOf) -> AsyncIterator[JournalPage]:
    after: UUID | None = None
    while True:
        try:
            page = await read_journal(desk.ledger, reads(), course, after=after, limit=LIMIT, as_of=as_of)
        except NotFound:
            return
        yield page
        if page.next is None:
            return
        after = UUID(page.next)


async def _portfolio(desk: Desk, student: UUID, as_of: AsOf) -> AsyncIterator[Portfolio]:
    after: UUID | None = None
    while True:
        try:
            page = await read_portfolio(desk.ledger, reads(), student, after=after, limit=LIMIT, as_of=as_of)
        except NotFound:
            return
        yield page
        if page.next is None:
            return
        after = UUID(page.next)


async def _group(desk: Desk, group: UUID, as_of: AsOf) -> AsyncIterator[Page[StudentShown]]:
    after: UUID | None = None
    while True:
        try:
            page = await list_students(desk.ledger, reads(), group, after=after, limit=LIMIT, as_of=as_of)
        except NotFound:
            return
        yield page
        if page.next is None:
            return
        after = UUID(page.next)


async def _card(desk: Desk, student: UUID, as_of: AsOf) -> StudentShown | None:
    try:
        return await read_student(desk.ledger, reads(), student, as_of=as_of)
    except NotFound:
        return None


async def _state(desk: Desk, student: UUID, as_of: AsOf) -> StudentState | None:
    try:
        state = await read_state(desk.ledger, reads(), student, as_of=as_of)
    except NotFound:
        return None
    return replace(state, access_id=NIL, as_of=MomentShown(0, None, None))


async def travels(desk: Desk, story: Story) -> None:
    """Serves after each event, then asks again as of each of those positions."""
    desk.ledger.id = story.ref.stream_id  # the school of the story, whose ids its events have
    runner = desk.base.runner()
    seen: list[tuple[int, Served]] = []
    with desk.base.database.connect("projector") as connection:
        runner.prepare(connection)
        for proposal in story.proposals:
            recorded = await desk.ledger.executor.execute(again(proposal))
            while runner.advance(connection):
                pass
            shown, positions = await served(desk, story)
            # Only accesses have been recorded since, and they stand on no page.
            assert all(at >= recorded.position for at in positions)
            seen.append((recorded.position, shown))
        while runner.advance(connection):
            pass
    for position, shown in seen:
        then, positions = await served(desk, story, AsOf(position))
        assert positions <= {position}
        assert_same(then, shown)
    await differs(desk, story, [position for position, _ in seen])


async def differs(desk: Desk, story: Story, positions: list[int]) -> None:
    """What became of a student up to any position, and from there until now, is what became of them altogether."""
    student = story.student.subject_id
    opened = next(at for at, proposal in zip(positions, story.proposals, strict=True) if proposal.lane == story.student)
    end = AsOf(positions[-1])
    whole = applied({}, await read_difference(desk.ledger, reads(), student, since=AsOf(0), until=end))
    for position in [at for at in positions if at >= opened][::5]:
        since = await read_difference(desk.ledger, reads(), student, since=AsOf(0), until=AsOf(position))
        rest = await read_difference(desk.ledger, reads(), student, since=AsOf(position), until=end)
        assert all(cause.position > position for change in rest.changes for cause in change.causes)
        assert applied(applied({}, since), rest) == whole


def applied(values: dict[object, dict[str, object]], difference: Difference) -> dict[object, dict[str, object]]:
    """Returns the values after the changes of a difference; each must begin with what is there."""
    after = {name: dict(fields) for name, fields in values.items()}
    for change in difference.changes:
        name = (change.what, change.id, tuple(change.place))
        assert (change.kind == "added") == (name not in after)
        fields = after.setdefault(name, {})
        assert change.causes
        for one in change.fields:
            assert fields.pop(one.field, None) == (one.old or None)
            if one.new not in (None, "", [], False):
                fields[one.field] = one.new
    return after


def assert_same(then: Served, shown: Served) -> None:
    """As of a position before anything of a student was recorded an empty portfolio is served: the student is known."""
    assert then.journal == shown.journal
    assert then.cards == shown.cards
    if shown.group:
        assert then.group == shown.group
    else:  # there was no such group yet; now there is, and nobody had come to it
        assert not any(page.items for page in then.group)
    assert then.states == shown.states
    # A state is folded from the events, the rest was read from the views.
    for state, card in zip(shown.states, shown.cards, strict=False):
        assert (state.card if state else None) == card
    first = shown.states[0]
    if first is not None and shown.journal:
        assert first.portfolio == [item for page in shown.portfolio for item in page.items]
        lines = [line for page in shown.journal for line in page.lines if line.student_id == first.student_id]
        course = shown.journal[0].course
        mine = [state for state in first.courses if state.course.course_id == course.course_id]
        assert [(state.cells, state.results) for state in mine] == [
            (line.cells, line.results) for line in lines if line.cells or line.results
        ]
    if shown.portfolio:
        assert then.portfolio == shown.portfolio
    else:
        assert not any(page.items for page in then.portfolio)


def tells(postgres_url: str, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path, history: list[Step]) -> None:
    story = told(history)

    async def scenario() -> None:
        with fresh_ledger(postgres_url, keks) as database:
            async with at_desk(a_base(database, keks, mapper, tmp_path)) as desk:
                await travels(desk, story)

    asyncio.run(scenario())


@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(steps, min_size=15, max_size=25))
def test_page_as_of_a_position_is_the_page_that_was_served_there(
    postgres_url: str, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path, history: list[Step]
) -> None:
    tells(postgres_url, keks, mapper, tmp_path, history)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(history=st.lists(steps, min_size=25, max_size=80))
def test_page_as_of_a_position_is_the_page_that_was_served_there_in_many_long_histories(
    postgres_url: str, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path, history: list[Step]
) -> None:
    tells(postgres_url, keks, mapper, tmp_path, history)


# --- what had happened, in memory -------------------------------------------------------------------------------------


def rows_at(story: Story, view: View, moment: Moment) -> Stored:
    """Returns the rows as of a moment by position and table key."""
    return dict(Past(facts_of(story)).fold(view, moment).items())


@settings(max_examples=examples(60), deadline=None)
@given(histories, st.integers(0, 200), st.integers(0, 45))
def test_what_had_happened_by_a_day_is_what_is_known_of_the_days_up_to_it(
    history: list[Step], position: int, ago: int
) -> None:
    """Marks, marks of periods and the portfolio: nothing of later days, and of earlier ones all that is known."""
    story, day = told(history), TODAY - timedelta(days=ago)
    for view in (JOURNALS, PORTFOLIOS):
        everything = replay(view, facts_of(story)[:position])
        assert rows_at(story, view, Moment(position)) == everything
        then = rows_at(story, view, Moment(position, day))
        assert then == {name: row for name, row in everything.items() if _day(view, name, row) <= day}


def _day(view: View, name: tuple[str, Key], row: Row) -> date:
    names = [column.name for column in view.table(name[0]).clear]
    place = names.index("effective_on" if "effective_on" in names else "happened_on")
    return cast("date", row.clear[place])


@settings(max_examples=examples(60), deadline=None)
@given(histories, st.integers(0, 45))
def test_groups_of_a_student_up_to_a_day_do_not_depend_on_what_happened_later(history: list[Step], ago: int) -> None:
    story, day = told(history), TODAY - timedelta(days=ago)
    then = rows_at(story, VIEWS[0], Moment(len(story.events), day))
    for student in story.students:
        lane: StudentRecord = story.the(student)
        shown = body(then, "students", student.subject_id).memberships
        for number in range(60):
            asked = day - timedelta(days=number)
            covering = [one for one in shown if Membership(one.group_id, one.starts_on, one.ends_on).covers(asked)]
            known = {one.group_id for one in lane.state.memberships if one.covers(asked)}
            assert {one.group_id for one in covering} == known
