"""Fixtures of the store's tests.

`rival`  records a command through another executor: `rival(Mark(student))`
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from ledger.store.executor import CommandExecutor
from ledger.store.keyring import KeyEncryptionKeys, Keyring
from tests.support.commands import envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.store.commands import Command
    from ledger.store.database import Database
    from ledger.store.mapper import EventMapper


@pytest.fixture
def rival(ledger_db: Database, keks: KeyEncryptionKeys, mapper: EventMapper) -> Callable[[Command], None]:
    """Records a command through another executor on another loop, and returns when it is committed.

    It blocks the loop of the test: what happens then happens between two steps of the executor there.
    """

    async def record(command: Command) -> None:
        executor = CommandExecutor(ledger_db, mapper, Keyring(keks))
        await executor.start()
        try:
            await executor.execute(envelope(command))
        finally:
            await executor.stop()

    def run(command: Command) -> None:
        thread = threading.Thread(target=lambda: asyncio.run(record(command)))
        thread.start()
        thread.join(60)
        assert not thread.is_alive()

    return run
