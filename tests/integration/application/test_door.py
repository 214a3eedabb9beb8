"""Who is turned away at the door: recorded before the answer, counted together, and never without limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

import pytest

from ledger.aggregates.disclosures import AccessTurnedAway
from ledger.application.acting import Caller, Reason, TurnedAway, look_at_register
from ledger.application.disclose.findings import read_findings
from ledger.application.door import MOST, OTHERS, Door, Refusal
from ledger.application.record.staff import LeaveOffice, LinkLogin
from ledger.errors import StoreUnavailable
from ledger.policy.offices import Actor, Office
from ledger.policy.watching import Kind
from ledger.projections.reader import EventReader
from ledger.seal.entry import Entry
from ledger.store.keyring import Keyring
from ledger.store.lanes import ENTRY_COLUMNS
from tests.support.desk import Desk, reads
from tests.support.waiting import until
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row

AUDITOR = Actor(uuid4(), Office.AUDITOR)


def turned_away(
    person: UUID, office: Office | None = Office.DIRECTOR, reason: Reason = Reason.OFFICE_NOT_HELD
) -> TurnedAway:
    return TurnedAway("No.", help="", reason=reason, person=person, login=person, office=office)


def told(desk: Desk, owner: psycopg.Connection[Row]) -> list[tuple[UUID, str, str, int]]:
    """Returns who was turned away by what is recorded: who, wanting which office, why not, how often."""
    query = f"SELECT {ENTRY_COLUMNS} FROM events WHERE topic = 'access.turned_away' ORDER BY position"
    entries = [Entry._make(row) for row in owner.execute(query).fetchall()]
    reader = EventReader(desk.base.database, desk.base.mapper, Keyring(desk.base.keks))
    found = []
    for fact in reader.facts(owner, entries):
        event = cast("AccessTurnedAway", fact.event)
        found.append((fact.entry.subject_id, event.office, event.reason, event.times))
    return found


async def test_first_is_recorded_at_once_and_the_others_of_its_minute_together(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    person, other = uuid4(), uuid4()
    door = Door(desk.ledger, "api")
    await door.turn_away(turned_away(person))
    assert told(desk, owner) == [(person, "director", "office_not_held", 1)]
    await asyncio.gather(*(door.turn_away(turned_away(person)) for _ in range(500)))
    await door.turn_away(turned_away(person, Office.SECRETARY))
    await door.turn_away(turned_away(other, None, Reason.LOGIN_UNKNOWN))
    first = told(desk, owner)
    assert first[1:] == [(person, "secretary", "office_not_held", 1), (other, "", "login_unknown", 1)]
    await door.close()
    assert told(desk, owner)[len(first) :] == [(person, "director", "office_not_held", 500)]
    await desk.catches_up()
    assert desk.audits().findings == []


async def test_flood_of_many_is_bounded_and_counted_to_the_last(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    door = Door(desk.ledger, "api")
    people = [uuid4() for _ in range(MOST + 70)]
    for _ in range(3):
        await asyncio.gather(*(door.turn_away(turned_away(person)) for person in people))
    await door.close()
    found = told(desk, owner)
    assert len(found) == 2 * MOST + 1
    assert sum(times for *_, times in found) == 3 * len(people)
    assert [(who, times) for who, _, reason, times in found if reason == OTHERS] == [(desk.school, 3 * 70)]


async def test_next_minute_begins_anew(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    door, person = Door(desk.ledger, "api", window_s=0.05), uuid4()
    await asyncio.gather(*(door.turn_away(turned_away(person)) for _ in range(3)))
    await until(lambda: len(told(desk, owner)) == 2)
    await door.turn_away(turned_away(person))
    await door.close()
    assert [times for *_, times in told(desk, owner)] in ([1, 2, 1], [1, 2, 1, 1])


async def test_what_cannot_be_recorded_is_said_and_not_taken_for_recorded(desk: Desk) -> None:
    door = Door(desk.ledger, "api")
    await desk.ledger.executor.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await door.turn_away(turned_away(uuid4()))
    await door.close()


async def test_what_could_not_be_told_for_whatever_reason_is_told_later(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, person = Door(desk.ledger, "api"), uuid4()
    failed: list[int] = []
    record = door._record

    async def failing(refusal: Refusal, times: int) -> None:
        if times > 1 and not failed:
            failed.append(times)
            raise ValueError
        await record(refusal, times)

    monkeypatch.setattr(door, "_record", failing)
    for _ in range(4):
        await door.turn_away(turned_away(person))
    await door._tell()
    await door.close()
    assert failed == [3]
    assert told(desk, owner) == [(person, "director", "office_not_held", times) for times in (1, 3)]


async def test_who_comes_back_after_leaving_an_office_is_a_finding(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    person, login = uuid4(), uuid4()
    await desk.does(LinkLogin(school=desk.school, login_id=login, person_id=person, capacities=("staff",)))
    tenure = await desk.appoints(person)
    caller = Caller(login, Office.DEPUTY_HEAD, None, program=False)
    assert (await look_at_register(desk.ledger, caller)).acts().id == person
    leaving = LeaveOffice(
        school=desk.school, person_id=person, tenure_id=tenure, last_day=TODAY.replace(day=1), document="Приказ 8-к"
    )
    await desk.does(leaving)
    door = Door(desk.ledger, "api")
    with pytest.raises(TurnedAway) as refused:
        (await look_at_register(desk.ledger, caller)).acts()
    await door.turn_away(refused.value)
    await door.close()
    assert told(desk, owner) == [(person, "deputy_head", "office_not_held", 1)]
    await desk.catches_up()
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.LEFT_OFFICE)
    (one,) = found.items
    assert (one.actor, one.office, one.accesses, one.refused, one.students) == (person, "deputy_head", 1, 1, 0)
