"""The receipt of a disclosure: without one nothing personal is opened for reading.

Only the gate (`application/disclose`) makes receipts, after the disclosure has been committed. A receipt names the
actor, the students and the categories that were recorded, and lives for a minute: what it does not name stays closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.errors import UndisclosedAccess

if TYPE_CHECKING:
    from collections.abc import Iterable

LIFETIME = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A committed disclosure.

    Args:
        access_id: stream of the `AccessOpened` event.
        position: of the last event of the access; the view that serves the read need not have reached it.
        categories: record classes that were disclosed.
        committed_at: the ledger's clock at the commit.
    """

    access_id: UUID
    actor: UUID
    students: frozenset[UUID]
    categories: frozenset[str]
    position: int
    committed_at: datetime

    def check(self, rows: Iterable[tuple[UUID, str]], now: datetime) -> None:
        """Passes if every (student, record class) was disclosed and the receipt is still young.

        Raises:
            UndisclosedAccess: otherwise; nothing may be opened then.
        """
        if now - self.committed_at > LIFETIME:
            raise UndisclosedAccess("The disclosure is too old to open data with.", help="Ask again.")
        for student_id, record_class in rows:
            if student_id not in self.students or record_class not in self.categories:
                raise UndisclosedAccess(
                    "A record was about to be opened that the disclosure does not cover.",
                    help="This is a fault of the ledger; nothing was shown. Report it.",
                )
