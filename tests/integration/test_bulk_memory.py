"""The bulk door holds little, however much is sent and however little of the answers is read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.requests import ClientDisconnect, Request

from ledger.api import bulk
from ledger.api.bulk import Allowance, BulkAnswer
from ledger.api.limits import Limits
from ledger.ids import new_id
from tests.support.desk import DIRECTOR, Desk

if TYPE_CHECKING:
    from starlette.types import Message

LINES_A_PIECE = 50


def a_request(desk: Desk, deadline: asyncio.Timeout) -> Request:
    service = SimpleNamespace(ledger=desk.ledger, limits=Limits(0, 0, 0))
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/v1/bulk",
            "headers": [],
            "state": {"request_id": new_id(), "deadline": deadline},
            "app": SimpleNamespace(state=SimpleNamespace(service=service)),
        }
    )


async def test_reading_stops_where_nobody_takes_the_answers(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_LINES", 10**9)
    monkeypatch.setattr(bulk, "UNSENT", 100_000)
    pieces = 0

    async def endless() -> Message:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b"{}\n" * LINES_A_PIECE, "more_body": True}

    async def blocked(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async with asyncio.timeout(60) as deadline:
        request = a_request(desk, deadline)
        answer = BulkAnswer(request, desk.ledger, DIRECTOR, patience_s=0.5)
        with pytest.raises(ClientDisconnect):
            await answer(request.scope, endless, blocked)
    most = bulk.UNDER_WAY // bulk.OVERHEAD + bulk.UNSENT // 100 + LINES_A_PIECE
    assert LINES_A_PIECE < pieces * LINES_A_PIECE <= most
    assert cast("Any", deadline).when() is None  # a bulk request may take as long as something moves


async def test_allowance_lets_in_what_fits_and_alone_what_never_does() -> None:
    allowance = Allowance(10)
    await allowance.take(25)
    waiting = [asyncio.ensure_future(allowance.take(size)) for size in (6, 4, 5)]
    await asyncio.sleep(0)
    assert not [task for task in waiting if task.done()]
    allowance.give_back(25)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting[:2])
    assert not waiting[2].done()
    allowance.give_back(6)
    async with asyncio.timeout(5):
        await waiting[2]
