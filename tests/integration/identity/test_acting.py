"""Offices by the register: what was let in is decided again, and what another process recorded counts at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.application.acting import Caller, confirm, look_at_register
from ledger.application.disclose.feed import FeedQuery, read_feed
from ledger.application.disclose.students import read_student
from ledger.application.record.staff import LeaveOffice, LinkLogin, UnlinkLogin
from ledger.bootstrap import open_ledger
from ledger.errors import Forbidden
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from tests.support.desk import reads
from tests.support.world import TODAY

if TYPE_CHECKING:
    from ledger.bootstrap import Foundation
    from tests.support.desk import Desk

YESTERDAY = TODAY - timedelta(days=1)


@dataclass
class Deputy:
    """A deputy head who came through a provider."""

    person: UUID
    login: UUID
    tenure: UUID

    @property
    def actor(self) -> Actor:
        return Actor(self.person, Office.DEPUTY_HEAD, login=self.login)

    def leaves(self, school: UUID) -> LeaveOffice:
        return LeaveOffice(
            school=school, person_id=self.person, tenure_id=self.tenure, last_day=YESTERDAY, document="Приказ 8-к"
        )


@pytest.fixture
async def deputy(desk: Desk) -> Deputy:
    person, login = new_id(), desk.base.hasher.login("https://id.school.example", "deputy")
    link = LinkLogin(school=desk.school, login_id=login, person_id=person, capacities=("staff",))
    await desk.does(link)
    return Deputy(person, login, await desk.appoints(person))


async def test_office_that_went_after_the_request_was_let_in_stops_what_is_decided(desk: Desk, deputy: Deputy) -> None:
    [student] = await desk.enrols(1)
    await desk.catches_up()
    await desk.does(desk.mark(student), deputy.actor)
    await read_student(desk.ledger, reads(deputy.actor), student)
    await read_feed(desk.ledger, reads(deputy.actor), FeedQuery(limit=1))
    before = (await desk.does(deputy.leaves(desk.school))).position
    with pytest.raises(Forbidden, match="not yours any more"):
        await desk.does(desk.mark(student, "4"), deputy.actor)
    with pytest.raises(Forbidden, match="not yours any more"):
        await read_student(desk.ledger, reads(deputy.actor), student)
    with pytest.raises(Forbidden, match="not yours any more"):
        await read_feed(desk.ledger, reads(deputy.actor), FeedQuery(limit=1))
    page = await read_feed(desk.ledger, reads(), FeedQuery(after=before))
    assert page.items == []


async def test_command_that_was_queued_behind_the_withdrawal_is_refused(desk: Desk, deputy: Deputy) -> None:
    [student] = await desk.enrols(1)
    leaving = desk.does(deputy.leaves(desk.school))
    marking = desk.does(desk.mark(student), deputy.actor)
    left, refused = await asyncio.gather(leaving, marking, return_exceptions=True)
    assert not isinstance(left, BaseException)
    assert isinstance(refused, Forbidden)


async def test_what_another_process_withdrew_is_seen_by_the_next_look(
    base: Foundation, desk: Desk, deputy: Deputy
) -> None:
    caller = Caller(deputy.login, Office.DEPUTY_HEAD, None, program=False)
    async with open_ledger(base) as other:
        other.today = lambda: TODAY
        for _ in range(2):  # its lane is in this process's memory by now
            assert (await look_at_register(other, caller)).acts() == deputy.actor
        await desk.does(deputy.leaves(desk.school))
        with pytest.raises(Forbidden, match="not yours today"):
            (await look_at_register(other, caller)).acts()
        with pytest.raises(Forbidden, match="not yours any more"):
            await confirm(other, deputy.actor)
        await desk.does(UnlinkLogin(school=desk.school, login_id=deputy.login, reason="Уволен"))
        assert (await look_at_register(other, caller)).person is None


async def test_looking_records_nothing_and_shares_a_batch_with_commands(desk: Desk, deputy: Deputy) -> None:
    [student] = await desk.enrols(1)
    last = (await desk.does(desk.mark(student))).position
    caller = Caller(deputy.login, None, None, program=False)
    found = await asyncio.gather(*(look_at_register(desk.ledger, caller) for _ in range(20)))
    assert {known.acts().office for known in found} == {Office.DEPUTY_HEAD}
    marking = asyncio.ensure_future(desk.does(desk.mark(student, "4")))
    found = await asyncio.gather(*(look_at_register(desk.ledger, caller) for _ in range(5)))
    assert {known.person for known in found} == {deputy.person}
    assert (await marking).first_position == last + 1


async def test_same_subject_of_another_provider_is_another_login(base: Foundation) -> None:
    hasher = base.hasher
    logins = {hasher.login("https://a.example", "1"), hasher.login("https://b.example", "1")}
    logins |= {hasher.login("https://a.example", "2"), hasher.login("https://a.exampl", "e1")}
    assert len(logins) == 4
    assert hasher.login("https://a.example", "1") in logins
    assert {login.version for login in logins} == {8}
