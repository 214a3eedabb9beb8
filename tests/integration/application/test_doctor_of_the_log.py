"""The doctor looks at the log: keys, sealer, the file outside the database, witnesses; each made wrong and told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from ledger.application.doctor import log
from ledger.application.doctor.findings import Finding, State
from ledger.seal.note import COSIGNATURE, SignerKey, parse_note, sign
from ledger.store.anchor import Anchor
from ledger.store.log_files import newest
from ledger.store.log_keys import add_next_key, make_log_key, make_next_key
from ledger.store.log_troubles import SEALER, note_trouble
from ledger.store.sealer import LEADER
from tests.support.api import sealing
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.settings import Settings
    from tests.support.desk import Desk

WITNESS = SignerKey("witness.example/doctor", COSIGNATURE, b"\x07" * 32)


@pytest_asyncio.fixture
async def sealed(desk: Desk) -> Desk:
    """The desk with a log over everything."""
    make_log_key(desk.base.settings.log_key_path, "log.example/doctor")
    await asyncio.to_thread(desk.base.sealer().catch_up)
    return desk


def run(desk: Desk, statement: str) -> None:
    """Changes what no role may, as who owns the database."""
    with desk.base.database.connect("owner") as owner, owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute(statement)


def remove(path: Path) -> None:
    """Removes a file; nothing else runs meanwhile."""
    path.unlink()


def the_seal(desk: Desk) -> Finding:
    with desk.base.database.connect("owner") as owner:
        (finding,) = log.check_seal(owner, desk.base.database)
    return finding


def the_keys(desk: Desk) -> Finding:
    (finding,) = log.check_keys(desk.base.database, desk.base.settings)
    return finding


def the_file(desk: Desk) -> Finding:
    (finding,) = log.check_anchor(desk.base.database, desk.base.settings)
    return finding


async def test_sealer_that_does_not_run_or_keep_up_is_told(sealed: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert the_seal(sealed).what == "No sealer runs."
    await sealed.enrols(1)
    assert the_seal(sealed).state is State.PROBLEM
    with sealing(sealed.base):
        await until(lambda: the_seal(sealed).state is State.OK)
    with sealed.base.database.connect("sealer") as leading:  # it leads and does nothing
        leading.execute(sealed.base.database.bind(LEADER))
        assert the_seal(sealed).state is State.OK
        await sealed.enrols(1)
        monkeypatch.setattr(log, "LATE_S", 0)
        assert the_seal(sealed).state is State.WARNING
        assert "wait in all" in the_seal(sealed).what
        monkeypatch.setattr(log, "STUCK_S", 0)
        assert the_seal(sealed).state is State.PROBLEM
    run(sealed, "INSERT INTO log_alarm (reason) VALUES ('It was set back.')")
    assert (the_seal(sealed).state, the_seal(sealed).what) == (State.PROBLEM, "It was set back.")


async def test_keys_that_do_not_sign_or_sign_together_are_told(sealed: Desk) -> None:
    path = sealed.base.settings.log_key_path
    assert the_keys(sealed).state is State.OK
    make_next_key(path)
    assert "interrupted" in the_keys(sealed).what
    add_next_key(path)
    assert the_keys(sealed).what.startswith("2 keys sign the log: ")
    remove(path)
    assert the_keys(sealed).state is State.UNKNOWN
    make_log_key(path, "log.example/doctor")
    assert the_keys(sealed).state is State.PROBLEM
    assert "stops with an alarm" in the_keys(sealed).what


async def test_file_outside_that_is_missing_behind_ahead_or_another_is_told(
    sealed: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor, path = Anchor(sealed.base.settings.seal_path), sealed.base.settings.seal_path
    older = anchor.read()
    assert the_file(sealed).state is State.OK
    await sealed.enrols(1)
    await asyncio.to_thread(sealed.base.sealer().catch_up)
    newer = anchor.read()
    assert older is not None
    assert newer is not None
    anchor.write(older)
    assert the_file(sealed).state is State.OK  # a moment ago
    monkeypatch.setattr(log, "STUCK_S", 0)
    assert (the_file(sealed).state, the_file(sealed).what[:12]) == (State.WARNING, "It is behind")
    remove(path)
    assert (the_file(sealed).state, "is not here" in the_file(sealed).what) == (State.WARNING, True)
    anchor.write(newer.replace(b"log.example", b"log.exomple"))
    assert the_file(sealed).state is State.PROBLEM
    anchor.write(newer)
    run(sealed, "DELETE FROM log_checkpoints WHERE size = (SELECT max(size) FROM log_checkpoints)")
    assert "the file outside it" in the_file(sealed).what
    assert the_file(sealed).state is State.PROBLEM
    anchor.write(older)
    run(sealed, "UPDATE log_checkpoints SET root = decode(repeat('00', 32), 'hex')")
    assert "has another checkpoint" in the_file(sealed).what


async def test_empty_log_over_events_is_never_well(desk: Desk) -> None:
    settings = desk.base.settings
    run(desk, "UPDATE events SET recorded_at = recorded_at - interval '1 minute'")
    make_log_key(settings.log_key_path, "log.example/doctor")
    assert (the_file(desk).state, the_file(desk).what[:24]) == (State.WARNING, "Nothing is sealed yet, a")
    await asyncio.to_thread(desk.base.sealer().catch_up)
    assert the_file(desk).state is State.OK
    remove(settings.seal_path)
    run(desk, "TRUNCATE log_checkpoints, log_cosignatures, log_tiles")
    assert (the_file(desk).state, "may have sealed before" in the_file(desk).what) == (State.PROBLEM, True)


async def test_witness_that_contradicts_the_log_is_told_and_does_not_count(sealed: Desk, tmp_path: Path) -> None:
    listed, database = tmp_path / "witnesses", sealed.base.database
    listed.write_text(f"https://witness.example {WITNESS.verifier}\n")
    settings = sealed.base.settings.model_copy(update={"witness_file": listed, "witness_quorum": 1})
    with database.connect("sealer") as connection:
        note_trouble(connection, database, str(WITNESS.verifier), "It says that there is more.")
        note_trouble(connection, database, SEALER, "The sealer has no file.")
    claimed, quorum = log.check_witnesses(database, settings)
    assert (claimed.state, claimed.what) == (State.PROBLEM, "It says that there is more.")
    assert (quorum.state, quorum.what[:20]) == (State.PROBLEM, "0 of 1 witnesses vou")
    assert (the_seal(sealed).state, the_seal(sealed).what) == (State.PROBLEM, "The sealer has no file.")


async def test_witnesses_that_are_silent_are_told_and_a_quorum_that_is_missed(
    sealed: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = sealed.base.database
    listed = tmp_path / "witnesses"
    listed.write_text(f"https://witness.example {WITNESS.verifier}\n")

    def look(**settings: object) -> list[Finding]:
        asked: Settings = sealed.base.settings.model_copy(update={"witness_file": listed, **settings})
        return list(log.check_witnesses(database, asked))

    assert look(witness_file=None)[0].state is State.OK
    assert "no receipt is ever" in look(witness_file=None, witness_quorum=1)[0].what
    assert [finding.state for finding in look()] == [State.OK]
    monkeypatch.setattr(log, "SILENT_S", 0)
    assert [finding.state for finding in look()] == [State.WARNING]
    assert [finding.state for finding in look(witness_quorum=1)] == [State.PROBLEM, State.WARNING]
    with database.connect("sealer") as connection:
        stored = newest(connection, database)
        assert stored is not None
        line = sign(parse_note(stored.note).text, WITNESS, seconds=1).line().encode()
        connection.execute(
            "INSERT INTO log_cosignatures (size, witness, line) VALUES (%s, %s, %s)",
            (stored.size, str(WITNESS.verifier), line),
        )
    assert [finding.state for finding in look(witness_quorum=1)] == [State.OK]
