"""The feed: every event in order of position, headers for whoever may follow, payload behind the gate.

Positions are contiguous and appear in their order, so a reader that goes on after the last position that it has seen
misses nothing and sees nothing twice. A page ends at `until`, which the first page fixes: recording goes on, and
reading payload itself records, but paging comes to an end.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

import msgspec

from ledger.application.acting import confirm
from ledger.application.disclose.gate import open_access
from ledger.application.disclose.opening import open_events
from ledger.application.disclose.shown import MAX_PAGE
from ledger.errors import Conflict
from ledger.policy.reading import Denied, Relation, Resource, decide_reading
from ledger.seal.entry import Entry
from ledger.store.database import translated
from ledger.store.header import decode_header
from ledger.store.lanes import ENTRY_COLUMNS
from ledger.store.tail import LAST
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.application.disclose.gate import Reader
    from ledger.application.ledger import Ledger
    from ledger.streams.base import LedgerEvent

MAX_FEED = 1_000
"""Events on a page of headers; one with payload ends before its 51st student."""
WINDOW = 10_000
"""Positions that one page looks through for a topic: a rare one costs many cheap pages instead of a long one."""

OPENED, ERASED, WITHHELD = "opened", "erased", "withheld"

_CURSOR = re.compile(r"(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})")
_BASE = frozenset({"originator_id", "originator_version", "timestamp", "event_id"})
_STUDENTS = "SELECT stream_id FROM {schema}.events WHERE stream_id = ANY(%b::uuid[]) AND version = 1"
HEADER_COLUMNS = ENTRY_COLUMNS.removesuffix("state") + "''::bytea AS state"
"""The columns of an entry without its state, which is the bulk of it."""


class AheadOfHistory(Conflict):
    """The reader has seen more than there is: it follows another ledger, or this one was restored from a backup."""

    code = "ahead-of-history"


@dataclass(frozen=True, slots=True)
class EventHeader:
    """What stands in clear about an event: its place, its subject, and who recorded it through which request."""

    position: int
    event_id: UUID
    stream_id: UUID
    version: int
    subject_id: UUID
    topic: str
    record_class: str
    recorded_at: datetime
    actor: UUID
    office: str
    correlation: UUID
    causation: UUID | None
    request: UUID
    local_act: str | None
    carrier: str


@dataclass(frozen=True, slots=True)
class EventOpened(EventHeader):
    """An event with its payload, which is `opened`, `erased` or `withheld`; `state` is null unless it was opened."""

    payload: str
    state: dict[str, object] | None


_HEADER_FIELDS = tuple(field.name for field in fields(EventHeader))

E_co = TypeVar("E_co", bound=EventHeader, covariant=True)


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """What somebody wants to follow.

    Args:
        after: the last position that the reader has seen; 0 before the first event.
        until: where the paging ends; None fixes it at the newest event.
        limit: the most events on the page.
        payload: open the states as well, which is disclosed.
        topic: only topics that begin so.
        subject: only events about this subject.
    """

    after: int = 0
    until: int | None = None
    limit: int = MAX_PAGE
    payload: bool = False
    topic: str | None = None
    subject: UUID | None = None


@dataclass(frozen=True, slots=True)
class FeedPage(Generic[E_co]):
    """A page of the feed.

    Every event up to `seen` was looked at, so a reader goes on after it. The paging ends at `until`; `next` continues
    it, None at its end. `access_id` is the disclosure of a page with payload, where somebody's was opened.
    """

    items: Sequence[E_co]
    next: str | None
    seen: int
    until: int
    access_id: UUID | None = None


def header_of(entry: Entry) -> EventHeader:
    """Returns the header line of a stored event.

    Raises:
        Unreadable: the header's bytes are none.
    """
    header = decode_header(entry.header)
    return EventHeader(
        entry.position,
        entry.event_id,
        entry.stream_id,
        entry.version,
        entry.subject_id,
        entry.topic,
        entry.record_class,
        entry.recorded_at,
        header.actor,
        header.office,
        header.correlation,
        header.causation,
        header.request,
        header.local_act,
        header.carrier,
    )


def state_of(event: LedgerEvent) -> dict[str, object]:
    """Returns what happened, as plain JSON values, without the columns that the header shows."""
    values = {name: value for name, value in vars(event).items() if name not in _BASE}
    plain: dict[str, object] = msgspec.to_builtins(values)
    return plain


async def admit(ledger: Ledger, reader: Reader) -> None:
    """Passes if the reader's office may follow the feed; headers name nobody, so reading them is not disclosed.

    Asked for each page, so that a stream ends when its reader loses the office.

    Raises:
        Forbidden: it may not (the refusal is recorded), or it is theirs no more.
    """
    whole = await confirm(ledger, reader.actor)
    relation = Relation(within_office=whole, within_mandate=whole)
    if isinstance(decide_reading(reader.actor, Resource.FEED, relation, reader.asking(())), Denied):
        await open_access(ledger, reader, Resource.FEED, students=(), categories=())


async def read_feed(ledger: Ledger, reader: Reader, query: FeedQuery) -> FeedPage[EventHeader]:
    """Returns a page of the feed, straight from the events: it is never behind. With payload, items are EventOpened.

    Raises:
        Forbidden: the policy refused (recorded).
        AheadOfHistory: `after` or `until` is beyond the newest event.
    """
    await admit(ledger, reader)
    entries, seen, until = await _select(ledger, query)
    items: Sequence[EventHeader]
    access_id = None
    if query.payload:
        items, access_id = await open_entries(ledger, reader, entries)
        if len(items) < len(entries):
            seen = items[-1].position
    else:
        items = [header_of(entry) for entry in entries]
    return FeedPage(items, f"{seen}-{until}" if seen < until else None, seen, until, access_id)


async def await_feed(ledger: Ledger, reader: Reader, query: FeedQuery, seconds: float) -> FeedPage[EventHeader]:
    """Returns the first page that shows something, or an empty one when `seconds` are over or the service stops.

    A query whose end is fixed does not wait: nothing new comes before it.
    """
    clock = asyncio.get_running_loop()
    deadline = clock.time() + seconds
    while True:
        page = await read_feed(ledger, reader, query)
        left = deadline - clock.time()
        if page.items or query.until is not None or left <= 0:
            return page
        query = replace(query, after=page.seen)
        if page.seen == page.until and not await ledger.tail.wait(page.seen, left):
            return page


async def _select(ledger: Ledger, query: FeedQuery) -> tuple[list[Entry], int, int]:
    """Returns the entries of the page, up to where that is everything, and where the paging ends."""
    bind = ledger.database.bind
    with translated():
        async with ledger.keys.connection() as connection:
            row = await (await connection.execute(bind(LAST), prepare=True)).fetchone()
            last = int(row[0]) if row else 0
            until = last if query.until is None else query.until
            if max(query.after, until) > last:
                raise AheadOfHistory(
                    f"The history ends at position {last}, before what was asked for.",
                    help="You follow another ledger, or this one was restored: compare what you have, then begin anew.",
                )
            end = min(until, query.after + WINDOW) if query.topic is not None and query.subject is None else until
            where, values = ["position > %b", "position <= %b"], [query.after, end]
            parameters: list[Any] = [*values]
            if query.subject is not None:
                where.append("subject_id = %b")
                parameters.append(query.subject)
            if query.topic is not None:
                where.append("starts_with(topic, %b)")
                parameters.append(query.topic)
            columns = ENTRY_COLUMNS if query.payload else HEADER_COLUMNS
            text = f"SELECT {columns} FROM {{schema}}.events WHERE {' AND '.join(where)} ORDER BY position LIMIT %b"  # noqa: S608 - ours
            cursor = await connection.execute(bind(text), (*parameters, query.limit + 1), prepare=True, binary=True)
            entries = [Entry._make(found) for found in await cursor.fetchall()]
    if len(entries) > query.limit:
        entries.pop()
        return entries, entries[-1].position, until
    return entries, max(end, query.after), until


async def open_entries(
    ledger: Ledger, reader: Reader, entries: Sequence[Entry]
) -> tuple[list[EventOpened], UUID | None]:
    """Discloses and opens, up to the first student who is one too many for a page.

    What a disclosure itself recorded is withheld: whoever followed with payload would otherwise disclose for ever what
    the disclosure before it has left. The register (`/v1/students/…/disclosures`) shows it.
    """
    students = await _students(ledger, entries)
    page: list[Entry] = []
    on_page: dict[UUID, None] = {}
    for entry in entries:
        if _personal(entry, students):
            if len(on_page) == MAX_PAGE and entry.subject_id not in on_page:
                break
            on_page[entry.subject_id] = None
        page.append(entry)
    receipt = None
    shown = [entry for entry in page if _personal(entry, students) or _organisational(ledger, entry)]
    if on_page:
        categories = sorted({entry.record_class for entry in page if _personal(entry, students)})
        receipt = await open_access(ledger, reader, Resource.HISTORY, students=list(on_page), categories=categories)
    opened = {entry.position: event for entry, event in await open_events(ledger, receipt, shown)}
    events = [_event(entry, opened[entry.position]) if entry.position in opened else withheld(entry) for entry in page]
    return events, receipt.access_id if receipt is not None else None


def _personal(entry: Entry, students: set[UUID]) -> bool:
    return entry.subject_id in students and entry.record_class != RecordClass.DISCLOSURES


def _organisational(ledger: Ledger, entry: Entry) -> bool:
    return entry.subject_id == ledger.id and entry.record_class == RecordClass.ORGANISATION


def _event(entry: Entry, event: LedgerEvent | None) -> EventOpened:
    return _shown(entry, ERASED, None) if event is None else _shown(entry, OPENED, state_of(event))


def withheld(entry: Entry) -> EventOpened:
    """Returns an event whose payload the reader does not see."""
    return _shown(entry, WITHHELD, None)


def _shown(entry: Entry, payload: str, state: dict[str, object] | None) -> EventOpened:
    header = header_of(entry)
    columns = {name: getattr(header, name) for name in _HEADER_FIELDS}
    return EventOpened(**columns, payload=payload, state=state)


async def _students(ledger: Ledger, entries: Sequence[Entry]) -> set[UUID]:
    """Returns which subjects are students: their record lane has their own id."""
    subjects = list({entry.subject_id for entry in entries} - {ledger.id})
    if not subjects:
        return set()
    with translated():
        async with ledger.keys.connection() as connection:
            cursor = await connection.execute(ledger.database.bind(_STUDENTS), (subjects,), prepare=True, binary=True)
            return {row[0] for row in await cursor.fetchall()}


def following(query: FeedQuery, page: FeedPage[EventHeader]) -> FeedQuery:
    """Returns what asks for the page after this one, whose end is fixed by now."""
    return replace(query, after=page.seen, until=page.until)


def cursor_of(text: str) -> tuple[int, int] | None:
    """Returns the `after` and `until` of a page's `next`, or None where it is none."""
    found = _CURSOR.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None
