"""Tokens that were verified: checking a signature costs more than recording a mark."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

CACHED = 10_000


class Remembered(Generic[T]):
    """What verified tokens said, by their text, until they expire; the least recently used are forgotten."""

    def __init__(self, cached: int = CACHED) -> None:
        self._cached = cached
        self._said: OrderedDict[str, tuple[T, float]] = OrderedDict()

    def __len__(self) -> int:
        """Returns how many tokens are remembered."""
        return len(self._said)

    def find(self, token: str, now: float) -> T | None:
        """Returns what a token said, if it was verified before and has not expired."""
        found = self._said.get(token)
        if found is None:
            return None
        said, expires = found
        if now >= expires:
            del self._said[token]
            return None
        self._said.move_to_end(token)
        return said

    def keep(self, token: str, said: T, expires: float) -> None:
        """Remembers a token that was just verified."""
        self._said[token] = (said, expires)
        if len(self._said) > self._cached:
            self._said.popitem(last=False)

    def clear(self) -> None:
        """Forgets everything: the keys have changed."""
        self._said.clear()
