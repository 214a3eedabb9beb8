"""The file outside the database: begun with an empty log, never made anew by itself, accepted by an operator only."""

from __future__ import annotations

import asyncio
import shutil
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ledger.errors import Conflict, HistoryAlarm
from ledger.ids import new_id
from ledger.seal.checkpoint import Checkpoint, open_checkpoint
from ledger.store import sealer as sealing
from ledger.store.anchor import Anchor, LostAnchor
from ledger.store.log_files import newest
from ledger.store.log_keys import (
    LogKeyFile,
    add_next_key,
    make_log_key,
    make_next_key,
    read_log_keys,
    take_out,
)
from ledger.store.log_troubles import SEALER, read_troubles
from ledger.store.sealer import LEADER, Sealer
from tests.support.commands import Enrol, envelope
from tests.support.log import SIGNER, begun, is_unused
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


def has_size(path: Path, size: int) -> bool:
    return written(path).size == size


def lose(path: Path) -> None:
    path.unlink()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The file of a key that has signed nothing."""
    path = tmp_path / "keys" / "log.key"
    make_log_key(path, "log.example/anchor")
    return path


def with_keys(database: Database, keys: Path, anchor: Path) -> Sealer:
    return Sealer(database, read_log_keys(keys), Anchor(anchor), LogKeyFile(keys))


def forget_the_log(owner: psycopg.Connection[Row], statement: str = "SELECT") -> None:
    """Removes all that the database knows of the log, and what else is told, as a superuser can."""
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        for table in ("log_cosignatures", "log_checkpoints", "log_tiles"):
            owner.execute(f"DELETE FROM {table}")
        owner.execute(statement)


async def test_log_is_begun_only_with_a_key_that_has_signed_nothing(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path, keys: Path
) -> None:
    path = tmp_path / "seal" / "checkpoint"
    assert is_unused(keys)
    with ledger_db.connect("sealer") as connection:
        with_keys(ledger_db, keys, path).recover(connection)
    key = read_log_keys(keys)[0].verifier
    assert open_checkpoint(path.read_bytes(), key).checkpoint.size == 0
    assert not is_unused(keys)
    await record(executor)
    assert seal_all(with_keys(ledger_db, keys, path), ledger_db) == 1
    assert open_checkpoint(path.read_bytes(), key).checkpoint.size == 1


@pytest.mark.parametrize(
    "rewriting", ["UPDATE events SET recorded_at = recorded_at - interval '1 day'", "DELETE FROM events"]
)
async def test_rewritten_history_without_its_log_and_file_is_not_signed_anew(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], tmp_path: Path, keys: Path,
    rewriting: str,
) -> None:  # fmt: skip
    """Who removes the file and empties the log, or restores what was before it, gets no signature without an operator.

    Nor where the events are gone as well: they could be put back rewritten once the file was begun.
    """
    path = tmp_path / "checkpoint"
    await record(executor)
    sealer = with_keys(ledger_db, keys, path)
    assert seal_all(sealer, ledger_db) == 1
    kept = path.read_bytes()
    lose(path)
    forget_the_log(owner, rewriting)
    with ledger_db.connect("sealer") as connection, pytest.raises(LostAnchor, match="may have sealed before"):
        with_keys(ledger_db, keys, path).recover(connection)
    assert (sealed(ledger_db), path.exists()) == (0, False)
    with pytest.raises(HistoryAlarm, match="1 have been published"):
        sealer.trust(kept, accepting=True)
    assert not path.exists()
    assert sealer.trust(accepting=True).size == 0
    assert path.exists()


async def test_mark_of_a_new_key_is_gone_where_another_host_has_sealed(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], tmp_path: Path, keys: Path
) -> None:
    other = tmp_path / "other" / "log.key"
    shutil.copytree(keys.parent, other.parent)
    await record(executor)
    assert seal_all(with_keys(ledger_db, keys, tmp_path / "one"), ledger_db) == 1
    for _ in range(2):
        with ledger_db.connect("sealer") as connection, pytest.raises(LostAnchor):
            with_keys(ledger_db, other, tmp_path / "two").recover(connection)
        forget_the_log(owner)
    assert not is_unused(other)


def test_second_key_of_a_log_begins_none(tmp_path: Path, keys: Path) -> None:
    (mark,) = keys.parent.glob("*.unused")
    mark.unlink()
    make_next_key(keys)
    add_next_key(keys)
    make_log_key(keys, "log.example/anchor")  # loses against the key that is there
    assert not is_unused(keys)
    assert sorted(path.name for path in keys.parent.iterdir()) == ["log.key"]


async def test_retired_keys_that_cannot_be_read_are_a_trouble_until_they_can(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "LOST_S", 0.02)
    await record(executor)
    retired, stop = keys.with_name("log.key.retired"), threading.Event()
    retired.write_text("no key\n")
    sealer = with_keys(ledger_db, keys, tmp_path / "checkpoint")
    running = asyncio.create_task(asyncio.to_thread(sealer.run, stop))

    def told() -> list[str]:
        with ledger_db.connect("reader") as connection:
            return [said for _, said in read_troubles(connection, ledger_db)]

    try:
        await until(lambda: bool(told()))
        assert "retired keys cannot be read" in told()[0]
        assert str(tmp_path) not in told()[0]  # anybody may read it
        retired.unlink()
        await until(lambda: sealed(ledger_db) == 1 and not told())
    finally:
        stop.set()
        await running


async def test_host_that_waits_keeps_its_file_up_to_date_and_finds_a_database_that_was_set_back(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sealing, "WAITING_S", 0.02)
    other, stop = tmp_path / "other", threading.Event()
    with ledger_db.connect("sealer") as leader:
        leader.execute(ledger_db.bind(LEADER))
        leading = Sealer(ledger_db, [SIGNER], begun(tmp_path / "one"))
        leading.recover(leader)
        running = asyncio.create_task(asyncio.to_thread(Sealer(ledger_db, [SIGNER], begun(other)).run, stop))
        try:
            for size in (1, 2):
                await record(executor)
                assert leading.seal(leader) == 1
                await until(partial(has_size, other, size))
            with owner.transaction():  # the other host's own file never sees this: it leads, and is not started anew
                owner.execute("SET LOCAL session_replication_role = replica")
                owner.execute("DELETE FROM log_checkpoints WHERE size = 2")
            with pytest.raises(HistoryAlarm, match="knows 1 sealed events, but 2 have been published"):
                await asyncio.wait_for(running, 30)
        finally:
            stop.set()
    assert owner.execute("SELECT count(*) FROM log_alarm").fetchone() == (1,)
    with pytest.raises(HistoryAlarm, match="2 have been published"):
        Sealer(ledger_db, [SIGNER], begun(tmp_path / "third")).catch_up()
    assert written(other).size == 2


async def test_host_that_waits_without_the_key_of_the_newest_checkpoint_stops_nobody(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copy of the key file is old: that proves nothing against the log, and is over with the right copy."""
    monkeypatch.setattr(sealing, "WAITING_S", 0.02)
    other, stop = tmp_path / "other" / "log.key", threading.Event()
    with ledger_db.connect("sealer") as first:
        with_keys(ledger_db, keys, tmp_path / "one").recover(first)
    shutil.copytree(keys.parent, other.parent)
    shutil.copy(tmp_path / "one", tmp_path / "two")
    (old,) = read_log_keys(keys)
    with ledger_db.connect("sealer") as leader:
        leader.execute(ledger_db.bind(LEADER))
        waiting = with_keys(ledger_db, other, tmp_path / "two")
        running = asyncio.create_task(asyncio.to_thread(waiting.run, stop))
        try:
            make_next_key(keys)
            add_next_key(keys)
            both = shutil.copy(keys, tmp_path / "both")
            take_out(keys, old)
            leading = Sealer(ledger_db, read_log_keys(keys), Anchor(tmp_path / "one"), LogKeyFile(keys))
            leading.recover(leader)
            await record(executor)
            assert leading.seal(leader) == 1
            await until(lambda: "not signed by a key of this host" in waiting._told)
            assert (tmp_path / "two").read_bytes() != (tmp_path / "one").read_bytes()
            shutil.copy(both, other)
            await until(lambda: (tmp_path / "two").read_bytes() == (tmp_path / "one").read_bytes())
            await record(executor)
            assert leading.seal(leader) == 1
        finally:
            stop.set()
            await running


async def test_sealer_that_lost_its_file_seals_nothing_until_an_operator_has_accepted_the_database(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "LOST_S", 0.02)
    path = tmp_path / "checkpoint"
    await record(executor)
    assert seal_all(Sealer(ledger_db, [SIGNER], begun(path)), ledger_db) == 1
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
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not end: the supervisor would give it up, and stop the service that records."""
    monkeypatch.setattr(sealing, "LOST_S", 0.02)
    folder = tmp_path / "full"
    folder.write_text("a file in the way")
    await record(executor)
    stop = threading.Event()
    running = asyncio.create_task(asyncio.to_thread(with_keys(ledger_db, keys, folder / "file").run, stop))

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
        running = asyncio.create_task(asyncio.to_thread(Sealer(ledger_db, [SIGNER], begun(other)).run, stop))
        try:
            leading = Sealer(ledger_db, [SIGNER], begun(tmp_path / "one"))
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
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], tmp_path: Path, keys: Path
) -> None:
    path = tmp_path / "checkpoint"
    with pytest.raises(Conflict, match="Nothing has been sealed"):
        with_keys(ledger_db, keys, path).trust(accepting=True)
    sealer = Sealer(ledger_db, [SIGNER], begun(path))
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
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path, keys: Path
) -> None:
    """A host that was away while keys changed: its file is old, and the key file was copied to it."""
    anchor = Anchor(tmp_path / "checkpoint")
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
