"""A receipt from an evidence pack: whoever has the pack of a whole log has the receipt of every record in it.

It is the one that the service hands out under the pack's checkpoint, byte for byte, made of the tiles in the pack. So
it can go to whom the record concerns, long after the service is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ledger.errors import InvalidInput, NotProven
from ledger.seal.check import WrongAt
from ledger.seal.checkpoint import open_signed
from ledger.seal.entry import Entry, decode_entry
from ledger.seal.merkle import inclusion_proof, leaf_hash, verify_inclusion
from ledger.seal.note import VerifierKey, distinct
from ledger.seal.pack import PackInfo, bundles_of, read_info, read_lines, read_tile
from ledger.seal.proof import Receipt, parse_receipt
from ledger.seal.tiles import ENTRIES, WIDTH, read_bundle, tile_at, tiled_nodes


class PackReceipt(NamedTuple):
    """A receipt that was verified, and the entry that it is about where the pack holds it."""

    receipt: bytes
    entry: Entry | None


def make_receipt(folder: Path, position: int, trusted: Sequence[VerifierKey] = ()) -> PackReceipt:
    """Returns the receipt of the entry at a position, verified under the pack's checkpoint.

    Of the pack only what this receipt stands on is looked at; `verify_pack` verifies the whole of it.

    Args:
        trusted: the log's verifier keys as they were handed out elsewhere; without any the pack's own are taken.

    Raises:
        InvalidInput: the checkpoint covers no such position. WrongAt: the entry or its path was altered.
        NotProven: the checkpoint is not the log's, or something is missing from the pack.
    """
    info = read_info(folder)
    note = _read(folder, "checkpoint")
    keys = distinct(trusted or [VerifierKey.parse(line) for line in read_lines(folder, "keys")])
    checkpoint = open_signed(note, keys).checkpoint
    if not 1 <= position <= checkpoint.size:
        raise InvalidInput(
            f"The pack has no position {position}.", help=f"Its checkpoint covers 1 to {checkpoint.size}."
        )
    data: bytes | None
    if info.kind == "student":
        receipt, data = _kept(folder, position, note)
        leaf = leaf_hash(data)
    else:
        nodes = tiled_nodes(lambda tile: read_tile(folder, tile), checkpoint.size)
        receipt = Receipt(position - 1, tuple(inclusion_proof(nodes, position - 1, checkpoint.size)), note)
        data = _entry(folder, info, checkpoint.size, position)
        leaf = nodes(0, position - 1) if data is None else leaf_hash(data)
    try:
        verify_inclusion(leaf, receipt.leaf, checkpoint.size, receipt.path, checkpoint.root)
        entry = decode_entry(data) if data is not None else None
    except (NotProven, InvalidInput) as error:
        raise WrongAt(position, error.detail) from error
    if entry is not None and entry.position != position:
        raise WrongAt(position, "the entry says that it stands elsewhere.")
    return PackReceipt(bytes(receipt), entry)


def _entry(folder: Path, info: PackInfo, size: int, position: int) -> bytes | None:
    """Returns the bytes of an entry; None where the pack begins later and has its hash alone."""
    bundle = tile_at(ENTRIES, (position - 1) // WIDTH, size)
    if bundle not in bundles_of(size, info.since):
        return None
    try:
        return read_bundle(read_tile(folder, bundle), bundle)[(position - 1) % WIDTH]
    except NotProven as error:
        raise WrongAt(position, error.detail) from error


def _kept(folder: Path, position: int, note: bytes) -> tuple[Receipt, bytes]:
    """Returns a student's receipt, which the pack brings along, with its entry."""
    if not (folder / "entries" / str(position)).is_file():
        raise InvalidInput(
            f"The record at position {position} is none of this student's.",
            help="A pack of the whole log (exported without --student) has the receipts of all.",
        )
    receipt = parse_receipt(_read(folder, f"receipts/{position}.tlog-proof"))
    if (receipt.leaf, receipt.checkpoint) != (position - 1, note):
        raise WrongAt(position, "the receipt in the pack is another one.")
    return receipt, _read(folder, f"entries/{position}")


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise NotProven(f"{name} of the pack cannot be read.", help="Take the pack from where it came from.") from error
