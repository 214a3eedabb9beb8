"""Changing the log's key while it is sealed: announced, both sign, the new one alone; who holds the old one follows."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from ledger.application.evidence import EvidenceExport
from ledger.application.log import read_keys
from ledger.application.rotation import retire_log_key, rotate_log_key
from ledger.application.verification import LogVerifier, Outside
from ledger.errors import Conflict, HistoryAlarm, NotFound, NotProven, Refused
from ledger.policy.offices import Actor, Office
from ledger.seal.checkpoint import Checkpoint, open_checkpoint
from ledger.seal.note import ED25519, SignerKey, parse_note, verified_by
from ledger.seal.pack import verify_pack
from ledger.store.log_files import newest
from ledger.store.log_keys import LogKeyFile, make_log_key, make_next_key, read_log_keys, read_retired
from tests.support.api import sealing
from tests.support.desk import DIRECTOR, TEACHER
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ledger.seal.note import VerifierKey
    from ledger.store.log_files import StoredCheckpoint
    from tests.support.desk import Desk

NOW = timedelta()
OPERATOR = Actor(DIRECTOR.id, Office.SYSTEM)


@pytest_asyncio.fixture
async def keys(desk: Desk) -> Path:
    """The key file of a log over the desk's school."""
    path = desk.base.settings.log_key_path
    make_log_key(path, "log.example/rotation")
    await sealed(desk)
    return path


async def sealed(desk: Desk) -> StoredCheckpoint:
    """Seals everything and returns the newest checkpoint."""
    await asyncio.to_thread(desk.base.sealer().catch_up)
    return stored(desk)


def stored(desk: Desk) -> StoredCheckpoint:
    with desk.base.database.connect("reader") as connection:
        found = newest(connection, desk.base.database)
    assert found is not None
    return found


def signers_of(note: bytes, keys: Sequence[VerifierKey]) -> list[bool]:
    return [key in verified_by(parse_note(note), keys) for key in keys]


async def rotate(desk: Desk, path: Path) -> VerifierKey:
    return await rotate_log_key(desk.ledger, path, OPERATOR, "плановая смена")


async def retire(desk: Desk, path: Path, key: VerifierKey, grace: timedelta = NOW) -> VerifierKey:
    return await retire_log_key(desk.ledger, path, OPERATOR, key.id.hex(), "плановая смена", grace=grace)


def events(desk: Desk) -> list[tuple[str, int]]:
    with desk.base.database.connect("owner") as owner:
        return owner.execute(
            "SELECT topic, position FROM events WHERE topic LIKE 'school.log_key%' ORDER BY position"
        ).fetchall()


async def test_running_sealer_takes_over_the_new_key_and_leaves_the_old_one(desk: Desk, keys: Path) -> None:
    [old] = (key.verifier for key in read_log_keys(keys))
    with sealing(desk.base):
        new = await rotate(desk, keys)
        announced = events(desk)[-1][1]
        await until(lambda: stored(desk).size >= announced)
        [student] = await desk.enrols(1)
        last = (await desk.does(desk.mark(student), TEACHER)).position
        await until(lambda: stored(desk).size >= last)
        assert signers_of(stored(desk).note, [old, new]) == [True, True]
        assert await retire(desk, keys, old) == old
        retired = events(desk)[-1][1]
        await until(lambda: stored(desk).size >= retired)
        assert signers_of(stored(desk).note, [old, new]) == [False, True]
    assert [topic for topic, _ in events(desk)] == ["school.log_key_added", "school.log_key_retired"]
    assert [key.verifier for key in read_log_keys(keys)] == [new]
    assert read_retired(keys) == (old,)
    assert keys.stat().st_mode & 0o777 == 0o600  # noqa: ASYNC240 - nothing else runs here
    with desk.base.database.connect("owner") as owner:
        rows = owner.execute("SELECT size, note FROM log_checkpoints ORDER BY size").fetchall()
    assert {size >= retired for size, note in rows if signers_of(bytes(note), [old])[0]} == {False}


async def test_inspector_with_the_old_key_follows_to_the_new_one(desk: Desk, keys: Path, tmp_path: Path) -> None:
    export = EvidenceExport(desk.base.database).export
    kept = stored(desk).note
    [old] = (key.verifier for key in read_log_keys(keys))
    new = await rotate(desk, keys)
    await sealed(desk)
    await asyncio.to_thread(export, tmp_path / "both")
    assert await read_keys(desk.ledger) == [str(old), str(new)]
    assert verify_pack(tmp_path / "both", trusted=[old], old=kept).continues
    assert (tmp_path / "both" / "keys").read_text().splitlines() == [str(new), str(old)]
    await retire(desk, keys, old)
    await sealed(desk)
    await asyncio.to_thread(export, tmp_path / "after")
    assert verify_pack(tmp_path / "after", trusted=[old, new], old=kept).continues
    both = (tmp_path / "both" / "checkpoint").read_bytes()  # kept while both signed: the new key alone opens it
    assert verify_pack(tmp_path / "after", trusted=[new], old=both).continues
    with pytest.raises(NotProven, match="older checkpoint"):
        verify_pack(tmp_path / "after", trusted=[new], old=kept)


async def test_database_is_verified_against_checkpoints_of_the_old_key_alone(desk: Desk, keys: Path) -> None:
    kept = Outside("kept before", stored(desk).note)
    [old] = read_log_keys(keys)
    new = await rotate(desk, keys)
    await sealed(desk)
    await retire(desk, keys, old.verifier)
    await sealed(desk)
    base = desk.base

    def findings(trusted: VerifierKey, *retired: VerifierKey, also: Sequence[VerifierKey] = ()) -> list[str]:
        verifier = LogVerifier(base.database, base.mapper, base.keks, [trusted, *also], [kept], retired)
        return [finding.what for finding in verifier.verify().findings]

    assert findings(new, old.verifier) == []
    [missing] = findings(new)
    assert "signature is missing" in missing
    [back] = [what for what in findings(new, old.verifier, also=[old.verifier]) if "retired" in what]
    assert "and the keys of this host have it" in back  # an older copy of the key file was put back
    assert await read_keys(desk.ledger) == [str(new)]  # of those that are listed the one that signs
    # Whoever has stolen the retired key cannot pass off a log of its own as the newest.
    size = stored(desk).size
    with base.database.connect("owner") as owner, owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        forged = bytes(Checkpoint(old.name, size, stored(desk).root).signed_by(old))
        owner.execute("UPDATE log_checkpoints SET note = %s WHERE size = %s", (forged, size))
    assert any("signature is missing" in what for what in findings(new, old.verifier))


async def test_rotation_goes_on_where_it_was_interrupted(desk: Desk, keys: Path) -> None:
    waiting = make_next_key(keys)
    assert make_next_key(keys) == waiting
    assert await rotate(desk, keys) == waiting.verifier
    assert len(read_log_keys(keys)) == 2
    with pytest.raises(Conflict, match="Two keys"):
        await rotate(desk, keys)
    [old, _] = (key.verifier for key in read_log_keys(keys))
    await sealed(desk)
    await retire(desk, keys, old)
    await retire(desk, keys, old)  # as after a crash between the file and the event
    assert [topic for topic, _ in events(desk)] == ["school.log_key_added", "school.log_key_retired"]


async def test_key_is_not_retired_before_another_has_signed_long_enough(desk: Desk, keys: Path) -> None:
    [old] = (key.verifier for key in read_log_keys(keys))
    with pytest.raises(Conflict, match="only key"):
        await retire(desk, keys, old)
    await rotate(desk, keys)
    with pytest.raises(Conflict, match="not signed the newest"):
        await retire(desk, keys, old)
    await sealed(desk)
    with pytest.raises(Conflict, match="less than 24 hours"):
        await retire(desk, keys, old, timedelta(days=1))
    with pytest.raises(NotFound, match="no key of this id"):
        await retire_log_key(desk.ledger, keys, OPERATOR, "00000000", "причина")
    assert len(read_log_keys(keys)) == 2


async def test_rotation_without_a_reason_leaves_the_log_as_it_was(desk: Desk, keys: Path) -> None:
    with pytest.raises(Refused):
        await rotate_log_key(desk.ledger, keys, OPERATOR, " ")
    assert len(read_log_keys(keys)) == 1
    assert events(desk) == []


async def test_exchanged_key_file_is_an_alarm_and_a_missing_one_is_not(desk: Desk, keys: Path) -> None:
    sealer, old = desk.base.sealer(), read_log_keys(keys)[0]
    with desk.base.database.connect("sealer") as connection:
        sealer.recover(connection)
        keys.unlink()  # noqa: ASYNC240 - nothing else runs here
        await desk.enrols(1)
        assert sealer.seal(connection) > 0
        stranger = SignerKey(old.name, ED25519, b"\x0b" * 32)
        keys.write_text(stranger.export() + "\n")  # noqa: ASYNC240 - likewise
        await desk.enrols(1)
        with pytest.raises(HistoryAlarm, match="none of the keys"):
            sealer.seal(connection)
    assert open_checkpoint(stored(desk).note, old.verifier)


def test_key_file_is_read_again_only_when_it_was_replaced(tmp_path: Path) -> None:
    make_log_key(tmp_path / "log.key", "log.example/again")
    file = LogKeyFile(tmp_path / "log.key")
    assert file.changed() == read_log_keys(tmp_path / "log.key")
    assert file.changed() is None
