"""A ledger as its use cases see it: the wired parts. `bootstrap` makes it; nothing else does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ledger.aggregates.school import School
from ledger.streams.base import LaneRef

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from uuid import UUID

    import psycopg
    from psycopg_pool import AsyncConnectionPool

    from ledger.application.disclose.proving import Proven
    from ledger.projections.tables import TableStore
    from ledger.projections.view import View
    from ledger.receipt import Disclosure
    from ledger.settings import Settings
    from ledger.store.database import Database, Row
    from ledger.store.executor import CommandExecutor
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper
    from ledger.store.openings import CountedKeyring
    from ledger.store.secrets import Hasher
    from ledger.store.tail import Tail
    from ledger.telemetry.parts import Telemetry


AT_ONCE = 4
"""Readings of whole histories that a process works on at the same time; others wait for their turn."""


@dataclass(slots=True)
class Ledger:
    """The parts of one ledger in one process.

    `pool` is of the reader role (views), `keys` of the writer role (data keys, events); `tail` wakes who waits for
    events, `sealed` who waits for a checkpoint over them. Executor, pools and tails belong to the event loop that
    opened them; the rest may be used anywhere.
    """

    id: UUID
    settings: Settings
    database: Database
    keyring: CountedKeyring
    mapper: EventMapper
    hasher: Hasher
    views: Sequence[View]
    today: Callable[[], date]
    executor: CommandExecutor
    pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]]
    keys: AsyncConnectionPool[psycopg.AsyncConnection[Row]]
    tail: Tail
    sealed: Tail
    telemetry: Telemetry
    keks: KeyEncryptionKeys
    tables: dict[tuple[str, int, str], TableStore] = field(default_factory=dict)
    """Tables of views that were read (view, version, table): their statements are written once."""
    proven: WeakKeyDictionary[Disclosure, Proven] = field(default_factory=WeakKeyDictionary)
    """What receipts were found to open; forgotten with the receipt."""
    folding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    """Held by who looks through a whole history in memory: a client who asks again and again takes no more."""

    def view(self, name: str) -> View:
        """Returns a view by its name."""
        return next(view for view in self.views if view.name == name)

    @property
    def school(self) -> LaneRef[School]:
        """The school's lane; its stream is the ledger's own id."""
        return LaneRef(self.id, self.id, School)
