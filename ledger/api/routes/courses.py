"""Courses, their teachers and works."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask, cursor_id, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import CourseId, Cursor, GroupFilter, Limit, MinPosition
from ledger.api.schemas.courses import NewCourse, NewTeacher, NewWork
from ledger.application.disclose.school import list_courses, list_works, read_course
from ledger.application.disclose.shown import MAX_PAGE
from ledger.application.record.courses import AddWork, AssignTeacher, OpenCourse

router = a_router("courses")


@router.post("/v1/courses", **recording("openCourse", "Открыть курс / Open a course", NewCourse))
async def open_course(request: Request) -> Response:
    """Открывает курс для класса / Opens a course for a class group."""
    return await perform(request, OpenCourse)


@router.get("/v1/courses", **reading("listCourses", "Курсы / Courses", "CoursePage", tagged=True))
async def get_courses(
    request: Request,
    group_id: GroupFilter = None,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Страница курсов, всех или одного класса / A page of the courses, of one class group or of all."""
    call = ask(request)
    return call.show(
        await list_courses(
            call.ledger, group_id=group_id, after=cursor_id(cursor), limit=limit, min_position=min_position
        )
    )


@router.get("/v1/courses/{course_id}", **reading("readCourse", "Курс / A course", "Course", tagged=True))
async def get_course(request: Request, course_id: CourseId, min_position: MinPosition = 0) -> Response:
    """Курс и его учителя / A course and its teachers."""
    call = ask(request)
    return call.show(await read_course(call.ledger, course_id, min_position=min_position))


@router.post(
    "/v1/courses/{course_id}/teachers",
    **recording("assignTeacher", "Назначить учителя / Assign a teacher", NewTeacher, changes=True),
)
async def assign_teacher(request: Request, course_id: CourseId) -> Response:
    """Назначает учителя или замещение / Assigns a teacher, or a substitute by dates."""
    return await perform(request, AssignTeacher, course_id)


@router.post(
    "/v1/courses/{course_id}/works", **recording("addWork", "Добавить работу / Add a work", NewWork, changes=True)
)
async def add_work(request: Request, course_id: CourseId) -> Response:
    """Добавляет работу; её `id` указывают в отметках / Adds a work; marks name its `id`."""
    return await perform(request, AddWork, course_id)


@router.get(
    "/v1/courses/{course_id}/works", **reading("listWorks", "Работы курса / Works of a course", "WorkPage", tagged=True)
)
async def get_works(
    request: Request,
    course_id: CourseId,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
    min_position: MinPosition = 0,
) -> Response:
    """Страница работ курса по порядку добавления / A page of a course's works in the order in which they were added."""
    call = ask(request)
    return call.show(
        await list_works(call.ledger, course_id, after=cursor_id(cursor), limit=limit, min_position=min_position)
    )
