"""The register of the school's people: offices, mandates, logins; and who one is oneself."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask, check_query, cursor_id, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import (
    Cursor,
    EntryKind,
    InForceOn,
    Limit,
    LoginId,
    MandateId,
    MinPosition,
    PersonFilter,
    PersonId,
    TenureId,
)
from ledger.api.schemas.staff import (
    LoginRemoval,
    MandateWithdrawal,
    NewLogin,
    NewMandate,
    NewOffice,
    OfficeLeaving,
)
from ledger.api.security import who
from ledger.application.disclose.shown import MAX_PAGE
from ledger.application.disclose.staff import list_staff
from ledger.application.record.staff import (
    AssumeOffice,
    LeaveOffice,
    LinkLogin,
    RecordMandate,
    UnlinkLogin,
    WithdrawMandate,
)

router = a_router("staff")


@router.get("/v1/me", **reading("readMe", "Кто я / Who I am", "Me"))
async def get_me(request: Request, min_position: MinPosition = 0) -> Response:
    """Кто вошёл и какие должности открыты / Who is logged in, and which offices are open to them today."""
    del min_position  # read from the register itself, which is never behind
    check_query(request)
    return show(who(request))


@router.get(
    "/v1/staff", **reading("listStaff", "Должности, предписания, входы / The register", "StaffPage", tagged=True)
)
async def get_staff(
    request: Request,
    person_id: PersonFilter = None,
    kind: EntryKind = None,
    on: InForceOn = None,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Кто какую должность занимает / Who holds which office, has which mandate, and whose which login is."""
    call = ask(request)
    return call.show(
        await list_staff(
            call.ledger,
            call.reader.actor,
            person=person_id,
            kind=kind,
            on=on,
            after=cursor_id(cursor),
            limit=limit,
            min_position=min_position,
        )
    )


@router.post(
    "/v1/staff/{person_id}/offices", **recording("assumeOffice", "Назначить на должность / Give an office", NewOffice)
)
async def assume_office(request: Request, person_id: PersonId) -> Response:
    """Назначает завуча, директора или секретаря / Appoints a deputy head, director or secretary, by an order."""
    return await perform(request, AssumeOffice, person_id)


@router.post(
    "/v1/staff/{person_id}/offices/{tenure_id}/leavings",
    **recording("leaveOffice", "Освободить от должности / End an office", OfficeLeaving),
)
async def leave_office(request: Request, person_id: PersonId, tenure_id: TenureId) -> Response:
    """Освобождает от должности / Ends an office; from then on every request in it is refused."""
    return await perform(request, LeaveOffice, person_id, tenure_id)


@router.post(
    "/v1/staff/{person_id}/mandates", **recording("recordMandate", "Внести предписание / Record a mandate", NewMandate)
)
async def record_mandate(request: Request, person_id: PersonId) -> Response:
    """Допускает проверяющего или программу / Admits an auditor, an inspector or a program, within a scope."""
    return await perform(request, RecordMandate, person_id)


@router.post(
    "/v1/staff/{person_id}/mandates/{mandate_id}/withdrawals",
    **recording("withdrawMandate", "Отозвать предписание / Withdraw a mandate", MandateWithdrawal),
)
async def withdraw_mandate(request: Request, person_id: PersonId, mandate_id: MandateId) -> Response:
    """Отзывает предписание, сразу / Withdraws a mandate, at once."""
    return await perform(request, WithdrawMandate, person_id, mandate_id)


@router.post("/v1/logins/{login_id}", **recording("linkLogin", "Связать вход с человеком / Link a login", NewLogin))
async def link_login(request: Request, login_id: LoginId) -> Response:
    """Говорит, чей это вход / Says whose a login of the identity provider is."""
    return await perform(request, LinkLogin, login_id)


@router.post(
    "/v1/logins/{login_id}/removals", **recording("unlinkLogin", "Отвязать вход / Unlink a login", LoginRemoval)
)
async def unlink_login(request: Request, login_id: LoginId) -> Response:
    """Этот вход больше ничей / The login is nobody's any more; its tokens are refused from then on."""
    return await perform(request, UnlinkLogin, login_id)
