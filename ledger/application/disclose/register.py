"""Who saw whose data: the disclosure register, of one student or of everybody. Reading it is one more access.

What is searched for is found by clear columns and keyed tokens; whom a page is about is known from these alone, so the
access to it is recorded before anything of it is opened. Who may not search is refused before anything is searched.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.disclose.gate import Reader, check_access, open_access
from ledger.application.disclose.moment import AsOf, find_moment
from ledger.application.disclose.opening import check_recorded, open_accesses, open_rows, snapshot, table
from ledger.application.disclose.shown import DisclosureLine, DisclosureRegister, HandedOver, RegisterPage
from ledger.policy.reading import Resource
from ledger.projections.disclosures import queries
from ledger.projections.disclosures.projection import AccessBody, DisclosedBody
from ledger.projections.query import lowest
from ledger.receipt import LIFETIME
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ledger.application.ledger import Ledger
    from ledger.projections.disclosures.queries import Filters, Found
    from ledger.projections.view import Row
    from ledger.receipt import Disclosure

VIEW = "disclosures"
CATEGORIES = (RecordClass.DISCLOSURES,)
BATCH = 1_000
"""Lines of an export that are opened at once."""
RENEW_S = LIFETIME.total_seconds() * 3 / 4
"""An export that takes longer than this goes on under a further access: a receipt never outlives its minute."""
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RegisterQuery:
    """What is looked for in the register; what is left out restricts nothing.

    Args:
        since: recorded at this time or later. until: recorded before this time.
        not_actors: what these persons looked at is left out.
    """

    student_id: UUID | None = None
    actor: UUID | None = None
    office: str | None = None
    recipient: str | None = None
    purpose: str | None = None
    legal_basis: str | None = None
    channel: str | None = None
    granted: bool | None = None
    exceptional: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    not_actors: tuple[UUID, ...] = ()


EVERYTHING = RegisterQuery()


@dataclass(slots=True)
class Export:
    """An export that was disclosed: how many lines it will have (at most), and the lines, newest first, in batches.

    `position` is up to where it tells the register; what is recorded later, the export itself included, is not in it.
    """

    lines: int
    position: int
    access_id: UUID
    batches: AsyncIterator[list[DisclosureLine]]


async def read_disclosures(
    ledger: Ledger,
    reader: Reader,
    student_id: UUID,
    *,
    before: int | None,
    limit: int,
    min_position: int = 0,
    query: RegisterQuery = EVERYTHING,
    offset: int = 0,
) -> DisclosureRegister:
    """Returns a page of who saw the student's data, newest first.

    Args:
        offset: lines to pass over, for a protocol that knows no cursor.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student.
    """
    receipt = await open_access(ledger, reader, Resource.DISCLOSURES, students=[student_id], categories=CATEGORIES)
    filters = await _filters(ledger, replace(query, student_id=student_id))
    found, position = await _find(ledger, filters, before, limit + 1, min_position, offset)
    items = await _open(ledger, receipt, query, found[:limit])
    return DisclosureRegister(student_id, items, _following(found, limit), position, receipt.access_id)


async def read_register(
    ledger: Ledger, reader: Reader, query: RegisterQuery, *, before: int | None, limit: int, min_position: int = 0
) -> RegisterPage:
    """Returns a page of who saw whose data, newest first.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no student is the one who is asked about.
    """
    if query.student_id is not None:
        page = await read_disclosures(
            ledger, reader, query.student_id, before=before, limit=limit, min_position=min_position, query=query
        )
        return RegisterPage(page.items, page.next, page.position, page.access_id)
    await check_access(ledger, reader, Resource.REGISTER, categories=CATEGORIES)
    filters = await _filters(ledger, query)
    found, position = await _find(ledger, filters, before, limit + 1, min_position)
    students = [row.disclosed[0] for row in found[:limit]]
    receipt = await open_access(
        ledger, reader, Resource.REGISTER, students=students, categories=CATEGORIES, named=False
    )
    items = await _open(ledger, receipt, query, found[:limit])
    return RegisterPage(items, _following(found, limit), position, receipt.access_id)


async def export_register(ledger: Ledger, reader: Reader, query: RegisterQuery, *, min_position: int = 0) -> Export:
    """Discloses the register, or what the query restricts it to, and returns it in batches.

    It is one access, of everybody whom it is about, recorded before the first line is opened.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no student is the one who is asked about.
    """
    named = () if query.student_id is None else (query.student_id,)
    resource = Resource.DISCLOSURES if named else Resource.REGISTER
    await check_access(ledger, reader, resource, students=named, categories=CATEGORIES)
    filters = await _filters(ledger, query)
    async with snapshot(ledger, (VIEW,), min_position) as connection:
        position = await lowest(connection, ledger.database, [ledger.view(VIEW)])
        filters = replace(filters, until=min(filters.until, position))
        accesses, disclosed = table(ledger, VIEW, "accesses"), table(ledger, VIEW, "disclosed")
        students, lines = await queries.students_of(connection, accesses, disclosed, filters)
    began = asyncio.get_running_loop().time()
    receipt = await _disclose(ledger, reader, query, students)
    return Export(lines, position, receipt.access_id, _batches(ledger, reader, query, filters, receipt, began))


async def _disclose(ledger: Ledger, reader: Reader, query: RegisterQuery, students: Sequence[UUID]) -> Disclosure:
    if query.student_id is not None:
        one = [query.student_id]
        return await open_access(ledger, reader, Resource.DISCLOSURES, students=one, categories=CATEGORIES)
    return await open_access(ledger, reader, Resource.REGISTER, students=students, categories=CATEGORIES, named=False)


async def _batches(
    ledger: Ledger, reader: Reader, query: RegisterQuery, filters: Filters, receipt: Disclosure, began: float
) -> AsyncIterator[list[DisclosureLine]]:
    """Yields the lines. `began` is when the disclosure was asked for, by the loop's clock: the receipt is no older."""
    clock = asyncio.get_running_loop()
    accesses, disclosed = table(ledger, VIEW, "accesses"), table(ledger, VIEW, "disclosed")
    before: int | None = None
    while True:
        if clock.time() - began > RENEW_S:
            began = clock.time()
            async with snapshot(ledger, (VIEW,)) as connection:
                students, _ = await queries.students_of(connection, accesses, disclosed, filters, before)
            receipt = await _disclose(ledger, reader, query, students)
        found, _ = await _find(ledger, filters, before, BATCH, 0)
        if not found:
            return
        yield await _open(ledger, receipt, query, found)
        before = found[-1].disclosed[1]


async def count_disclosures(ledger: Ledger, query: RegisterQuery) -> int:
    """Returns how many lines the register has; nothing is opened for it."""
    filters = await _filters(ledger, query)
    async with snapshot(ledger, (VIEW,)) as connection:
        accesses, disclosed = table(ledger, VIEW, "accesses"), table(ledger, VIEW, "disclosed")
        return (await queries.students_of(connection, accesses, disclosed, filters))[1]


async def concerns(ledger: Ledger, student_id: UUID, access_id: UUID) -> bool:
    """Tells whether an access, granted or refused, stands in a student's register; nothing is opened for it.

    Raises:
        Busy: the register is behind, so that nobody can say.
    """
    disclosed = table(ledger, VIEW, "disclosed")
    async with snapshot(ledger, (VIEW,)) as connection:
        if await queries.has_access(connection, disclosed, student_id, access_id):
            return True
    # It may be newer than the view. Whether there is one elsewhere must not be told by how long this takes.
    last = await check_recorded(ledger, 0)
    async with snapshot(ledger, (VIEW,), last) as connection:
        return await queries.has_access(connection, disclosed, student_id, access_id)


async def _filters(ledger: Ledger, query: RegisterQuery) -> Filters:
    """Returns the filters of a query: times as positions, and what is sealed as tokens."""
    after = await _position(ledger, query.since - INSTANT) if query.since is not None else 0
    until = await _position(ledger, query.until - INSTANT) if query.until is not None else queries.NEWEST
    sealed = {name: getattr(query, name) for name in ("purpose", "legal_basis", "channel", "recipient")}
    return queries.Filters(
        query.student_id,
        query.actor,
        query.office,
        query.granted,
        query.exceptional,
        after,
        until,
        queries.tokens_of(ledger.hasher.blind_index, sealed),
        query.not_actors,
    )


async def _position(ledger: Ledger, time: datetime) -> int:
    return (await find_moment(ledger, AsOf(known_at=time))).position


async def _find(
    ledger: Ledger, filters: Filters, before: int | None, limit: int, min_position: int, offset: int = 0
) -> tuple[list[Found], int]:
    """Returns lines as they are stored, and how far the register is."""
    accesses, disclosed = table(ledger, VIEW, "accesses"), table(ledger, VIEW, "disclosed")
    async with snapshot(ledger, (VIEW,), min_position) as connection:
        found = await queries.found(connection, accesses, disclosed, filters, before, limit, offset)
        return found, await lowest(connection, ledger.database, [ledger.view(VIEW)])


def _following(found: Sequence[Found], limit: int) -> str | None:
    return str(found[limit - 1].disclosed[1]) if len(found) > limit else None


async def _open(
    ledger: Ledger, receipt: Disclosure, query: RegisterQuery, found: Sequence[Found]
) -> list[DisclosureLine]:
    """Returns lines, opened. Where the record of who looked was erased the line is left out; the history keeps it."""
    disclosed, accesses = table(ledger, VIEW, "disclosed"), table(ledger, VIEW, "accesses")
    opened = await open_rows(ledger, receipt, disclosed, [row.disclosed for row in found])
    named = {cast("UUID", row.clear[0]) for _, row in opened}
    stored = {row.access[0]: row.access for row in found if row.access[0] in named}
    by_id = {key[0]: row for key, row in await open_accesses(ledger, receipt, accesses, list(stored.values()), named)}
    lines = []
    for key, row in opened:
        access = by_id.get(row.clear[0])
        if access is not None:
            line = _line(cast("UUID", key[0]), cast("int", key[1]), row, access)
            if _matches(line, query):
                lines.append(line)
    return lines


def _line(student_id: UUID, position: int, row: Row, access: Row) -> DisclosureLine:
    recorded_at, granted, exceptional, actor, office, students = access.clear[:6]
    body = cast("AccessBody", access.body)
    paper = body.handed_over
    return DisclosureLine(
        student_id,
        position,
        cast("datetime", recorded_at),
        cast("UUID", row.clear[0]),
        cast("bool", granted),
        cast("UUID", actor),
        cast("str", office),
        body.on_behalf_of,
        body.recipient,
        body.purpose,
        body.legal_basis,
        body.policy,
        body.channel,
        body.resource,
        cast("int", students),
        cast("DisclosedBody", row.body).categories,
        cast("bool", exceptional),
        body.document,
        body.reason,
        HandedOver(paper.kind, paper.number, paper.effective_on, paper.handed_by, paper.received_by) if paper else None,
    )


def _matches(line: DisclosureLine, query: RegisterQuery) -> bool:
    """Tells whether a line is what was looked for: two values may have one token, if hardly ever."""
    sealed = ("purpose", "legal_basis", "channel", "recipient")
    return all(getattr(query, name) in (None, getattr(line, name)) for name in sealed)
