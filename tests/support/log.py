"""Small logs in memory for tests of the seal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from ledger.seal.checkpoint import Checkpoint
from ledger.seal.entry import Entry, encode_entry
from ledger.seal.merkle import EMPTY_ROOT, Nodes, inclusion_proof, leaf_hash, node_hash, root
from ledger.seal.note import ED25519, Note, SignerKey, sign
from ledger.seal.pack import FORMAT, PackInfo, bundles_of, write_sums
from ledger.seal.proof import Receipt
from ledger.seal.tiles import ENTRIES, HEIGHT, WIDTH, Tile, tiles_of, write_bundle
from ledger.store.anchor import Anchor
from ledger.store.log_keys import LogKeyFile, read_log_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def nodes_of(entries: Sequence[bytes]) -> Nodes:
    """Returns the nodes over entries, computed when asked for."""

    @cache
    def nodes(level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hash(entries[index])
        return node_hash(nodes(level - 1, 2 * index), nodes(level - 1, 2 * index + 1))

    return nodes


def files_of(entries: Sequence[bytes]) -> Callable[[Tile], bytes]:
    """Returns the files of a log with these entries."""
    nodes = nodes_of(entries)

    def load(tile: Tile) -> bytes:
        first = tile.number * WIDTH
        if tile.level == ENTRIES:
            return write_bundle(entries[first : first + tile.width])
        return b"".join(nodes(tile.level * HEIGHT, first + offset) for offset in range(tile.width))

    return load


SIGNER = SignerKey("log.example/test", ED25519, b"\x01" * 32)


def begun(path: Path, signer: SignerKey = SIGNER) -> Anchor:
    """Returns a sealer's file outside the database, begun with an empty log where it is not there."""
    anchor = Anchor(path)
    if anchor.read() is None:
        anchor.write(bytes(Checkpoint(signer.name, 0, EMPTY_ROOT).signed_by(signer)))
    return anchor


def is_unused(path: Path) -> bool:
    """Tells whether a key file is of a log that was not begun."""
    return LogKeyFile(path).is_unused(read_log_keys(path))


def an_entry(position: int) -> bytes:
    """Returns the entry of a synthetic event."""
    return encode_entry(
        Entry(
            position,
            UUID(int=position),
            UUID(int=7),
            position,
            UUID(int=9),
            "marks.recorded",
            datetime(2025, 9, 1, tzinfo=UTC) + timedelta(seconds=position),
            "marks",
            1,
            b"c" * 16,
            b"header",
            b"state %d" % position,
        )
    )


def checkpoint_of(entries: Sequence[bytes], *signers: SignerKey) -> bytes:
    """Returns the checkpoint over entries, signed by all of these."""
    size = len(entries)
    by = signers or (SIGNER,)
    text = Checkpoint(by[0].name, size, root(nodes_of(entries), size)).text
    return bytes(Note(text, tuple(sign(text, signer) for signer in by)))


def write_pack(
    folder: Path,
    entries: Sequence[bytes],
    *,
    since: int = 1,
    student: Sequence[int] = (),
    signers: Sequence[SignerKey] = (SIGNER,),
    named: Sequence[SignerKey] = (),
) -> Path:
    """Writes an evidence pack as the export does, of a log that never was in a database.

    Args:
        named: keys that the pack names besides those that sign.
    """
    size, load, nodes = len(entries), files_of(entries), nodes_of(entries)
    checkpoint = checkpoint_of(entries, *signers)
    files: dict[str, bytes] = {
        "checkpoint": checkpoint,
        "keys": "".join(f"{signer.verifier}\n" for signer in (*signers, *named)).encode(),
        "README.md": b"read me\n",
        "pack.json": msgspec.json.encode(PackInfo(FORMAT, "student" if student else "log", SIGNER.name, size, since)),
    }
    if not student:
        files |= {tile.path: load(tile) for tile in (*tiles_of(size), *bundles_of(size, since))}
    for position in student:
        path = tuple(inclusion_proof(nodes, position - 1, size))
        files[f"entries/{position}"] = entries[position - 1]
        files[f"receipts/{position}.tlog-proof"] = bytes(Receipt(position - 1, path, checkpoint))
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    write_sums(folder)
    return folder
