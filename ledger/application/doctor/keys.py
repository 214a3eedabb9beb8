"""The keys: whether their files are there and closed to others, and whether they open what is stored."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from ledger.application.doctor.findings import Finding, ok, problem, unknown, warning
from ledger.errors import LedgerError, SettingsError, Unreadable
from ledger.store.database import translated
from ledger.store.keyring import Keyring, KeyRow
from ledger.store.secrets import load_hasher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ledger.store.database import Database
    from ledger.store.keyring import KeyEncryptionKeys


def check_file(check: str, path: Path, read: Callable[[], object], *, made: bool, command: str) -> Iterator[Finding]:
    """Yields whether a key file is there, is a key, and is closed to others.

    Args:
        read: reads it, or raises a LedgerError.
        made: whether it is made by itself on the first start, so that it need not be there yet.
        command: what makes one.
    """
    if not path.exists():
        if made:
            yield ok(check, "made on the first start")
        else:
            yield problem(check, f"{path} does not exist.", f"Put it back; for a new ledger make one: `{command}`.")
        return
    try:
        read()
    except LedgerError as error:
        yield problem(check, error.detail, error.help)
        return
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) and path.parent.stat().st_mode & stat.S_IXOTH:
        yield warning(check, f"{path} can be read by others here.", f"chmod 600 {path}, or close its folder.")
    else:
        yield ok(check, str(path))


def check_kek(database: Database, keks: KeyEncryptionKeys) -> Iterator[Finding]:
    """Yields whether the key-encryption keys are this ledger's, and every epoch in use is among them."""
    try:
        load_hasher(database, keks)
    except (Unreadable, SettingsError) as error:
        yield problem("key-encryption key", error.detail, error.help)
        return
    with translated(), database.connect("writer") as connection:
        rows = connection.execute(
            "SELECT DISTINCT ON (epoch) subject_id, record_class, epoch, wrapped FROM data_keys ORDER BY epoch"
        ).fetchall()
    wrong: list[Finding] = []
    for row in map(KeyRow._make, rows):
        if row.epoch not in keks.epochs:
            todo = "Add its line to the key file; without it these records cannot be read."
            wrong.append(problem("epochs", f"Data keys of epoch {row.epoch} are stored; its key is not here.", todo))
            continue
        try:
            Keyring(keks).admit([row.subject_id], [row])
        except Unreadable as error:
            wrong.append(problem("epochs", error.detail, error.help))
    if max(keks.epochs) not in {row[2] for row in rows} and rows:
        yield unknown("key-encryption key", f"Epoch {max(keks.epochs)} wraps new keys, and none has come yet.")
    else:
        yield ok("key-encryption key", "fits this ledger")
    yield from wrong or [ok("epochs", ", ".join(str(row[2]) for row in rows) or "no data keys yet")]
