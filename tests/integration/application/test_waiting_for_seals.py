"""Waiting for receipts: one look of the process for all who wait, also where a quorum of witnesses is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ledger.application import log
from ledger.application.log import wait_for_receipts
from ledger.seal.merkle import inclusion_proof
from ledger.seal.proof import parse_receipt
from ledger.store.log_keys import make_log_key
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest

    from ledger.seal.merkle import Nodes
    from ledger.store.tail import Tail
    from tests.support.desk import Desk

MANY = 200


async def test_however_many_wait_one_connection_looks_for_them(desk: Desk) -> None:
    make_log_key(desk.base.settings.log_key_path, "log.example/waiting")
    ledger = desk.ledger
    [student] = await desk.enrols(1)
    last = (await desk.does(desk.mark(student))).position
    sealed: Tail = ledger.sealed
    waiting = [asyncio.create_task(wait_for_receipts(ledger, [last - 1, last], 20)) for _ in range(MANY)]
    await until(lambda: sealed.waiting == MANY and sealed.listening)
    asked = ledger.keys.get_stats().get("requests_num", 0)
    await asyncio.to_thread(desk.base.sealer().catch_up)
    answers = await asyncio.gather(*waiting)
    assert all(answers)
    assert ledger.keys.get_stats()["requests_num"] == asked + MANY  # each for its receipts, none while it waited
    first = answers[0]
    assert first is not None
    assert [parse_receipt(one).leaf for one in first] == [last - 2, last - 1]
    assert await wait_for_receipts(ledger, [last], 0.01) is not None


async def test_receipts_of_many_events_let_others_have_their_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    make_log_key(desk.base.settings.log_key_path, "log.example/waiting")
    await desk.enrols(log.TOGETHER)
    last = await asyncio.to_thread(desk.base.sealer().catch_up)
    assert last > 2 * log.TOGETHER
    turns: list[int] = []

    def prove(nodes: Nodes, index: int, size: int) -> list[bytes]:
        turns[-1] += 1
        return inclusion_proof(nodes, index, size)

    async def others() -> None:
        while True:
            turns.append(0)
            await asyncio.sleep(0)

    monkeypatch.setattr(log, "inclusion_proof", prove)
    beside = asyncio.create_task(others())
    try:
        receipts = await wait_for_receipts(desk.ledger, list(range(1, last + 1)), 60)
    finally:
        beside.cancel()
    assert receipts is not None
    assert [parse_receipt(one).leaf for one in receipts] == list(range(last))
    assert sum(turns) == 2 * last  # once to know the tiles, once to make the proof
    assert max(turns) <= log.TOGETHER


async def test_what_is_not_sealed_in_time_has_no_receipt(desk: Desk) -> None:
    assert await wait_for_receipts(desk.ledger, [1], 0.05) is None


async def test_who_waits_goes_home_when_the_service_stops(desk: Desk) -> None:
    waiting = asyncio.create_task(wait_for_receipts(desk.ledger, [1], 60))
    await until(lambda: desk.ledger.sealed.waiting == 1)
    desk.ledger.sealed.stop()
    assert await waiting is None
