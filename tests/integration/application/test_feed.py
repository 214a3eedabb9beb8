"""The feed: every event once and in order, headers without a disclosure, payload never without one."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.application.disclose import feed
from ledger.application.disclose.feed import (
    AheadOfHistory,
    EventHeader,
    EventOpened,
    FeedQuery,
    cursor_of,
    following,
    header_of,
    read_feed,
)
from ledger.application.disclose.shown import MAX_PAGE
from ledger.errors import Forbidden
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from ledger.seal.entry import Entry
from ledger.store.lanes import ENTRY_COLUMNS
from tests.support.desk import DIRECTOR, Desk, reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from ledger.application.disclose.feed import FeedPage
    from ledger.store.database import Row

PERSON = UUID(int=0xA1)


async def pages(desk: Desk, query: FeedQuery, by: Actor = DIRECTOR) -> list[FeedPage[EventHeader]]:
    """Follows the paging to its end."""
    found = []
    while True:
        page = await read_feed(desk.ledger, reads(by), query)
        found.append(page)
        if page.seen == page.until:
            return found
        query = following(query, page)


def stored(owner: psycopg.Connection[Row], where: str = "true") -> list[EventHeader]:
    rows = owner.execute(f"SELECT {ENTRY_COLUMNS} FROM events WHERE {where} ORDER BY position", binary=True).fetchall()
    return [header_of(Entry._make(row)) for row in rows]


def headers(found: list[FeedPage[EventHeader]]) -> list[EventHeader]:
    return without([header for page in found for header in page.items])


def without(items: Sequence[EventHeader]) -> list[EventHeader]:
    """Takes the payload off."""
    return [EventHeader(*(getattr(item, field.name) for field in fields(EventHeader))) for item in items]


def opened(page: FeedPage[EventHeader]) -> list[EventOpened]:
    return [item for item in page.items if isinstance(item, EventOpened)]


async def test_feed_is_the_history_whatever_the_size_of_a_page(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await desk.marks(*await desk.enrols(3))
    every = stored(owner)
    for limit in (1, 2, 7, len(every), 1000):
        found = await pages(desk, FeedQuery(limit=limit))
        assert headers(found) == every
        assert all(len(page.items) <= limit for page in found)
    assert stored(owner) == every


async def test_paging_ends_although_recording_goes_on(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    students = await desk.enrols(2)
    every = stored(owner)
    query = FeedQuery(limit=4)
    seen: list[EventHeader] = []
    while True:
        page = await read_feed(desk.ledger, reads(), query)
        seen += page.items
        await desk.does(desk.achievement(students[0], title=f"Олимпиада {len(seen)}"))
        if page.seen == page.until:
            break
        query = following(query, page)
    assert seen == every
    rest = await pages(desk, FeedQuery(after=page.until))
    assert every + headers(rest) == stored(owner)


async def test_payload_is_disclosed_once_for_each_student_and_page(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    students = await desk.enrols(2)
    await desk.marks(*students, value="4")
    before = stored(owner)
    page = await read_feed(desk.ledger, reads(), FeedQuery(payload=True, limit=1000))
    assert without(page.items) == before
    recorded = stored(owner)[len(before) :]
    assert [header.topic for header in recorded] == ["access.opened", "disclosure.made", "disclosure.made"]
    assert [header.subject_id for header in recorded] == [DIRECTOR.id, *sorted(students, key=students.index)]
    assert recorded[0].stream_id == page.access_id
    marks = [event.state for event in opened(page) if event.topic == "marks.recorded"]
    assert [state["value"] for state in marks if state is not None] == ["4", "4"]
    assert {event.payload for event in opened(page)} == {"opened"}


async def test_follower_with_payload_does_not_chase_its_own_disclosures(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    await desk.marks(*await desk.enrols(2))
    first = await pages(desk, FeedQuery(payload=True, limit=1000))
    second = await pages(desk, FeedQuery(payload=True, limit=1000, after=first[-1].seen))
    assert [event.payload for page in second for event in opened(page)] == ["withheld"] * 3
    assert [page.access_id for page in second] == [None]
    third = await pages(desk, FeedQuery(payload=True, limit=1000, after=second[-1].seen))
    assert headers(third) == []
    assert headers(first + second) == stored(owner)


async def test_page_with_payload_ends_before_its_51st_student(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await desk.enrols(MAX_PAGE + 1)
    every = stored(owner)
    found = await pages(desk, FeedQuery(payload=True, limit=1000))
    assert headers(found) == every
    assert len(found) > 1
    subjects = [{header.subject_id for header in page.items} - {desk.school} for page in found]
    assert max(map(len, subjects)) == MAX_PAGE


async def test_erased_class_is_named_and_the_rest_is_opened(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    (student,) = await desk.enrols(1)
    await desk.marks(student)
    with desk.base.database.connect("eraser") as eraser:
        eraser.execute("DELETE FROM data_keys WHERE record_class = 'marks'")
    desk.ledger.keyring.drop([(student, "marks")])
    (page,) = await pages(desk, FeedQuery(payload=True, subject=student))
    found = {event.topic: event.payload for event in opened(page)}
    assert found["marks.recorded"] == "erased"
    assert found["student.enrolled"] == "opened"


async def test_filters_leave_out_and_skip_nothing_else(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    students = await desk.enrols(3)
    await desk.marks(*students)
    one = students[1]
    assert headers(await pages(desk, FeedQuery(subject=one, limit=2))) == stored(owner, f"subject_id = '{one}'")
    assert headers(await pages(desk, FeedQuery(topic="marks.", limit=2))) == stored(owner, "topic LIKE 'marks.%'")
    both = stored(owner, f"topic LIKE 'marks.%' AND subject_id = '{one}'")
    assert headers(await pages(desk, FeedQuery(topic="marks.", subject=one))) == both
    monkeypatch.setattr(feed, "WINDOW", 2)
    rare = await pages(desk, FeedQuery(topic="school.founded"))
    assert headers(rare) == stored(owner, "topic = 'school.founded'")
    assert len(rare) == -(-len(stored(owner)) // 2)


@pytest.mark.parametrize(
    "office", [office for office in Office if office.value not in {"system", "auditor", "director", "deputy_head"}]
)
async def test_refusal_to_show_the_feed_is_recorded(desk: Desk, owner: psycopg.Connection[Row], office: Office) -> None:
    (student,) = await desk.enrols(1)
    for payload in (False, True):
        with pytest.raises(Forbidden):
            await read_feed(desk.ledger, reads(Actor(PERSON, office, frozenset({student}))), FeedQuery(payload=payload))
        assert stored(owner)[-1].topic == "access.refused"
        assert stored(owner)[-1].subject_id == PERSON


async def test_reader_that_has_seen_more_than_there_is_is_told(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    last = len(stored(owner))
    assert list((await read_feed(desk.ledger, reads(), FeedQuery(after=last))).items) == []
    for query in (FeedQuery(after=last + 1), FeedQuery(until=last + 1)):
        with pytest.raises(AheadOfHistory, match=f"position {last}"):
            await read_feed(desk.ledger, reads(Actor(new_id(), Office.AUDITOR)), query)


async def test_whoever_follows_in_whatever_way_has_every_event_once(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    students = await desk.enrols(3)
    loop = asyncio.get_running_loop()

    async def follow(steps: list[tuple[int, bool, bool]]) -> None:
        """Goes on by cursor or by position, with payload or without, while marks are recorded."""
        got: list[EventHeader] = []
        query = FeedQuery()
        for limit, by_cursor, payload in steps:
            page = await read_feed(desk.ledger, reads(), replace(query, limit=limit, payload=payload))
            got += without(page.items)
            found = cursor_of(page.next or "")
            assert (found is None) == (page.next is None) == (page.seen == page.until)
            query = FeedQuery(after=found[0], until=found[1]) if found and by_cursor else FeedQuery(after=page.seen)
            await desk.does(desk.achievement(students[limit % 3], title=f"Олимпиада {new_id()}"))
        while (page := await read_feed(desk.ledger, reads(), FeedQuery(after=query.after, limit=1000))).items:
            got += without(page.items)
            query = FeedQuery(after=page.seen)
        assert got == stored(owner)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), max_size=6))
    def any_way(steps: list[tuple[int, bool, bool]]) -> None:
        asyncio.run_coroutine_threadsafe(follow(steps), loop).result(timeout=60)

    await asyncio.to_thread(any_way)
