"""One event by its position: its header, and what it says where the reader may read the history of whom it is about."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.disclose.feed import EventOpened, admit, open_entries, withheld
from ledger.application.disclose.past import entry_at
from ledger.application.disclose.representation import OF_OTHERS_TOO, SPEAKING
from ledger.errors import NotFound
from ledger.policy.reading import Granted, Resource, decide_reading, personal

if TYPE_CHECKING:
    from ledger.application.disclose.gate import Reader
    from ledger.application.ledger import Ledger


@dataclass(frozen=True, slots=True)
class EventShown(EventOpened):
    """An event by its position; `access_id` is the disclosure that opened it, where it is a student's."""

    access_id: UUID | None


async def read_event(ledger: Ledger, reader: Reader, position: int) -> EventShown:
    """Returns the event at a position.

    Whoever may follow the feed sees the header; its payload is opened, with one disclosure, for who may read the
    history of the student, and withheld from others. Students and representatives see their own
    events, but for those that tell of a representative.

    Raises:
        Forbidden: neither feed nor history is open to the reader (recorded).
        NotFound: nothing has been recorded at this position.
    """
    entry = await entry_at(ledger, position)
    relation = personal(reader.actor, [entry.subject_id] if entry is not None else [])
    own = relation.own or relation.represents
    opens = isinstance(decide_reading(reader.actor, Resource.HISTORY, relation), Granted)
    if reader.actor.office in SPEAKING and entry is not None and entry.record_class in OF_OTHERS_TOO:
        opens = False
    if not (own and opens):
        await admit(ledger, reader)
    if entry is None:
        raise NotFound("Nothing has been recorded at this position.", help="The feed shows what there is.")
    access_id = None
    if opens:
        (event,), access_id = await open_entries(ledger, reader, [entry])
    else:
        event = withheld(entry)
    columns = {field.name: getattr(event, field.name) for field in fields(EventOpened)}
    return EventShown(**columns, access_id=access_id)
