"""Fixtures of tests that need a whole ledger.

`base`   what a process of the ledger stands on: database, keys, mapper, views
`desk`   an opened ledger with a school in it (see `tests.support.desk`); its views are empty
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.desk import Desk, a_base, at_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ledger.bootstrap import Foundation
    from ledger.store.database import Database
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper


@pytest.fixture
def base(ledger_db: Database, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path) -> Foundation:
    return a_base(ledger_db, keks, mapper, tmp_path)


@pytest_asyncio.fixture
async def desk(base: Foundation) -> AsyncIterator[Desk]:
    async with at_desk(base) as opened:
        await opened.founds()
        yield opened
