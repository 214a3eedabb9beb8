"""The sealer on a real database: what it signs, how it takes up its work, and when it refuses to go on."""

from __future__ import annotations

import asyncio
import itertools
import threading
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.errors import HistoryAlarm, SettingsError, StoreUnavailable
from ledger.ids import new_id
from ledger.seal.checkpoint import Checkpoint, open_checkpoint
from ledger.seal.entry import Entry, encode_entry
from ledger.seal.merkle import Frontier, consistency_proof, leaf_hash, root, verify_consistency
from ledger.seal.note import ED25519, SignerKey
from ledger.store import sealer as sealing
from ledger.store.anchor import Anchor
from ledger.store.database import translated
from ledger.store.lanes import ENTRY_COLUMNS
from ledger.store.log_files import load_nodes, newest
from ledger.store.sealer import LEADER, Sealer
from tests.support.commands import Enrol, Mark, envelope
from tests.support.log import begun
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from ledger.store.database import Database, Row
    from ledger.store.executor import CommandExecutor

SIGNER = SignerKey("log.example/test", ED25519, b"\x01" * 32)
OTHER = SignerKey("log.example/test", ED25519, b"\x02" * 32)


@pytest.fixture
def anchor(tmp_path: Path) -> Anchor:
    return begun(tmp_path / "seal" / "checkpoint")


@pytest.fixture
def sealer(ledger_db: Database, anchor: Anchor) -> Sealer:
    return Sealer(ledger_db, [SIGNER], anchor)


async def _record(executor: CommandExecutor, marks: int) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await asyncio.gather(*(executor.execute(envelope(Mark(student))) for _ in range(marks)))


def _seal_all(sealer: Sealer, database: Database) -> Checkpoint:
    with database.connect("sealer") as connection:
        sealer.recover(connection)
        while sealer.seal(connection):
            pass
        return _newest(connection, database)


def _newest(connection: psycopg.Connection[Row], database: Database) -> Checkpoint:
    stored = newest(connection, database)
    assert stored is not None
    return open_checkpoint(stored.note, SIGNER.verifier).checkpoint


def _expected(owner: psycopg.Connection[Row]) -> Frontier:
    frontier = Frontier()
    for row in owner.execute(f"SELECT {ENTRY_COLUMNS} FROM events ORDER BY position").fetchall():
        frontier.append(leaf_hash(encode_entry(Entry._make(row))))
    return frontier


async def test_checkpoint_covers_every_event_with_the_root_over_their_entries(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], sealer: Sealer, anchor: Anchor
) -> None:
    await _record(executor, 300)
    checkpoint = _seal_all(sealer, ledger_db)
    expected = _expected(owner)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (SIGNER.name, expected.size, expected.root())
    written = anchor.read()
    assert written is not None
    assert open_checkpoint(written, SIGNER.verifier).checkpoint == checkpoint


async def test_every_checkpoint_continues_the_ones_before_whoever_signed_it(
    executor: CommandExecutor, ledger_db: Database, anchor: Anchor
) -> None:
    checkpoints = []
    for marks in (1, 5, 250, 2, 256):
        await _record(executor, marks)
        checkpoints.append(_seal_all(Sealer(ledger_db, [SIGNER], anchor), ledger_db))
    with ledger_db.connect("reader") as connection:
        for old, new in itertools.pairwise(checkpoints):
            prove = partial(consistency_proof, old=old.size, new=new.size)
            proof = prove(load_nodes(connection, ledger_db, new.size, prove))
            verify_consistency(old.size, old.root, new.size, new.root, proof)


def test_ledger_without_events_has_nothing_to_seal(ledger_db: Database, sealer: Sealer) -> None:
    with ledger_db.connect("sealer") as connection:
        assert sealer.recover(connection).size == 0
        assert sealer.seal(connection) == 0
        assert newest(connection, ledger_db) is None


async def test_log_that_is_far_behind_is_sealed_in_several_checkpoints(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], sealer: Sealer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sealing, "BATCH", 100)
    await _record(executor, 298)
    checkpoint = _seal_all(sealer, ledger_db)
    assert checkpoint.root == _expected(owner).root()
    assert owner.execute("SELECT size FROM log_checkpoints ORDER BY size").fetchall() == [(100,), (200,), (300,)]


# --- crashes, in pairs ----------------------------------------------------------------------------------------------


async def test_failure_before_the_commit_leaves_the_log_as_it_was(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], sealer: Sealer
) -> None:
    await _record(executor, 10)
    first = _seal_all(sealer, ledger_db)
    await _record(executor, 10)
    owner.execute("ALTER TABLE log_checkpoints ADD CONSTRAINT full_disk CHECK (size < 13) NOT VALID")
    with ledger_db.connect("sealer") as connection:
        sealer.recover(connection)
        with pytest.raises(HistoryAlarm):
            sealer.seal(connection)
        assert _newest(connection, ledger_db) == first
        with pytest.raises(RuntimeError, match="recover"):
            sealer.seal(connection)
    owner.execute("ALTER TABLE log_checkpoints DROP CONSTRAINT full_disk")
    assert _seal_all(sealer, ledger_db).root == _expected(owner).root()


async def test_connection_lost_before_the_commit_leaves_the_log_as_it_was(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], sealer: Sealer
) -> None:
    await _record(executor, 10)
    with ledger_db.connect("sealer") as connection:
        sealer.recover(connection)
        owner.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with pytest.raises(StoreUnavailable), translated():
            sealer.seal(connection)
    assert owner.execute("SELECT count(*) FROM log_tiles").fetchone() == (0,)
    assert _seal_all(sealer, ledger_db).root == _expected(owner).root()


async def test_failure_after_the_commit_is_taken_up_by_the_next_start(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], sealer: Sealer, anchor: Anchor,
    tmp_path: Path,
) -> None:  # fmt: skip
    await _record(executor, 10)
    first = _seal_all(sealer, ledger_db)
    await _record(executor, 10)
    folder = tmp_path / "seal"
    with ledger_db.connect("sealer") as connection:
        sealer.recover(connection)
        folder.rename(tmp_path / "away")
        folder.write_text("a file in the way")
        with pytest.raises(SettingsError, match="LEDGER_SEAL_FILE"):
            sealer.seal(connection)
        published = _newest(connection, ledger_db)
    assert published.size > first.size
    folder.unlink()
    (tmp_path / "away").rename(folder)
    assert _seal_all(Sealer(ledger_db, [SIGNER], anchor), ledger_db) == published
    written = anchor.read()
    assert written is not None
    assert open_checkpoint(written, SIGNER.verifier).checkpoint == published
    assert published.root == _expected(owner).root()


# --- what it refuses ------------------------------------------------------------------------------------------------

TAMPERED = {
    "edited event": "UPDATE events SET state = '\\x00' WHERE position = 8",
    "deleted event": "DELETE FROM events WHERE position = 8",
    "back-dated event": "UPDATE events SET recorded_at = recorded_at - interval '1 day' WHERE position = 8",
    "edited tile": "UPDATE log_tiles SET hashes = overlay(hashes PLACING '\\x00'::bytea FROM 40) WHERE level = 0",
    "shortened tile": "UPDATE log_tiles SET hashes = substring(hashes FROM 1 FOR 32) WHERE level = 0",
    "deleted tile": "DELETE FROM log_tiles",
    "older log": "DELETE FROM log_checkpoints WHERE size > 5",
    "no log": "DELETE FROM log_checkpoints",
    "other root": "UPDATE log_checkpoints SET root = decode(repeat('00', 32), 'hex')",
    "other note": "UPDATE log_checkpoints SET note = 'x'",
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED.keys())
async def test_sealer_signs_nothing_on_what_was_altered(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], anchor: Anchor, change: str
) -> None:
    await _record(executor, 3)
    _seal_all(Sealer(ledger_db, [SIGNER], anchor), ledger_db)
    await _record(executor, 6)
    _seal_all(Sealer(ledger_db, [SIGNER], anchor), ledger_db)
    await _record(executor, 2)
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        assert owner.execute(change).rowcount > 0
    before = owner.execute("SELECT count(*), max(size) FROM log_checkpoints").fetchone()
    stop = threading.Event()
    with pytest.raises(HistoryAlarm, match="Nothing more is sealed"):
        Sealer(ledger_db, [SIGNER], anchor).run(stop)
    assert owner.execute("SELECT count(*), max(size) FROM log_checkpoints").fetchone() == before
    assert owner.execute("SELECT reason LIKE 'Nothing more is sealed.%' FROM log_alarm").fetchone() == (True,)


MADE = {
    "topic": "UPDATE events SET topic = repeat('x', 256) WHERE position = 6",
    "algorithm": "UPDATE events SET algorithm = 300 WHERE position = 6",
    "commitment": "UPDATE events SET key_commitment = decode(repeat('00', 256), 'hex') WHERE position = 6",
    "time": "UPDATE events SET recorded_at = 'infinity' WHERE position = 6",
}


@pytest.mark.parametrize("change", MADE.values(), ids=MADE.keys())
async def test_event_that_cannot_have_been_recorded_is_an_alarm_that_says_where(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], anchor: Anchor, change: str
) -> None:
    """It must not end the sealer as a failure would: the supervisor would give it up, and stop the service."""
    await _record(executor, 3)
    _seal_all(Sealer(ledger_db, [SIGNER], anchor), ledger_db)
    await _record(executor, 3)
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute("ALTER TABLE events DROP CONSTRAINT events_fit_entries")
        assert owner.execute(change).rowcount == 1
    where = "after position 5 holds" if "infinity" in change else "at position 6 cannot have been recorded"
    with pytest.raises(HistoryAlarm, match=where):
        Sealer(ledger_db, [SIGNER], anchor).run(threading.Event())
    assert owner.execute("SELECT count(*) FROM log_alarm").fetchone() == (1,)


def test_database_takes_no_event_that_is_too_long_for_an_entry(owner: psycopg.Connection[Row]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="events_fit_entries"):
        owner.execute(
            "INSERT INTO events SELECT 1, gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), repeat('x', 256),"
            " clock_timestamp(), 'marks', 1, '', '', ''"
        )


async def test_alarm_is_over_once_a_start_finds_everything_right(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], sealer: Sealer
) -> None:
    await _record(executor, 3)
    owner.execute("INSERT INTO log_alarm (reason) VALUES ('of before')")
    _seal_all(sealer, ledger_db)
    assert owner.execute("SELECT count(*) FROM log_alarm").fetchone() == (0,)


async def test_alarm_is_not_over_because_another_host_leads_or_a_command_seals(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], anchor: Anchor, tmp_path: Path
) -> None:
    """One host finds the database set back; the other's file is older, so all alone it would find nothing wrong."""
    await _record(executor, 5)
    _seal_all(Sealer(ledger_db, [SIGNER], anchor), ledger_db)
    anchor.write(bytes(Checkpoint(SIGNER.name, 500, b"\x01" * 32).signed_by(SIGNER)))
    await _record(executor, 5)
    size = owner.execute("SELECT max(size) FROM log_checkpoints").fetchone()
    stop, waiting = threading.Event(), Sealer(ledger_db, [SIGNER], begun(tmp_path / "other host"))
    with ledger_db.connect("sealer") as leader:
        leader.execute(ledger_db.bind(LEADER))
        running = asyncio.create_task(asyncio.to_thread(waiting.run, stop))
        await until(waiting_since(waiting))
        with pytest.raises(HistoryAlarm, match="500 have been published"):
            Sealer(ledger_db, [SIGNER], anchor)._follow(leader, stop)
    try:
        with pytest.raises(HistoryAlarm, match="500 have been published"):
            await asyncio.wait_for(running, 30)
    finally:
        stop.set()
    with pytest.raises(HistoryAlarm, match="500 have been published"):
        Sealer(ledger_db, [SIGNER], Anchor(tmp_path / "command")).catch_up()
    assert owner.execute("SELECT max(size) FROM log_checkpoints").fetchone() == size
    assert owner.execute("SELECT count(*) FROM log_alarm").fetchone() == (1,)


def waiting_since(sealer: Sealer) -> Callable[[], Awaitable[bool]]:
    async def begun() -> bool:
        return sealer._begun is not None

    return begun


async def test_log_signed_by_another_key_is_not_continued(
    executor: CommandExecutor, ledger_db: Database, anchor: Anchor
) -> None:
    await _record(executor, 3)
    _seal_all(Sealer(ledger_db, [SIGNER], anchor), ledger_db)
    with ledger_db.connect("sealer") as connection, pytest.raises(HistoryAlarm, match="not signed by its key"):
        Sealer(ledger_db, [OTHER], anchor).recover(connection)


async def test_while_keys_change_both_sign(executor: CommandExecutor, ledger_db: Database, anchor: Anchor) -> None:
    await _record(executor, 3)
    _seal_all(Sealer(ledger_db, [SIGNER], anchor), ledger_db)
    await _record(executor, 3)
    _seal_all(Sealer(ledger_db, [SIGNER, OTHER], anchor), ledger_db)
    await _record(executor, 3)
    with ledger_db.connect("sealer") as connection:
        changed = Sealer(ledger_db, [OTHER], anchor)
        changed.recover(connection)
        assert changed.seal(connection) > 0
        stored = newest(connection, ledger_db)
    assert stored is not None
    assert open_checkpoint(stored.note, OTHER.verifier).checkpoint.size == stored.size


async def test_second_sealer_that_lost_the_lead_publishes_nothing(
    executor: CommandExecutor, ledger_db: Database, anchor: Anchor, tmp_path: Path
) -> None:
    await _record(executor, 3)
    old, new = Sealer(ledger_db, [SIGNER], anchor), Sealer(ledger_db, [SIGNER], begun(tmp_path / "other"))
    with ledger_db.connect("sealer") as one, ledger_db.connect("sealer") as two:
        old.recover(one)
        new.recover(two)
        assert new.seal(two) > 0
        with pytest.raises(HistoryAlarm, match="Another sealer"):
            old.seal(one)


def test_keys_of_two_names_are_refused(ledger_db: Database, anchor: Anchor) -> None:
    with pytest.raises(SettingsError):
        Sealer(ledger_db, [SIGNER, SignerKey("another.example", ED25519, b"\x03" * 32)], anchor)
    with pytest.raises(SettingsError):
        Sealer(ledger_db, [], anchor)


# --- rights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_tiles SET hashes = hashes || hashes WHERE level = 0",
        "UPDATE log_tiles SET hashes = overlay(hashes PLACING '\\x00'::bytea FROM 1) || hashes",
        "UPDATE log_tiles SET number = 7, hashes = hashes || hashes",
        "DELETE FROM log_tiles",
        "TRUNCATE log_tiles",
        "UPDATE log_checkpoints SET note = ''",
        "DELETE FROM log_checkpoints",
        "TRUNCATE log_checkpoints CASCADE",
    ],
)
async def test_even_the_owner_is_refused_to_change_the_log(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], sealer: Sealer, statement: str
) -> None:
    await _record(executor, 3)
    _seal_all(sealer, ledger_db)
    if statement == "UPDATE log_tiles SET hashes = hashes || hashes WHERE level = 0":
        assert owner.execute(statement).rowcount == 1  # growing is what tiles do; recover() finds that it is too much
        with ledger_db.connect("sealer") as connection:
            sealer.recover(connection)
            assert sealer.seal(connection) == 0
        return
    with pytest.raises(psycopg.Error) as refused:
        owner.execute(statement)
    assert refused.value.sqlstate == "LG001"


@pytest.mark.parametrize("role", ["reader", "writer", "projector"])
def test_others_read_the_log_and_write_nothing_of_it(ledger_db: Database, role: str) -> None:
    with ledger_db.connect(role) as connection:
        connection.execute("SELECT FROM log_tiles, log_checkpoints, log_cosignatures, log_alarm")
        for table in ("log_tiles", "log_checkpoints", "log_cosignatures", "log_alarm"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"INSERT INTO {table} DEFAULT VALUES")


@pytest.mark.parametrize("statement", ["DELETE FROM events", "UPDATE events SET topic = ''", "SELECT FROM data_keys"])
def test_sealer_reads_events_and_neither_changes_them_nor_has_keys(ledger_db: Database, statement: str) -> None:
    with ledger_db.connect("sealer") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


# --- following ------------------------------------------------------------------------------------------------------


async def test_running_sealer_covers_what_is_recorded_and_stops_when_told(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], sealer: Sealer
) -> None:
    stop, expected = threading.Event(), Frontier()
    running = asyncio.create_task(asyncio.to_thread(sealer.run, stop))
    try:
        for _ in range(3):
            await _record(executor, 5)
            expected = _expected(owner)

            async def covered(size: int = expected.size) -> bool:
                with ledger_db.connect("reader") as connection:
                    stored = newest(connection, ledger_db)
                return stored is not None and stored.size == size

            await until(covered)
    finally:
        stop.set()
        await running
    with ledger_db.connect("reader") as connection:
        checkpoint = _newest(connection, ledger_db)
        nodes = load_nodes(connection, ledger_db, checkpoint.size, lambda nodes: root(nodes, checkpoint.size))
    assert root(nodes, checkpoint.size) == checkpoint.root == expected.root()
