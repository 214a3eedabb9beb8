"""One event by its position: the header for who follows the feed, the payload behind the gate."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ledger.application.disclose.event import read_event
from ledger.errors import Forbidden, NotFound
from ledger.policy import reading
from ledger.policy.engine import read_book
from ledger.policy.offices import Actor, Office
from ledger.store.keyring import Keyring
from ledger.store.openings import CountedKeyring
from tests.support.desk import DIRECTOR, TEACHER, reads
from tests.support.people import FATHER, MOTHER, a_parent
from tests.support.tampering import erase
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row
    from tests.support.desk import Desk

AUDITOR = Actor(uuid4(), Office.AUDITOR)
FOLLOWING = """
@id("inspector-follows") @purpose("inspection") @legal_basis("273-FZ art. 93") @ru("Следит") @en("Follows")
permit (principal == Office::"inspector", action == Action::"read_feed", resource);
"""


def recorded(owner: psycopg.Connection[Row]) -> list[str]:
    return [row[0] for row in owner.execute("SELECT topic FROM events ORDER BY position").fetchall()]


async def test_event_of_a_student_is_opened_with_one_disclosure(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    (student,) = await desk.enrols()
    marked = await desk.does(desk.mark(student, "4"), TEACHER)
    before = recorded(owner)
    event = await read_event(desk.ledger, reads(AUDITOR), marked.position)
    assert (event.position, event.topic, event.subject_id) == (marked.position, "marks.recorded", student)
    assert (event.actor, event.office) == (TEACHER.id, "teacher")
    assert event.payload == "opened"
    assert event.state is not None
    assert event.state["value"] == "4"
    assert recorded(owner) == [*before, "access.opened", "disclosure.made"]
    seen = await read_event(desk.ledger, reads(AUDITOR), len(before) + 2)
    assert (seen.topic, seen.payload, seen.state, seen.access_id) == ("disclosure.made", "withheld", None, None)


async def test_event_of_the_school_is_shown_and_nothing_is_recorded(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    before = recorded(owner)
    event = await read_event(desk.ledger, reads(), 1)
    assert (event.topic, event.payload, event.access_id) == ("school.founded", "opened", None)
    assert recorded(owner) == before


async def test_header_alone_is_shown_to_who_follows_the_feed_and_reads_no_history(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    (student,) = await desk.enrols()
    marked = await desk.does(desk.mark(student), TEACHER)
    before = recorded(owner)
    rights = read_book({"oversight": FOLLOWING})
    monkeypatch.setattr(reading, "book", lambda: rights)
    reading._decide.cache_clear()
    try:
        event = await read_event(desk.ledger, reads(Actor(uuid4(), Office.INSPECTOR)), marked.position)
    finally:
        reading._decide.cache_clear()
    assert (event.topic, event.payload, event.state, event.access_id) == ("marks.recorded", "withheld", None, None)
    assert recorded(owner) == before


async def test_student_reads_their_own_events_and_no_others(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    mine, other = await desk.enrols(2)
    own = await desk.does(desk.mark(mine), TEACHER)
    foreign = await desk.does(desk.mark(other), TEACHER)
    student = reads(Actor(mine, Office.STUDENT, frozenset({mine})))
    assert (await read_event(desk.ledger, student, own.position)).payload == "opened"
    last = len(recorded(owner))
    for position in (foreign.position, 1, last + 100):
        with pytest.raises(Forbidden):
            await read_event(desk.ledger, student, position)
    assert recorded(owner)[last:] == ["access.refused"] * 3


async def test_representative_is_judged_by_the_schools_record_whatever_a_token_claims(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    """Of what disclosures recorded, too, nobody sees as much as a header before it is judged and recorded."""
    (student,) = await desk.enrols()
    marked = await desk.does(desk.mark(student), TEACHER)
    await read_event(desk.ledger, reads(AUDITOR), marked.position)
    made = len(recorded(owner))
    for person, until in ((MOTHER, None), (FATHER, TODAY - timedelta(days=1))):
        await desk.does(a_parent(desk.school, student, person, until=until))
    mother = reads(Actor(MOTHER, Office.REPRESENTATIVE))  # as a provider's token has it: it names no child
    father = reads(Actor(FATHER, Office.REPRESENTATIVE, frozenset({student})))
    for position in (marked.position, made, 1, len(recorded(owner)) + 100):
        last = len(recorded(owner))
        with pytest.raises(Forbidden):
            await read_event(desk.ledger, father, position)
        assert recorded(owner)[last:] == ["access.refused"]
    assert recorded(owner)[made - 1] == "disclosure.made"
    for position, payload in ((marked.position, "opened"), (made, "withheld")):
        last = len(recorded(owner))
        event = await read_event(desk.ledger, mother, position)
        assert (event.payload, event.subject_id) == (payload, student)
        assert recorded(owner)[last:] == ["access.opened", "disclosure.made"]
        assert event.access_id is not None


async def test_position_without_an_event_and_an_erased_class_are_told_apart(desk: Desk) -> None:
    (student,) = await desk.enrols()
    marked = await desk.does(desk.mark(student), TEACHER)
    with pytest.raises(NotFound, match="at this position"):
        await read_event(desk.ledger, reads(DIRECTOR), marked.position + 1)
    erase(desk.base.database, student, "marks")
    # As a process that has not read the key before.
    desk.ledger.keyring = CountedKeyring(Keyring(desk.base.keks), desk.ledger.keyring.openings)
    event = await read_event(desk.ledger, reads(DIRECTOR), marked.position)
    assert (event.payload, event.state) == ("erased", None)
