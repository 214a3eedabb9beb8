"""Secrets that a ledger keeps for ever: the key of its keyed hashes.

Idempotency keys, request bodies and foreign ids may hold personal data, so only keyed hashes of them are stored. The
secret is made with the ledger and wrapped by the key-encryption key, which it also serves to check at every start.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.errors import SettingsError
from ledger.store.database import translated
from ledger.store.keyring import KEY_BYTES

if TYPE_CHECKING:
    from ledger.store.database import Database
    from ledger.store.keyring import KeyEncryptionKeys

_HASHING = "hashing"


class Hasher:
    """Keyed hashes (HMAC-SHA-256) for one ledger; the purpose keeps them apart from each other.

    The two hashes that an HMAC begins with its key (RFC 2104) are made once: each command needs two HMACs.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in block]))
        self._outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in block]))

    def _digest(self, *parts: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(b"".join([len(part).to_bytes(4) + part for part in parts]))
        outer.update(inner.digest())
        return outer.digest()

    def command(self, client: UUID, key: str) -> bytes:
        """Returns the stored id of a client's idempotency key."""
        return self._digest(b"command", client.bytes, key.encode())

    def request(self, content: bytes) -> bytes:
        """Returns the stored hash of what a request asked for."""
        return self._digest(b"request", content)

    def login(self, issuer: str, subject: str) -> UUID:
        """Returns the id of a login: who has it cannot tell, without the key, whose name at which provider it is."""
        digest = self._digest(b"login", issuer.encode(), subject.encode())
        custom = int.from_bytes(digest[:16]) & ~(0xF << 76 | 0x3 << 62) | (0x8 << 76 | 0x2 << 62)  # RFC 9562 5.8
        return UUID(int=custom)

    def blind_index(self, field: str, value: str) -> bytes:
        """Returns the search token of a value, for finding a row by what is sealed in it."""
        return self._digest(b"blind index", field.encode(), value.encode())


def load_hasher(database: Database, keks: KeyEncryptionKeys, *, role: str = "writer") -> Hasher:
    """Returns the ledger's hasher; proves at the same time that the key-encryption key is the right one.

    Raises:
        SettingsError: the ledger has not been initialised.
        Unreadable: the key-encryption key is not this ledger's.
    """
    with translated(), database.connect(role) as connection:
        row = connection.execute(
            database.bind("SELECT epoch, wrapped FROM {schema}.secrets WHERE name = %s"), (_HASHING,)
        ).fetchone()
    if row is None:
        raise SettingsError("The ledger has not been initialised.", help="Run `ledger migrate` first.")
    return Hasher(keks.unwrap(b"secret\x00" + _HASHING.encode(), row[0], bytes(row[1])))


def ensure_secrets(database: Database, keks: KeyEncryptionKeys) -> None:
    """Makes the ledger's secrets if it has none; run by the owner with the migrations."""
    key = os.urandom(KEY_BYTES)
    epoch, wrapped = keks.wrap(b"secret\x00" + _HASHING.encode(), key)
    with translated(), database.connect("owner") as connection:
        connection.execute(
            database.bind(
                "INSERT INTO {schema}.secrets (name, epoch, wrapped) VALUES (%s, %s, %s) ON CONFLICT (name) DO NOTHING"
            ),
            (_HASHING, epoch, wrapped),
        )


def ledger_id(database: Database, *, role: str = "reader") -> UUID:
    """Returns the ledger's own id, which is also the id of its school's stream."""
    with translated(), database.connect(role) as connection:
        row = connection.execute(database.bind("SELECT ledger_id FROM {schema}.meta")).fetchone()
    if row is None:
        raise SettingsError("The ledger has not been initialised.", help="Run `ledger migrate` first.")
    return UUID(str(row[0]))
