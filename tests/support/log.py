"""Small logs in memory for tests of the seal."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ledger.seal.merkle import Nodes, leaf_hash, node_hash
from ledger.seal.tiles import ENTRIES, HEIGHT, WIDTH, Tile, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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
