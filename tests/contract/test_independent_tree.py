"""Our log against an implementation of RFC 6962 that is not ours: the same roots and the same proofs.

Proofs are made as the service makes them: from tiles, which the sealer's own edge of a growing log has filled.

LEDGER_SOAK_SEED    chooses sizes and leaves of the long ones (1)
"""

from __future__ import annotations

import os
import random
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree, InvalidProof

from ledger.seal.check import check_tiles
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.edge import LogEdge
from ledger.seal.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from ledger.seal.strict import HASH_BYTES
from ledger.seal.tiles import Tile, tiled_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymerkle import ConsistencyProof

    from ledger.seal.merkle import Nodes

SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
SEALED_AT_ONCE = 8_192
SMALL = 600
PAIRS = 1_000


def entry(index: int) -> bytes:
    return b"entry %d" % index


class TwoLogs:
    """The same entries in our tiles and in a tree that others wrote."""

    def __init__(self, size: int, steps: Sequence[int] = ()) -> None:
        """Fills both; ours as it is sealed: `steps` are the sizes at which tiles are stored."""
        self.size = size
        self.theirs = InmemoryTree(algorithm="sha256")
        self.edge = LogEdge()
        self.tiles: dict[tuple[int, int], bytes] = {}
        for first, last in pairwise((0, *(steps or range(SEALED_AT_ONCE, size, SEALED_AT_ONCE)), size)):
            for index in range(first, last):
                self.theirs.append_entry(entry(index))
                self.edge.append(leaf_hash(entry(index)))
            self.tiles |= self.edge.take_grown()

    def load(self, tile: Tile) -> bytes:
        """Returns a tile, also as it was when the log was smaller."""
        return self.tiles[tile.level, tile.number][: tile.width * HASH_BYTES]

    def nodes(self, size: int) -> Nodes:
        return tiled_nodes(self.load, size)

    def agree_on_root(self, size: int) -> bytes:
        """Passes if both have the same root, and returns it."""
        found = root(self.nodes(size), size)
        assert found == self.theirs.get_root(size)
        return found

    def agree_on_leaf(self, index: int, size: int) -> None:
        """Passes if both prove a leaf by the same hashes, and each accepts the other's proof."""
        expected = self.agree_on_root(size)
        path = inclusion_proof(self.nodes(size), index, size)
        leaf = leaf_hash(entry(index))
        proof = self.theirs.prove_inclusion(index + 1, size)
        verify_inclusion(leaf, index, size, proof.path[1:], expected)
        assert proof.path == [leaf, *path]  # their path begins with the leaf itself
        proof.path = [leaf, *path]
        proof.verify(leaf, expected, index=index + 1, size=size, algorithm="sha256")

    def agree_on_growth(self, old: int, new: int) -> None:
        """Passes if both prove by the same hashes that one tree continues the other."""
        before, after = self.agree_on_root(old), self.agree_on_root(new)
        ours = consistency_proof(self.nodes(new), old, new)
        proof = self.theirs.prove_consistency(old, new)
        proof.verify(before, after, prior_size=old, later_size=new, algorithm="sha256")
        if old < new:
            assert self.in_form(proof, old) == ours
            with pytest.raises(InvalidProof):
                proof.verify(after, before, prior_size=old, later_size=new, algorithm="sha256")
        else:
            assert ours == []
        verify_consistency(old, before, new, after, ours)

    def in_form(self, proof: ConsistencyProof, old: int) -> list[bytes]:
        """Returns their proof in the form of RFC 6962.

        Theirs goes down to the first leaf that the older tree has not; the RFC stops at the subtree that begins with
        it, and leaves the root of the older tree out where that is one complete subtree.
        """
        known = proof.subset.index(1)
        beyond = reduce(self.theirs.hash_pair, proof.path[:known])
        path = [proof.path[known], beyond, *proof.path[known + 1 :]]
        return path[1:] if old & (old - 1) == 0 else path

    def agree_on_the_whole(self) -> None:
        """Passes if what we stored and what we would go on with lead to their root."""
        expected = self.theirs.get_root()
        assert self.edge.root() == expected
        check_tiles(self.load, Checkpoint("log.example/both", self.size, expected))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257])
def test_small_logs_have_the_roots_that_others_compute(size: int) -> None:
    TwoLogs(size).agree_on_the_whole()


@pytest.fixture(scope="module")
def both() -> TwoLogs:
    return TwoLogs(SMALL, (1, 3, 200, 255, 256, 257, 511, 514))


@given(st.data())
def test_others_prove_a_leaf_as_we_do(both: TwoLogs, data: st.DataObject) -> None:
    size = data.draw(st.one_of(st.integers(1, SMALL), st.sampled_from([1, 255, 256, 257, 512, 513])))
    both.agree_on_leaf(data.draw(st.integers(0, size - 1)), size)


@given(st.data())
def test_others_prove_that_a_log_only_grew_as_we_do(both: TwoLogs, data: st.DataObject) -> None:
    sizes = st.one_of(st.integers(1, SMALL), st.sampled_from([1, 255, 256, 257, 512, 513]))
    old, new = sorted((data.draw(sizes), data.draw(sizes)))
    both.agree_on_growth(old, new)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("size", [65_536, 70_000, 1_000_000])
def test_large_logs_have_the_roots_and_proofs_that_others_compute(size: int) -> None:
    both = TwoLogs(size)
    both.agree_on_the_whole()
    dice = random.Random(SEED)  # noqa: S311 - choosing sizes for a test
    for _ in range(PAIRS):
        old, new = sorted((dice.randint(1, size), dice.randint(1, size)))
        both.agree_on_growth(old, new)
        both.agree_on_leaf(dice.randrange(new), new)
    both.agree_on_growth(dice.randint(1, size), size)
    both.agree_on_leaf(size - 1, size)
