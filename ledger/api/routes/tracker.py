"""The Data Tracker's three calls: who used whose data, in the protocol that Estonia's registers answer (v2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import PeriodEnd, PeriodStart
from ledger.application.disclose.tracker import MAX_USAGES, UsageQuery, find_usage, heartbeat, usage_period

router = a_router("data-tracker")

UserId = Annotated[
    str,
    Header(
        alias="X-Road-UserId",
        min_length=1,
        max_length=200,
        description="Кто спрашивает; записывается / Who asks, as their system knows them; it is recorded as for whom.",
    ),
]
UserCode = Annotated[
    str,
    Query(
        alias="userCode",
        min_length=1,
        max_length=300,
        description="О ком / About whom: an id of this ledger, or `<system>:<id there>`.",
    ),
]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="Сколько пропустить / Entries to pass over.")]
UsageLimit = Annotated[int, Query(ge=1, le=MAX_USAGES, description="Сколько показать / Entries at most.")]


def _zoned(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


_described: dict[str, Any] = reading("findUsage", "Кто использовал данные / Who used the data (findUsage)", "Usages")


@router.get("/v1/data-tracker/findUsage", **_described)
async def get_usage(
    request: Request,
    user_id: UserId,
    user_code: UserCode,
    period_start: PeriodStart = None,
    period_end: PeriodEnd = None,
    offset: Offset = 0,
    limit: UsageLimit = MAX_USAGES,
) -> Response:
    """Обращения к данным ученика, новые первыми / Uses of a student's data, newest first.

    A code that nobody has, and one that the caller may not ask about, have no uses: the answer tells no stranger who is
    at the school.
    """
    call = ask(request)
    reader = replace(call.reader, recipient=user_id)
    query = UsageQuery(user_code, _zoned(period_start), _zoned(period_end), offset, limit)
    return show(await find_usage(call.ledger, reader, query))


@router.get(
    "/v1/data-tracker/usagePeriod",
    **reading("usagePeriod", "С какого времени есть сведения / Since when uses are kept (usagePeriod)", "UsagePeriod"),
)
async def get_usage_period(request: Request) -> Response:
    """С какого времени журнал рассказывает об обращениях / From when on the register tells of uses."""
    return show(await usage_period(ask(request).ledger))


@router.get(
    "/v1/data-tracker/heartbeat",
    **reading("heartbeat", "Отвечает ли журнал / Whether the register answers (heartbeat)", "Heartbeat"),
)
async def get_heartbeat(request: Request) -> Response:
    """Отвечает ли журнал доступа / Whether the register can be read now."""
    return show(await heartbeat(ask(request).ledger))
