"""Queries of the disclosure register. Rows come sealed; what they are found by says nothing about a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from psycopg import sql

from ledger.projections.disclosures.projection import TOKENS, search_token

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ledger.projections.disclosures.projection import Token
    from ledger.projections.query import Stored
    from ledger.projections.tables import TableStore
    from ledger.store.database import Row

NEWEST = 2**62


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked for in the register; what is left out restricts nothing.

    Args:
        after, until: positions, the first exclusive, the second inclusive; a period of time is turned into these.
        tokens: of TOKENS, by name.
        not_actors: accesses of these persons are left out.
    """

    student_id: UUID | None = None
    actor: UUID | None = None
    office: str | None = None
    granted: bool | None = None
    exceptional: bool | None = None
    after: int = 0
    until: int = NEWEST
    tokens: Mapping[str, bytes] = field(default_factory=dict)
    not_actors: tuple[UUID, ...] = ()

    def where(self, before: int) -> tuple[str, list[object]]:
        """Returns the condition on `accesses` (as `a`) and its parameters.

        Args:
            before: positions of disclosures below this one; the access of such a one stands before it as well.
        """
        parts = ["a.position > %s AND a.position < %s"]
        found: list[object] = [self.after, min(before, self.until + 1)]
        if self.actor is not None:
            parts.append("a.actor = %s")
            found.append(self.actor)
        if self.office is not None:
            parts.append("a.office = %s")
            found.append(self.office)
        if self.granted is not None:
            parts.append("a.granted" if self.granted else "NOT a.granted")
        if self.exceptional is not None:
            parts.append("a.exceptional" if self.exceptional else "NOT a.exceptional")
        for name in TOKENS:
            if (token := self.tokens.get(name)) is not None:
                parts.append(f"a.{name} = %s")
                found.append(token)
        if self.not_actors:
            parts.append("a.actor <> ALL(%s)")
            found.append(list(self.not_actors))
        return " AND ".join(parts), found


def tokens_of(blind_index: Token, values: Mapping[str, str | None]) -> dict[str, bytes]:
    """Returns the tokens of what is searched for, by the names of TOKENS."""
    return {name: search_token(blind_index, name, value) for name, value in values.items() if value is not None}


class Found(NamedTuple):
    """A disclosure and its access, both as they are stored."""

    disclosed: Stored
    access: Stored


async def found(
    connection: psycopg.AsyncConnection[Row],
    accesses: TableStore,
    disclosed: TableStore,
    filters: Filters,
    before: int | None,
    limit: int,
    offset: int = 0,
) -> list[Found]:
    """Returns a page of the register, newest first: disclosures below a position, with their accesses.

    One student's are found by the student, everybody's by the access; both go by an index and stop when the page is
    full. The rows of an access's students follow it in the history without a gap. It is planned anew each time (never
    prepared): which index serves is known by what is looked for, of which some is in every row and some in a few.

    Args:
        offset: lines to pass over, of one student's.
    """
    upper = min(before or NEWEST, filters.until + 1)
    where, parameters = filters.where(before or NEWEST)
    columns = ", ".join([f"d.{name}" for name in disclosed.columns.split(", ")])
    columns += ", " + ", ".join([f"a.{name}" for name in accesses.columns.split(", ")])
    if filters.student_id is not None:
        # S608: names of ours. The conditions on the student are repeated by position, so that one index serves both.
        query = (
            f"SELECT {columns} FROM {disclosed.qualified} d JOIN {accesses.qualified} a USING (access_id)"  # noqa: S608 - columns and tables are ours
            f" WHERE d.student_id = %s AND d.disclosed_at > %s AND d.disclosed_at < %s AND {where}"
            " ORDER BY d.disclosed_at DESC LIMIT %s OFFSET %s"
        )
        values = [filters.student_id, filters.after, upper, *parameters, limit, offset]
    else:
        # One access more than lines: the newest may have all of its lines at or above `before`.
        query = (
            f"SELECT {columns} FROM (SELECT * FROM {accesses.qualified} a WHERE {where} AND a.students > 0"  # noqa: S608 - likewise
            " ORDER BY a.position DESC LIMIT %s) a"
            # Each access looks its own rows up: the planner cannot know how few lie between two positions.
            f" CROSS JOIN LATERAL (SELECT * FROM {disclosed.qualified} d WHERE d.disclosed_at > a.position"
            f" AND d.disclosed_at <= a.position + a.students AND d.disclosed_at < %s"
            " AND d.access_id = a.access_id ORDER BY d.disclosed_at DESC LIMIT %s) d"
            " ORDER BY d.disclosed_at DESC LIMIT %s"
        )
        values = [*parameters, limit + 1, upper, limit, limit]
    cursor = await connection.execute(sql.SQL(query), values, prepare=False, binary=True)
    width = len(disclosed.columns.split(", "))
    return [Found(row[:width], row[width:]) for row in await cursor.fetchall()]


async def students_of(
    connection: psycopg.AsyncConnection[Row],
    accesses: TableStore,
    disclosed: TableStore,
    filters: Filters,
    before: int | None = None,
) -> tuple[list[UUID], int]:
    """Returns whom the register is about, by the filters, and how many lines that are; planned anew, as `found`."""
    where, parameters = filters.where(before or NEWEST)
    upper = min(before or NEWEST, filters.until + 1)
    student = "" if filters.student_id is None else " AND d.student_id = %s"
    query = (
        f"SELECT d.student_id, count(*) FROM {disclosed.qualified} d"  # noqa: S608 - names of ours
        f" JOIN {accesses.qualified} a USING (access_id)"
        f" WHERE d.disclosed_at > %s AND d.disclosed_at < %s{student} AND {where} GROUP BY d.student_id ORDER BY 1"
    )
    values = [filters.after, upper, *([filters.student_id] if filters.student_id else []), *parameters]
    cursor = await connection.execute(sql.SQL(query), values, prepare=False)
    rows = await cursor.fetchall()
    return [row[0] for row in rows], sum(row[1] for row in rows)


async def has_access(
    connection: psycopg.AsyncConnection[Row], disclosed: TableStore, student_id: UUID, access_id: UUID
) -> bool:
    """Tells whether an access stands in a student's register."""
    query = f"SELECT EXISTS (SELECT FROM {disclosed.qualified} WHERE student_id = %s AND access_id = %s)"  # noqa: S608 - ours
    row = await (await connection.execute(sql.SQL(query), (student_id, access_id))).fetchone()
    return bool(row and row[0])


async def first_access(connection: psycopg.AsyncConnection[Row], accesses: TableStore) -> datetime:
    """Returns when the first access was recorded; now, where there is none."""
    query = (
        f"SELECT coalesce((SELECT recorded_at FROM {accesses.qualified} ORDER BY position LIMIT 1),"  # noqa: S608 - ours
        " clock_timestamp())"
    )
    row = await (await connection.execute(sql.SQL(query))).fetchone()
    return cast("datetime", row[0] if row else None)


async def accesses_between(
    connection: psycopg.AsyncConnection[Row],
    accesses: TableStore,
    disclosed: TableStore,
    after: int,
    until: int,
    limit: int,
) -> list[Stored]:
    """Returns accesses in order, each with whom it concerned: clear columns only, nothing that would be opened.

    They are access_id, position, recorded_at, granted, exceptional, actor, office and the ids of the students.
    """
    query = (
        "SELECT a.access_id, a.position, a.recorded_at, a.granted, a.exceptional, a.actor, a.office,"  # noqa: S608 - names of ours
        f" ARRAY(SELECT d.student_id FROM {disclosed.qualified} d WHERE d.disclosed_at > a.position"
        f" AND d.disclosed_at <= a.position + a.students AND d.access_id = a.access_id)"
        f" FROM {accesses.qualified} a WHERE a.position > %s AND a.position <= %s ORDER BY a.position LIMIT %s"
    )
    cursor = await connection.execute(sql.SQL(query), (after, until, limit), prepare=True, binary=True)
    return await cursor.fetchall()
