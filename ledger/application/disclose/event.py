"""One event by its position: its header, and what it says where the reader may read the history of whom it is about."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.disclose.feed import EventOpened, admit, open_entries, withheld
from ledger.application.disclose.gate import may_open, open_access
from ledger.application.disclose.past import entry_at
from ledger.application.disclose.representation import OF_OTHERS_TOO
from ledger.errors import NotFound
from ledger.policy.offices import SPEAKING
from ledger.policy.reading import NOBODYS, Granted, Resource, decide_reading
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.application.disclose.gate import Reader
    from ledger.application.ledger import Ledger
    from ledger.seal.entry import Entry


@dataclass(frozen=True, slots=True)
class EventShown(EventOpened):
    """An event by its position; `access_id` is the disclosure that opened it, where it is a student's."""

    access_id: UUID | None


async def read_event(ledger: Ledger, reader: Reader, position: int) -> EventShown:
    """Returns the event at a position.

    Whoever may follow the feed sees the header; its payload is opened, with one disclosure, for who may read the
    history of the student, and withheld from others. Students and representatives see their own events, but for those
    that tell of a representative: judged and recorded as any reading of their history, before a header is shown.

    Raises:
        Forbidden: neither feed nor history is open to the reader (recorded).
        NotFound: nothing has been recorded at this position.
    """
    entry = await entry_at(ledger, position)
    if entry is not None and reader.actor.office in SPEAKING and await _may_read(ledger, reader, entry):
        event, access_id = await _open(ledger, reader, entry)
        return _show(event, access_id)
    await admit(ledger, reader)
    if entry is None:
        raise NotFound("Nothing has been recorded at this position.", help="The feed shows what there is.")
    if isinstance(decide_reading(reader.actor, Resource.HISTORY, NOBODYS), Granted):
        (event,), access_id = await open_entries(ledger, reader, [entry])
        return _show(event, access_id)
    return _show(withheld(entry), None)


async def _may_read(ledger: Ledger, reader: Reader, entry: Entry) -> bool:
    """Tells whether an event is of whom a student or representative may read, by what the school has recorded."""
    if entry.record_class in OF_OTHERS_TOO:
        return False
    students, classes = (entry.subject_id,), (entry.record_class,)
    return await may_open(ledger, reader, Resource.HISTORY, students=students, categories=classes)


async def _open(ledger: Ledger, reader: Reader, entry: Entry) -> tuple[EventOpened, UUID | None]:
    """Discloses an event of the reader's own and opens it; of what a disclosure recorded, the header alone."""
    if entry.record_class != RecordClass.DISCLOSURES:
        (event,), access_id = await open_entries(ledger, reader, [entry])
        return event, access_id
    students, classes = (entry.subject_id,), (entry.record_class,)
    receipt = await open_access(ledger, reader, Resource.HISTORY, students=students, categories=classes)
    return withheld(entry), receipt.access_id


def _show(event: EventOpened, access_id: UUID | None) -> EventShown:
    columns = {field.name: getattr(event, field.name) for field in fields(EventOpened)}
    return EventShown(**columns, access_id=access_id)
