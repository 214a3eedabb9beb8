"""Health: whether the process lives, and whether it can do its work. No token, and nothing about anybody."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.openapi import a_router
from ledger.api.problems import problem
from ledger.api.service import request_id_of, service_of
from ledger.application.readiness import read_readiness

router = a_router("health")

_JSON: dict[int | str, dict[str, Any]] = {
    200: {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}
}


@router.get("/livez", operation_id="livez", summary="Живёт / Alive", response_model=None, responses=_JSON)
async def livez() -> Response:
    """Процесс отвечает / The process answers."""
    return show({"status": "alive"})


@router.get("/readyz", operation_id="readyz", summary="Готова / Ready", response_model=None, responses=_JSON)
async def readyz(request: Request) -> Response:
    """База отвечает, запись идёт, представления идут за ней / Database, recording, views; 503 says which is not."""
    parts = await read_readiness(service_of(request).ledger)
    shown = [msgspec.to_builtins(part) for part in parts]
    failing = [part.name for part in parts if not part.ready]
    if not failing:
        return show({"status": "ready", "parts": shown})
    return problem(
        request_id_of(request),
        503,
        "not-ready",
        f"Not ready: {', '.join(failing)}.",
        help="See `parts` for what each of them says.",
        headers={"Retry-After": "1"},
        parts=shown,
    )
