"""Requests of students and representatives: registered, extended, answered; of one student, and what is overdue."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask, cursor_id, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import Cursor, Limit, MinPosition, RequestId, RequestStatus, StudentId
from ledger.api.schemas.requests import NewRequest, RequestAnswer, RequestExtension
from ledger.application.disclose.requests import list_requests, read_requests
from ledger.application.disclose.shown import MAX_PAGE
from ledger.application.record.requests import AnswerRequest, ExtendRequest, RegisterRequest

router = a_router("requests")


@router.post(
    "/v1/students/{student_id}/requests",
    **recording("registerRequest", "Зарегистрировать обращение / Register a request", NewRequest),
)
async def register(request: Request, student_id: StudentId) -> Response:
    """Регистрирует устное или письменное обращение / Registers an oral or written request.

    Students and representatives send theirs with a token of their own. An answer is due in 10 working days (a
    correction in 7); the day is fixed now. Whoever asks is registered; who does not represent the student is answered
    with a refusal.
    """
    return await perform(request, RegisterRequest, student_id)


@router.post(
    "/v1/students/{student_id}/requests/{request_id}/extensions",
    **recording("extendRequest", "Продлить срок ответа / Extend the term of an answer", RequestExtension),
)
async def extend(request: Request, student_id: StudentId, request_id: RequestId) -> Response:
    """Продлевает срок на 5 рабочих дней, один раз / Extends the term by 5 working days, once, with a notice."""
    return await perform(request, ExtendRequest, student_id, request_id)


@router.post(
    "/v1/students/{student_id}/requests/{request_id}/answers",
    **recording("answerRequest", "Записать ответ / Record the answer", RequestAnswer),
)
async def answer(request: Request, student_id: StudentId, request_id: RequestId) -> Response:
    """Записывает ответ или отказ с основанием / Records the answer, or a refusal with its legal basis."""
    return await perform(request, AnswerRequest, student_id, request_id)


@router.get(
    "/v1/students/{student_id}/requests", **reading("readRequests", "Обращения об ученике / Requests", "RequestPage")
)
async def get_requests(
    request: Request,
    student_id: StudentId,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Обращения с ответами; заявитель видит свои / Requests with their answers; who asked sees their own."""
    call = ask(request)
    return show(
        await read_requests(
            call.ledger, call.reader, student_id, after=cursor_id(cursor), limit=limit, min_position=min_position
        )
    )


@router.get("/v1/requests", **reading("listRequests", "Обращения по состоянию / Requests by status", "RequestPage"))
async def get_by_status(
    request: Request,
    status: RequestStatus = "overdue",
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Просроченные, открытые или отвеченные, по сроку / Overdue, open or answered ones, by the day they were due."""
    call = ask(request)
    return show(
        await list_requests(call.ledger, call.reader, status, after=cursor, limit=limit, min_position=min_position)
    )
