"""Signed notes (C2SP signed-note) and cosignatures (C2SP tlog-cosignature): text that keys vouch for.

A note is text that ends with a line end, an empty line, and one line for each signature: an em dash, the key's name,
and base64 of the key's id and the signature. A key's id is made of its name, kind and bytes, so a name alone never
stands for a key. Signing keys are bytes in memory here; where they are kept is not this module's matter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.errors import NotProven
from ledger.seal.strict import read_base64, write_base64

ED25519 = 1
COSIGNATURE = 4
"""Kinds of keys: plain Ed25519 for a log, Ed25519 over a timed statement for a witness (cosignature/v1)."""

SIGNER = "PRIVATE+KEY+"
"""How the text of a signing key begins."""

ID_BYTES = 4
KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_SIGNATURES = 64
MAX_NOTE = 64 * 1024

_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+]+")
_FETCH = "It was altered or badly copied; fetch it again."


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Returns the id of a key: the first four bytes of `SHA-256(name ‖ 0A ‖ kind ‖ public key)`."""
    return hashlib.sha256(name.encode() + b"\n" + bytes((kind,)) + public).digest()[:ID_BYTES]


class VerifierKey(NamedTuple):
    """Whoever's signatures are believed: a name, a kind and an Ed25519 public key."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The key's id."""
        return key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        """Returns the key as it is handed out (vkey): `name+id+base64(kind ‖ key)`."""
        return f"{self.name}+{self.id.hex()}+{write_base64(bytes((self.kind,)) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Reads a vkey.

        Raises:
            NotProven: it is none, its id is not that of its key, or its kind is not known here.
        """
        name, _, rest = text.strip().partition("+")
        identity, _, encoded = rest.partition("+")
        kind, public = _read_key(name, encoded)
        key = cls(name, kind, public)
        if key.id.hex() != identity:
            raise NotProven("The id in the verifier key is not the one of its key.", help=_FETCH)
        return key


class SignerKey(NamedTuple):
    """A key that signs: a name, a kind and the 32 bytes of an Ed25519 private key. Never print one."""

    name: str
    kind: int
    seed: bytes

    def __repr__(self) -> str:
        """Returns the name alone: a key must not get into a log."""
        return f"SignerKey({self.name!r})"

    @property
    def verifier(self) -> VerifierKey:
        """What others verify with."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return VerifierKey(self.name, self.kind, private.public_key().public_bytes_raw())

    def export(self) -> str:
        """Returns the key as text, in the form that Go's note package writes: keep it secret."""
        return f"{SIGNER}{self.name}+{self.verifier.id.hex()}+{write_base64(bytes((self.kind,)) + self.seed)}"

    @classmethod
    def parse(cls, text: str) -> SignerKey:
        """Reads a signing key from its text.

        Raises:
            NotProven: it is none; the message does not tell what it was.
        """
        stripped = text.strip()
        if not stripped.startswith(SIGNER):
            raise NotProven("This is no signing key.", help="It begins with PRIVATE+KEY+; see `ledger keygen --help`.")
        name, _, rest = stripped.removeprefix(SIGNER).partition("+")
        identity, _, encoded = rest.partition("+")
        kind, seed = _read_key(name, encoded)
        key = cls(name, kind, seed)
        if key.verifier.id.hex() != identity:
            raise NotProven("The id in the signing key is not the one of its key.", help="Use it exactly as written.")
        return key


def _read_key(name: str, encoded: str) -> tuple[int, bytes]:
    if not _NAME.fullmatch(name):
        raise NotProven("A key needs a name without spaces and plus signs.", help=_FETCH)
    data = read_base64(encoded, "key")
    if len(data) != 1 + KEY_BYTES or data[0] not in (ED25519, COSIGNATURE):
        raise NotProven("The key is not an Ed25519 key of a log or witness.", help=_FETCH)
    return data[0], data[1:]


class Signature(NamedTuple):
    """A signature line: whose it says it is, and its bytes (of a witness: eight bytes of time, then the signature)."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """Returns the line, with its end."""
        return f"{_DASH}{self.name} {write_base64(self.key_id + self.value)}\n"


class Note(NamedTuple):
    """A text (ends with a line end) and its signatures, verified or not."""

    text: str
    signatures: tuple[Signature, ...]

    def __bytes__(self) -> bytes:
        """Returns the note as it is served."""
        return (self.text + "\n" + "".join(signature.line() for signature in self.signatures)).encode()

    def signed(self, *more: Signature) -> Note:
        """Returns the note with more signatures."""
        return Note(self.text, (*self.signatures, *more))


def parse_note(data: bytes) -> Note:
    """Returns a note; nothing is verified yet.

    Raises:
        NotProven: it is none: not UTF-8, control characters, no signature, a line that is no signature.
    """
    try:
        whole = data.decode() if len(data) <= MAX_NOTE else ""
    except UnicodeDecodeError:
        whole = ""
    # The text may have empty lines of its own; the signatures stand behind the last one.
    text, parted, signatures = whole.rpartition("\n\n")
    if not parted or not signatures.endswith("\n") or any(letter < " " and letter != "\n" for letter in whole):
        raise NotProven("This is no signed note.", help=_FETCH)
    lines = signatures.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NotProven(f"The note has more than {MAX_SIGNATURES} signatures.", help=_FETCH)
    return Note(text + "\n", tuple(_read_signature(line) for line in lines))


def _read_signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not _NAME.fullmatch(name):
        raise NotProven("A signature line of the note is none.", help=_FETCH)
    data = read_base64(encoded, "signature")
    if len(data) <= ID_BYTES:
        raise NotProven("A signature of the note is cut off.", help=_FETCH)
    return Signature(name, data[:ID_BYTES], data[ID_BYTES:])


def sign(text: str, signer: SignerKey, *, seconds: int = 0) -> Signature:
    """Returns the signature of a note's text.

    Args:
        seconds: for a witness, when it saw the checkpoint (seconds since 1970); a log's signature has no time.
    """
    private = Ed25519PrivateKey.from_private_bytes(signer.seed)
    if signer.kind == COSIGNATURE:
        value = seconds.to_bytes(8) + private.sign(_timed(text, seconds))
    else:
        value = private.sign(text.encode())
    return Signature(signer.name, signer.verifier.id, value)


def _timed(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def verify(text: str, signature: Signature, key: VerifierKey) -> int:
    """Passes if the signature over the text is the key's; returns a witness's time, 0 for a log.

    Raises:
        NotProven: it is not.
    """
    value, message, seconds = signature.value, text.encode(), 0
    if key.kind == COSIGNATURE:
        seconds = int.from_bytes(value[:8])
        value, message = value[8:], _timed(text, seconds)
    try:
        if len(value) != SIGNATURE_BYTES or signature.key_id != key.id or signature.name != key.name:
            raise InvalidSignature  # noqa: TRY301 - one answer to all of it
        Ed25519PublicKey.from_public_bytes(key.public).verify(value, message)
    except (InvalidSignature, ValueError):
        raise NotProven(
            f"The signature of {key.name} is not its own.",
            help="Do not believe this note; compare the verifier key with the one that you were given.",
        ) from None
    return seconds


def verified_by(note: Note, keys: Sequence[VerifierKey]) -> dict[VerifierKey, int]:
    """Returns which of the keys signed the note, with a witness's time; signatures of other keys do not count.

    Raises:
        NotProven: a signature that says it is one of the keys' is not, or a key signed twice.
    """
    found: dict[VerifierKey, int] = {}
    known = {(key.name, key.id): key for key in keys}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if key in found:
            raise NotProven(f"The note has two signatures of {key.name}.", help=_FETCH)
        found[key] = verify(note.text, signature, key)
    return found


def distinct(keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Returns the keys.

    Raises:
        NotProven: two have the same name and id, so that nobody could tell which of them signed.
    """
    listed = tuple(keys)
    if len({(key.name, key.id) for key in listed}) != len(listed):
        raise NotProven("Two verifier keys have the same name and id.", help="Keep one of them.")
    return listed
