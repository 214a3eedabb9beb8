"""Fixtures of the use cases.

`office`    a ledger without a school: an import founds it
`package`   where a test writes its OneRoster package
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.desk import Desk, at_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ledger.bootstrap import Foundation


@pytest_asyncio.fixture
async def office(base: Foundation) -> AsyncIterator[Desk]:
    async with at_desk(base) as desk:
        yield desk


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return tmp_path / "package.zip"
