"""Newline-delimited JSON: bytes in pieces of any size, lines out. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.api.problems import TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterator


NDJSON = "application/x-ndjson"


class LineTooLong(TooLarge):
    """A line is longer than a command may be; where the next one begins is not looked for."""

    code = "line-too-long"


class Lines:
    r"""Cuts what comes in at line breaks (`\n`, also after `\r`), and leaves blank lines out.

    Args:
        most: the longest line, in bytes; no more than that and one piece are ever held.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.blank = 0
        """How many blank lines were left out."""
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yields the lines that end in a piece.

        Raises:
            LineTooLong: a line is, ended or not; the lines before it have been yielded.
        """
        first, *others = piece.split(b"\n")
        self._begin(first)
        for other in others:
            line = b"".join(self._begun)
            self._begun, self._size = [], 0
            if line.strip():
                yield line
            else:
                self.blank += 1
            self._begin(other)

    def end(self) -> bytes | None:
        """Returns the last line, if it had no line break."""
        line = b"".join(self._begun)
        self._begun, self._size = [], 0
        return line if line.strip() else None

    def _begin(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._most:
            raise LineTooLong(
                f"A line has more than {self._most} bytes.",
                help="What was answered before this stands; send the rest in another request, this command shorter.",
            )
        if part:
            self._begun.append(part)
