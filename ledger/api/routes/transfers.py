"""Transfers between organisations."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import perform
from ledger.api.openapi import a_router, recording
from ledger.api.parameters import StudentId
from ledger.api.schemas.students import TransferInForm, TransferOutForm
from ledger.application.record.students import TransferIn, TransferOut

router = a_router("transfers")


@router.post(
    "/v1/students/{student_id}/transfers-out",
    **recording("transferOut", "Перевод в другую организацию / Transfer out", TransferOutForm, changes=True),
)
async def transfer_out(request: Request, student_id: StudentId) -> Response:
    """Переводит ученика по заявлению и приказу / Transfers a student, on an application and by an order."""
    return await perform(request, TransferOut, student_id)


@router.post(
    "/v1/students/{student_id}/transfers-in",
    **recording("transferIn", "Прибытие из другой организации / Transfer in", TransferInForm, changes=True),
)
async def transfer_in(request: Request, student_id: StudentId) -> Response:
    """Записывает прибытие, в том числе возвращение / Records that a student came, or came back."""
    return await perform(request, TransferIn, student_id)
