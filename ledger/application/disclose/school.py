"""The school, its class groups, courses and works: records about no student, read without a disclosure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ledger.application.disclose.opening import look, look_at, open_school_rows, table
from ledger.application.disclose.shown import CourseShown, GroupShown, Page, SchoolShown, WorkShown
from ledger.application.tags import Thing, strong, weak
from ledger.errors import NotFound
from ledger.projections.rosters import queries
from ledger.projections.rosters.projection import CourseBody, GroupBody, SchoolBody, WorkBody

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.application.ledger import Ledger
    from ledger.projections.view import Key, Row

VIEW = "rosters"


def _tag(thing: Thing, row: Row) -> str:
    return strong(thing, cast("int", row.clear[-1]))


def show_group(key: Key, row: Row) -> GroupShown:
    """Returns an opened group row as it is shown."""
    body = cast("GroupBody", row.body)
    return GroupShown(
        cast("UUID", key[0]), body.title, body.year, body.level, body.class_teacher, _tag(Thing.CLASS_GROUP, row)
    )


def show_course(key: Key, row: Row) -> CourseShown:
    """Returns an opened course row as it is shown."""
    body = cast("CourseBody", row.body)
    group_id = cast("UUID", row.clear[0])
    return CourseShown(
        cast("UUID", key[0]),
        group_id,
        body.title,
        body.year,
        body.journal,
        body.scale,
        body.teachers,
        _tag(Thing.COURSE, row),
    )


def show_work(key: Key, row: Row) -> WorkShown:
    """Returns an opened work row as it is shown."""
    body = cast("WorkBody", row.body)
    _, set_on, due_on = row.clear
    return WorkShown(
        cast("UUID", key[0]),
        body.title,
        body.kind,
        body.weight,
        body.scale,
        set_on,  # type: ignore[arg-type]  # the clear columns of a work are dates, by its table
        due_on,  # type: ignore[arg-type]  # likewise
    )


def next_of(stored: list[tuple[object, ...]], limit: int) -> str | None:
    """Returns the cursor after a page that was read with one row more than `limit`."""
    return str(stored[limit - 1][0]) if len(stored) > limit else None


async def read_school(ledger: Ledger, *, family: bool = False, min_position: int = 0) -> SchoolShown:
    """Returns the school.

    Args:
        family: a student or representative reads it: why late entries were permitted is words about somebody.

    Raises:
        NotFound: the ledger has none yet.
    """
    store = table(ledger, VIEW, "school")
    [stored] = await look(ledger, (VIEW,), queries.by_key(store, [ledger.id]), min_position=min_position)
    opened = await open_school_rows(ledger, store, stored)
    if not opened:
        raise NotFound("This ledger has no school yet.", help="Found it first: POST /v1/school.")
    row = opened[0][1]
    body = cast("SchoolBody", row.body)
    return SchoolShown(
        body.name,
        body.years,
        body.periods,
        body.scales,
        body.acts,
        [] if family else body.permits,
        body.days,
        _tag(Thing.SCHOOL, row),
    )


async def list_groups(ledger: Ledger, *, after: UUID | None, limit: int, min_position: int = 0) -> Page[GroupShown]:
    """Returns a page of the class groups."""
    store = table(ledger, VIEW, "groups")
    stored, position = await look_at(ledger, VIEW, queries.page(store, after, limit + 1), min_position)
    opened = await open_school_rows(ledger, store, stored[:limit])
    groups = [show_group(key, row) for key, row in opened]
    following = next_of(stored, limit)
    return Page(groups, following, position, weak(following, *((group.group_id, group.etag) for group in groups)))


async def read_group(ledger: Ledger, group_id: UUID, *, min_position: int = 0) -> GroupShown:
    """Returns a class group, or raises NotFound."""
    store = table(ledger, VIEW, "groups")
    [stored] = await look(ledger, (VIEW,), queries.by_key(store, [group_id]), min_position=min_position)
    opened = await open_school_rows(ledger, store, stored)
    if not opened:
        raise NotFound("There is no such class group.", help="List them: GET /v1/class-groups.")
    return show_group(*opened[0])


async def list_courses(
    ledger: Ledger, *, group_id: UUID | None, after: UUID | None, limit: int, min_position: int = 0
) -> Page[CourseShown]:
    """Returns a page of the courses, of one class group or of all."""
    store = table(ledger, VIEW, "courses")
    if group_id is None:
        question = queries.page(store, after, limit + 1)
    else:
        question = queries.courses_of_group(store, group_id, after, limit + 1)
    stored, position = await look_at(ledger, VIEW, question, min_position)
    opened = await open_school_rows(ledger, store, stored[:limit])
    courses = [show_course(key, row) for key, row in opened]
    following = next_of(stored, limit)
    return Page(courses, following, position, weak(following, *((course.course_id, course.etag) for course in courses)))


async def read_course(ledger: Ledger, course_id: UUID, *, min_position: int = 0) -> CourseShown:
    """Returns a course, or raises NotFound."""
    store = table(ledger, VIEW, "courses")
    [stored] = await look(ledger, (VIEW,), queries.by_key(store, [course_id]), min_position=min_position)
    opened = await open_school_rows(ledger, store, stored)
    if not opened:
        raise NotFound("There is no such course.", help="List them: GET /v1/courses.")
    return show_course(*opened[0])


async def list_works(
    ledger: Ledger, course_id: UUID, *, after: UUID | None, limit: int, min_position: int = 0
) -> Page[WorkShown]:
    """Returns a page of a course's works in the order in which they were added, or raises NotFound."""
    await read_course(ledger, course_id, min_position=min_position)
    store = table(ledger, VIEW, "works")
    stored, position = await look_at(ledger, VIEW, queries.works_of_course(store, course_id), min_position)
    rest = [row for row in stored if after is None or row[0] > after]
    opened = await open_school_rows(ledger, store, rest[:limit])
    works = [show_work(key, row) for key, row in opened]
    following = next_of(rest, limit)
    return Page(works, following, position, weak(following, *(work.work_id for work in works)))
