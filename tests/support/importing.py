"""Imports of OneRoster packages, in this process and in one that can be killed.

python -m tests.support.importing <package>   reads LEDGER_DATABASE_URL, LEDGER_DB_SCHEMA and LEDGER_KEK,
                                              writes a line after each row
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.record.oneroster.package import import_package
from ledger.bootstrap import foundation, open_ledger
from ledger.interchange.oneroster import open_package
from ledger.policy.offices import Actor, Office
from ledger.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.application.ledger import Ledger
    from ledger.application.record.oneroster.report import ImportReport

IMPORTER = Actor(UUID(int=0x1A), Office.SYSTEM)
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "oulad-aaa-2013j-oneroster-1.2.zip"


async def imports(
    ledger: Ledger,
    path: Path,
    *,
    reason: str | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> ImportReport:
    """Imports a package."""
    with open_package(path) as package:
        return await import_package(ledger, package, IMPORTER, reason=reason, progress=progress)


async def main(path: Path) -> None:
    """Imports a package into the ledger of the environment."""

    def say(file: str, rows: int) -> None:
        sys.stdout.write(f"{file} {rows}\n")
        sys.stdout.flush()

    with foundation(read_settings(), migrating=False) as base:
        async with open_ledger(base) as ledger:
            await imports(ledger, path, progress=say)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
