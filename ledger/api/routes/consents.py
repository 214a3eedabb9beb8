"""Consents: given, narrowed, withdrawn; and the list with its state."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import AtPosition, ConsentId, EffectiveOn, KnownAt, MinPosition, StudentId
from ledger.api.schemas.consents import ConsentLimitation, ConsentWithdrawal, NewConsent
from ledger.application.disclose.consents import read_consents
from ledger.application.disclose.moment import AsOf
from ledger.application.record.consents import GiveConsent, LimitConsent, WithdrawConsent

router = a_router("consents")


@router.post(
    "/v1/students/{student_id}/consents", **recording("giveConsent", "Записать согласие / Record a consent", NewConsent)
)
async def give(request: Request, student_id: StudentId) -> Response:
    """Записывает согласие ученика или представителя / Records a consent of the student or of a representative.

    With a token of their own they give it themselves. Students agree from 14 on, to dissemination and on health from 18
    on. Dissemination (a public commendation, an honours board, the website) is agreed to apart from everything else,
    with the places, the conditions and the term. What a representative agreed to ends when the student is 18.
    """
    return await perform(request, GiveConsent, student_id)


@router.post(
    "/v1/students/{student_id}/consents/{consent_id}/limitations",
    **recording("limitConsent", "Сузить согласие / Narrow a consent", ConsentLimitation),
)
async def limit(request: Request, student_id: StudentId, consent_id: ConsentId) -> Response:
    """Сужает согласие с сегодняшнего дня / Narrows a consent from today on; never widens it."""
    return await perform(request, LimitConsent, student_id, consent_id)


@router.post(
    "/v1/students/{student_id}/consents/{consent_id}/withdrawals",
    **recording("withdrawConsent", "Отозвать согласие / Withdraw a consent", ConsentWithdrawal),
)
async def withdraw(request: Request, student_id: StudentId, consent_id: ConsentId) -> Response:
    """Отзывает согласие, сразу / Withdraws a consent, at once."""
    return await perform(request, WithdrawConsent, student_id, consent_id)


@router.get(
    "/v1/students/{student_id}/consents",
    **reading("readConsents", "Согласия / Consents", "Consents", tagged=True),
)
async def get_consents(
    request: Request,
    student_id: StudentId,
    at_position: AtPosition = None,
    known_at: KnownAt = None,
    effective_on: EffectiveOn = None,
    min_position: MinPosition = 0,
) -> Response:
    """Все согласия с их состоянием на день / Every consent with its state on the day.

    It is read from the record itself and never behind: `min_position` has no effect.
    """
    del min_position
    call = ask(request)
    as_of = AsOf(at_position, known_at, effective_on)
    return call.show(await read_consents(call.ledger, call.reader, student_id, as_of=as_of))
