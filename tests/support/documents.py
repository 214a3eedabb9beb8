"""The commands of a document, to be run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.cluster import run

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCS = Path(__file__).parents[2] / "docs"


class Manual:
    """A document whose `sh` blocks are found by the heading above them."""

    def __init__(self, name: str) -> None:
        self._blocks: dict[str, list[str]] = {}
        heading = ""
        for part in re.split(
            r"^(#+ [^\n]*|```sh\n.*?^```)$", (DOCS / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
        ):
            if part.startswith("#"):
                heading = part.lstrip("# ")
            elif part.startswith("```sh"):
                self._blocks.setdefault(heading, []).append(part.removeprefix("```sh\n").removesuffix("```"))

    @property
    def headings(self) -> list[str]:
        """Every heading that has commands."""
        return list(self._blocks)

    def command(self, heading: str) -> list[str]:
        """Returns what stands under a heading as one program call; the first failure ends it."""
        return ["bash", "-euo", "pipefail", "-c", "\n".join(self._blocks[heading])]

    def follow(self, heading: str, variables: Mapping[str, str]) -> str:
        """Runs what stands under a heading as the servers' user, and returns what it said."""
        return run(self.command(heading), variables)
