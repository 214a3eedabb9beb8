"""Achievements, awards with their basis, and credited results."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import receive
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
    call = await receive(request, NewAchievement, student_id)
    form = call.form
    return await call.record(
        RecordAchievement(
            school=call.school,
            student_id=student_id,
            kind=form.kind,
            level=form.level,
            outcome=form.outcome,
            title=form.title,
            achieved_on=form.achieved_on,
            evidence=form.evidence,
        )
    )


@router.post(
    "/v1/students/{student_id}/awards", **recording("grantAward", "Объявить поощрение / Grant an award", NewAward)
)
async def grant_award(request: Request, student_id: StudentId) -> Response:
    """Записывает поощрение с основанием и приказом / Grants an award that rests on achievements, by an order."""
    call = await receive(request, NewAward, student_id)
    form = call.form
    return await call.record(
        GrantAward(
            school=call.school,
            student_id=student_id,
            form=form.form,
            sphere=form.sphere,
            title=form.title,
            basis=form.basis,
            order=form.order,
            granted_on=form.granted_on,
        )
    )


@router.post(
    "/v1/students/{student_id}/credits", **recording("creditResult", "Зачесть результат / Credit a result", NewCredit)
)
async def credit_result(request: Request, student_id: StudentId) -> Response:
    """Зачитывает результат другой организации / Credits a result from elsewhere, on a recorded will and by an order."""
    call = await receive(request, NewCredit, student_id)
    form = call.form
    return await call.record(
        CreditResult(
            school=call.school,
            student_id=student_id,
            subject=form.subject,
            from_organisation=form.from_organisation,
            effective_on=form.effective_on,
            course_id=form.course_id,
            work_id=form.work_id,
            scale=form.scale,
            value=form.value,
            will_of=form.will_of,
            will_on=form.will_on,
            order=form.order,
        )
    )
