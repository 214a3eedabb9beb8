"""Random histories: a page as of any position is the page that was served there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ledger.application.disclose.differences import read_difference
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.moment import NOW, AsOf, MomentShown
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.states import read_state
from ledger.application.disclose.students import read_student
from ledger.errors import NotFound
from tests.support.desk import a_base, at_desk, reads
from tests.support.postgres import fresh_ledger
from tests.support.story import Step, Story, again, steps, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ledger.application.disclose.differences import Difference
    from ledger.application.disclose.shown import JournalPage, Portfolio, StudentShown
    from ledger.application.disclose.states import StudentState
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper
    from tests.support.desk import Desk

NIL = UUID(int=0)
LIMIT = 2


@dataclass(frozen=True)
class Served:
    """Everything that somebody was shown at one position; what differs by its nature is blanked out."""

    journal: list[JournalPage]
    portfolio: list[Portfolio]
    cards: list[StudentShown | None]
    states: list[StudentState | None]


async def served(desk: Desk, story: Story, as_of: AsOf = NOW) -> tuple[Served, set[int]]:
    """Returns what is shown, and the positions that it says it is of."""
    course, student = story.course.stream_id, story.student.subject_id
    journal = [page async for page in _journal(desk, course, as_of)]
    portfolio = [page async for page in _portfolio(desk, student, as_of)]
    cards = [await _card(desk, one.subject_id, as_of) for one in story.students[:3]]
    shown = Served(
        [replace(page, access_id=NIL, position=0) for page in journal],
        [replace(page, access_id=NIL, position=0) for page in portfolio],
        cards,
        [await _state(desk, one.subject_id, as_of) for one in story.students[:2]],
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
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=st.lists(steps, min_size=15, max_size=25))
def test_page_as_of_a_position_is_the_page_that_was_served_there(
    postgres_url: str, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path, history: list[Step]
) -> None:
    tells(postgres_url, keks, mapper, tmp_path, history)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=25, max_size=80))
def test_page_as_of_a_position_is_the_page_that_was_served_there_in_many_long_histories(
    postgres_url: str, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path, history: list[Step]
) -> None:
    tells(postgres_url, keks, mapper, tmp_path, history)
