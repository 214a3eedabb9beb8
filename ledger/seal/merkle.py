"""Merkle trees of RFC 6962: hashes, roots, inclusion and consistency proofs, and their verification (RFC 9162, 2.1).

A node is named by its level (0: leaves) and its index there; it stands for `2**level` leaves from `index * 2**level`
on, all of which exist. Whoever has such hashes (tiles, a list, a database) gives them as a `Nodes` function, and
everything here is computed from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from ledger.errors import NotProven
from ledger.seal.strict import HASH_BYTES

Nodes = Callable[[int, int], bytes]
"""Returns the hash of the node at (level, index)."""

EMPTY_ROOT = hashlib.sha256(b"").digest()

_HELP = "Do not trust this log before it is explained: keep what you have, and ask the operator and the witnesses."


def leaf_hash(entry: bytes) -> bytes:
    """Returns the hash of a leaf: `SHA-256(00 ‖ entry)`."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns the hash of an inner node: `SHA-256(01 ‖ left ‖ right)`."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """Returns the largest power of two that is less than `count`."""
    return 1 << (count - 1).bit_length() - 1


def range_hash(nodes: Nodes, begin: int, end: int) -> bytes:
    """Returns the hash of the subtree over the leaves from `begin` up to `end`, as RFC 6962 splits trees.

    `begin` must be a multiple of the largest power of two that is not more than the number of leaves, as it is for all
    subtrees that proofs name.
    """
    count = end - begin
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return nodes(level, begin >> level)
    middle = begin + _split(count)
    return node_hash(range_hash(nodes, begin, middle), range_hash(nodes, middle, end))


def root(nodes: Nodes, size: int) -> bytes:
    """Returns the root of the tree with `size` leaves."""
    return range_hash(nodes, 0, size) if size else EMPTY_ROOT


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Returns the hashes that prove the leaf at `index` (from 0), from the leaf to the root.

    Raises:
        NotProven: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise NotProven("The log has no entry at that index yet.", help="Ask again when the log has grown.")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_hash(nodes, middle, end))
            end = middle
        else:
            path.append(range_hash(nodes, begin, middle))
            begin = middle
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> None:
    """Passes if `path` proves that the tree of `size` leaves with the root `expected` has the leaf at `index`.

    Raises:
        NotProven: it does not.
    """
    found, left, last = leaf, index, size - 1
    complete = 0 <= index < size
    for step in path:
        if last == 0 or len(step) != HASH_BYTES:
            complete = False
            break
        if left & 1 or left == last:
            found = node_hash(step, found)
            while left and not left & 1:
                left, last = left >> 1, last >> 1
        else:
            found = node_hash(found, step)
        left, last = left >> 1, last >> 1
    if not complete or last != 0 or found != expected:
        raise NotProven("The proof does not lead from the entry to the root of the checkpoint.", help=_HELP)


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """Returns the hashes that prove the tree of `old` leaves to be the beginning of the one of `new` leaves.

    Raises:
        NotProven: `old` is larger than `new`.
    """
    if not 0 <= old <= new:
        raise NotProven("The log is smaller than the older size.", help=_HELP)
    if old in (0, new):
        return []
    path: list[bytes] = []
    begin, end, wanted, whole = 0, new, old, True
    while wanted != end - begin:
        middle = begin + _split(end - begin)
        if wanted <= middle - begin:
            path.append(range_hash(nodes, middle, end))
            end = middle
        else:
            path.append(range_hash(nodes, begin, middle))
            wanted -= middle - begin
            begin, whole = middle, False
    if not whole:
        path.append(range_hash(nodes, begin, end))
    return path[::-1]


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Passes if `path` proves that the tree of `new` leaves only added to the tree of `old` leaves.

    Raises:
        NotProven: it does not: history was changed, or the proof is not of these trees.
    """
    if not _consistent(old, old_root, new, new_root, path):
        raise NotProven("The newer checkpoint does not continue the older one.", help=_HELP)


def _consistent(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    if not 0 <= old <= new or any(len(step) != HASH_BYTES for step in path):
        return False
    if old == new:
        return not path and old_root == new_root
    if old == 0:
        return not path and old_root == EMPTY_ROOT
    steps = list(path)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)  # a complete subtree of the new tree needs no proof of its own
    return bool(steps) and _roots(old, new, steps) == (old_root, new_root)


def _roots(old: int, new: int, steps: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Returns the roots of the older and the newer tree as the steps make them, or None where they do not fit."""
    left, last = old - 1, new - 1
    while left & 1:
        left, last = left >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            return None
        if left & 1 or left == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while left and not left & 1:
                left, last = left >> 1, last >> 1
        else:
            after = node_hash(after, step)
        left, last = left >> 1, last >> 1
    return (before, after) if last == 0 else None


class Frontier:
    """The right edge of a growing tree: hashes of its complete subtrees, largest first; enough to go on and to close.

    Args:
        size: leaves so far.
        peaks: their hashes, as `peaks` returns them.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count():
            message = f"A tree of {size} leaves has {size.bit_count()} peaks, not {len(self._peaks)}."
            raise ValueError(message)

    @classmethod
    def of(cls, nodes: Nodes, size: int) -> Frontier:
        """Returns the frontier of the tree with `size` leaves."""
        peaks, begin = [], 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                peaks.append(nodes(level, begin >> level))
                begin += 1 << level
        return cls(size, peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The hashes of the complete subtrees, from left to right."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Adds a leaf by its hash."""
        peaks, carried, size = self._peaks, leaf, self.size
        while size & 1:
            carried = node_hash(peaks.pop(), carried)
            size >>= 1
        peaks.append(carried)
        self.size += 1

    def root(self) -> bytes:
        """Returns the root of the tree as it is now."""
        if not self._peaks:
            return EMPTY_ROOT
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found
