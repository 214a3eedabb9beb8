"""Access: which policy allows or refuses a reading, and why, without reading it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import MinPosition
from ledger.application.disclose.explaining import Question, explain_access
from ledger.policy.offices import Office
from ledger.policy.reading import Resource

router = a_router("access")

Asked = Annotated[str, Query(pattern=f"^({'|'.join(Resource)})$", description="Что читать / What is to be read.")]
OfStudent = Annotated[UUID | None, Query(description="Об ученике / Of this student.")]
OfCourse = Annotated[UUID | None, Query(description="О курсе / Of this course.")]
OfGroup = Annotated[UUID | None, Query(description="О классе / Of this class group.")]
Categories = Annotated[
    list[str] | None,
    Query(max_length=20, description="Классы записей, если важно / Record classes, where it matters: `health`."),
]
ForOffice = Annotated[
    str | None,
    Query(
        pattern=f"^({'|'.join(Office)})$",
        description="За другую должность (директор, аудитор, инспектор) / For another office, if you may ask that.",
    ),
]
ForPerson = Annotated[UUID | None, Query(description="За другого человека / For another person.")]


@router.get("/v1/access/explain", **reading("explainAccess", "Почему можно или нельзя / Why, or why not", "Explained"))
async def get_explanation(
    request: Request,
    resource: Asked,
    student: OfStudent = None,
    course: OfCourse = None,
    group: OfGroup = None,
    category: Categories = None,
    office: ForOffice = None,
    actor: ForPerson = None,
    min_position: MinPosition = 0,
) -> Response:
    """Какая политика разрешает или запрещает чтение и почему / Which policy allows or refuses a reading, and why.

    Nothing is read. Nothing is recorded of what you may read yourself; what somebody else may, or a consent allows, of
    a student whom you name is recorded like any access. The terms of reading count as they would for the reading
    itself. It is decided from the record itself, which is never behind: `min_position` has no effect.
    """
    del min_position
    call = ask(request)
    other = Office(office) if office is not None else None
    question = Question(Resource(resource), student, course, group, tuple(category or ()), other, actor)
    return show(await explain_access(call.ledger, call.reader, question))
