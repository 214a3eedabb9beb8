"""What is loaded is out of the sight of Python's collector of cycles, and what is not is still found."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from ledger.collector import YOUNG, collect_seldom

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_as_before")
def test_what_is_loaded_is_left_out_and_cycles_made_later_are_collected_in_the_end() -> None:
    gc.set_threshold(700, 10, 10)
    count = gc.get_freeze_count()
    kept = [Node() for _ in range(100)]
    collect_seldom()
    assert gc.get_threshold()[0] == YOUNG
    assert gc.get_freeze_count() >= count + len(kept)
    gone = weakref.ref(Node())
    nodes = 0
    while gone() is not None and nodes < 2 * YOUNG:
        Node()
        nodes += 1
    assert gone() is None
    assert nodes > YOUNG // 4, "Not at every turn."
