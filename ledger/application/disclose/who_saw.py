"""Who saw my data: the register as a student or parent reads it, newest first, a sentence an entry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.aggregates.student.requests import INFORMATION_ASKED
from ledger.application.disclose.register import RegisterQuery, read_disclosures
from ledger.application.disclose.telling import tell

if TYPE_CHECKING:
    from ledger.application.disclose.gate import Reader
    from ledger.application.disclose.shown import DisclosureLine
    from ledger.application.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Question:
    """How to ask about an access: the address, and what the body has besides `text`."""

    address: str
    kind: str
    about_access: UUID


@dataclass(frozen=True, slots=True)
class Sighting:
    """One entry: the sentence, what it is made of, and how to ask about it.

    `ask` is a request of the kind `information` about this access: sent to that address, with a text, it is registered
    and due like every other request.
    """

    position: int
    recorded_at: datetime
    access_id: UUID
    granted: bool
    exceptional: bool
    actor: UUID
    office: str
    text: str
    text_en: str
    categories: list[str]
    ask: Question


@dataclass(frozen=True, slots=True)
class WhoSaw:
    """A page of who saw a student's data, newest first, in sentences."""

    student_id: UUID
    items: list[Sighting]
    next: str | None
    position: int
    access_id: UUID


async def who_saw(
    ledger: Ledger,
    reader: Reader,
    student_id: UUID,
    *,
    before: int | None,
    limit: int,
    own: bool = False,
    min_position: int = 0,
    query: RegisterQuery | None = None,
) -> WhoSaw:
    """Returns a page of who saw the student's data, in sentences, newest first.

    Args:
        own: whether what the reader looked at is told as well.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student.
    """
    asked = query or RegisterQuery()
    if not own:
        asked = replace(asked, not_actors=(reader.actor.id,))
    page = await read_disclosures(
        ledger, reader, student_id, before=before, limit=limit, min_position=min_position, query=asked
    )
    items = [_sighting(line, ledger.settings.timezone) for line in page.items]
    return WhoSaw(student_id, items, page.next, page.position, page.access_id)


def _sighting(line: DisclosureLine, zone: str) -> Sighting:
    told = tell(line, zone)
    return Sighting(
        line.position,
        line.recorded_at,
        line.access_id,
        line.granted,
        line.exceptional,
        line.actor,
        line.office,
        told.ru,
        told.en,
        line.categories,
        Question(f"/v1/students/{line.student_id}/requests", INFORMATION_ASKED, line.access_id),
    )
