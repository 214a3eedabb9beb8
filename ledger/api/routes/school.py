"""The school: founding, years, periods, scales, local acts, closing, permissions."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import MinPosition
from ledger.api.schemas.school import (
    NewLocalAct,
    NewPeriod,
    NewPermission,
    NewScale,
    NewSchool,
    NewWorkingDay,
    NewYear,
    PeriodClosing,
    YearClosing,
)
from ledger.application.disclose.school import read_school
from ledger.application.record.school import (
    AdoptLocalAct,
    ClosePeriod,
    CloseSchoolYear,
    DeclareWorkingDay,
    DefineMarkScale,
    DefinePeriod,
    FoundSchool,
    OpenSchoolYear,
    PermitLateEntry,
)
from ledger.policy.offices import SPEAKING

router = a_router("school")


@router.post("/v1/school", **recording("foundSchool", "Открыть реестр школы / Found the school", NewSchool))
async def found_school(request: Request) -> Response:
    """Открывает реестр школы, один раз / Opens the ledger for a school, once; the usual mark scales come with it."""
    return await perform(request, FoundSchool)


@router.get("/v1/school", **reading("readSchool", "Школа / The school", "School", tagged=True))
async def get_school(request: Request, min_position: MinPosition = 0) -> Response:
    """Школа с годами, периодами, шкалами и актами / The school with its years, periods, scales, acts, permissions."""
    call = ask(request)
    family = call.reader.actor.office in SPEAKING
    return call.show(await read_school(call.ledger, family=family, min_position=min_position))


@router.post(
    "/v1/school/years", **recording("openYear", "Открыть учебный год / Open a school year", NewYear, changes=True)
)
async def open_year(request: Request) -> Response:
    """Открывает учебный год / Opens a school year."""
    return await perform(request, OpenSchoolYear)


@router.post(
    "/v1/school/years/closings",
    **recording("closeYear", "Закрыть учебный год / Close a school year", YearClosing, changes=True),
)
async def close_year(request: Request) -> Response:
    """Закрывает год, журналы сдаются в архив / Closes a year; later entries need a permission."""
    return await perform(request, CloseSchoolYear)


@router.post(
    "/v1/school/periods", **recording("definePeriod", "Задать период / Define a period", NewPeriod, changes=True)
)
async def define_period(request: Request) -> Response:
    """Задаёт четверть, полугодие, экзамен / Defines a quarter, a half-year, an exam and so on."""
    return await perform(request, DefinePeriod)


@router.post(
    "/v1/school/periods/closings",
    **recording("closePeriod", "Закрыть период / Close a period", PeriodClosing, changes=True),
)
async def close_period(request: Request) -> Response:
    """Закрывает период: отметки за его дни требуют разрешения / Closes a period; its days need a permission."""
    return await perform(request, ClosePeriod)


@router.post(
    "/v1/school/scales", **recording("defineScale", "Задать шкалу / Define a mark scale", NewScale, changes=True)
)
async def define_scale(request: Request) -> Response:
    """Задаёт шкалу отметок или её новую редакцию / Defines a mark scale, or its next version."""
    return await perform(request, DefineMarkScale)


@router.post(
    "/v1/school/local-acts",
    **recording("adoptLocalAct", "Принять локальный акт / Adopt a local act", NewLocalAct, changes=True),
)
async def adopt_local_act(request: Request) -> Response:
    """Принимает следующую редакцию локального акта / Adopts the next version of a local act."""
    return await perform(request, AdoptLocalAct)


@router.post(
    "/v1/school/permissions",
    **recording(
        "permitLateEntry", "Разрешить запись после закрытия / Permit late entries", NewPermission, changes=True
    ),
)
async def permit_late_entry(request: Request) -> Response:
    """Разрешает записи после закрытия; `id` указывают в записи / Permits late entries; the entries cite its `id`."""
    return await perform(request, PermitLateEntry)


@router.post(
    "/v1/school/working-days",
    **recording(
        "declareWorkingDay", "Рабочий или нерабочий день / A working day, or none", NewWorkingDay, changes=True
    ),
)
async def declare_working_day(request: Request) -> Response:
    """Объявляет день рабочим или нерабочим / Declares that the school works on a day, or does not.

    The calendar of Russia holds where nothing is declared. Deadlines that were set before stay as they are.
    """
    return await perform(request, DeclareWorkingDay)
