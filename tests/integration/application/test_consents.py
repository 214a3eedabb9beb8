"""Consents at the gate: what goes to somebody outside the school on a consent goes only while that holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.retention import read_retention
from ledger.application.record.consents import GiveConsent, WithdrawConsent
from ledger.errors import Forbidden, NotFound
from ledger.policy.engine import Purpose
from ledger.policy.offices import Actor, Office
from tests.support.desk import reads
from tests.support.people import MOTHER, SEPTEMBER, a_parent
from tests.support.world import TODAY

if TYPE_CHECKING:
    from tests.support.desk import Desk

COMMITTEE = "Оргкомитет"
SECRETARY = Actor(UUID(int=0x5E), Office.SECRETARY)


async def goes_out(desk: Desk, student: UUID, to: str) -> bool:
    """Tells whether the secretary may hand the portfolio out on a consent."""
    outside = replace(reads(SECRETARY), recipient=to, purpose=Purpose.CONSENT)
    try:
        await read_portfolio(desk.ledger, outside, student, after=None, limit=50)
    except (Forbidden, NotFound):
        return False
    return True


async def agrees(desk: Desk, student: UUID, *categories: str) -> UUID:
    given = await desk.does(
        GiveConsent(
            school=desk.school,
            student_id=student,
            by=MOTHER,
            kind="processing",
            purpose="contests",
            categories=categories,
            recipients=(COMMITTEE,),
            form="written",
            document="Согласие 1",
            effective_on=SEPTEMBER,
        )
    )
    return given.events[0].event_id


async def test_portfolio_goes_to_whom_a_consent_names_and_only_while_it_holds(desk: Desk) -> None:
    student, other = await desk.enrols(2)
    await desk.catches_up()
    await desk.does(a_parent(desk.school, student, MOTHER))
    assert not await goes_out(desk, student, COMMITTEE)
    await agrees(desk, student, "achievements", "awards")
    assert not await goes_out(desk, student, COMMITTEE), "The portfolio has credited results, too."
    consent = await agrees(desk, student, "achievements", "awards", "credits")
    assert await goes_out(desk, student, COMMITTEE)
    assert not await goes_out(desk, student, "Газета")
    assert not await goes_out(desk, other, COMMITTEE)
    await desk.does(WithdrawConsent(school=desk.school, student_id=student, consent_id=consent, by=MOTHER))
    assert not await goes_out(desk, student, COMMITTEE)


async def test_term_of_consents_waits_while_one_holds_and_runs_from_the_withdrawal(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await desk.does(a_parent(desk.school, student, MOTHER))
    consent = await agrees(desk, student, "marks")
    await desk.catches_up()

    async def term() -> tuple[str, object]:
        lines = (await read_retention(desk.ledger, reads(), student)).lines
        line = next(one for one in lines if one.record_class == "consents")
        return line.status, line.due_on

    assert await term() == ("waiting", None)
    await desk.does(WithdrawConsent(school=desk.school, student_id=student, consent_id=consent, by=MOTHER))
    await desk.catches_up()
    status, due_on = await term()
    assert (status, str(due_on)) == ("running", f"{TODAY.year + 3}-10-14")
