"""The file outside the database: begun with an empty log, never made anew by itself, accepted by an operator only."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from ledger.errors import Conflict, HistoryAlarm
from ledger.ids import new_id
from ledger.seal.checkpoint import Checkpoint, open_checkpoint
from ledger.store import sealer as sealing
from ledger.store.anchor import Anchor, LostAnchor
from ledger.store.log_files import newest
from ledger.store.log_keys import LogKeyFile, add_next_key, make_log_key, make_next_key, read_log_keys, take_out
from ledger.store.log_troubles import SEALER, read_troubles
from ledger.store.sealer import LEADER, Sealer
from tests.support.commands import Enrol, envelope
from tests.support.log import SIGNER
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from ledger.store.database import Database, Row
    from ledger.store.executor import CommandExecutor


async def record(executor: CommandExecutor) -> None:
    await executor.execute(envelope(Enrol(new_id())))


def seal_all(sealer: Sealer, database: Database) -> int:
    with database.connect("sealer") as connection:
        sealer.recover(connection)
        while sealer.seal(connection):
            pass
    return sealed(database)


def sealed(database: Database) -> int:
    with database.connect("reader") as connection:
        stored = newest(connection, database)
    return stored.size if stored else 0


def written(path: Path) -> Checkpoint:
    return open_checkpoint(path.read_bytes(), SIGNER.verifier).checkpoint


def lose(path: Path) -> None:
    path.unlink()


async def test_ledger_that_was_never_sealed_begins_with_an_empty_log(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path
) -> None:
    path = tmp_path / "seal" / "checkpoint"
    with ledger_db.connect("sealer") as connection:
        Sealer(ledger_db, [SIGNER], Anchor(path)).recover(connection)
    assert written(path).size == 0
    await record(executor)
    assert seal_all(Sealer(ledger_db, [SIGNER], Anchor(path)), ledger_db) == written(path).size == 1


async def test_sealer_that_lost_its_file_seals_nothing_until_an_operator_has_accepted_the_database(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "LOST_S", 0.02)
    path = tmp_path / "checkpoint"
    await record(executor)
    assert seal_all(Sealer(ledger_db, [SIGNER], Anchor(path)), ledger_db) == 1
    lose(path)
    await record(executor)
    stop = threading.Event()
    running = asyncio.create_task(asyncio.to_thread(Sealer(ledger_db, [SIGNER], Anchor(path)).run, stop))

    def troubles() -> list[str]:
        with ledger_db.connect("reader") as connection:
            return [name for name, _ in read_troubles(connection, ledger_db)]

    try:
        await until(lambda: troubles() == [SEALER])
        assert (sealed(ledger_db), path.exists()) == (1, False)
        operator = Sealer(ledger_db, [SIGNER], Anchor(path))
        assert operator.trust().size == 1
        assert not path.exists()
        with pytest.raises(LostAnchor, match="1 events were sealed before"):
            operator.catch_up()
        assert operator.trust(accepting=True).size == 1
        await until(lambda: sealed(ledger_db) == 2 and not troubles())
    finally:
        stop.set()
        await running
    assert written(path).size == 2


async def test_sealer_whose_file_cannot_be_written_waits_until_it_can(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not end: the supervisor would give it up, and stop the service that records."""
    monkeypatch.setattr(sealing, "LOST_S", 0.02)
    folder = tmp_path / "full"
    folder.write_text("a file in the way")
    await record(executor)
    stop = threading.Event()
    running = asyncio.create_task(asyncio.to_thread(Sealer(ledger_db, [SIGNER], Anchor(folder / "file")).run, stop))

    def told() -> list[str]:
        with ledger_db.connect("reader") as connection:
            return [said for _, said in read_troubles(connection, ledger_db)]

    try:
        await until(lambda: bool(told()))
        assert "cannot be used" in told()[0]
        assert str(folder) not in told()[0]  # anybody may read it
        folder.unlink()
        await until(lambda: sealed(ledger_db) == 1 and not told())
    finally:
        stop.set()
        await running


async def test_host_that_waited_since_the_beginning_takes_over_with_a_file_of_its_own(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path
) -> None:
    other, stop = tmp_path / "other", threading.Event()
    with ledger_db.connect("sealer") as leader:
        leader.execute(ledger_db.bind(LEADER))
        running = asyncio.create_task(asyncio.to_thread(Sealer(ledger_db, [SIGNER], Anchor(other)).run, stop))
        try:
            await until(other.exists)
            leading = Sealer(ledger_db, [SIGNER], Anchor(tmp_path / "one"))
            leading.recover(leader)
            await record(executor)
            assert leading.seal(leader) == 1
            leader.close()
            await record(executor)
            await until(lambda: sealed(ledger_db) == 2)
        finally:
            stop.set()
            await running
    assert written(other).size == 2


async def test_nothing_is_accepted_that_is_not_needed_or_does_not_hold(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    sealer = Sealer(ledger_db, [SIGNER], Anchor(path))
    with pytest.raises(Conflict, match="Nothing has been sealed"):
        sealer.trust(accepting=True)
    await record(executor)
    seal_all(sealer, ledger_db)
    old = path.read_bytes()
    with pytest.raises(Conflict, match="is there"):
        sealer.trust(accepting=True)
    await record(executor)
    seal_all(sealer, ledger_db)
    lose(path)
    more = Checkpoint(SIGNER.name, 500, b"\x01" * 32).signed_by(SIGNER)
    with pytest.raises(HistoryAlarm, match="500 have been published"):
        sealer.trust(bytes(more), accepting=True)
    with pytest.raises(HistoryAlarm):
        sealer.trust(bytes(Checkpoint(SIGNER.name, 1, b"\x01" * 32).signed_by(SIGNER)), accepting=True)
    assert sealer.trust(old).size == 2
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute("UPDATE events SET state = '\\x00' WHERE position = 2")
    with pytest.raises(HistoryAlarm, match="position 2 is not the one that was sealed"):
        sealer.trust(old, accepting=True)
    assert not path.exists()


async def test_file_that_a_retired_key_has_signed_is_continued(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path
) -> None:
    """A host that was away while keys changed: its file is old, and the key file was copied to it."""
    keys, anchor = tmp_path / "log.key", Anchor(tmp_path / "checkpoint")
    make_log_key(keys, "log.example/away")
    (old,) = read_log_keys(keys)

    def start() -> int:
        return seal_all(Sealer(ledger_db, read_log_keys(keys), anchor, LogKeyFile(keys)), ledger_db)

    await record(executor)
    assert start() == 1
    away = anchor.read()
    assert away is not None
    make_next_key(keys)
    add_next_key(keys)
    await record(executor)
    assert start() == 2
    take_out(keys, old)
    await record(executor)
    assert start() == 3
    anchor.write(away)
    await record(executor)
    assert start() == 4
