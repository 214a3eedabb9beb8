"""Checkpoints (C2SP tlog-checkpoint): what a log says it is: its origin, its size and its root, signed.

Three lines and no more: extension lines are refused, because witnesses refuse them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ledger.errors import NotProven
from ledger.seal.note import COSIGNATURE, Note, SignerKey, VerifierKey, parse_note, sign, verified_by
from ledger.seal.strict import read_hash, read_number, write_base64

_LINES = 3


class Checkpoint(NamedTuple):
    """The state of a log: leaves so far and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{write_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Reads the text of a checkpoint.

        Raises:
            NotProven: it has not exactly the three lines.
        """
        lines = text.split("\n")
        if len(lines) != _LINES + 1 or lines[-1] or not lines[0]:
            raise NotProven(
                "A checkpoint has exactly three lines: origin, size, root.", help="Check where it comes from."
            )
        return cls(lines[0], read_number(lines[1], "size"), read_hash(lines[2], "root"))

    def signed_by(self, signer: SignerKey) -> Note:
        """Returns the checkpoint as a note that the log signed."""
        return Note(self.text, (sign(self.text, signer),))


class SignedCheckpoint(NamedTuple):
    """A checkpoint whose log's signature was verified, with the witnesses that vouch for it and their times."""

    checkpoint: Checkpoint
    note: Note
    witnesses: dict[VerifierKey, int]


def open_checkpoint(
    data: bytes, log: VerifierKey, witnesses: Sequence[VerifierKey] = (), *, quorum: int = 0
) -> SignedCheckpoint:
    """Returns a checkpoint that the log signed and enough witnesses vouch for.

    Raises:
        NotProven: another origin, no valid signature of the log, or fewer than `quorum` of the witnesses.
    """
    return open_signed(data, [log], witnesses, quorum=quorum)


def open_signed(
    data: bytes, logs: Sequence[VerifierKey], witnesses: Sequence[VerifierKey] = (), *, quorum: int = 0
) -> SignedCheckpoint:
    """Returns a checkpoint that one of the log's keys signed: while keys change it has several.

    A signature that says it is one of these keys' and is not is refused, also beside another one that is.

    Args:
        logs: verifier keys of the log, each trusted by itself: that two stand under one note does not make one of
            them vouch for the other, since anybody can add a signature of his own.
        witnesses: keys of witnesses, of which `quorum` must vouch.

    Raises:
        NotProven: as `open_checkpoint`.
    """
    note = parse_note(data)
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin not in {log.name for log in logs}:
        raise NotProven(
            "The checkpoint is of another log than the verifier key.", help="Check which of the two you were given."
        )
    signers = verified_by(note, (*logs, *witnesses))
    if not any(log in signers and log.name == checkpoint.origin for log in logs):
        raise NotProven("The log's own signature is missing.", help="Check the verifier key and fetch it again.")
    own = {log.public for log in logs}
    vouching = {key: time for key, time in signers.items() if key.kind == COSIGNATURE and key.public not in own}
    if (independent := _independent(vouching)) < quorum:
        raise NotProven(
            f"{independent} of the known witnesses vouch for the checkpoint; {quorum} must.",
            help="Wait for their cosignatures, or ask the operator why they are missing.",
        )
    return SignedCheckpoint(checkpoint, note, vouching)


def _independent(keys: Iterable[VerifierKey]) -> int:
    """Returns how many witnesses the keys are of: one with several keys, or several names, vouches once."""
    counted, seen = 0, set[str | bytes]()
    for key in keys:
        counted += seen.isdisjoint((key.name, key.public))
        seen |= {key.name, key.public}
    return counted
