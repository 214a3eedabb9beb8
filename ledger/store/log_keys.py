"""The log's signing keys: a file outside the database, one key a line, all of one name (the log's origin).

Several lines stand there only while keys change: every checkpoint is signed by all of them, so that whoever knows the
old key can go on to the new one. Whoever has this file can sign in the name of the log; keep it apart from the
database and from its backups.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ledger.errors import NotProven, SettingsError
from ledger.ids import new_id
from ledger.seal.note import ED25519, SignerKey, distinct

if TYPE_CHECKING:
    from pathlib import Path

_HELP = "Each line is a key as `ledger keygen --log` writes it."


def make_log_key(path: Path, origin: str) -> None:
    """Writes a new key, readable by its owner only; of several processes that do so at once one wins.

    Raises:
        SettingsError: the origin cannot name a log, or the file cannot be written.
    """
    key = SignerKey(origin, ED25519, os.urandom(32))
    try:
        SignerKey.parse(key.export())
    except NotProven as error:
        raise SettingsError("A log's origin has neither spaces nor plus signs.", help=error.help) from error
    fresh = path.with_name(f"{path.name}.{new_id().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("# Signs this log's checkpoints. Keep it secret, and apart from the database.\n")
            file.write(key.export() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # fails where another process was first; its key is the log's then
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}).", help="Name another file.") from error


def read_log_keys(path: Path) -> tuple[SignerKey, ...]:
    """Returns the keys of the file, in their order.

    Raises:
        SettingsError: it cannot be read, or holds something else; nothing of it is told.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        keys = tuple(SignerKey.parse(line) for line in lines if line and not line.startswith("#"))
        distinct([key.verifier for key in keys])
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The key file of the log {path} cannot be read.", help="Check its permissions and content."
        ) from error
    except NotProven as error:
        raise SettingsError(f"The key file of the log {path} holds something that is no key.", help=_HELP) from error
    if not keys or len({key.name for key in keys}) != 1 or any(key.kind != ED25519 for key in keys):
        raise SettingsError(f"The key file {path} must hold keys of one log.", help=_HELP)
    return keys
