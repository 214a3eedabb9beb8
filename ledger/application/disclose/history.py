"""One student's history: every event of every lane, in order of position, opened for whoever may replay it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from ledger.application.disclose.feed import state_of
from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.moment import NOW, AsOf, find_moment
from ledger.application.disclose.opening import open_events
from ledger.application.disclose.representation import OF_OTHERS_TOO
from ledger.application.disclose.shown import History, HistoryLine
from ledger.policy.offices import SPEAKING
from ledger.policy.reading import Resource
from ledger.projections.retention.projection import happened_on
from ledger.seal.entry import Entry
from ledger.store.database import translated
from ledger.store.header import decode_header
from ledger.store.lanes import ENTRY_COLUMNS
from ledger.streams.record_classes import STUDENT_CLASSES, RecordClass

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger

CATEGORIES = STUDENT_CLASSES
_OF_ONESELF = tuple(name for name in STUDENT_CLASSES if name not in OF_OTHERS_TOO)
_WHOLE = 2**63 - 1

_SELECT = (
    f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events WHERE subject_id = %b AND position > %b"  # noqa: S608 - ours
    " AND position <= %b ORDER BY position LIMIT %b"
)


async def read_history(
    ledger: Ledger,
    reader: Reader,
    student_id: UUID,
    *,
    after: int,
    limit: int,
    as_of: AsOf = NOW,
) -> History:
    """Returns a page of the student's history; students and representatives read who represents them apart.

    Of what others of the family have asked for they are told nothing here either, not even that and when: neither by
    the length of a page nor by where the next one begins.

    Args:
        as_of: only what the ledger had recorded by then; with `effective_on`, only what had happened by that day, as
            the events say (a correction on the day on which it was made); an access on the day of its record, and
            others that say no day are shown.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student. InvalidInput: the moment has not come yet.
    """
    zone = ZoneInfo(ledger.settings.timezone)
    bounded = as_of.position is not None or as_of.known_at is not None
    until = (await find_moment(ledger, as_of)).position if bounded else _WHOLE
    shown = _OF_ONESELF if reader.actor.office in SPEAKING else CATEGORIES
    receipt = await open_access(ledger, reader, Resource.HISTORY, students=[student_id], categories=shown)
    entries = await _entries(ledger, reader, student_id, (after, until), limit)
    page = entries[:limit]
    told = [entry for entry in page if entry.record_class in shown]
    opened = {entry.position: event for entry, event in await open_events(ledger, receipt, told)}
    lines = []
    for entry in page:
        state: dict[str, object] | None = None
        event = opened.get(entry.position)
        if event is not None:
            day = happened_on(event)
            if day is None and entry.record_class == RecordClass.DISCLOSURES:
                day = entry.recorded_at.astimezone(zone).date()
            if as_of.effective_on is not None and day is not None and day > as_of.effective_on:
                continue
            state = state_of(event)
        header = decode_header(entry.header)
        lines.append(
            HistoryLine(
                entry.position,
                entry.event_id,
                entry.stream_id,
                entry.version,
                entry.topic,
                entry.record_class,
                entry.recorded_at,
                header.actor,
                header.office,
                header.local_act,
                header.carrier,
                state,
            )
        )
    following = str(page[-1].position) if len(entries) > limit else None
    return History(student_id, lines, following, receipt.access_id)


async def _entries(
    ledger: Ledger, reader: Reader, student_id: UUID, between: tuple[int, int], limit: int
) -> list[Entry]:
    """Returns the entries of a page that the reader is told of, and more than `limit` where there is another page."""
    after, until = between
    found: list[Entry] = []
    while True:
        with translated():
            async with ledger.keys.connection() as connection:
                cursor = await connection.execute(
                    ledger.database.bind(_SELECT), (student_id, after, until, limit + 1), prepare=True, binary=True
                )
                entries = [Entry._make(row) for row in await cursor.fetchall()]
        found += [entry for entry in entries if _told(reader, entry)]
        if len(entries) <= limit or len(found) > limit:
            return found
        after = entries[-1].position


def _told(reader: Reader, entry: Entry) -> bool:
    """Tells whether a reader learns of an event: that somebody else of the family has asked is theirs to tell."""
    if reader.actor.office not in SPEAKING or entry.record_class != RecordClass.REQUESTS:
        return True
    return decode_header(entry.header).actor == reader.actor.id
