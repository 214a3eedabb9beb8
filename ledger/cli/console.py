"""How commands speak: results on stdout, everything else (errors, log, progress) on stderr, so that pipes work."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from ledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

EVERY = 250
"""Rows between two movements of a bar."""

TERMINATED = 128 + signal.SIGTERM


class LedgerGroup(TyperGroup):
    """The group of all commands, and the one place where errors become exit codes.

    A `LedgerError` is said in a sentence with its help (exit 1); anything else is a fault and keeps its traceback.
    """

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401 - Typer keeps its click to itself
        """Runs the command; SIGTERM unwinds it like Ctrl-C, so that an embedded server is stopped on the way out."""
        signal.signal(signal.SIGTERM, _terminate)
        try:
            return super().invoke(ctx)
        except LedgerError as error:
            tell(error)
            raise typer.Exit(1) from None


def _terminate(number: int, frame: object) -> NoReturn:
    del number, frame
    sys.exit(TERMINATED)


def tell(error: LedgerError) -> None:
    """Prints an error for a person: what is wrong, where (if it was noted), and what to do about it."""
    notes = getattr(error, "__notes__", [])
    where = f" ({'; '.join(notes)})" if notes else ""
    typer.echo(f"error: {error.detail}{where}", err=True)
    if error.help:
        typer.echo(f"  {error.help}", err=True)


def example(line: str) -> str:
    """Returns the last line of a command's help: one call of it that works as it stands, with values of one's own."""
    return f"Пример / example: {line}"


def print_json(value: object) -> None:
    """Prints one line of JSON."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


class Bars:
    """Progress bars by name, on stderr; nothing is printed before the first one is needed."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=err)
        self._tasks: dict[str, TaskID] = {}
        self._next: dict[str, int] = {}

    def add(self, name: str, total: int | None = None) -> None:
        """Shows a bar that has not begun."""
        if not self._tasks:
            self._progress.start()
        self._tasks[name] = self._progress.add_task(name, total=total)

    def reach(self, name: str, done: int, total: int | None = None) -> None:
        """Moves a bar; it never goes back, and the ones above it that were left behind are full by then.

        Called for every row of an import, so it draws only some of them.
        """
        if done < self._next.get(name, 0) and done != total:
            return
        self._next[name] = done + EVERY
        if name not in self._tasks:
            self.add(name, total)
        wanted = self._tasks[name]
        for task in self._progress.tasks:
            if task.id == wanted:
                self._progress.update(wanted, completed=max(task.completed, done), total=total or task.total)
                return
            if task.total is not None and not task.finished:
                self._progress.update(task.id, completed=task.total)

    def fill(self) -> None:
        """Completes every bar."""
        for task in self._progress.tasks:
            if task.total is not None:
                self._progress.update(task.id, completed=task.total)

    def stop(self) -> None:
        """Leaves the bars as they are."""
        if self._tasks:
            self._progress.stop()

    def follow(self, name: str) -> Callable[[int, int], None]:
        """Returns a callback of (done, total) that moves one bar."""

        def moved(done: int, total: int) -> None:
            if not total:
                return  # nothing to do shows no bar
            self.reach(name, max(done, 0), total)

        return moved


@contextmanager
def bars(totals: Mapping[str, int] | None = None) -> Iterator[Bars]:
    """Yields progress bars; where stderr is no terminal, only their final state is printed, once."""
    shown = Bars()
    try:
        for name, total in (totals or {}).items():
            shown.add(name, total)
        yield shown
    finally:
        shown.stop()
