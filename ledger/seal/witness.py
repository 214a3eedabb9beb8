"""The witness protocol (C2SP tlog-witness): a request to cosign a checkpoint, and what a witness may answer to it.

A request says which size the witness is believed to know (`old N`), proves that the checkpoint continues that tree, and
carries the checkpoint. The rules stand here; where a witness keeps its state, and how requests travel, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from ledger.errors import NotProven
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.merkle import EMPTY_ROOT, verify_consistency
from ledger.seal.note import Note, Signature, VerifierKey, parse_note, verified_by
from ledger.seal.strict import read_hash, read_number, write_base64

MAX_PROOF = 63
MAX_REQUEST = 128 * 1024
SIZE_TYPE = "text/x.tlog.size"


class Verdict(IntEnum):
    """What a witness answers, as HTTP statuses of the specification."""

    COSIGNED = 200
    MALFORMED = 400
    UNSIGNED = 403
    UNKNOWN = 404
    CONFLICT = 409
    UNPROVEN = 422


class Denied(Exception):
    """A witness does not cosign: which answer it gives, and why in words."""

    def __init__(self, verdict: Verdict, reason: str, known: int | None = None) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.known = known
        """With CONFLICT, the size that the witness knows."""


class Request(NamedTuple):
    """A request to cosign."""

    old: int
    proof: tuple[bytes, ...]
    note: Note

    def __bytes__(self) -> bytes:
        """Returns the body of the request."""
        lines = [f"old {self.old}", *(write_base64(step) for step in self.proof)]
        return ("\n".join(lines) + "\n\n").encode() + bytes(self.note)


def parse_request(data: bytes) -> Request:
    """Returns a request, nothing of it believed yet.

    Raises:
        Denied: it is malformed.
    """
    head, parted, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
        if len(data) > MAX_REQUEST or not parted or not lines[0].startswith("old ") or len(lines) > MAX_PROOF + 1:
            raise NotProven("It does not begin with the old size and at most 63 hashes.")  # noqa: TRY301 - as below
        old = read_number(lines[0].removeprefix("old "), "old size")
        proof = tuple(read_hash(line, "step of the proof") for line in lines[1:])
        return Request(old, proof, parse_note(note))
    except (NotProven, UnicodeDecodeError) as error:
        reason = error.detail if isinstance(error, NotProven) else "It is not ASCII before the checkpoint."
        raise Denied(Verdict.MALFORMED, reason) from error


class Known(NamedTuple):
    """The newest checkpoint of a log that a witness has cosigned."""

    size: int = 0
    root: bytes = EMPTY_ROOT


def origin_of(request: Request) -> str:
    """Returns which log a request says it is of."""
    return request.note.text.partition("\n")[0]


def judge_request(request: Request, keys: Sequence[VerifierKey], known: Known) -> Checkpoint:
    """Returns the checkpoint that may be cosigned, in the order of checks of the specification.

    Args:
        keys: the verifier keys of the log that the request names; empty where the witness does not know it.
        known: what the witness has cosigned of that log; it must still be so when the new one is stored.

    Raises:
        Denied: it may not, and why.
    """
    if not keys:
        raise Denied(Verdict.UNKNOWN, "This witness does not know a log of that origin.")
    try:
        checkpoint = Checkpoint.parse(request.note.text)
    except NotProven as error:
        raise Denied(Verdict.MALFORMED, error.detail) from error
    try:
        signed = verified_by(request.note, keys)
    except NotProven as error:
        raise Denied(Verdict.UNSIGNED, error.detail) from error
    if not signed:
        raise Denied(Verdict.UNSIGNED, "The checkpoint is not signed by a key of this log.")
    if request.old > checkpoint.size:
        raise Denied(Verdict.MALFORMED, "The old size is larger than the checkpoint.")
    if request.old != known.size or (checkpoint.size == known.size and checkpoint.root != known.root):
        raise Denied(Verdict.CONFLICT, "The witness knows another size of this log.", known.size)
    try:
        verify_consistency(known.size, known.root, checkpoint.size, checkpoint.root, request.proof)
    except NotProven as error:
        raise Denied(Verdict.UNPROVEN, error.detail) from error
    return checkpoint


def read_cosignature(data: bytes, text: str, witness: VerifierKey) -> tuple[Signature, int]:
    """Returns the witness's own signature line and its time from its answer; other lines do not count.

    Raises:
        NotProven: its signature over the checkpoint is not there, or is not its own.
    """
    note = parse_note(text.encode() + b"\n" + data)
    signed = verified_by(note, [witness]) if note.text == text else {}  # an answer with an empty line adds to the text
    if witness not in signed:
        raise NotProven("The witness's answer has no signature of its own.", help="Check its verifier key.")
    line = next(found for found in note.signatures if (found.name, found.key_id) == (witness.name, witness.id))
    return line, signed[witness]
