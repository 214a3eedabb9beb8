"""Requests as they stand: of one student, or of everybody by status; behind the gate like any read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.disclose.gate import Reader, check_access, open_access
from ledger.application.disclose.opening import look_at, open_rows, table
from ledger.application.disclose.shown import check_students
from ledger.errors import InvalidInput
from ledger.policy.offices import SPEAKING, Office
from ledger.policy.reading import Resource
from ledger.projections.requests import queries
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.projections.requests.projection import RequestBody
    from ledger.projections.view import Key, Row

VIEW = "requests"
CATEGORIES = (RecordClass.REQUESTS,)
STATUSES: tuple[str, ...] = (queries.OVERDUE, queries.OPEN, queries.ANSWERED)


@dataclass(frozen=True, slots=True)
class RequestShown:
    """A request: who asked, as what, for what; until when an answer is due; and the answer.

    `status`: `open`, `overdue`, `answered`. `late`: it was answered after that day.
    """

    request_id: UUID
    student_id: UUID
    by: UUID
    by_kind: str
    kind: str
    form: str
    text: str
    received_on: date
    due_on: date
    status: str
    late: bool
    extended_on: date | None
    extension: str
    answered_on: date | None
    how: str
    answer: str
    legal_basis: str
    about_access: UUID | None
    position: int


@dataclass(frozen=True, slots=True)
class RequestPage:
    """A page of requests."""

    items: list[RequestShown]
    next: str | None
    position: int
    access_id: UUID


def show_request(key: Key, row: Row, today: date) -> RequestShown:
    """Returns an opened row as it is shown."""
    body = cast("RequestBody", row.body)
    received_on, due_on, answered_on = cast("tuple[date, date, date | None]", row.clear)
    status = queries.ANSWERED
    if answered_on is None:
        status = queries.OVERDUE if due_on < today else queries.OPEN
    return RequestShown(
        cast("UUID", key[1]),
        cast("UUID", key[0]),
        body.by,
        body.by_kind,
        body.kind,
        body.form,
        body.text,
        received_on,
        due_on,
        status,
        answered_on is not None and answered_on > due_on,
        body.extended_on,
        body.extension,
        answered_on,
        body.how,
        body.answer,
        body.legal_basis,
        body.about_access,
        row.position,
    )


async def read_requests(
    ledger: Ledger, reader: Reader, student_id: UUID, *, after: UUID | None, limit: int, min_position: int = 0
) -> RequestPage:
    """Returns a page of a student's requests. Students and representatives see those that they sent themselves.

    That there are others is told by neither the length of a page nor where the next one begins.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student.
    """
    receipt = await open_access(ledger, reader, Resource.REQUESTS, students=[student_id], categories=CATEGORIES)
    store = table(ledger, VIEW, "requests")
    today = ledger.today()
    found: list[RequestShown] = []
    while True:
        question = queries.requests_of(store, student_id, after, limit + 1)
        stored, position = await look_at(ledger, VIEW, question, min_position)
        opened = await open_rows(ledger, receipt, store, stored)
        found += [one for one in (show_request(key, row, today) for key, row in opened) if _sees(reader, one)]
        if len(stored) <= limit or len(found) > limit:
            break
        after = cast("UUID", stored[-1][1])
    following = str(found[limit - 1].request_id) if len(found) > limit else None
    return RequestPage(found[:limit], following, position, receipt.access_id)


def _sees(reader: Reader, request: RequestShown) -> bool:
    actor = reader.actor
    if actor.office not in SPEAKING:
        return True
    return request.by in (actor.id, request.student_id if actor.office is Office.STUDENT else actor.id)


async def list_requests(
    ledger: Ledger, reader: Reader, status: str, *, after: str | None, limit: int, min_position: int = 0
) -> RequestPage:
    """Returns a page of the requests of everybody with a status, those due first before the others.

    Raises:
        Forbidden: the policy refused (recorded). InvalidInput: no such status, or the page is continued by nothing.
    """
    check_students(limit)
    if status not in STATUSES:
        raise InvalidInput("There is no such status.", help=f"Ask for one of {', '.join(STATUSES)}.")
    place = _place(after)
    await check_access(ledger, reader, Resource.REQUESTS, categories=CATEGORIES)
    today = ledger.today()
    store = table(ledger, VIEW, "requests")
    question = queries.requests_by_status(store, status, today, place, limit + 1)
    stored, position = await look_at(ledger, VIEW, question, min_position)
    page = stored[:limit]
    students = list(dict.fromkeys(cast("UUID", row[0]) for row in page))
    receipt = await open_access(
        ledger, reader, Resource.REQUESTS, students=students, categories=CATEGORIES, named=False
    )
    items = [show_request(key, row, today) for key, row in await open_rows(ledger, receipt, store, page)]
    following = f"{page[-1][3]}_{page[-1][1]}" if len(stored) > limit else None
    return RequestPage(items, following, position, receipt.access_id)


def _place(after: str | None) -> tuple[date, UUID] | None:
    if after is None:
        return None
    day, _, request_id = after.partition("_")
    try:
        return date.fromisoformat(day), UUID(request_id)
    except ValueError:
        raise InvalidInput("The cursor is not one of this list.", help="Use `next` of the page before.") from None
