"""A primary with a synchronous standby: what is acknowledged is on both, and nobody takes a standby for the ledger."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ledger.application import commands, readiness
from ledger.application.commands import find_command
from ledger.application.doctor.findings import State
from ledger.application.doctor.standbys import BACKUP_SLOT, check_standbys
from ledger.application.record.command import Request
from ledger.bootstrap import open_ledger
from ledger.errors import Busy, SettingsError, StoreUnavailable
from ledger.ids import new_id
from ledger.store import database as databases
from ledger.store.database import Database, translated
from ledger.store.executor import CommandExecutor, ExecutorSettings
from ledger.store.keyring import Keyring
from ledger.store.recorder import LedgerDatastore
from ledger.store.secrets import load_hasher
from tests.support.cluster import Server, a_folder, url_of
from tests.support.commands import Enrol, Mark, envelope
from tests.support.desk import DIRECTOR, Desk, a_base
from tests.support.postgres import ROLES, fresh_ledger
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

pytestmark = pytest.mark.xdist_group("replication")  # one worker makes the pair of servers, and no other


class Pair:
    """A primary and its synchronous standby, which can be paused: the primary then waits for it."""

    def __init__(self, primary: Server, standby: Server) -> None:
        self.primary, self.standby = primary, standby

    def waiting(self) -> list[int]:
        """Returns the processes whose commit waits for the standby."""
        rows = self.primary.run_sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        return [row[0] for row in rows]

    def pause(self) -> None:
        """Stops the standby; commits wait from now on."""
        self.standby.stop("immediate")

    def resume(self) -> None:
        """Starts it, and waits until commits pass again."""
        if not self.standby.running:
            self.standby.start()
        deadline = time.monotonic() + 60
        while not self.standby.follows(self.primary):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with a_folder() as folder:
        primary, standby = Server(folder, "a"), Server(folder, "b")
        primary.create()
        primary.configure("synchronous_commit = remote_apply")  # what a test makes is seen on the standby at once
        primary.start()
        primary.run_sql("CREATE DATABASE ledger")
        standby.clone(primary)
        made = Pair(primary, standby)
        primary.sets("synchronous_standby_names", "*")
        made.resume()
        yield made


@pytest.fixture
def database(pair: Pair, keks: KeyEncryptionKeys) -> Iterator[Database]:
    with fresh_ledger(url_of(pair.standby, pair.primary), keks) as made:
        yield made


@pytest.fixture
async def writer(
    pair: Pair, database: Database, keks: KeyEncryptionKeys, mapper: EventMapper
) -> AsyncIterator[CommandExecutor]:
    executor = CommandExecutor(database, mapper, Keyring(keks))
    await executor.start()
    yield executor
    pair.resume()  # a test that failed may have left it paused, and then nothing ends
    await executor.stop()


def count(database: Database) -> int:
    with database.connect("owner") as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
    assert row is not None
    return int(row[0])


# --- several hosts --------------------------------------------------------------------------------------------------


def recovering(connection: psycopg.Connection[tuple[object, ...]]) -> object:
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return row and row[0]


@pytest.mark.parametrize("role", ["owner", *ROLES])
async def test_every_part_passes_over_the_standby_in_front_of_the_primary(database: Database, role: str) -> None:
    with database.connect(role) as connection:
        assert recovering(connection) is False
    async with await database.connect_async(role) as waiting:
        assert await (await waiting.execute("SELECT pg_is_in_recovery()")).fetchone() == (False,)
    async with database.pool(role, 2) as pool, pool.connection() as pooled:
        assert await (await pooled.execute("SELECT pg_is_in_recovery()")).fetchone() == (False,)


def test_recorder_of_the_library_passes_over_the_standby_too(database: Database) -> None:
    datastore = LedgerDatastore(database)
    with datastore.get_connection() as connection:
        row = connection.execute("SELECT pg_is_in_recovery() AS standby").fetchone()
    datastore.close()
    assert row == {"standby": False}


@pytest.mark.parametrize("asked", ["", "&target_session_attrs=any", "&target_session_attrs=standby"])
@pytest.mark.parametrize("role", ["owner", *ROLES])
def test_standby_alone_is_refused_with_what_to_do(pair: Pair, database: Database, role: str, asked: str) -> None:
    alone = Database(url_of(pair.standby) + asked, database.schema)
    with pytest.raises(StoreUnavailable, match=r"only a standby answers.*Promote"):
        alone.connect(role)


def test_each_of_several_hosts_gets_less_time_than_a_single_one_unless_the_url_says_how_much(
    database: Database,
) -> None:
    assert database.arguments("reader")["connect_timeout"] == databases.CONNECT_TIMEOUT_EACH_S
    alone = Database("postgresql://nobody@one/x", "s")
    assert alone.arguments("reader")["connect_timeout"] == databases.CONNECT_TIMEOUT_S
    told = Database("postgresql://nobody@one,two/x?connect_timeout=7", "s")
    assert "connect_timeout" not in told.arguments("reader")


def test_host_that_takes_the_call_and_says_nothing_is_given_up(pair: Pair, database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts, ports = f"127.0.0.1,{pair.primary.host}", f"{silent.getsockname()[1]},5432"
        url = make_conninfo(database.url, host=hosts, port=ports, connect_timeout=2)  # the least that libpq takes
        with Database(url, database.schema).connect("reader") as connection:
            assert recovering(connection) is False


async def test_pool_replaces_what_the_server_closed_before_anybody_meets_it(database: Database) -> None:
    async with database.pool("reader", 2) as pool:
        async with pool.connection() as connection:
            lost = connection.info.backend_pid
        with database.connect("owner") as owner:
            owner.execute("SELECT pg_terminate_backend(%s, 5000)", (lost,))
        async with pool.connection() as connection:
            assert connection.info.backend_pid != lost
            await connection.execute("SELECT 1")


# --- a server that was fenced off -----------------------------------------------------------------------------------


async def test_server_that_was_set_read_only_is_left_and_waited_for(
    pair: Pair, database: Database, writer: CommandExecutor
) -> None:
    student = new_id()
    await writer.execute(envelope(Enrol(student)))
    pair.primary.sets("default_transaction_read_only", "on")
    try:
        future = writer.submit(envelope(Mark(student)))
        await until(lambda: writer._writer.connection is None or writer._writer.connection.closed)
        with pytest.raises(StoreUnavailable, match="only a standby"):
            database.connect("projector")
    finally:
        pair.primary.run_sql("ALTER SYSTEM RESET default_transaction_read_only")
        pair.primary.run_sql("SELECT pg_reload_conf()")
    assert (await future).count == 2
    assert count(database) == 3


# --- acknowledged is replicated -------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_commit_whose_wait_for_the_standby_was_ended_is_acknowledged_once_the_standby_has_it(
    pair: Pair, database: Database, writer: CommandExecutor, end: str
) -> None:
    student = new_id()
    await writer.execute(envelope(Enrol(student)))
    pair.pause()
    future = writer.submit(envelope(Mark(student)))
    await until(lambda: len(pair.waiting()) == 1)
    (waiting,) = pair.waiting()
    pair.primary.run_sql(f"SELECT {end}({waiting})")
    await until(lambda: count(database) == 3)
    await until(lambda: bool(pair.waiting()) and pair.waiting() != [waiting])
    assert not future.done()
    pair.resume()
    recorded = await future
    assert (recorded.count, recorded.repeated, count(database)) == (2, False, 3)


async def test_primary_that_crashed_before_the_standby_had_it_does_not_acknowledge_it_alone(
    pair: Pair, database: Database, writer: CommandExecutor
) -> None:
    pair.pause()
    future = writer.submit(envelope(Enrol()))
    await until(lambda: len(pair.waiting()) == 1)
    pair.primary.kill()
    pair.primary.start()
    await until(lambda: count(database) == 1)
    await until(lambda: len(pair.waiting()) == 1)
    assert not future.done()
    pair.resume()
    assert (await future).position == 1


async def test_recording_that_waits_for_its_standby_is_not_ready(
    pair: Pair,
    database: Database,
    keks: KeyEncryptionKeys,
    mapper: EventMapper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def recording() -> tuple[bool, str]:
        (part,) = [part for part in await readiness.read_readiness(ledger) if part.name == "recording"]
        return part.ready, part.reason

    async def goes_on() -> bool:
        return (await recording())[0]

    async def stands_still() -> bool:
        return not await goes_on()

    async with open_ledger(a_base(database, keks, mapper, tmp_path)) as ledger:
        assert await recording() == (True, "")
        pair.pause()
        future = ledger.executor.submit(envelope(Enrol()))
        await until(lambda: len(pair.waiting()) == 1)
        assert await recording() == (True, "")
        monkeypatch.setattr(readiness, "STALLED_S", 0.1)
        await until(stands_still)
        assert "synchronous standby" in (await recording())[1]
        pair.resume()
        await future
        await until(goes_on)


async def test_what_is_found_by_its_key_is_confirmed_before_it_is_told(
    pair: Pair,
    database: Database,
    keks: KeyEncryptionKeys,
    mapper: EventMapper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = a_base(database, keks, mapper, tmp_path)
    async with open_ledger(base) as first, open_ledger(base) as second:
        desk = Desk(base, first)
        await desk.founds()
        pair.pause()
        request, hasher = Request(DIRECTOR, "key"), load_hasher(database, keks)
        sent = envelope(Enrol(), hasher=hasher, key="key")
        assert sent.idempotency is not None
        stored = hasher.command(DIRECTOR.id, "key")
        sent = type(sent)(sent.command, sent.header, sent.context, type(sent.idempotency)(stored, DIRECTOR.id, b"r"))
        told = [first.executor.submit(sent)]
        await until(lambda: len(pair.waiting()) == 1)
        pair.primary.run_sql(f"SELECT pg_terminate_backend({pair.waiting()[0]})")
        told += [second.executor.submit(sent), asyncio.ensure_future(find_command(second, request, "key"))]
        await until(lambda: len(pair.waiting()) >= 2)
        assert [answer for answer in told if answer.done()] == []
        monkeypatch.setattr(commands, "PATIENCE_S", 0.1)
        with pytest.raises(Busy, match="standby"):
            await find_command(first, request, "key")
        pair.resume()
        answers = await asyncio.gather(*told)
    assert answers[0] == answers[1] == answers[2]
    assert [answer.repeated for answer in answers] == [False, True, True]


# --- what the server must be set to ---------------------------------------------------------------------------------


async def test_weaker_commits_of_server_database_or_login_do_not_reach_the_writer(
    pair: Pair, database: Database
) -> None:
    pair.primary.run_sql("ALTER ROLE postgres SET synchronous_commit = local")
    try:
        with database.connect("writer") as connection:
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
        with database.connect("projector") as connection:
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("local",)
    finally:
        pair.primary.run_sql("ALTER ROLE postgres RESET synchronous_commit")


@pytest.mark.parametrize("value", ["local", "remote_write", "off"])
async def test_session_that_would_not_wait_for_the_disk_of_the_standby_is_refused(
    database: Database, keks: KeyEncryptionKeys, mapper: EventMapper, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strong = Database._options
    monkeypatch.setattr(Database, "_options", lambda self, role: f"{strong(self, role)} -c synchronous_commit={value}")
    with pytest.raises(SettingsError, match=f"synchronous_commit {value}"):
        await CommandExecutor(database, mapper, Keyring(keks)).start()


async def test_server_without_a_synchronous_standby_is_refused_where_one_is_asked_for(
    pair: Pair, database: Database, keks: KeyEncryptionKeys, mapper: EventMapper
) -> None:
    settings = ExecutorSettings(standby_required=True, patience_s=0.2)
    executor = CommandExecutor(database, mapper, Keyring(keks), settings)
    await executor.start()
    await executor.execute(envelope(Enrol()))
    pair.primary.sets("synchronous_standby_names", "")
    try:
        with pytest.raises(SettingsError, match="LEDGER_REQUIRE_SYNC_REPLICA"):
            await CommandExecutor(database, mapper, Keyring(keks), settings).start()
        await executor._writer.close()  # as a failover would
        with pytest.raises(StoreUnavailable, match="LEDGER_REQUIRE_SYNC_REPLICA"):
            await executor.execute(envelope(Enrol()))
    finally:
        pair.primary.sets("synchronous_standby_names", "*")
    await executor.execute(envelope(Enrol()))
    await executor.stop()
    assert count(database) == 2


def test_refusal_to_read_only_transactions_is_told_as_a_standby(database: Database) -> None:
    with database.connect("owner") as connection:
        connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="takes no writes"), translated():
            connection.execute("CREATE TABLE nothing ()")


# --- what the doctor says of it -------------------------------------------------------------------------------------


def looked(server: Server, *, required: bool = False) -> dict[str, tuple[State, str]]:
    with psycopg.connect(url_of(server, database="postgres"), autocommit=True) as connection:
        found = list(check_standbys(connection, required=required))
    return {finding.check: (finding.state, finding.what) for finding in found}


def test_doctor_tells_a_standby_that_is_missing_from_one_that_nobody_asked_for(pair: Pair) -> None:
    assert looked(pair.primary)["standby"] == (State.OK, "1 synchronous")
    pair.pause()
    assert looked(pair.primary)["standby"][0] is State.PROBLEM
    pair.primary.sets("synchronous_standby_names", "")
    assert looked(pair.primary)["standby"][0] is State.OK
    assert looked(pair.primary, required=True)["standby"][0] is State.PROBLEM
    pair.primary.sets("synchronous_standby_names", "*")
    pair.resume()


def test_doctor_tells_a_log_that_nobody_receives(pair: Pair) -> None:
    assert looked(pair.primary)["backup"][0] is State.WARNING
    pair.primary.run_sql(f"SELECT pg_create_physical_replication_slot('{BACKUP_SLOT}')")
    try:
        assert "until its disk is full" in looked(pair.primary)["backup"][1]
    finally:
        pair.primary.run_sql(f"SELECT pg_drop_replication_slot('{BACKUP_SLOT}')")
