"""Class groups and their class teachers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, cursor_id, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import Cursor, GroupId, Limit, MinPosition
from ledger.api.schemas.courses import NewClassGroup, NewClassTeacher
from ledger.application.disclose.school import list_groups, read_group
from ledger.application.disclose.shown import MAX_PAGE
from ledger.application.record.courses import AppointClassTeacher, FormClassGroup

router = a_router("class-groups")


@router.post("/v1/class-groups", **recording("formClassGroup", "Открыть класс / Form a class group", NewClassGroup))
async def form_class_group(request: Request) -> Response:
    """Открывает класс в учебном году / Forms a class group in a school year."""
    return await perform(request, FormClassGroup)


@router.get("/v1/class-groups", **reading("listClassGroups", "Классы / Class groups", "GroupPage", tagged=True))
async def get_groups(
    request: Request, limit: Limit = MAX_PAGE, cursor: Cursor = None, min_position: MinPosition = 0
) -> Response:
    """Страница классов / A page of the class groups."""
    call = ask(request)
    return call.show(await list_groups(call.ledger, after=cursor_id(cursor), limit=limit, min_position=min_position))


@router.get("/v1/class-groups/{group_id}", **reading("readClassGroup", "Класс / A class group", "Group", tagged=True))
async def get_group(request: Request, group_id: GroupId, min_position: MinPosition = 0) -> Response:
    """Класс и его классный руководитель / A class group and its class teacher."""
    call = ask(request)
    return call.show(await read_group(call.ledger, group_id, min_position=min_position))


@router.post(
    "/v1/class-groups/{group_id}/class-teacher",
    **recording(
        "appointClassTeacher",
        "Назначить классного руководителя / Appoint a class teacher",
        NewClassTeacher,
        changes=True,
    ),
)
async def appoint_class_teacher(request: Request, group_id: GroupId) -> Response:
    """Назначает классного руководителя / Appoints a class teacher."""
    return await perform(request, AppointClassTeacher, group_id)
