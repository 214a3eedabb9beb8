"""Receipts (C2SP tlog-proof, `.tlog-proof`): one file that proves an entry to be in a log, without asking anybody.

c2sp.org/tlog-proof@v1
extra <base64>            what the holder needs besides, optional; not covered by the proof
index <decimal>
<base64 of a hash>        from the leaf to the root
…
(an empty line)
(the checkpoint, a signed note)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledger.errors import NotProven
from ledger.seal.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.seal.merkle import leaf_hash, verify_inclusion
from ledger.seal.note import VerifierKey
from ledger.seal.strict import read_base64, read_hash, read_number, write_base64

HEADER = "c2sp.org/tlog-proof@v1"
MAX_STEPS = 63
"""More steps than the tallest tree has levels are no proof."""


class Receipt(NamedTuple):
    """A proof of inclusion of the leaf with that index, with the checkpoint that it leads to."""

    leaf: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __bytes__(self) -> bytes:
        """Returns the file."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {write_base64(self.extra)}")
        lines.append(f"index {self.leaf}")
        lines += [write_base64(step) for step in self.path]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint


def parse_receipt(data: bytes) -> Receipt:
    """Returns a receipt; nothing is verified yet.

    Raises:
        NotProven: it is none, or one of its parts is not in canonical form.
    """
    head, parted, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        lines = []
    if not parted or not lines or lines.pop(0) != HEADER:
        raise NotProven("This is no receipt (.tlog-proof).", help="Its first line is " + HEADER + ".")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = read_base64(lines.pop(0).removeprefix("extra "), "extra data")
    if not lines or not lines[0].startswith("index "):
        raise NotProven("The receipt does not say its index.", help="It was altered or badly copied.")
    index = read_number(lines.pop(0).removeprefix("index "), "index")
    if len(lines) > MAX_STEPS:
        raise NotProven("The receipt's proof is longer than any tree is high.", help="It was altered.")
    return Receipt(index, tuple(read_hash(line, "step of the proof") for line in lines), checkpoint, extra)


def verify_receipt(
    receipt: Receipt, entry: bytes, log: VerifierKey, witnesses: Sequence[VerifierKey] = (), *, quorum: int = 0
) -> SignedCheckpoint:
    """Returns the checkpoint if it is the log's and the path leads from the entry's leaf to its root.

    Raises:
        NotProven: at the first thing that does not hold.
    """
    signed = open_checkpoint(receipt.checkpoint, log, witnesses, quorum=quorum)
    verify_inclusion(leaf_hash(entry), receipt.leaf, signed.checkpoint.size, receipt.path, signed.checkpoint.root)
    return signed
