"""Achievements, awards with their basis, and credited results."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import perform
from ledger.api.openapi import a_router, recording
from ledger.api.parameters import StudentId
from ledger.api.schemas.achievements import NewAchievement, NewAward, NewCredit
from ledger.application.record.achievements import CreditResult, GrantAward, RecordAchievement

router = a_router("achievements")


@router.post(
    "/v1/students/{student_id}/achievements",
    **recording("recordAchievement", "Записать достижение / Record an achievement", NewAchievement),
)
async def record_achievement(request: Request, student_id: StudentId) -> Response:
    """Записывает достижение с подтверждением / Records an achievement with its evidence; awards rest on its `id`."""
    return await perform(request, RecordAchievement, student_id)


@router.post(
    "/v1/students/{student_id}/awards", **recording("grantAward", "Объявить поощрение / Grant an award", NewAward)
)
async def grant_award(request: Request, student_id: StudentId) -> Response:
    """Записывает поощрение с основанием и приказом / Grants an award that rests on achievements, by an order."""
    return await perform(request, GrantAward, student_id)


@router.post(
    "/v1/students/{student_id}/credits", **recording("creditResult", "Зачесть результат / Credit a result", NewCredit)
)
async def credit_result(request: Request, student_id: StudentId) -> Response:
    """Зачитывает результат другой организации / Credits a result from elsewhere, on a recorded will and by an order."""
    return await perform(request, CreditResult, student_id)
