"""Health: whether the process lives, and whether it can do its work. No token, and nothing about anybody."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import Alive, Ready, show
from ledger.api.components import REF
from ledger.api.openapi import a_router
from ledger.api.problems import problem
from ledger.api.service import request_id_of, service_of

router = a_router("health")


def _answering(name: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "OK", "content": {"application/json": {"schema": {"$ref": REF + name}}}}}


_answers_alive, _answers_ready = _answering("Alive"), _answering("Ready")


@router.get("/livez", operation_id="livez", summary="Живёт / Alive", response_model=None, responses=_answers_alive)
async def livez() -> Response:
    """Процесс отвечает / The process answers."""
    return show(Alive("alive"))


@router.get(
    "/readyz", operation_id="readyz", summary="Готова / Ready", response_model=None, responses=_answering("Ready")
)
async def readyz(request: Request) -> Response:
    """База отвечает, запись идёт, представления идут за ней / Database, recording, views; 503 says which is not.

    Поставщик учётных записей: есть ли его ключи / Whether the identity provider's keys are here, which is told only.

    Ответ общий для всех, кто спросил в течение полусекунды / One answer for all who ask within half a second.
    """
    service = service_of(request)
    parts = await service.readiness.read()
    if service.identity is not None:
        parts = [*parts, service.identity.part()]
    failing = [part.name for part in parts if not part.ready]
    if not failing:
        return show(Ready("ready", parts))
    return problem(
        request_id_of(request),
        503,
        "not-ready",
        f"Not ready: {', '.join(failing)}.",
        help="See `parts` for what each of them says.",
        headers={"Retry-After": "1"},
        parts=parts,
    )
