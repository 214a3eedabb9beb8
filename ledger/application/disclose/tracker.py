"""The Data Tracker's protocol: uses of a student's data as Estonia's registers tell them (docs/data-tracker.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.application.acting import TurnedAway
from ledger.application.disclose.gate import refuse_unknown
from ledger.application.disclose.opening import look, snapshot, table
from ledger.application.disclose.register import VIEW, RegisterQuery, count_disclosures, read_disclosures
from ledger.application.disclose.school import read_school
from ledger.application.disclose.telling import DOCUMENTS, OFFICES, RESOURCES, purpose_of
from ledger.errors import Forbidden, LedgerError, NotFound
from ledger.policy.engine import Purpose, Words
from ledger.policy.reading import Resource
from ledger.projections.disclosures import queries
from ledger.projections.rosters import queries as rosters
from ledger.projections.rosters.projection import foreign_id_token

if TYPE_CHECKING:
    from ledger.application.disclose.gate import Reader
    from ledger.application.disclose.shown import DisclosureLine
    from ledger.application.ledger import Ledger

MAX_USAGES = 1_000
"""How many entries an answer has where nothing else is asked for (the protocol says so), and here at most."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A use of somebody's data, in the words of the protocol: when, what for, who received it, in which system."""

    logtime: datetime
    action: str
    receiverCode: str  # noqa: N815 - the protocol's name
    receiverName: str  # noqa: N815 - likewise
    receiverSystem: str  # noqa: N815 - likewise


@dataclass(frozen=True, slots=True)
class Usages:
    """How many uses there are, whatever is shown of them, and those that were asked for, newest first."""

    totalUsages: int  # noqa: N815 - the protocol's name
    usages: list[Usage]


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """From when on uses are kept; the end is now, so it is left out."""

    periodStart: datetime  # noqa: N815 - the protocol's name


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Whether the register answers."""

    status: str
    message: str


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What is asked of a person's uses.

    Args:
        user_code: the student: an id of this ledger, or `<system>:<id there>`.
        since: at this time or later. until: at this time or earlier.
    """

    user_code: str
    since: datetime | None = None
    until: datetime | None = None
    offset: int = 0
    limit: int = MAX_USAGES


async def find_usage(ledger: Ledger, reader: Reader, query: UsageQuery) -> Usages:
    """Returns uses of a student's data; none of a code that nobody has, or whose register the reader may not see.

    A code must not tell strangers whether somebody is at the school; the refusal is recorded.
    """
    if reader.recipient is not None:  # it goes to the person themself, who asked through another system
        reader = replace(reader, purpose=Purpose.OWN_REQUEST)
    student_id = await _student(ledger, query.user_code)
    if student_id is None:
        await refuse_unknown(ledger, reader, Resource.DISCLOSURES)
        return Usages(0, [])
    asked = RegisterQuery(
        granted=True, since=query.since, until=query.until + datetime.resolution if query.until else None
    )
    try:
        page = await read_disclosures(
            ledger, reader, student_id, before=None, limit=query.limit, query=asked, offset=query.offset
        )
        total = await count_disclosures(ledger, replace(asked, student_id=student_id))
    except TurnedAway:
        raise
    except (Forbidden, NotFound):
        return Usages(0, [])
    school = await read_school(ledger)
    return Usages(total, [_usage(line, ledger.id, school.name) for line in page.items])


def _usage(line: DisclosureLine, school_id: UUID, school: str) -> Usage:
    resource = RESOURCES.get(line.resource, Words(line.resource, line.resource))
    if line.handed_over is not None:
        kind = line.handed_over.kind
        resource = DOCUMENTS.get(kind, Words(kind, kind))
    office = OFFICES.get(line.office, Words(line.office, line.office))
    action = f"{purpose_of(line).ru}: {resource.ru} / {purpose_of(line).en}: {resource.en}"
    outside = line.recipient is not None
    return Usage(
        line.recorded_at,
        action,
        str(line.on_behalf_of or line.access_id) if outside else str(school_id),
        line.recipient or school,
        f"{office.ru} / {office.en}",
    )


async def _student(ledger: Ledger, code: str) -> UUID | None:
    try:
        return UUID(code)
    except ValueError:
        pass
    source, colon, foreign_id = code.partition(":")
    if not colon:
        return None
    token = foreign_id_token(ledger.hasher.blind_index, source, foreign_id)
    [rows] = await look(ledger, ("rosters",), rosters.by_token(table(ledger, "rosters", "foreign_ids"), token))
    return rows[0][1] if rows else None


async def usage_period(ledger: Ledger) -> UsagePeriod:
    """Returns from when on the register tells of uses; now, where it tells of none yet."""
    async with snapshot(ledger, (VIEW,)) as connection:
        return UsagePeriod(await queries.first_access(connection, table(ledger, VIEW, "accesses")))


async def heartbeat(ledger: Ledger) -> Heartbeat:
    """Tells whether the register can be read; what is wrong stands in the log and in `/readyz`."""
    try:
        await usage_period(ledger)
    except LedgerError as error:
        return Heartbeat("FAIL", error.detail)
    return Heartbeat("OK", "The register answers.")
