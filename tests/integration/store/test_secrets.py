"""The ledger's own secret and id: made once, opened with the right key only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledger.errors import SettingsError, Unreadable
from ledger.store.keyring import KeyEncryptionKeys
from ledger.store.migrate import migrate
from ledger.store.secrets import ensure_secrets, ledger_id, load_hasher

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Database, Row


def test_secret_is_made_once_and_stays(ledger_db: Database, keks: KeyEncryptionKeys) -> None:
    before = load_hasher(ledger_db, keks).request(b"text")
    ensure_secrets(ledger_db, keks)
    assert load_hasher(ledger_db, keks, role="projector").request(b"text") == before


def test_wrong_key_encryption_key_is_told_at_the_start(ledger_db: Database) -> None:
    with pytest.raises(Unreadable, match="does not open"):
        load_hasher(ledger_db, KeyEncryptionKeys({1: bytes(32)}))


def test_missing_epoch_is_told_at_the_start(ledger_db: Database) -> None:
    with pytest.raises(SettingsError, match="epoch 1 is missing"):
        load_hasher(ledger_db, KeyEncryptionKeys({2: bytes(32)}))


def test_ledger_without_secrets_is_not_initialised(empty_db: Database, keks: KeyEncryptionKeys) -> None:
    migrate(empty_db)
    with pytest.raises(SettingsError, match="not been initialised"):
        load_hasher(empty_db, keks)


def test_ledger_has_one_id_for_ever(ledger_db: Database, owner: psycopg.Connection[Row]) -> None:
    found = ledger_id(ledger_db)
    migrate(ledger_db)
    assert ledger_id(ledger_db, role="writer") == found
    assert owner.execute("SELECT ledger_id FROM meta").fetchall() == [(found,)]
    owner.execute("DELETE FROM meta")
    with pytest.raises(SettingsError, match="not been initialised"):
        ledger_id(ledger_db)
