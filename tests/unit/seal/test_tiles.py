"""Tiles: their names, their sizes, and trees read from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import NotProven
from ledger.seal import tiles
from ledger.seal.merkle import Frontier, Nodes, inclusion_proof, leaf_hash, root
from ledger.seal.tiles import (
    ENTRIES,
    Tile,
    parse_path,
    read_bundle,
    split_tile,
    tile_at,
    tiled_nodes,
    tiles_needed,
    tiles_of,
    write_bundle,
)
from tests.support.log import files_of, nodes_of


def test_number_of_a_tile_stands_in_groups_of_three_digits() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(0, 273, 112).path == "tile/0/273.p/112"
    assert Tile(ENTRIES, 0, 1).path == "tile/entries/000.p/1"


@given(
    st.integers(ENTRIES, 63),
    st.one_of(st.integers(0, 2000), st.integers(0, 2**55)),
    st.integers(1, 256),
)
def test_path_of_every_tile_reads_back(level: int, number: int, width: int) -> None:
    tile = Tile(level, number, width)
    assert parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/64/000",
        "tile/00/000",
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/1000",
        "tile/0/x01/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/999",
        "tile/-1/000",
        "tile/0/../000",
        "tile/entries/000/",
        "/tile/0/000",
        "tile/0/\u0660\u0660\u0660",
        "",
    ],
)
def test_other_spelling_names_no_tile(path: str) -> None:
    with pytest.raises(NotProven):
        parse_path(path)


def test_seventy_thousand_leaves_have_the_tiles_of_the_specification() -> None:
    tiles = list(tiles_of(70_000))
    assert len([tile for tile in tiles if tile.level == 0 and tile.width == 256]) == 273
    assert [tile.path for tile in tiles if tile.width < 256] == [
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert Tile(1, 0) in tiles
    assert len(tiles) == 277


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_new_tiles_of_a_grown_tree_are_those_that_the_smaller_one_lacked(one: int, other: int) -> None:
    old, new = sorted((one, other))
    assert set(tiles_of(new, since=old)) == set(tiles_of(new)) - set(tiles_of(old))


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700, 65_536, 66_000])
def test_root_read_from_tiles_is_that_of_the_tree(size: int) -> None:
    entries = [b"%d" % number for number in range(size)]
    frontier = Frontier()
    for entry in entries:
        frontier.append(leaf_hash(entry))
    nodes = tiled_nodes(files_of(entries), size)
    assert root(nodes, size) == frontier.root() == root(nodes_of(entries), size)
    assert Frontier.of(nodes, size).peaks == frontier.peaks


@given(st.integers(1, 700), st.data())
def test_tiles_that_are_needed_are_those_that_are_read(size: int, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8))
    load = files_of([b"%d" % number for number in range(size)])
    read: set[Tile] = set()

    def loads(tile: Tile) -> bytes:
        read.add(tile)
        return load(tile)

    def prove(nodes: Nodes) -> list[list[bytes]]:
        return [inclusion_proof(nodes, index, size) for index in indices]

    needed = tiles_needed(prove, size)
    prove(tiled_nodes(loads, size))
    assert needed == read


def test_node_that_many_proofs_share_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 100_000
    asked: list[tuple[int, int]] = []
    looked: list[tuple[int, int]] = []

    def look(level: int, number: int, size: int) -> Tile:
        looked.append((level, number))
        return tile_at(level, number, size)

    def prove(nodes: Nodes) -> None:
        def asking(level: int, index: int) -> bytes:
            asked.append((level, index))
            return nodes(level, index)

        for index in range(64):
            inclusion_proof(asking, index, size)

    monkeypatch.setattr(tiles, "tile_at", look)
    tiles_needed(prove, size)
    assert len(looked) == len(set(asked)) < len(asked) / 4


def test_tile_of_another_length_is_refused() -> None:
    for data in (b"", b"\x00" * 31, b"\x00" * 33, b"\x00" * 96):
        with pytest.raises(NotProven, match="instead of 64"):
            split_tile(data, Tile(0, 0, 2))


def test_tile_beyond_the_tree_is_not_there() -> None:
    assert tile_at(0, 1, 300) == Tile(0, 1, 44)
    assert tile_at(ENTRIES, 1, 300) == Tile(ENTRIES, 1, 44)
    with pytest.raises(NotProven):
        tile_at(0, 2, 300)
    with pytest.raises(NotProven):
        tile_at(0, 1, 256)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundle_of_entries_reads_back(entries: list[bytes]) -> None:
    assert read_bundle(write_bundle(entries), Tile(ENTRIES, 0, len(entries))) == entries


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=20), st.data())
def test_bundle_that_is_cut_or_longer_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    whole = write_bundle(entries)
    other = data.draw(
        st.one_of(st.integers(0, len(whole) - 1).map(lambda at: whole[:at]), st.just(whole + b"\x00\x00"))
    )
    with pytest.raises(NotProven):
        read_bundle(other, Tile(ENTRIES, 0, len(entries)))
