"""Queries of the journal view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.query import Part, Place, Since, rows_where, students
from ledger.store.arrays import uuids

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ledger.projections.tables import TableStore


def students_in(
    journal: tuple[TableStore, TableStore],
    course_id: UUID,
    rosters: tuple[TableStore, TableStore],
    after: UUID | None,
    limit: int,
    since: Since | None = None,
) -> Part:
    """Asks for the ids of students on the course's journal, a page in their order: one for all of them.

    Args:
        journal: the tables of entries and results; who has a row there stands in the journal.
        rosters: the tables of courses and memberships; who belongs to the course's class group stands in it as well.
        since: see `students`.
    """
    courses, memberships = rosters
    group = f"group_id = (SELECT group_id FROM {courses.qualified} WHERE course_id = %s)"  # noqa: S608 - ours
    places = [Place(store, "course_id = %s", (course_id,)) for store in journal]
    places.append(Place(memberships, group, (course_id,)))
    return students(places, after, limit, since)


def rows_of(store: TableStore, course_id: UUID, page: Sequence[UUID]) -> Part:
    """Asks for the rows of these students in the course."""
    return rows_where(store, "course_id = %s AND student_id = ANY(%s::uuid[])", (course_id, uuids(page)))


def entry_of(store: TableStore, student_id: UUID, entry_id: UUID) -> Part:
    """Asks for the row of an entry, if it is this student's."""
    return rows_where(store, "entry_id = %s AND student_id = %s", (entry_id, student_id))
