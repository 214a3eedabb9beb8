"""Data keys: one for each (student, record class), so that a class can be forgotten without touching the history.

A data key is random and stored wrapped by a key-encryption key (KEK) that lives outside the database, in a file or the
environment, with an epoch number. Encryption is AES-256-GCM with a random 96-bit nonce; since GCM does not commit to
its key, each event carries a commitment to its data key. The keyring does no I/O: who needs keys loads their rows and
admits them here. Nothing in a key's repr, in an error or in a log tells its bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.errors import Erased, SettingsError, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

AES_256_GCM = 1
"""Algorithm id stored with each event: AES-256-GCM, nonce ‖ ciphertext ‖ tag, plaintext padded to 32 bytes."""

KEY_BYTES = 32
NONCE_BYTES = 12
PAD_TO = 32

_PADDINGS = tuple(b"\x80" + bytes(PAD_TO - 1 - used) for used in range(PAD_TO))
"""What fills a plaintext up, by how much of its last block is used."""

KeyName = tuple[UUID, str]
"""A subject and a record class."""

KeyNumber = tuple[int, str]
"""The same by the integer of the subject's id: hashing UUID objects runs in Python."""

SELECT_KEYS = (
    "SELECT subject_id, record_class, epoch, wrapped FROM {schema}.data_keys WHERE subject_id = ANY(%b::uuid[])"
)


def nonces(count: int) -> list[bytes]:
    """Returns so many random nonces, drawn at once: asking the system for each takes longer than to encrypt with it."""
    drawn = os.urandom(NONCE_BYTES * count)
    return [drawn[at : at + NONCE_BYTES] for at in range(0, len(drawn), NONCE_BYTES)]


class KeyRow(NamedTuple):
    """A wrapped data key as it is stored."""

    subject_id: UUID
    record_class: str
    epoch: int
    wrapped: bytes


class DataKey:
    """An unwrapped data key, ready to use, and its public commitment."""

    __slots__ = ("_aead", "commitment")

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self.commitment = hmac.digest(key, b"ledger data key commitment v1", hashlib.sha256)[:16]

    def seal(self, plaintext: bytes, associated: bytes, nonce: bytes | None = None) -> bytes:
        """Returns nonce, ciphertext and tag. Padding hides which of two short values was sealed.

        Args:
            nonce: one of `nonces`, for this value alone; drawn here where it is left out.
        """
        nonce = nonce or os.urandom(NONCE_BYTES)
        padding = _PADDINGS[len(plaintext) % PAD_TO]
        return nonce + self._aead.encrypt(nonce, plaintext + padding, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Returns the plaintext.

        Raises:
            Unreadable: the bytes were altered, moved to another place, or sealed with another key.
        """
        try:
            padded = self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except (InvalidTag, ValueError) as error:
            raise Unreadable(
                "A sealed value does not open: it was altered, moved, or sealed with another key.",
                help="Run `ledger audit` to see which records are concerned.",
            ) from error
        marked = padded.rstrip(b"\x00")
        if not marked.endswith(b"\x80"):
            raise Unreadable("A sealed value has broken padding.", help="Run `ledger audit`.")
        return marked[:-1]


class KeyEncryptionKeys:
    """The keys that wrap data keys, by epoch; the newest one wraps.

    Args:
        epochs: 32-byte keys by epoch number (from 1).
    """

    def __init__(self, epochs: Mapping[int, bytes]) -> None:
        if not epochs:
            raise SettingsError("There is no key-encryption key.", help="Set LEDGER_KEK_FILE or LEDGER_KEK.")
        for epoch, key in epochs.items():
            if epoch < 1 or len(key) != KEY_BYTES:
                raise SettingsError(
                    f"The key-encryption key of epoch {epoch} is not 32 bytes with an epoch from 1.",
                    help="Each line of the key file is `<epoch> <base64 of 32 random bytes>`.",
                )
        self._epochs = {epoch: AESGCM(key) for epoch, key in epochs.items()}
        self.epoch = max(epochs)

    @property
    def epochs(self) -> frozenset[int]:
        """The epochs whose keys are here."""
        return frozenset(self._epochs)

    @classmethod
    def parse(cls, text: str) -> KeyEncryptionKeys:
        """Reads `<epoch> <base64>` lines (also separated by commas, for an environment variable)."""
        epochs: dict[int, bytes] = {}
        for line in text.replace(",", "\n").splitlines():
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            number, _, encoded = stripped.partition(" ")
            try:
                epoch, key = int(number), base64.b64decode(encoded.strip(), validate=True)
            except (ValueError, binascii.Error):
                raise SettingsError(
                    "A key-encryption key cannot be read.",
                    help="Each line is `<epoch> <base64 of 32 random bytes>`, for example from `ledger keygen`.",
                ) from None  # the error of int() quotes its text, and that may be the key
            if epoch in epochs:
                raise SettingsError(f"Epoch {epoch} has two key-encryption keys.", help="Keep one of them.")
            epochs[epoch] = key
        return cls(epochs)

    @staticmethod
    def generate(path: Path) -> None:
        """Writes a key file with one new key, readable by its owner only; never overwrites one."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(
                "# Key-encryption keys of a ledger: without them its records cannot be read. Keep a copy apart.\n"
            )
            file.write(f"1 {base64.b64encode(os.urandom(KEY_BYTES)).decode()}\n")
            file.flush()
            os.fsync(file.fileno())

    def wrap(self, name: bytes, key: bytes) -> tuple[int, bytes]:
        """Returns the newest epoch and `key` wrapped under it, bound to `name`."""
        nonce = os.urandom(NONCE_BYTES)
        return self.epoch, nonce + self._epochs[self.epoch].encrypt(nonce, key, name)

    def unwrap(self, name: bytes, epoch: int, wrapped: bytes) -> bytes:
        """Returns the key that was wrapped for `name`.

        Raises:
            SettingsError: the key-encryption key of that epoch is not here.
            Unreadable: it is here and does not fit: another key, or altered bytes.
        """
        kek = self._epochs.get(epoch)
        if kek is None:
            raise SettingsError(
                f"The key-encryption key of epoch {epoch} is missing.", help="Add its line to the key file."
            )
        try:
            return kek.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], name)
        except (InvalidTag, ValueError) as error:
            raise Unreadable(
                f"A stored key does not open with the key-encryption key of epoch {epoch}.",
                help="Check that LEDGER_KEK_FILE (or LEDGER_KEK) is the one that this ledger was made with.",
            ) from error


def _name(subject_id: UUID, record_class: str) -> bytes:
    return b"data key\x00" + subject_id.bytes + record_class.encode()


class Keyring:
    """Data keys in use, bounded: the least recently used are forgotten and loaded again when needed."""

    def __init__(self, keks: KeyEncryptionKeys, *, maximum: int = 100_000) -> None:
        self._keks = keks
        self._keys: OrderedDict[KeyNumber, DataKey] = OrderedDict()
        self._surveyed: OrderedDict[int, None] = OrderedDict()
        self._loads = [0]
        self._maximum = maximum
        self._crowded = maximum // 2
        """Below, nobody is about to be forgotten, and which was used last need not be noted."""

    @property
    def loads(self) -> int:
        """Subjects whose keys were admitted: what memory did not have."""
        return self._loads[0]

    def find(self, subject_id: UUID, record_class: str) -> DataKey | None:
        """Returns the key if it is in memory."""
        name = (subject_id.int, record_class)
        key = self._keys.get(name)
        if key is not None and len(self._keys) > self._crowded:
            self._keys.move_to_end(name)
        return key

    def holds(self, subject_id: UUID, record_class: str) -> bool:
        """Tells whether the key is in memory, so that it stays there for whoever gets it next."""
        return Keyring.find(self, subject_id, record_class) is not None

    def missing(self, names: Iterable[KeyNumber]) -> list[UUID]:
        """Returns whose keys are not all in memory, each once; the others stay there for whoever gets them next."""
        keys, crowded = self._keys, len(self._keys) > self._crowded
        absent = {}
        for name in names:
            if name not in keys:
                absent[name[0]] = UUID(int=name[0])
            elif crowded:
                keys.move_to_end(name)
        return list(absent.values())

    def several(self, names: Mapping[KeyNumber, int]) -> dict[KeyNumber, DataKey]:
        """Returns those keys that there are; rows of all must have been admitted before.

        Args:
            names: whose and of which class, and how many records are opened with each.
        """
        keys = self._keys
        found = {name: key for name in names if (key := keys.get(name)) is not None}
        if len(keys) > self._crowded:
            for name in found:
                keys.move_to_end(name)
        return found

    def get(self, subject_id: UUID, record_class: str) -> DataKey:
        """Returns the key; its rows must have been admitted before.

        Raises:
            Erased: there is none: the class was erased for this subject.
        """
        name = (subject_id.int, record_class)
        key = self._keys.get(name)
        if key is None:
            raise Erased("The data key is gone: this record class was erased.", help="")
        if len(self._keys) > self._crowded:
            self._keys.move_to_end(name)
        return key

    def __len__(self) -> int:
        """Tells how many keys are in memory."""
        return len(self._keys)

    def surveyed(self, subject_id: UUID) -> bool:
        """Tells whether every stored key of the subject has been admitted."""
        return subject_id.int in self._surveyed

    def unsurveyed(self, subjects: Iterable[UUID]) -> list[UUID]:
        """Returns the subjects whose keys have to be loaded, each once."""
        surveyed = self._surveyed
        return list({subject.int: subject for subject in subjects if subject.int not in surveyed}.values())

    def create(self, subject_id: UUID, record_class: str) -> tuple[DataKey, KeyRow]:
        """Returns a new key and its row; it is not in the ring before its row is committed and admitted."""
        key = os.urandom(KEY_BYTES)
        epoch, wrapped = self._keks.wrap(_name(subject_id, record_class), key)
        return DataKey(key), KeyRow(subject_id, record_class, epoch, wrapped)

    def put(self, subject_id: UUID, record_class: str, key: DataKey) -> None:
        """Adds a key whose row was committed."""
        self._keys[subject_id.int, record_class] = key
        if len(self._keys) > self._maximum:
            (subject, _), _ = self._keys.popitem(last=False)
            self._surveyed.pop(subject, None)

    def drop(self, names: Iterable[KeyName]) -> None:
        """Takes keys away whose rows were not committed after all."""
        for subject_id, record_class in names:
            self._keys.pop((subject_id.int, record_class), None)

    def admit(self, subjects: Iterable[UUID], rows: Iterable[tuple[UUID, str, int, bytes]]) -> None:
        """Adds the stored keys of `subjects`; `rows` must be all of them, as SELECT_KEYS returns them."""
        for subject_id, record_class, epoch, wrapped in rows:
            if (subject_id.int, record_class) not in self._keys:
                key = self._keks.unwrap(_name(subject_id, record_class), epoch, bytes(wrapped))
                self.put(subject_id, record_class, DataKey(key))
        for subject_id in subjects:
            self._surveyed[subject_id.int] = None
            self._loads[0] += 1
        while len(self._surveyed) > self._maximum:
            self._surveyed.popitem(last=False)

    def forget(self, subjects: Iterable[UUID]) -> None:
        """Forgets what is known of the subjects' keys, after another process has made some."""
        for subject in subjects:
            self._surveyed.pop(subject.int, None)
