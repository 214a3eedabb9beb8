"""Disclosures: who saw whose data, and why. Reading them is recorded, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask, cursor_position
from ledger.api.components import REF
from ledger.api.exporting import CSV, JSON_LINES, ExportStream
from ledger.api.negotiation import accepted
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import (
    Channel,
    Cursor,
    Exceptional,
    FindingKind,
    InOffice,
    LegalBasis,
    Limit,
    MinPosition,
    OfStudent,
    Own,
    Person,
    Purpose,
    Recipient,
    Since,
    StudentId,
    Until,
    WasGranted,
)
from ledger.api.service import service_of, without_time_limit
from ledger.application.disclose.findings import read_findings
from ledger.application.disclose.register import RegisterQuery, export_register, read_disclosures, read_register
from ledger.application.disclose.shown import MAX_PAGE
from ledger.application.disclose.who_saw import who_saw
from ledger.policy.watching import Kind

router = a_router("disclosures")


async def _filters(
    actor: Person = None,
    office: InOffice = None,
    recipient: Recipient = None,
    purpose: Purpose = None,
    legal_basis: LegalBasis = None,
    channel: Channel = None,
    granted: WasGranted = None,
    exceptional: Exceptional = None,
    since: Since = None,
    until: Until = None,
) -> RegisterQuery:
    """Returns what the filters of an address look for, of whomever."""
    return RegisterQuery(
        None, actor, office, recipient, purpose, legal_basis, channel, granted, exceptional, since, until
    )


Filters = Annotated[RegisterQuery, Depends(_filters)]
"""The filters of the register, the same at each of its addresses."""


@router.get(
    "/v1/students/{student_id}/disclosures",
    **reading("readDisclosures", "Кто видел данные / Who saw the data", "DisclosureRegister"),
)
async def get_disclosures(
    request: Request,
    student_id: StudentId,
    filters: Filters,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Кто, когда и зачем видел данные ученика / Who saw a student's data, newest first, and who was refused."""
    call = ask(request)
    before = cursor_position(cursor)
    return show(
        await read_disclosures(
            call.ledger, call.reader, student_id, before=before, limit=limit, min_position=min_position, query=filters
        )
    )


@router.get("/v1/disclosures", **reading("readRegister", "Журнал доступа / The disclosure register", "RegisterPage"))
async def get_register(
    request: Request,
    filters: Filters,
    student_id: OfStudent = None,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Кто видел чьи данные / Who saw whose data, newest first: for inspectors, auditors and the director."""
    call = ask(request)
    query = replace(filters, student_id=student_id)
    before = cursor_position(cursor)
    return show(
        await read_register(call.ledger, call.reader, query, before=before, limit=limit, min_position=min_position)
    )


@router.get(
    "/v1/students/{student_id}/who-saw", **reading("whoSaw", "Кто видел мои данные / Who saw my data", "WhoSaw")
)
async def get_who_saw(
    request: Request,
    student_id: StudentId,
    own: Own = False,  # noqa: FBT002 - a query parameter
    since: Since = None,
    until: Until = None,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Кто видел данные ученика, по предложению на каждый доступ / Who saw a student's data, a sentence an entry.

    Newest first. What you looked at yourself is left out unless `own=true`.
    """
    call = ask(request)
    query, before = RegisterQuery(since=since, until=until), cursor_position(cursor)
    return show(
        await who_saw(
            call.ledger,
            call.reader,
            student_id,
            before=before,
            limit=limit,
            own=own,
            min_position=min_position,
            query=query,
        )
    )


@router.get(
    "/v1/disclosures/findings", **reading("readFindings", "На что обратить внимание / What deserves a look", "Findings")
)
async def get_findings(
    request: Request,
    kind: FindingKind = None,
    since: Since = None,
    until: Until = None,
    min_position: MinPosition = 0,
) -> Response:
    """Доступы, о которых стоит спросить / Accesses that are worth a question, newest first; of the last month.

    Outside the own classes, at night, in bursts, exceptional ones, after leaving the office; each with its events.
    """
    call = ask(request)
    wanted = Kind(kind) if kind is not None else None
    return show(
        await read_findings(call.ledger, call.reader, since=since, until=until, kind=wanted, min_position=min_position)
    )


_exported: dict[str, Any] = reading(
    "exportRegister", "Выгрузка журнала доступа / The register as a file", "DisclosureLine"
)
_exported["responses"][200] = {
    "description": "OK",
    "headers": {
        "Ledger-Position": {"description": "Up to where it tells the register.", "schema": {"type": "integer"}},
        "Ledger-Access": {"description": "The access as which it is recorded.", "schema": {"type": "string"}},
        "Ledger-Lines": {"description": "How many lines there are.", "schema": {"type": "integer"}},
    },
    "content": {
        JSON_LINES: {"schema": {"$ref": f"{REF}DisclosureLine"}},
        "text/csv": {"schema": {"type": "string"}},
    },
}
_exported["responses"][406] = {"$ref": "#/components/responses/406"}


@router.get("/v1/disclosures/export", **_exported)
async def get_export(
    request: Request,
    filters: Filters,
    student_id: OfStudent = None,
    min_position: MinPosition = 0,
) -> Response:
    """Весь журнал, или отобранное, файлом / The whole register, or what the filters leave, as one access.

    JSON lines, or CSV with `Accept: text/csv`. An answer that breaks off is not the whole.
    """
    call = ask(request)
    media = CSV if accepted(request, (JSON_LINES, "text/csv")) == "text/csv" else JSON_LINES
    streams = service_of(request).streams
    streams.check(call.reader.actor.id)
    query = replace(filters, student_id=student_id)
    export = await export_register(call.ledger, call.reader, query, min_position=min_position)
    without_time_limit(request)
    return ExportStream(streams, call.reader.actor.id, export, media)
