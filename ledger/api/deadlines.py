"""One bound on the time of every request, with one timer for all of them.

`asyncio.timeout` takes a timer of the event loop for each, made and given back long before it would ring. As all bounds
here are of one length, they end in the order in which they began, and one timer for the first of them will do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_RESOLUTION_S = 0.001
"""Of the event loop's clock."""


class Deadlines:
    """Bounds of `seconds` each; they belong to one event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._under_way: dict[Deadline, asyncio.Task[object]] = {}
        """In the order in which they end."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, deadline: Deadline, task: asyncio.Task[object]) -> None:
        """Bounds the time of a task from now on."""
        loop = task.get_loop()
        deadline.ends_at = loop.time() + self.seconds
        self._under_way[deadline] = task
        if self._timer is None:
            self._timer = loop.call_at(deadline.ends_at, self._ring, loop)

    def end(self, deadline: Deadline) -> None:
        """Bounds the time of its task no more; the timer stays for those who come after it."""
        self._under_way.pop(deadline, None)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time() + _RESOLUTION_S
        while self._under_way:
            deadline, task = next(iter(self._under_way.items()))
            if deadline.ends_at > now:
                self._timer = loop.call_at(deadline.ends_at, self._ring, loop)
                return
            del self._under_way[deadline]
            deadline.expired = True
            task.cancel()


class Deadline:
    """A block of one task whose time is bounded, as by `asyncio.timeout`: it ends with a TimeoutError.

    A cancellation by anybody else stays one.
    """

    __slots__ = ("_among", "_cancelling", "_task", "ends_at", "expired")

    def __init__(self, among: Deadlines) -> None:
        self._among = among
        self.ends_at = 0.0
        self.expired = False

    def lift(self) -> None:
        """Lets the block take whatever time it needs."""
        self._among.end(self)

    def __enter__(self) -> Self:
        """Begins the block.

        Raises:
            RuntimeError: not within a task.
        """
        task: asyncio.Task[object] | None = asyncio.current_task()
        if task is None:
            raise RuntimeError("A deadline bounds a task.")
        self._task, self._cancelling = task, task.cancelling()
        self._among.begin(self, task)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        """Ends the block.

        Raises:
            TimeoutError: it took too long, and nobody else cancelled the task.
        """
        self._among.end(self)
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
