"""Tiles of C2SP tlog-tiles: how the hashes and the entries of a log are cut into cacheable files.

A tile holds 256 hashes of one level; level L+1 holds the roots of the full tiles of level L. The last tile of a level
may be partial; its width then stands in its path. An entry bundle holds the entries below a tile of level 0, each
behind its length of 16 bits. Full tiles never change, so they may be kept for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from ledger.errors import NotProven
from ledger.seal.merkle import Nodes, node_hash
from ledger.seal.strict import HASH_BYTES, MAX_SIZE

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_LEVEL = 63
MAX_ENTRY = 65_535

_PATH = re.compile(r"tile/(entries|[0-9]{1,2})((?:/x[0-9]{3})*/[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Tile(NamedTuple):
    """A tile by level, number in it and width (256: full); level -1 is an entry bundle."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it stands below the log's prefix, e.g. `tile/0/x001/234.p/17`."""
        groups = [f"{self.number % 1000:03d}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{partial}"


ENTRIES = -1
"""The level under which entry bundles are named here."""


def parse_path(path: str) -> Tile:
    """Returns the tile that a path names.

    Raises:
        NotProven: no log has a file of that name (another spelling of a number, an impossible level or width).
    """
    match = _PATH.fullmatch(path)
    if match is not None:
        level = ENTRIES if match[1] == "entries" else int(match[1])
        number = int("".join(group.lstrip("x") for group in match[2].split("/")))
        tile = Tile(level, number, int(match[3]) if match[3] else WIDTH)
        if level <= MAX_LEVEL and tile.width <= WIDTH and number <= MAX_SIZE and tile.path == path:
            return tile
    raise NotProven("No log has a tile of that name.", help="See c2sp.org/tlog-tiles for the names of tiles.")


def tile_at(level: int, number: int, size: int) -> Tile:
    """Returns the tile of a level as a tree of `size` leaves has it.

    Raises:
        NotProven: the tree does not reach it.
    """
    count = size >> (HEIGHT * max(level, 0))
    width = min(count - number * WIDTH, WIDTH)
    if width <= 0:
        raise NotProven("The log has no such tile yet.", help="Ask again when the log has grown.")
    return Tile(level, number, width)


def tiles_of(size: int, *, since: int = 0) -> Iterator[Tile]:
    """Yields the tiles of a tree of `size` leaves that the tree of `since` leaves did not have, lowest level first.

    Entry bundles are the same with level ENTRIES in place of 0; they are not yielded here.
    """
    level = 0
    while size >> (HEIGHT * level):
        count, before = size >> (HEIGHT * level), since >> (HEIGHT * level)
        if count > before:
            for number in range(before // WIDTH, (count + WIDTH - 1) // WIDTH):
                yield tile_at(level, number, size)
        level += 1


def tile_root(hashes: Sequence[bytes]) -> bytes:
    """Returns the root over the hashes of a full tile, or of a complete part of one (a power of two of them)."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def split_tile(data: bytes, tile: Tile) -> list[bytes]:
    """Returns the hashes of a tile's bytes.

    Raises:
        NotProven: they are not exactly as many as its width says.
    """
    if len(data) != tile.width * HASH_BYTES:
        raise NotProven(
            f"The file {tile.path} has {len(data)} bytes instead of {tile.width * HASH_BYTES}.",
            help="It was altered or cut off; fetch it again.",
        )
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def tiled_nodes(load: Callable[[Tile], bytes], size: int) -> Nodes:
    """Returns the nodes of a tree of `size` leaves whose tiles `load` gives; each tile is loaded once.

    Nothing is verified but sizes: compare the root with a checkpoint before you trust a proof made from it.
    """
    known: dict[tuple[int, int], list[bytes]] = {}

    def nodes(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        first = index << height
        place = first // WIDTH
        hashes = known.get((tile_level, place))
        if hashes is None:
            tile = tile_at(tile_level, place, size)
            hashes = known[tile_level, place] = split_tile(load(tile), tile)
        offset = first % WIDTH
        return tile_root(hashes[offset : offset + (1 << height)])

    return nodes


def write_bundle(entries: Sequence[bytes]) -> bytes:
    """Returns the entry bundle of up to 256 entries.

    Raises:
        ValueError: an entry is longer than its length can say.
    """
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def read_bundle(data: bytes, tile: Tile) -> list[bytes]:
    """Returns the entries of a bundle.

    Raises:
        NotProven: they are not exactly as many as its width says, or one is cut off.
    """
    entries: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(entries) < tile.width:
        end = at + 2 + int.from_bytes(data[at : at + 2])
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != tile.width:
        raise NotProven(
            f"The file {tile.path} does not hold {tile.width} whole entries.",
            help="It was altered or cut off; fetch it again.",
        )
    return entries


def tiles_needed(computation: Callable[[Nodes], object], size: int) -> set[Tile]:
    """Returns the tiles that a computation over the nodes of a tree of `size` leaves reads.

    It is run once on nodes without content: which nodes a root or a proof is made of depends on the sizes alone.
    """
    found: set[Tile] = set()

    @cache  # proofs of neighbours share most of their nodes
    def nodes(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        found.add(tile_at(tile_level, (index << height) // WIDTH, size))
        return bytes(HASH_BYTES)

    computation(nodes)
    return found
