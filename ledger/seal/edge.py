"""The right edge of a growing log: for each level the hashes of its last tile that is not full yet.

That is all that is needed to append leaves, to name the tiles that have grown, and to close the tree with a root. Full
tiles are never looked at again: each is one hash in the tile above it.
"""

from __future__ import annotations

from collections.abc import Callable

from ledger.seal.merkle import root as tree_root
from ledger.seal.tiles import HEIGHT, WIDTH, Tile, split_tile, tile_at, tile_root


class LogEdge:
    """See the module."""

    def __init__(self) -> None:
        self.size = 0
        self._rows: list[list[bytes]] = [[]]
        self._grown: dict[tuple[int, int], bytes] = {}
        """Tiles that became full since `take_grown`."""
        self._since = 0

    @classmethod
    def load(cls, size: int, load: Callable[[Tile], bytes]) -> LogEdge:
        """Returns the edge of a log of `size` leaves from its partial tiles (see `partial_tiles`)."""
        edge = cls()
        edge.size = edge._since = size
        tiles = {tile.level: tile for tile in partial_tiles(size)}
        edge._rows = [
            split_tile(load(tiles[level]), tiles[level]) if level in tiles else []
            for level in range(max(tiles, default=0) + 1)
        ]
        return edge

    def append(self, leaf: bytes) -> None:
        """Adds a leaf by its hash."""
        level, carried = 0, leaf
        while True:
            if level == len(self._rows):
                self._rows.append([])
            row = self._rows[level]
            row.append(carried)
            if len(row) < WIDTH:
                break
            self._grown[level, self._number(level)] = b"".join(row)
            carried = tile_root(row)
            row.clear()
            level += 1
        self.size += 1

    def _number(self, level: int) -> int:
        """Returns the number of the tile of `level` that the next leaf belongs under."""
        return self.size >> (HEIGHT * (level + 1))

    def take_grown(self) -> dict[tuple[int, int], bytes]:
        """Returns the whole content of each tile (level, number) that has grown since this was asked last."""
        grown, self._grown = self._grown, {}
        for level, row in enumerate(self._rows):
            if row and self.size >> (HEIGHT * level) > self._since >> (HEIGHT * level):
                grown[level, self._number(level)] = b"".join(row)
        self._since = self.size
        return grown

    def root(self) -> bytes:
        """Returns the root of the tree as it is now."""

        def nodes(level: int, index: int) -> bytes:
            tile_level, height = divmod(level, HEIGHT)
            offset = (index << height) % WIDTH
            return tile_root(self._rows[tile_level][offset : offset + (1 << height)])

        return tree_root(nodes, self.size)


def partial_tiles(size: int) -> list[Tile]:
    """Returns the last tile of each level that is not full, lowest level first."""
    found, level = [], 0
    while count := size >> (HEIGHT * level):
        if count % WIDTH:
            found.append(tile_at(level, count // WIDTH, size))
        level += 1
    return found
