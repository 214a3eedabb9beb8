"""The school: founding, years, periods, scales, local acts, closing, permissions."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask, receive
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import MinPosition
from ledger.api.schemas.school import (
    NewLocalAct,
    NewPeriod,
    NewPermission,
    NewScale,
    NewSchool,
    NewYear,
    PeriodClosing,
    YearClosing,
)
from ledger.application.disclose.school import read_school
from ledger.application.record.school import (
    AdoptLocalAct,
    ClosePeriod,
    CloseSchoolYear,
    DefineMarkScale,
    DefinePeriod,
    FoundSchool,
    OpenSchoolYear,
    PermitLateEntry,
)

router = a_router("school")


@router.post("/v1/school", **recording("foundSchool", "Открыть реестр школы / Found the school", NewSchool))
async def found_school(request: Request) -> Response:
    """Открывает реестр школы, один раз / Opens the ledger for a school, once; the usual mark scales come with it."""
    call = await receive(request, NewSchool)
    return await call.record(FoundSchool(school=call.school, name=call.form.name))


@router.get("/v1/school", **reading("readSchool", "Школа / The school", "School"))
async def get_school(request: Request, min_position: MinPosition = 0) -> Response:
    """Школа с годами, периодами, шкалами и актами / The school with its years, periods, scales, acts, permissions."""
    call = ask(request)
    return show(await read_school(call.ledger, min_position=min_position))


@router.post("/v1/school/years", **recording("openYear", "Открыть учебный год / Open a school year", NewYear))
async def open_year(request: Request) -> Response:
    """Открывает учебный год / Opens a school year."""
    call = await receive(request, NewYear)
    form = call.form
    return await call.record(
        OpenSchoolYear(
            school=call.school, year=form.year, title=form.title, starts_on=form.starts_on, ends_on=form.ends_on
        )
    )


@router.post(
    "/v1/school/years/closings", **recording("closeYear", "Закрыть учебный год / Close a school year", YearClosing)
)
async def close_year(request: Request) -> Response:
    """Закрывает год, журналы сдаются в архив / Closes a year; later entries need a permission."""
    call = await receive(request, YearClosing)
    return await call.record(CloseSchoolYear(school=call.school, year=call.form.year))


@router.post("/v1/school/periods", **recording("definePeriod", "Задать период / Define a period", NewPeriod))
async def define_period(request: Request) -> Response:
    """Задаёт четверть, полугодие, экзамен / Defines a quarter, a half-year, an exam and so on."""
    call = await receive(request, NewPeriod)
    form = call.form
    return await call.record(
        DefinePeriod(
            school=call.school,
            period=form.period,
            year=form.year,
            kind=form.kind,
            title=form.title,
            starts_on=form.starts_on,
            ends_on=form.ends_on,
        )
    )


@router.post(
    "/v1/school/periods/closings", **recording("closePeriod", "Закрыть период / Close a period", PeriodClosing)
)
async def close_period(request: Request) -> Response:
    """Закрывает период: отметки за его дни требуют разрешения / Closes a period; its days need a permission."""
    call = await receive(request, PeriodClosing)
    return await call.record(ClosePeriod(school=call.school, period=call.form.period))


@router.post("/v1/school/scales", **recording("defineScale", "Задать шкалу / Define a mark scale", NewScale))
async def define_scale(request: Request) -> Response:
    """Задаёт шкалу отметок или её новую редакцию / Defines a mark scale, or its next version."""
    call = await receive(request, NewScale)
    form = call.form
    return await call.record(
        DefineMarkScale(
            school=call.school,
            scale=form.scale,
            title=form.title,
            symbols=form.symbols,
            minimum=form.minimum,
            maximum=form.maximum,
            passing=form.passing,
        )
    )


@router.post(
    "/v1/school/local-acts", **recording("adoptLocalAct", "Принять локальный акт / Adopt a local act", NewLocalAct)
)
async def adopt_local_act(request: Request) -> Response:
    """Принимает следующую редакцию локального акта / Adopts the next version of a local act."""
    call = await receive(request, NewLocalAct)
    form = call.form
    return await call.record(
        AdoptLocalAct(
            school=call.school,
            act=form.act,
            title=form.title,
            consulted=form.consulted,
            approved_by=form.approved_by,
            in_force_from=form.in_force_from,
            correction_window_days=form.correction_window_days,
        )
    )


@router.post(
    "/v1/school/permissions",
    **recording("permitLateEntry", "Разрешить запись после закрытия / Permit late entries", NewPermission),
)
async def permit_late_entry(request: Request) -> Response:
    """Разрешает записи после закрытия; `id` указывают в записи / Permits late entries; the entries cite its `id`."""
    call = await receive(request, NewPermission)
    form = call.form
    return await call.record(
        PermitLateEntry(
            school=call.school, year=form.year, course_id=form.course_id, until=form.until, reason=form.reason
        )
    )
