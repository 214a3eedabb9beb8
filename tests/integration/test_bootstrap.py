"""Wiring: what a process needs is checked before anything is started, and keys are never made for data that exist."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from ledger.bootstrap import foundation, open_ledger, read_keks
from ledger.errors import SettingsError, StoreUnavailable, Unreadable
from ledger.settings import Settings
from ledger.store.database import Database

if TYPE_CHECKING:
    from pathlib import Path


def settings_of(database: Database, folder: Path, *, kek: str | None = None) -> Settings:
    return Settings(
        home=folder,
        database_url=SecretStr(database.url),
        db_schema=database.schema,
        kek=SecretStr(kek) if kek else None,
    )


async def test_new_ledger_on_a_server_is_migrated_and_the_same_one_ever_after(
    empty_db: Database, tmp_path: Path, kek_text: str
) -> None:
    settings = settings_of(empty_db, tmp_path, kek=kek_text)
    with foundation(settings) as first:
        async with open_ledger(first) as ledger:
            assert (ledger.id, ledger.school.stream_id) == (first.id, first.id)
        token = first.hasher.blind_index("field", "value")
    with foundation(settings, migrating=False) as second:
        assert second.id == first.id
        assert second.hasher.blind_index("field", "value") == token


def test_key_that_is_not_this_ledgers_starts_nothing(ledger_db: Database, tmp_path: Path) -> None:
    other = f"1 {base64.b64encode(bytes(32)).decode()}"
    with pytest.raises(Unreadable), foundation(settings_of(ledger_db, tmp_path, kek=other)):
        pytest.fail("It was opened.")


def test_missing_key_file_of_a_ledger_on_a_server_is_not_made(ledger_db: Database, tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match="does not exist"),
        foundation(settings_of(ledger_db, tmp_path)),
    ):
        pytest.fail("It was opened.")
    assert list(tmp_path.iterdir()) == []


def test_key_file_is_made_once_for_an_embedded_ledger_without_data(
    empty_db: Database, ledger_db: Database, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, db_schema=empty_db.schema)
    keks = read_keks(settings, empty_db)
    assert settings.kek_path.stat().st_mode & 0o077 == 0
    before = settings.kek_path.read_bytes()
    assert read_keks(settings, empty_db).epoch == keks.epoch
    assert settings.kek_path.read_bytes() == before
    settings.kek_path.unlink()
    with pytest.raises(SettingsError, match="does not exist"):
        read_keks(settings, ledger_db)
    assert not settings.kek_path.exists()


def test_key_file_that_cannot_be_read_is_named_without_its_content(empty_db: Database, tmp_path: Path) -> None:
    path = tmp_path / "kek"
    path.write_bytes("1 ключ".encode())
    settings = Settings(home=tmp_path, db_schema=empty_db.schema, kek_file=path)
    with pytest.raises(SettingsError, match="cannot be read") as refused:
        read_keks(settings, empty_db)
    assert "ключ" not in str(refused.value)


def test_database_that_does_not_answer_is_said_so(tmp_path: Path, kek_text: str) -> None:
    nowhere = Database(f"postgresql://nobody@/x?host={tmp_path}", "ledger")
    with pytest.raises(StoreUnavailable), foundation(settings_of(nowhere, tmp_path, kek=kek_text)):
        pytest.fail("It was opened.")
