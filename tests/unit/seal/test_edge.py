"""The growing edge of a log: the same tiles and roots as the whole tree, whenever it is looked at."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.seal.edge import LogEdge, partial_tiles
from ledger.seal.merkle import Frontier, leaf_hash
from ledger.seal.tiles import Tile, tiles_of
from tests.support.log import files_of


def _loader(stored: dict[tuple[int, int], bytes]) -> Callable[[Tile], bytes]:
    return lambda tile: stored[tile.level, tile.number]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=6))
def test_tiles_that_grew_are_those_of_the_tree_and_a_new_start_changes_nothing(steps: list[int]) -> None:
    entries: list[bytes] = []
    stored: dict[tuple[int, int], bytes] = {}
    edge, frontier = LogEdge(), Frontier()
    for step in steps:
        before = len(entries)
        for _ in range(step):
            entries.append(b"entry %d" % len(entries))
            edge.append(leaf_hash(entries[-1]))
            frontier.append(leaf_hash(entries[-1]))
        grown = edge.take_grown()
        assert set(grown) == {(tile.level, tile.number) for tile in tiles_of(len(entries), since=before)}
        for name, content in grown.items():
            assert content.startswith(stored.get(name, b""))
        stored |= grown
        files = files_of(entries)
        for tile in tiles_of(len(entries)):
            assert stored[tile.level, tile.number] == files(tile)
        assert edge.root() == frontier.root()
        assert edge.take_grown() == {}
        edge = LogEdge.load(len(entries), _loader(stored))
        assert edge.root() == frontier.root()


def test_log_of_70000_has_three_partial_tiles() -> None:
    assert partial_tiles(70_000) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert partial_tiles(65_536) == [Tile(2, 0, 1)]
    assert partial_tiles(0) == []
