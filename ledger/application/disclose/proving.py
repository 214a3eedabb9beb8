"""What a receipt opens: looked up in the committed events that it names, on another connection than wrote them.

The writer's transaction is over when its rows are seen here, and the append function refuses to run where a commit
would not wait for the disk; so what is found here is recorded, durably, whatever becomes of this process. Nothing is
taken from the receipt itself but where to look.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, cast

from ledger.aggregates.disclosures import AccessOpened, DataDisclosed
from ledger.application.disclose.minting import is_of_this_request
from ledger.errors import Erased, UndisclosedAccess
from ledger.receipt import LIFETIME
from ledger.seal.entry import Entry
from ledger.store.database import translated
from ledger.store.keyring import SELECT_KEYS
from ledger.store.lanes import ENTRY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ledger.application.ledger import Ledger
    from ledger.receipt import Disclosure
    from ledger.store.keyring import KeyNumber

_SELECT = (
    f"SELECT {ENTRY_COLUMNS}, clock_timestamp() FROM {{schema}}.events"  # noqa: S608 - ours
    " WHERE position BETWEEN %b AND %b ORDER BY position"
)


@dataclass(frozen=True, slots=True)
class Proven:
    """What was recorded as disclosed: the categories by student (the integer of the id), until when (loop's clock)."""

    categories: Mapping[int, frozenset[str]]
    until: float

    def check(self, names: Iterable[KeyNumber]) -> None:
        """Passes if every student's record class was disclosed, and not too long ago.

        Raises:
            UndisclosedAccess: otherwise; nothing may be opened then.
        """
        if asyncio.get_running_loop().time() > self.until:
            _too_old()
        found = self.categories.get
        for student, record_class in names:
            if record_class not in found(student, ()):
                raise UndisclosedAccess(
                    "A record was about to be opened that the disclosure does not cover.",
                    help="This is a fault of the ledger; nothing was shown. Report it.",
                )

    def discloses(self, record_class: str) -> bool:
        """Tells whether the category was disclosed of everybody concerned."""
        return bool(self.categories) and all(record_class in found for found in self.categories.values())


async def prove(ledger: Ledger, receipt: Disclosure) -> Proven:
    """Returns what the receipt opens, by the committed events; looked up once for a receipt.

    Raises:
        UndisclosedAccess: it is not of this request, its access was not recorded, or was too long ago.
    """
    if not is_of_this_request(receipt):
        _refuse("A receipt was shown that the gate did not mint for this request.")
    proven = ledger.proven.get(receipt)
    if proven is None:
        proven = ledger.proven[receipt] = await _look_up(ledger, receipt)
    return proven


async def _look_up(ledger: Ledger, receipt: Disclosure) -> Proven:
    if receipt.position < receipt.first:
        _refuse("A receipt names no access.")
    bind, keyring = ledger.database.bind, ledger.executor.keyring
    with translated():
        async with ledger.keys.connection() as connection:
            cursor = await connection.execute(
                bind(_SELECT), (receipt.first, receipt.position), prepare=True, binary=True
            )
            rows = await cursor.fetchall()
            entries = [Entry._make(row[:-1]) for row in rows]
            if missing := keyring.missing((entry.subject_id.int, entry.record_class) for entry in entries[1:]):
                cursor = await connection.execute(bind(SELECT_KEYS), (missing,), prepare=True, binary=True)
                keyring.admit(missing, await cursor.fetchall())
    if len(entries) != receipt.position - receipt.first + 1:
        _refuse("A receipt was shown whose disclosure is not in the history.")
    opened, *disclosed = entries
    if (opened.topic, opened.stream_id, opened.subject_id) != (AccessOpened.TOPIC, receipt.access_id, receipt.actor):
        _refuse("A receipt was shown whose access was not recorded.")
    age: timedelta = rows[0][-1] - opened.recorded_at
    if age > LIFETIME:
        _too_old()
    categories: dict[int, frozenset[str]] = {}
    for entry in disclosed:
        if entry.topic != DataDisclosed.TOPIC:
            continue
        try:
            event = cast("DataDisclosed", ledger.mapper.open(entry, keyring))
        except Erased:
            continue
        if event.access_id != receipt.access_id:
            _refuse("A receipt was shown whose disclosures belong to another access.")
        categories[entry.subject_id.int] = frozenset(event.categories)
    return Proven(categories, asyncio.get_running_loop().time() + (LIFETIME - age).total_seconds())


def _refuse(detail: str) -> NoReturn:
    raise UndisclosedAccess(detail, help="This is a fault of the ledger; nothing was shown. Report it.")


def _too_old() -> NoReturn:
    raise UndisclosedAccess("The disclosure is too old to open data with.", help="Ask again.")
