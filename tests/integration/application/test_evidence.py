"""Exported packs of a real ledger verify; what is exported of one student is disclosed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.application.evidence import EvidenceExport
from ledger.errors import Conflict, NotFound
from ledger.ids import new_id
from ledger.seal.note import COSIGNATURE, SignerKey, sign
from ledger.seal.pack import verify_pack
from ledger.store.log_files import newest
from ledger.store.sealer import Sealer
from tests.support.commands import Enrol, Mark, envelope
from tests.support.log import SIGNER, begun

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from ledger.store.database import Database, Row
    from ledger.store.executor import CommandExecutor


async def record(executor: CommandExecutor, marks: int) -> UUID:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await asyncio.gather(*(executor.execute(envelope(Mark(student))) for _ in range(marks)))
    return student


def seal(database: Database, folder: Path) -> None:
    sealer = Sealer(database, [SIGNER], begun(folder / "anchor"))
    with database.connect("sealer") as connection:
        sealer.recover(connection)
        while sealer.seal(connection):
            pass


async def test_exported_log_verifies_and_continues_what_was_exported_before(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path
) -> None:
    await record(executor, 280)
    seal(ledger_db, tmp_path)
    export = EvidenceExport(ledger_db)
    export.export(tmp_path / "first")
    await record(executor, 300)
    seal(ledger_db, tmp_path)
    seen: list[tuple[int, int]] = []
    info = export.export(tmp_path / "second", since=300, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    old = (tmp_path / "first" / "checkpoint").read_bytes()
    report = verify_pack(tmp_path / "second", trusted=[SIGNER.verifier], old=old)
    assert (report.size, report.first_position, report.continues) == (info.size, 257, 282)
    assert verify_pack(tmp_path / "first").entries == 282
    assert (tmp_path / "first" / "README.md").read_text().count(" --checkpoint ") == 2


async def test_pack_of_a_student_has_this_students_events_and_no_others(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], tmp_path: Path
) -> None:
    student, _ = await record(executor, 5), await record(executor, 5)
    seal(ledger_db, tmp_path)
    EvidenceExport(ledger_db).export(tmp_path / "pack", student=student)
    positions = owner.execute("SELECT position FROM events WHERE subject_id = %s", (student,)).fetchall()
    assert {int(path.name) for path in (tmp_path / "pack" / "entries").iterdir()} == {at for (at,) in positions}
    assert verify_pack(tmp_path / "pack").receipts == len(positions)
    assert "--checkpoint" not in (tmp_path / "pack" / "README.md").read_text()  # it cannot be verified with one


async def test_pack_carries_the_cosignatures_of_witnesses(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path
) -> None:
    witness = SignerKey("witness.example", COSIGNATURE, b"\x07" * 32)
    await record(executor, 3)
    seal(ledger_db, tmp_path)
    with ledger_db.connect("sealer") as connection:
        stored = newest(connection, ledger_db)
        assert stored is not None
        text = stored.note.decode().partition("\n\n")[0] + "\n"
        connection.execute(
            "INSERT INTO log_cosignatures (size, witness, line) VALUES (%s, %s, %s)",
            (stored.size, str(witness.verifier), sign(text, witness, seconds=5).line().encode()),
        )
    EvidenceExport(ledger_db).export(tmp_path / "pack")
    report = verify_pack(tmp_path / "pack", witnesses=[witness.verifier], quorum=1)
    assert report.witnesses == ["witness.example"]


async def test_event_that_was_altered_after_sealing_is_named_by_the_pack(
    executor: CommandExecutor, ledger_db: Database, owner: psycopg.Connection[Row], tmp_path: Path
) -> None:
    await record(executor, 9)
    seal(ledger_db, tmp_path)
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute("UPDATE events SET state = '\\x00' WHERE position = 6")
    EvidenceExport(ledger_db).export(tmp_path / "pack")
    with pytest.raises(Exception, match="Position 6: the entry is not the one that was sealed"):
        verify_pack(tmp_path / "pack")


async def test_folder_with_something_in_it_is_left_alone(
    executor: CommandExecutor, ledger_db: Database, tmp_path: Path
) -> None:
    await record(executor, 1)
    (tmp_path / "pack").mkdir()
    with pytest.raises(NotFound, match="sealed yet"):
        EvidenceExport(ledger_db).export(tmp_path / "pack")
    seal(ledger_db, tmp_path)
    with pytest.raises(NotFound, match="this student"):
        EvidenceExport(ledger_db).export(tmp_path / "pack", student=new_id())
    assert EvidenceExport(ledger_db).export(tmp_path / "pack").size == 3
    with pytest.raises(Conflict, match="not empty"):
        EvidenceExport(ledger_db).export(tmp_path / "pack")
    assert not list(tmp_path.glob(".*"))  # noqa: ASYNC240 - nothing else runs here
