"""Checking a whole log: each tile against the one above it, the highest against the checkpoint, entries against leaves.

Whatever is wrong is named by the positions that it concerns, so that somebody can go and look at these records. Each
hash is looked at once; a million entries take some seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ledger.errors import NotProven
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.entry import MAGIC
from ledger.seal.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, root, verify_consistency
from ledger.seal.tiles import HEIGHT, WIDTH, Tile, split_tile, tile_at, tile_root, tiled_nodes, tiles_of

Load = Callable[[Tile], bytes]

_POSITION = slice(4, 12)


class WrongAt(NotProven):
    """A log does not hold together, and this is the first position concerned."""

    def __init__(self, position: int, detail: str) -> None:
        super().__init__(
            f"Position {position}: {detail}",
            help="The record at this position, or its hash, was changed after it had been sealed.",
        )
        self.position = position


class Span(NamedTuple):
    """Positions from the first to the last."""

    first: int
    last: int


def span_of(tile: Tile, size: int) -> Span:
    """Returns the positions that a tile of hashes stands for."""
    under = HEIGHT * tile.level
    first = (tile.number * WIDTH) << under
    return Span(first + 1, min(first + (tile.width << under), size))


class WrongTile(NamedTuple):
    """A tile that does not fit what stands above it, the positions below it, and why."""

    tile: Tile
    span: Span
    detail: str


def wrong_tiles(
    load: Load, checkpoint: Checkpoint, progress: Callable[[int], None] | None = None
) -> Iterator[WrongTile]:
    """Yields the tiles that do not fit the hash above them, from the highest level down.

    The last, partial tile of each level stands under the checkpoint itself: if its root cannot be made of them, all of
    them are named.

    Raises:
        NotProven: the log is empty, and the checkpoint says something else.
    """
    size = checkpoint.size
    if not size and checkpoint.root != EMPTY_ROOT:
        raise NotProven("The checkpoint has no events, and not the root of the empty tree.", help="Ask the operator.")
    partial = [tile for tile in tiles_of(size) if tile.width < WIDTH or (tile.number, tile.level) == (0, _top(size))]
    try:
        fits = root(tiled_nodes(load, size), size) == checkpoint.root
    except NotProven as error:
        yield WrongTile(partial[-1], span_of(partial[-1], size), error.detail)
        fits = True  # that tile is named already
    if not fits:
        for tile in partial:
            yield WrongTile(tile, span_of(tile, size), "It does not lead to the root of the checkpoint.")
    for tile in sorted(tiles_of(size), key=lambda tile: -tile.level):
        if tile.level == 0:
            if progress is not None:
                progress(span_of(tile, size).last)
            continue
        for offset, expected in enumerate(_hashes(load, tile)):
            child = tile_at(tile.level - 1, tile.number * WIDTH + offset, size)
            hashes = _hashes(load, child)
            if len(hashes) != child.width or tile_root(hashes) != expected:
                yield WrongTile(child, span_of(child, size), "It does not fit the hash above it.")


def _top(size: int) -> int:
    return max((size.bit_length() - 1) // HEIGHT, 0)


def _hashes(load: Load, tile: Tile) -> list[bytes]:
    """Returns the hashes of a tile; none where it is missing or cut off."""
    try:
        return split_tile(load(tile), tile)
    except NotProven:
        return []


def check_tiles(load: Load, checkpoint: Checkpoint, progress: Callable[[int], None] | None = None) -> None:
    """Passes if all tiles of the log hold together and lead to the root of the checkpoint.

    Args:
        progress: called with the number of leaves below the tiles that were checked so far.

    Raises:
        WrongAt: with the first position below a tile that does not fit.
    """
    for wrong in wrong_tiles(load, checkpoint, progress):
        raise WrongAt(wrong.span.first, f"{wrong.tile.path}: {wrong.detail}")


def check_entries(load: Load, first: int, entries: Sequence[bytes], size: int) -> Iterator[WrongAt]:
    """Yields what is wrong with entries that should stand at the positions from `first` on, one by one."""
    hashes: list[bytes] = []
    number = -1
    for position, entry in enumerate(entries, first):
        if (position - 1) // WIDTH != number:
            number = (position - 1) // WIDTH
            tile = tile_at(0, number, size)
            hashes = split_tile(load(tile), tile)
        if leaf_hash(entry) != hashes[(position - 1) % WIDTH]:
            yield WrongAt(position, "the entry is not the one that was sealed.")
        elif entry[:4] != MAGIC or int.from_bytes(entry[_POSITION]) != position:
            yield WrongAt(position, "the sealed entry says that it stands elsewhere.")


def check_continues(load: Load, old: Checkpoint, new: Checkpoint) -> None:
    """Passes if the log of `new`, whose tiles `load` gives, only added to what `old` covered.

    Raises:
        NotProven: it is another log, a smaller one, or a changed one.
    """
    if old.origin != new.origin:
        raise NotProven("The older checkpoint is of another log.", help="Compare the origins, their first lines.")
    if old.size > new.size:
        raise NotProven(
            f"The older checkpoint covers {old.size} events, the newer one {new.size}: the end was cut off.",
            help="Keep both checkpoints; each is signed, and together they prove it.",
        )
    proof = consistency_proof(tiled_nodes(load, new.size), old.size, new.size)
    verify_consistency(old.size, old.root, new.size, new.root, proof)
