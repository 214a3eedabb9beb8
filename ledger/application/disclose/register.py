"""Who saw a student's data: the disclosure register. Reading it is recorded once, as one more access."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.opening import open_accesses, open_rows, snapshot, table
from ledger.application.disclose.shown import DisclosureLine, DisclosureRegister
from ledger.policy.reading import Resource
from ledger.projections.disclosures import queries
from ledger.projections.disclosures.projection import AccessBody, DisclosedBody
from ledger.projections.query import positions
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.application.ledger import Ledger

VIEW = "disclosures"
CATEGORIES = (RecordClass.DISCLOSURES,)


async def read_disclosures(
    ledger: Ledger, reader: Reader, student_id: UUID, *, before: int | None, limit: int, min_position: int = 0
) -> DisclosureRegister:
    """Returns a page of who saw the student's data, newest first.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student.
    """
    receipt = await open_access(ledger, reader, Resource.DISCLOSURES, students=[student_id], categories=CATEGORIES)
    disclosed, accesses = table(ledger, VIEW, "disclosed"), table(ledger, VIEW, "accesses")
    async with snapshot(ledger, (VIEW,), min_position) as connection:
        stored = await queries.disclosed_of(connection, disclosed, student_id, before, limit + 1)
        opened = await open_rows(ledger, receipt, disclosed, stored[:limit])
        named = {cast("UUID", row.clear[0]) for _, row in opened}
        access_rows = await queries.accesses(connection, accesses, list(named))
        position = (await positions(connection, ledger.database, ledger.views))[VIEW][0]
    by_id = {key[0]: row for key, row in await open_accesses(ledger, receipt, accesses, access_rows, named)}
    items = []
    for key, row in opened:
        access_id = cast("UUID", row.clear[0])
        access = by_id.get(access_id)
        if access is None:
            continue  # the record of who looked was erased; what remains is counted in the lane
        body, lean = cast("AccessBody", access.body), cast("DisclosedBody", row.body)
        items.append(
            DisclosureLine(
                cast("int", key[1]),
                cast("datetime", access.clear[0]),
                access_id,
                body.granted,
                body.actor,
                body.office,
                body.on_behalf_of,
                body.recipient,
                body.purpose,
                body.legal_basis,
                body.policy,
                body.channel,
                body.resource,
                body.students,
                lean.categories,
            )
        )
    following = str(stored[limit - 1][1]) if len(stored) > limit else None
    return DisclosureRegister(student_id, items, following, position, receipt.access_id)
