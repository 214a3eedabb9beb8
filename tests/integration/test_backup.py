"""docs/backup.md, done as it is written: a backup under load, restores to the end and to a moment, and what is told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ledger.application.commands import find_command
from ledger.application.record.command import Request
from ledger.bootstrap import open_ledger
from ledger.errors import HistoryAlarm, NotFound
from ledger.store.database import Database
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets
from tests.support.api import projecting, sealing
from tests.support.cluster import Server, a_folder, binaries, surroundings, url_of
from tests.support.desk import TEACHER, a_base, an_audit, at_desk
from tests.support.documents import Manual
from tests.support.history import read_log
from tests.support.waiting import until
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.bootstrap import Foundation
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

MANUAL = Manual("backup.md")


@contextmanager
def receiving(variables: dict[str, str]) -> Iterator[None]:
    """Runs the receiver of the log beside the block, as the service that the manual asks for."""
    receiver = subprocess.Popen(MANUAL.command("Receive the log"), **surroundings(variables))
    try:
        yield
    finally:
        receiver.send_signal(signal.SIGINT)
        assert receiver.wait(20) == 0


async def is_received(primary: Server) -> None:
    """Returns when the receiver has written everything to its disk."""
    behind = (
        "SELECT flush_lsn >= pg_current_wal_flush_lsn() FROM pg_stat_replication"
        " WHERE application_name = 'ledger_backup'"
    )
    await until(lambda: primary.run_sql(behind) == [(True,)])


def sealed(database: Database) -> object:
    """Returns how many events the newest checkpoint covers."""
    with database.connect("owner") as connection:
        row = connection.execute("SELECT max(size) FROM log_checkpoints").fetchone()
    return row and row[0]


def damaged(backup: Path) -> list[str]:
    """Returns the files of the newest copy that are not as its manifest says."""
    copy = max(backup.glob("base-*"))
    files = json.loads((copy / "backup_manifest").read_text(encoding="utf-8"))["Files"]
    assert len(files) > 500
    return [
        one["Path"] for one in files if hashlib.sha256((copy / one["Path"]).read_bytes()).hexdigest() != one["Checksum"]
    ]


def restored(server: Server, heading: str, variables: dict[str, str]) -> None:
    """Restores a server by the manual, and waits until it takes writes."""
    MANUAL.follow(heading, variables | {"RESTORED": str(server.data)})
    server.start()
    deadline = time.monotonic() + 60
    while server.run_sql("SELECT pg_is_in_recovery()") != [(False,)]:
        assert time.monotonic() < deadline, "The server does not leave recovery."
        time.sleep(0.02)


def moved(base: Foundation, server: Server) -> Foundation:
    """Returns the same ledger on another server."""
    return replace(base, database=Database(url_of(server), base.database.schema))


async def test_backup_restores_to_the_end_and_to_a_moment_and_says_what_is_gone(  # noqa: PLR0915 - one story
    keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path
) -> None:
    with a_folder() as folder:
        primary, whole, earlier = Server(folder, "p"), Server(folder, "w"), Server(folder, "e")
        variables = {"PRIMARY": f"host={primary.host} user=postgres", "BACKUP": str(folder / "backup")}
        primary.create()
        primary.start()
        primary.run_sql("CREATE DATABASE ledger")
        # The URL of a process that outlives a restore: the server that is lost, and the one that takes its place.
        database = Database(url_of(primary, earlier), "ledger")
        migrate(database)
        ensure_secrets(database, keks)
        base = a_base(database, keks, mapper, tmp_path)
        async with at_desk(base) as desk:
            await desk.founds()
            students = await desk.enrols(3)
            await asyncio.to_thread(MANUAL.follow, "Prepare", variables)
            with receiving(variables), projecting(base), sealing(base):
                await asyncio.to_thread(MANUAL.follow, "Copy the server", variables)
                assert damaged(folder / "backup") == []
                kept = await desk.does(desk.mark(students[0], "5"), TEACHER, key="kept")
                await desk.marks(*students)
                await desk.catches_up()
                stays = len(read_log(database))
                gone = await desk.does(desk.mark(students[1], "4"), TEACHER, key="gone")
                await desk.marks(*students, value="3")
                await desk.catches_up()
                before = read_log(database)
                await until(lambda: sealed(database) == len(before))
                await is_received(primary)
            primary.kill()

            # --- to the end
            restored(whole, "Restore to the end", variables)
            last = moved(base, whole)
            assert read_log(last.database) == before
            assert an_audit(last).equal
            whole.kill()

            # --- to the moment before the first event that is not wanted
            moment = next(event.recorded_at for event in before if event.position == gone.first_position)
            restored(earlier, "Restore to a moment", variables | {"MOMENT": moment.isoformat()})
            back = moved(base, earlier)
            assert read_log(back.database) == before[:stays]
            report = an_audit(back)
            assert (report.equal, report.events) == (True, stays)

            # --- who had seen more stops
            with pytest.raises(HistoryAlarm, match="shorter"):
                await desk.does(desk.mark(students[0], "2"), TEACHER)
            with pytest.raises(HistoryAlarm, match="have been published"):
                back.sealer().run(threading.Event())
            assert len(read_log(back.database)) == stays

        # --- a service that is started anew tells the truth and goes on from there
        async with open_ledger(back) as ledger:
            ledger.today = lambda: TODAY
            anew = replace(desk, base=back, ledger=ledger)
            assert (await find_command(ledger, Request(TEACHER), "kept")) == kept
            with pytest.raises(NotFound):
                await find_command(ledger, Request(TEACHER), "gone")
            again = await anew.does(desk.mark(students[1], "4"), TEACHER, key="gone")
            assert (again.repeated, again.first_position) == (False, stays + 1)
            assert again.events[-1].event_id != gone.events[-1].event_id
            await anew.catches_up()
            assert anew.audits().equal


def test_every_command_of_the_manual_is_run() -> None:
    assert MANUAL.headings == [
        "Prepare", "Receive the log", "Copy the server", "Check the newest copy", "Restore to the end",
        "Restore to a moment",
    ]  # fmt: skip


def test_copy_is_checked_by_its_manifest() -> None:
    program = binaries() / "pg_verifybackup"
    if subprocess.run([program, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("The pg_verifybackup of this wheel does not start.")
    with a_folder() as folder:
        primary = Server(folder, "p")
        primary.create()
        primary.start()
        variables = {"PRIMARY": f"host={primary.host} user=postgres", "BACKUP": str(folder / "backup")}
        MANUAL.follow("Prepare", variables)
        MANUAL.follow("Copy the server", variables)
        MANUAL.follow("Check the newest copy", variables)
        with (max((folder / "backup").glob("base-*")) / "global" / "pg_control").open("r+b") as file:
            file.write(b"\xff")
        with pytest.raises(AssertionError, match="checksum mismatch"):
            MANUAL.follow("Check the newest copy", variables)
