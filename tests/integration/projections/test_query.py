"""Several questions in one statement, and what is prepared for them, over rebuilds."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest

from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.opening import look, snapshot, table
from ledger.ids import new_id
from ledger.projections.disclosures import queries as register
from ledger.projections.journals import queries
from ledger.projections.query import Part, reached, rows_where, select, students
from ledger.projections.query import Place as Stands
from ledger.projections.rosters import queries as rosters
from tests.support.desk import TEACHER, Desk, reads
from tests.support.tampering import schema_of_view
from tests.support.waiting import until

if TYPE_CHECKING:
    from ledger.store.database import Row

MANY = 20_000
ROUNDS = 8
"""More than the calls after which PostgreSQL keeps one plan for a prepared statement."""


async def prepared(connection: psycopg.AsyncConnection[Row]) -> int:
    row = await (await connection.execute("SELECT count(*) FROM pg_prepared_statements")).fetchone()
    return int(row[0]) if row else 0


async def test_answers_of_several_questions_are_what_each_of_them_gets_alone(desk: Desk) -> None:
    enrolled = await desk.enrols(3)
    await desk.marks(*enrolled)
    await desk.catches_up()
    courses, works = table(desk.ledger, "rosters", "courses"), table(desk.ledger, "rosters", "works")
    entries, memberships = table(desk.ledger, "journals", "entries"), table(desk.ledger, "rosters", "memberships")
    parts = [
        reached(desk.base.database, desk.ledger.views),
        rosters.by_key(courses, [desk.course]),
        queries.rows_of(entries, desk.course, enrolled),
        queries.rows_of(entries, desk.course, [new_id()]),
        rosters.works_of_course(works, desk.course),
        students([Stands(memberships, "true", ())], None, 2),
        rosters.all_of(memberships),
        Part(("text", "uuid", "text", "bigint"), "SELECT 'a', NULL::uuid, %s::text, 7", ("b",)),
    ]
    async with desk.ledger.pool.connection() as connection:
        together = await select(connection, *parts)
        alone = [(await select(connection, part))[0] for part in parts]
    assert together == alone
    assert [len(rows) for rows in together] == [1, 1, 3, 0, 1, 2, 3, 1]
    assert together[5] == [(one,) for one in sorted(enrolled)[:2]]
    assert together[7] == [("a", None, "b", 7)]


async def test_views_have_reached_together_what_the_slowest_has(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await desk.enrols(1)
    last = await desk.catches_up()
    both = reached(desk.base.database, [desk.ledger.view("rosters"), desk.ledger.view("journals")])
    assert (await look(desk.ledger, ("rosters",), both)) == [[(last,)]]
    owner.execute("UPDATE tracking SET position = position - 1 WHERE view = 'journals'")
    assert (await look(desk.ledger, ("rosters",), both)) == [[(last - 1,)]]
    owner.execute("DELETE FROM tracking WHERE view = 'rosters'")
    assert (await look(desk.ledger, ("journals",), both)) == [[(0,)]]


@pytest.mark.parametrize("rounds", [0, ROUNDS], ids=["planned", "planned before"])
async def test_position_and_rows_are_of_one_moment_also_where_the_statement_waited(
    desk: Desk, owner: psycopg.Connection[Row], rounds: int
) -> None:
    """It has found one table and waits for the next, while the view moves on and is made anew."""
    (student,) = await desk.enrols(1)
    await desk.catches_up()
    entries, results = table(desk.ledger, "journals", "entries"), table(desk.ledger, "journals", "results")
    asked = [
        reached(desk.base.database, [desk.ledger.view("journals")]),
        rosters.all_of(entries),
        rosters.all_of(results),
    ]

    def waiting(for_what: str) -> bool:
        query = "SELECT FROM pg_locks WHERE NOT granted AND mode = %s AND relation = ANY(%s::regclass[])"
        return bool(owner.execute(query, (for_what, [entries.qualified, results.qualified])).fetchall())

    async with desk.ledger.pool.connection() as connection:
        for _ in range(rounds):
            await select(connection, *asked)
        with desk.base.database.connect("owner") as other, other.transaction():
            other.execute(f"LOCK TABLE {results.qualified} IN ACCESS EXCLUSIVE MODE")
            reading = asyncio.create_task(select(connection, *asked))
            await until(partial(waiting, "AccessShareLock"))
            await desk.marks(student)
            last = await desk.catches_up()
            rebuild = asyncio.create_task(asyncio.to_thread(desk.base.runner().rebuild, [desk.ledger.view("journals")]))
            await until(partial(waiting, "AccessExclusiveLock"))
        [(position,)], rows, _ = await reading
    await rebuild
    assert position == last
    assert [entries.position(row) for row in rows] == [last]


async def test_statements_stay_prepared_from_one_reading_to_the_next(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(2))
    await desk.catches_up()
    courses = table(desk.ledger, "rosters", "courses")
    async with snapshot(desk.ledger, ("rosters",)) as connection:
        await select(connection, rosters.by_key(courses, [desk.course]))
    known = await prepared(connection)
    assert known
    async with desk.ledger.pool.connection() as again:
        assert again is connection
        await select(again, rosters.by_key(courses, [new_id()]))
        assert await prepared(again) == known
    with pytest.raises(ZeroDivisionError):
        async with snapshot(desk.ledger, ("rosters",)) as connection:
            raise ZeroDivisionError
    assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert await prepared(connection) == known


async def rows_read(connection: psycopg.AsyncConnection[Row], table: str) -> int:
    """Returns how many rows of a table this transaction has looked at."""
    query = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relid = %s::regclass"
    row = await (await connection.execute(query, (table,))).fetchone()
    return int(row[0]) if row else 0


async def test_plan_made_while_tables_were_small_serves_when_they_are_large(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    await desk.marks(*await desk.enrols(3))
    await desk.catches_up()
    entries = table(desk.ledger, "journals", "entries")
    owner.execute(f"ANALYZE {entries.qualified}")
    async with desk.ledger.pool.connection() as connection:
        for _ in range(ROUNDS):
            await select(connection, queries.rows_of(entries, desk.course, [new_id()]))
        grown = "course_id, gen_random_uuid(), NULL, effective_on, since, version, subject_id, record_class, position"
        owner.execute(
            f"INSERT INTO {entries.qualified} SELECT gen_random_uuid(), {grown}, sealed FROM {entries.qualified},"
            " generate_series(1, %s)",
            (MANY,),
        )
        async with connection.transaction():
            [found] = await select(connection, queries.rows_of(entries, desk.course, [new_id()]))
            assert found == []
            assert await rows_read(connection, entries.qualified) < MANY / 10


async def test_search_of_the_register_is_planned_for_what_is_looked_for(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    """Whoever looks for what is rare comes after many who looked for what is in every row, on the same connection."""
    await desk.catches_up()
    accesses, disclosed = table(desk.ledger, "disclosures", "accesses"), table(desk.ledger, "disclosures", "disclosed")
    owner.execute(
        f"INSERT INTO {accesses.qualified} SELECT gen_random_uuid(), now(), true, false, gen_random_uuid(),"
        " CASE WHEN n <= 10 THEN 'director' ELSE 'teacher' END, 1,"
        " CASE WHEN n <= 10 THEN 'rare' ELSE 'common' END::bytea, '', '', NULL,"
        " gen_random_uuid(), 'disclosures', n, '' FROM generate_series(1, %s) AS n",
        (MANY,),
    )
    owner.execute(f"ANALYZE {accesses.qualified}")
    common = register.Filters(office="teacher", tokens={"purpose": b"common"})
    rare = register.Filters(office="teacher", tokens={"purpose": b"rare"})
    async with desk.ledger.pool.connection() as connection:
        for _ in range(ROUNDS):
            await register.found(connection, accesses, disclosed, common, None, 50)
        async with connection.transaction():
            await register.found(connection, accesses, disclosed, rare, None, 50)
            assert await rows_read(connection, accesses.qualified) < MANY / 10


async def test_prepared_statement_finds_the_tables_of_a_rebuild(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    """What was prepared for the old tables must not go on reading them: they are renamed first and dropped later."""
    (student,) = await desk.enrols(1)
    await desk.marks(student)
    last = await desk.catches_up()
    entries = table(desk.ledger, "journals", "entries")
    where = Part(
        ("oid", *entries.types),
        f"SELECT tableoid, {entries.columns} FROM {entries.qualified} WHERE course_id = %s",
        (desk.course,),
    )
    alone = rows_where(entries, "course_id = %s", (desk.course,))
    async with desk.ledger.pool.connection() as connection:

        async def tables() -> set[int]:
            found = await select(connection, where, alone)
            return {row[0] for row in found[0]}

        before = await tables()
        for _ in range(ROUNDS):
            assert await tables() == before
        for _ in range(2):
            await asyncio.to_thread(desk.base.runner().rebuild, [desk.ledger.view("journals")])
            after = await tables()
            oid = owner.execute(f"SELECT '{schema_of_view(desk.base.database, 'journals')}.entries'::regclass::oid")
            assert after == {row[0] for row in oid.fetchall()} != before
            before = after
    page = await read_journal(desk.ledger, reads(TEACHER), desk.course, after=None, limit=50, min_position=last)
    assert [line.student_id for line in page.lines] == [student]
    assert isinstance(page.lines[0].cells[0].entry_id, UUID)
