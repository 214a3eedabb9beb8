"""Trees and proofs against the definitions of RFC 6962, written out naively."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import NotProven
from ledger.seal.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from tests.support.log import nodes_of

SIZES = st.integers(1, 70)


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = naive_root(leaves[:split]), naive_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaves(size: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(size)]


def test_empty_tree_has_the_hash_of_nothing() -> None:
    assert naive_root([]) == EMPTY_ROOT == Frontier().root() == root(nodes_of([]), 0)


def test_well_known_tree_of_eight_leaves_has_its_root() -> None:
    known = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    found = root(nodes_of([bytes.fromhex(leaf) for leaf in known]), 8)
    assert found.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(st.integers(0, 300))
def test_roots_are_those_of_the_definition(size: int) -> None:
    entries = leaves(size)
    frontier = Frontier()
    for entry in entries:
        frontier.append(leaf_hash(entry))
    assert root(nodes_of(entries), size) == frontier.root() == naive_root(entries)
    assert Frontier.of(nodes_of(entries), size).peaks == frontier.peaks


def test_every_inclusion_proof_up_to_seventy_leaves_verifies() -> None:
    entries = leaves(70)
    nodes = nodes_of(entries)
    for size in range(1, 71):
        expected = root(nodes, size)
        for index in range(size):
            path = inclusion_proof(nodes, index, size)
            verify_inclusion(leaf_hash(entries[index]), index, size, path, expected)


def test_every_consistency_proof_up_to_seventy_leaves_verifies() -> None:
    nodes = nodes_of(leaves(70))
    roots = [root(nodes, size) for size in range(71)]
    for new in range(71):
        for old in range(new + 1):
            verify_consistency(old, roots[old], new, roots[new], consistency_proof(nodes, old, new))


@given(SIZES, st.data())
def test_inclusion_proof_with_anything_changed_is_refused(size: int, data: st.DataObject) -> None:
    entries = leaves(size)
    nodes = nodes_of(entries)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(nodes, index, size)
    expected = root(nodes, size)
    leaf = leaf_hash(entries[index])
    other = data.draw(st.sampled_from(["leaf", "index", "step", "more", "less", "root", "order"]))
    at = data.draw(st.integers(0, max(len(path) - 1, 0)))
    changed, place = list(path), index
    if other == "leaf":
        leaf = flipped(leaf, data)
    elif other == "root":
        expected = flipped(expected, data)
    elif other == "index":
        place = data.draw(st.integers(-1, size + 1).filter(lambda found: found != index))
    elif other == "more":
        changed.insert(at, b"\x00" * 32)
    elif not path:
        return
    elif other == "step":
        changed[at] = flipped(changed[at], data)
    elif other == "less":
        del changed[at]
    else:
        changed.reverse()
        if changed == path:
            return
    with pytest.raises(NotProven):
        verify_inclusion(leaf, place, size, changed, expected)


@given(SIZES, st.data())
def test_consistency_proof_with_anything_changed_is_refused(size: int, data: st.DataObject) -> None:
    nodes = nodes_of(leaves(size))
    old = data.draw(st.integers(1, size))
    path = consistency_proof(nodes, old, size)
    before, after = root(nodes, old), root(nodes, size)
    other = data.draw(st.sampled_from(["old", "new", "step", "more", "less"]))
    changed = list(path)
    at = data.draw(st.integers(0, max(len(path) - 1, 0)))
    if other == "old":
        before = flipped(before, data)
    elif other == "new":
        after = flipped(after, data)
    elif other == "more":
        changed.insert(at, b"\x00" * 32)
    elif not path:
        return
    elif other == "step":
        changed[at] = flipped(changed[at], data)
    else:
        del changed[at]
    with pytest.raises(NotProven):
        verify_consistency(old, before, size, after, changed)


@given(st.integers(2, 60), st.data())
def test_changed_history_is_not_consistent(size: int, data: st.DataObject) -> None:
    honest = leaves(size)
    old = data.draw(st.integers(1, size - 1))
    forged = list(honest)
    forged[data.draw(st.integers(0, old - 1))] = b"forged"
    nodes = nodes_of(forged)
    with pytest.raises(NotProven):
        verify_consistency(
            old, root(nodes_of(honest), old), size, root(nodes, size), consistency_proof(nodes, old, size)
        )


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(NotProven):
        inclusion_proof(nodes_of(leaves(5)), index, size)
    with pytest.raises(NotProven):
        verify_inclusion(leaf_hash(b""), index, size, [], EMPTY_ROOT)


def test_larger_tree_is_not_the_beginning_of_a_smaller_one() -> None:
    nodes = nodes_of(leaves(5))
    with pytest.raises(NotProven):
        consistency_proof(nodes, 5, 4)
    with pytest.raises(NotProven):
        verify_consistency(5, root(nodes, 5), 4, root(nodes, 4), [])


def test_frontier_refuses_peaks_of_another_size() -> None:
    with pytest.raises(ValueError, match="2 peaks"):
        Frontier(3, [b"\x00" * 32])


def test_leaves_and_nodes_are_hashed_apart() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert node_hash(left, right) != leaf_hash(left + right)


def flipped(value: bytes, data: st.DataObject) -> bytes:
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    return (int.from_bytes(value) ^ (1 << bit)).to_bytes(len(value))
