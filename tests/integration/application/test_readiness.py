"""Whether a ledger is ready: what is said of its seal, and one look for all who ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ledger.application import readiness
from ledger.application.readiness import Part, Readiness, read_readiness
from ledger.store.log_troubles import SEALER, end_trouble, note_trouble

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from tests.support.desk import Desk


class Looks:
    """Looks as ever, and counts; fails once if it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False

    async def __call__(self, ledger: Ledger) -> list[Part]:
        self.count += 1
        parts = await read_readiness(ledger)
        if self.fails:
            self.fails = False
            raise RuntimeError
        return parts


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    counted = Looks()
    monkeypatch.setattr(readiness, "read_readiness", counted)
    return counted


async def the_seal(desk: Desk) -> Part:
    return next(part for part in await read_readiness(desk.ledger) if part.name == "seal")


async def test_trouble_of_the_sealer_is_told_and_only_an_alarm_is_not_ready(desk: Desk) -> None:
    database, said = desk.base.database, "The file outside the database cannot be used."
    with database.connect("sealer") as sealer:
        note_trouble(sealer, database, SEALER, said)
        seal = await the_seal(desk)
        assert (seal.ready, seal.reason) == (True, said)
        with database.connect("owner") as owner:
            owner.execute("INSERT INTO log_alarm (reason) VALUES ('The log does not continue what was signed.')")
        seal = await the_seal(desk)
        assert (seal.ready, seal.reason) == (False, "The log does not continue what was signed.")
        with database.connect("owner") as owner:
            owner.execute("DELETE FROM log_alarm")
        end_trouble(sealer, database, SEALER)
    seal = await the_seal(desk)
    assert (seal.ready, seal.reason) == (True, "")


async def test_however_many_ask_at_once_and_soon_after_the_database_is_looked_at_once(
    desk: Desk, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "SHARED_S", 60)
    shared = Readiness(desk.ledger)
    answers = await asyncio.gather(*(shared.read() for _ in range(200)))
    answers.append(await shared.read())
    assert looks.count == 1
    assert {part.name for part in answers[0]} >= {"database", "recording", "seal"}
    assert all(answer is answers[0] for answer in answers)


async def test_answer_that_is_old_is_not_given_again(desk: Desk, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "SHARED_S", 0)
    shared = Readiness(desk.ledger)
    first = await shared.read()
    await desk.enrols(1)
    second = await shared.read()
    assert looks.count == 2
    assert (first[0].position or 0) < (second[0].position or 0)


async def test_who_goes_away_does_not_take_the_answer_of_the_others_along(desk: Desk, looks: Looks) -> None:
    shared = Readiness(desk.ledger)
    first, second = (asyncio.create_task(shared.read()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert first.cancelled()
    assert looks.count == 1


async def test_look_that_failed_is_not_kept(desk: Desk, looks: Looks) -> None:
    looks.fails = True
    shared = Readiness(desk.ledger)
    with pytest.raises(RuntimeError):
        await shared.read()
    assert await shared.read()
    assert looks.count == 2
