"""The sealer's process must not end for want of a file: the supervisor would give it up, and stop the service."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ledger.application.readiness import read_readiness
from ledger.cli import worker
from ledger.errors import HistoryAlarm
from ledger.store import sealer as sealing
from ledger.store.log_files import newest
from ledger.store.log_keys import make_log_key
from tests.support.log import is_unused
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from ledger.bootstrap import Foundation
    from ledger.store.database import Row
    from tests.support.desk import Desk


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (sealing, worker):
        monkeypatch.setattr(room, "LOST_S", 0.02)


def embedded(base: Foundation) -> Foundation:
    """Returns it as of an embedded ledger, which makes its key when it is served for the first time."""
    return replace(base, settings=base.settings.model_copy(update={"database_url": None}))


def sealed(base: Foundation) -> int:
    with base.database.connect("reader") as connection:
        stored = newest(connection, base.database)
    return stored.size if stored else 0


def forget_log(owner: psycopg.Connection[Row]) -> None:
    """Removes all that the database knows of the log, as a superuser can."""
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        for table in ("log_checkpoints", "log_tiles"):
            owner.execute(f"DELETE FROM {table}")


def removed(path: Path) -> None:
    path.unlink()


def spoilt(path: Path) -> None:
    path.write_text("no key\n")


def exchanged_for_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [removed, spoilt, exchanged_for_a_folder])
async def test_sealer_that_starts_without_its_keys_waits_tells_everybody_and_makes_none(
    desk: Desk, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    base = embedded(desk.base)
    path, stop = base.settings.log_key_path, threading.Event()
    make_log_key(path, "log.example/process")
    key = path.read_bytes()
    spoil(path)
    there = sorted(path.parent.iterdir())
    running = asyncio.create_task(asyncio.to_thread(worker._seal, base, stop))

    async def told() -> str:
        (seal,) = [part for part in await read_readiness(desk.ledger) if part.name == "seal"]
        assert seal.ready  # recording goes on: no host is to be taken out of service
        return seal.reason

    async def is_told() -> bool:
        assert not running.done(), running.result()
        return "the key file of the log cannot be read" in await told()

    async def is_over() -> bool:
        return not await told()

    try:
        await until(is_told)
        assert str(tmp_path) not in await told()  # anybody may read it
        await desk.enrols(1)
        assert (sealed(base), sorted(path.parent.iterdir())) == (0, there)
        if path.is_dir():
            path.rmdir()
        path.write_bytes(key)
        await until(lambda: sealed(base) > 0)
        await until(is_over)
    finally:
        stop.set()
        await running


async def test_embedded_ledger_makes_no_key_in_place_of_one_that_has_sealed(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    """Nor where either the database or the file outside has been removed as well."""
    base = embedded(desk.base)
    base.ensure_log_key()  # as `ledger serve` does
    assert is_unused(base.settings.log_key_path)
    base.sealer().catch_up()
    base.settings.log_key_path.unlink()
    base.ensure_log_key()
    kept = base.settings.seal_path.rename(base.settings.seal_path.with_name("kept"))
    base.ensure_log_key()
    kept.rename(base.settings.seal_path)
    forget_log(owner)
    base.ensure_log_key()
    assert not base.settings.log_key_path.exists()


@pytest.mark.parametrize("also", ["nothing", "the file outside", "the log in the database"])
async def test_new_key_in_place_of_a_removed_one_is_an_alarm(
    desk: Desk, owner: psycopg.Connection[Row], also: str
) -> None:
    """It signs nothing as long as either the database or the file outside still says that another key has sealed."""
    base, path = desk.base, desk.base.settings.log_key_path
    make_log_key(path, "log.example/process")
    base.sealer().catch_up()
    before, kept = sealed(base), path.read_bytes()
    path.unlink()
    if also == "the file outside":
        base.settings.seal_path.unlink()
    elif also == "the log in the database":
        forget_log(owner)
        before = 0
    make_log_key(path, "log.example/process")
    assert is_unused(path)
    await desk.enrols(1)
    with pytest.raises(HistoryAlarm, match="not signed by its key"):
        base.sealer().run(threading.Event())
    assert (sealed(base), is_unused(path)) == (before, False)
    (seal,) = [part for part in await read_readiness(desk.ledger) if part.name == "seal"]
    assert (seal.ready, "not signed by its key" in seal.reason) == (False, True)
    if also == "nothing":
        path.write_bytes(kept)
        with base.database.connect("sealer") as connection:
            base.sealer().recover(connection)  # the right key is back, and the service was started again
        (seal,) = [part for part in await read_readiness(desk.ledger) if part.name == "seal"]
        assert seal.ready


async def test_sealer_seals_although_the_list_of_witnesses_cannot_be_read(desk: Desk, tmp_path: Path) -> None:
    make_log_key(desk.base.settings.log_key_path, "log.example/process")
    base = replace(desk.base, settings=desk.base.settings.model_copy(update={"witness_file": tmp_path / "missing"}))
    stop = threading.Event()
    running = asyncio.create_task(asyncio.to_thread(worker._seal, base, stop))
    try:
        await until(lambda: running.done() or sealed(base) > 0)
        assert not running.done()
    finally:
        stop.set()
        await running
