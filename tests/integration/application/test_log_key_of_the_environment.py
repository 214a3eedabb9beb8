"""A log whose key is in LEDGER_LOG_KEY: begun by an operator, changed in two steps each, verified as any other."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from ledger.application.doctor import log
from ledger.application.doctor.findings import State
from ledger.application.rotation import announce_log_key, retire_given_key
from ledger.cli.verifying import run_verify
from ledger.errors import Conflict, HistoryAlarm, InvalidInput, NotFound, SettingsError
from ledger.policy.offices import Actor, Office
from ledger.seal.note import ED25519, SignerKey, parse_note, verified_by
from ledger.store import sealer as sealing
from ledger.store.anchor import LostAnchor
from ledger.store.log_files import newest
from ledger.store.log_key_source import LogKeyVariable
from tests.support.desk import DIRECTOR
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.bootstrap import Foundation
    from tests.support.desk import Desk

OPERATOR = Actor(DIRECTOR.id, Office.SYSTEM)
OLD, NEW, THIRD = (SignerKey("log.example/env", ED25519, bytes((seed,)) * 32) for seed in (1, 2, 3))
WHY = "плановая смена"


def given(base: Foundation, *keys: object) -> Foundation:
    """Returns the ledger as of a process with these in its environment; signing keys as they are exported."""
    parts = [key.export() if isinstance(key, SignerKey) else str(key) for key in keys]
    return replace(base, settings=base.settings.model_copy(update={"log_key": SecretStr(",".join(parts))}))


def source(*keys: object) -> LogKeyVariable:
    return LogKeyVariable(",".join(key.export() if isinstance(key, SignerKey) else str(key) for key in keys))


def signers(base: Foundation) -> list[SignerKey]:
    with base.database.connect("reader") as connection:
        stored = newest(connection, base.database)
    assert stored is not None
    found = verified_by(parse_note(stored.note), [key.verifier for key in (OLD, NEW)])
    return [key for key in (OLD, NEW) if key.verifier in found]


def begun(desk: Desk) -> Foundation:
    base = given(desk.base, OLD)
    base.sealer().trust(accepting=True)
    base.sealer().catch_up()
    return base


def findings(base: Foundation) -> list[str]:
    return [finding.what for finding in run_verify(base, [], []).findings]


async def test_log_begins_by_an_operators_word_and_makes_no_key_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "LOST_S", 0.02)
    base = given(desk.base, OLD)
    base.ensure_log_key()
    with pytest.raises(LostAnchor, match="may have sealed before") as raised:
        base.sealer().catch_up()
    assert "LEDGER_LOG_KEY begins so" in raised.value.help
    stop = threading.Event()
    running = asyncio.create_task(asyncio.to_thread(base.sealer().run, stop))  # the service waits, and goes on
    try:
        assert base.sealer().trust(accepting=True).size == 0
        await until(lambda: not running.done() and _sealed(base) > 0)
    finally:
        stop.set()
        await running
    assert findings(base) == []
    assert not base.settings.log_key_path.exists()
    (told,) = log.check_keys(base.database, base.settings)
    assert (told.state, OLD.verifier.id.hex() in told.what) == (State.OK, True)
    (told,) = log.check_anchor(base.database, base.settings)
    assert told.state == State.OK


def _sealed(base: Foundation) -> int:
    with base.database.connect("reader") as connection:
        stored = newest(connection, base.database)
    return stored.size if stored else 0


async def test_emptied_log_is_not_begun_anew_by_a_key_of_the_environment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LATE_S", 0)
    base = begun(desk)
    base.settings.seal_path.unlink()
    with base.database.connect("owner") as owner, owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute("DELETE FROM log_checkpoints")
        owner.execute("DELETE FROM log_tiles")
    with pytest.raises(LostAnchor):
        base.sealer().catch_up()
    (told,) = log.check_anchor(base.database, base.settings)
    assert (told.state, "may have sealed before" in told.what) == (State.PROBLEM, True)


async def test_keys_of_the_environment_change_in_two_steps_each(desk: Desk) -> None:
    base, now = begun(desk), timedelta()
    vkey, old_id = str(NEW.verifier), OLD.verifier.id.hex()
    with pytest.raises(Conflict, match="only key"):
        await retire_given_key(desk.ledger, source(OLD), OPERATOR, old_id, WHY, grace=now)
    assert await announce_log_key(desk.ledger, source(OLD), OPERATOR, vkey, WHY) == NEW.verifier
    assert await announce_log_key(desk.ledger, source(OLD, NEW), OPERATOR, vkey, WHY) == NEW.verifier  # repeated
    both = given(base, OLD, NEW)
    both.sealer().catch_up()
    assert signers(base) == [OLD, NEW]
    with pytest.raises(Conflict, match="Two keys"):
        await announce_log_key(desk.ledger, source(OLD, NEW), OPERATOR, str(THIRD.verifier), WHY)
    with pytest.raises(Conflict, match="less than 24 hours"):
        await retire_given_key(desk.ledger, source(OLD, NEW), OPERATOR, old_id, WHY)
    with pytest.raises(Conflict, match="signs as long as it is"):
        await retire_given_key(desk.ledger, source(OLD, NEW), OPERATOR, old_id, WHY, grace=now)
    after = given(base, OLD.verifier, NEW)
    with pytest.raises(Conflict, match="still has the key's signature"):
        await retire_given_key(desk.ledger, source(OLD.verifier, NEW), OPERATOR, old_id, WHY, grace=now)
    await desk.enrols(1)
    after.sealer().catch_up()
    assert signers(base) == [NEW]
    for _ in range(2):  # repeated as well
        retired = await retire_given_key(desk.ledger, source(OLD.verifier, NEW), OPERATOR, old_id, WHY, grace=now)
        assert retired == OLD.verifier
    after.sealer().catch_up()
    assert findings(after) == []
    with base.database.connect("owner") as owner:
        topics = owner.execute("SELECT topic FROM events WHERE topic LIKE 'school.log_key%' ORDER BY position")
        assert [topic for (topic,) in topics.fetchall()] == ["school.log_key_added", "school.log_key_retired"]
    assert any("retired it" in what for what in findings(both))  # the old environment was put back


@pytest.mark.parametrize(
    ("vkey", "why"),
    [
        ("nonsense", "no verifier key"),
        (str(SignerKey("log.example/other", ED25519, b"\x05" * 32).verifier), "cannot sign this log"),
        (str(THIRD.verifier), "cannot sign this log"),
    ],
)
async def test_key_that_cannot_follow_is_not_announced(desk: Desk, vkey: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        await announce_log_key(desk.ledger, source(OLD, THIRD.verifier), OPERATOR, vkey, WHY)
    with pytest.raises(Conflict, match="signs the log alone"):
        await announce_log_key(desk.ledger, source(OLD), OPERATOR, str(OLD.verifier), WHY)
    with pytest.raises(NotFound, match="no key of this id"):
        await retire_given_key(desk.ledger, source(OLD), OPERATOR, "00000000", WHY)


async def test_database_is_verified_where_the_list_of_witnesses_cannot_be_read(desk: Desk, tmp_path: Path) -> None:
    base = begun(desk)
    changed = base.settings.model_copy(update={"witness_file": tmp_path / "none"})
    report = run_verify(replace(base, settings=changed), [], [])
    assert report.sound
    assert report.not_checked[-1].startswith("Which witnesses this host knows: The list of witnesses ")


async def test_key_that_never_signed_the_log_is_an_alarm_in_the_environment_too(desk: Desk) -> None:
    begun(desk)
    await desk.enrols(1)
    with pytest.raises(HistoryAlarm, match="not signed by its key"):
        given(desk.base, NEW).sealer().catch_up()


async def test_unusable_environment_is_refused_before_anything_starts(desk: Desk) -> None:
    with pytest.raises(SettingsError, match="no key"):
        given(desk.base, "canary").ensure_log_key()
