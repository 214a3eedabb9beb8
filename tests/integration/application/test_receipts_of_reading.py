"""Receipts open what was durably recorded for this request, and nothing else, however they were come by."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ledger.application.disclose import opening, proving
from ledger.application.disclose.gate import open_access
from ledger.application.disclose.minting import mint
from ledger.application.disclose.past import past_of_student
from ledger.application.disclose.students import read_student
from ledger.errors import NotFound, StoreUnavailable, UndisclosedAccess
from ledger.policy.offices import Actor, Office
from ledger.policy.reading import Resource
from ledger.projections.tables import TableStore
from ledger.receipt import LIFETIME, Disclosure
from ledger.store.commands import Recorded
from ledger.streams.record_classes import RecordClass
from tests.support.desk import DIRECTOR, Desk, reads

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import psycopg

    from ledger.application.ledger import Ledger
    from ledger.projections.view import Key, Row
    from ledger.store.database import Row as DbRow

CARD = (RecordClass.PERSONAL_FILE,)
PERSON = Actor(uuid4(), Office.DIRECTOR)

Opened = list[tuple["Key", "Row"]]


async def a_receipt(desk: Desk, *students: UUID, categories: tuple[str, ...] = CARD) -> Disclosure:
    return await open_access(desk.ledger, reads(PERSON), Resource.STUDENTS, students=students, categories=categories)


async def rows_of(desk: Desk, view: str, table: str) -> tuple[TableStore, list[tuple[Any, ...]]]:
    store = opening.table(desk.ledger, view, table)
    async with opening.snapshot(desk.ledger, (view,)) as connection:
        cursor = await connection.execute(store.select_all, binary=True)
        return store, await cursor.fetchall()


async def opens(desk: Desk, receipt: Disclosure, *students: UUID) -> set[UUID]:
    """Returns whose cards the receipt opened; of everybody's, or of the students who are named."""
    store, stored = await rows_of(desk, "rosters", "students")
    wanted = [row for row in stored if not students or row[0] in students]
    return {row.subject_id for _, row in await opening.open_rows(desk.ledger, receipt, store, wanted)}


async def refuses(desk: Desk, receipt: Disclosure, *students: UUID, why: str = "") -> None:
    with pytest.raises(UndisclosedAccess, match=why):
        await opens(desk, receipt, *students)


def claims(receipt: Disclosure, **other: Any) -> Disclosure:  # noqa: ANN401 - whatever is claimed instead
    """Returns a receipt that claims something else, as somebody inside the process might mint it."""
    access_id, actor = other.get("access_id", receipt.access_id), other.get("actor", receipt.actor)
    first, position = other.get("first", receipt.first), other.get("position", receipt.position)
    recorded = Recorded(first, position - first + 1, None, ())  # type: ignore[arg-type]  # minting needs no time
    students, categories = other.get("students", receipt.students), other.get("categories", receipt.categories)
    return mint(access_id, actor, students, categories, recorded)


async def elsewhere(coroutine: Coroutine[Any, Any, object], context: Context | None = None) -> object:
    """Awaits something as another request: in a context that has nothing of this one."""
    return await asyncio.create_task(coroutine, context=context or Context())


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Whose rows were opened."""
    opened: list[UUID] = []
    real: Callable[..., tuple[Key, Row]] = TableStore.open

    def seen(self: TableStore, stored: tuple[Any, ...], *rest: Any) -> tuple[Key, Row]:  # noqa: ANN401 - passed on
        opened.append(self.subject(stored)[0])
        return real(self, stored, *rest)

    monkeypatch.setattr(TableStore, "open", seen)
    return opened


# --- what a receipt names ---------------------------------------------------------------------------------------------


async def test_receipt_opens_what_it_names_and_is_looked_up_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    students = await desk.enrols(2)
    await desk.catches_up()
    looked: list[UUID] = []
    look_up = proving._look_up

    async def counted(ledger: Ledger, receipt: Disclosure) -> proving.Proven:
        looked.append(receipt.access_id)
        return await look_up(ledger, receipt)

    monkeypatch.setattr(proving, "_look_up", counted)
    receipt = await a_receipt(desk, *students)
    assert await opens(desk, receipt) == set(students)
    assert await opens(desk, receipt, students[0]) == {students[0]}
    assert looked == [receipt.access_id]


async def test_receipt_of_one_student_opens_no_row_of_a_page_with_another(desk: Desk, watched: list[UUID]) -> None:
    student, _ = await desk.enrols(2)
    await desk.catches_up()
    await refuses(desk, await a_receipt(desk, student), why="does not cover")
    assert watched == []


async def test_receipt_of_one_category_opens_no_other(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await desk.marks(student)
    await desk.catches_up()
    store, stored = await rows_of(desk, "journals", "entries")
    assert stored
    with pytest.raises(UndisclosedAccess, match="does not cover"):
        await opening.open_rows(desk.ledger, await a_receipt(desk, student), store, stored)


async def test_claims_of_a_receipt_count_for_nothing(desk: Desk, watched: list[UUID]) -> None:
    """What is opened stands in the committed events; whoever mints a receipt of something else gets nothing by it."""
    mine, other = await desk.enrols(2)
    await desk.catches_up()
    receipt, theirs = await a_receipt(desk, mine), await a_receipt(desk, other)
    await refuses(desk, claims(receipt, students=frozenset({mine, other})), other, why="does not cover")
    await refuses(desk, claims(receipt, access_id=uuid4()), mine, why="was not recorded")
    await refuses(desk, claims(receipt, actor=uuid4()), mine, why="was not recorded")
    await refuses(desk, claims(receipt, first=theirs.first, position=theirs.position), mine, why="was not recorded")
    await refuses(desk, claims(receipt, position=theirs.position), mine, other, why="another access|does not cover")
    await refuses(desk, claims(receipt, position=receipt.first), mine, why="does not cover")
    await refuses(desk, claims(receipt, first=theirs.position + 1, position=theirs.position + 2), mine, why="history")
    await refuses(desk, claims(receipt, position=receipt.first - 1), mine, why="names no access")
    await refuses(desk, claims(receipt, first=1), mine, why="was not recorded")
    assert watched == []
    assert await opens(desk, claims(receipt), mine) == {mine}


async def test_refused_access_is_no_disclosure(desk: Desk, owner: psycopg.Connection[DbRow]) -> None:
    (student,) = await desk.enrols()
    await desk.catches_up()
    with pytest.raises(NotFound):
        await read_student(desk.ledger, reads(Actor(PERSON.id, Office.TEACHER)), student)
    last = owner.execute("SELECT position, stream_id FROM events WHERE topic = 'access.refused'").fetchone()
    assert last is not None
    recorded = Recorded(last[0], 2, None, ())  # type: ignore[arg-type]  # minting needs no time
    await refuses(desk, mint(last[1], PERSON.id, [student], CARD, recorded), student, why="was not recorded")


async def test_rows_of_students_do_not_pass_for_the_schools_own(desk: Desk) -> None:
    await desk.enrols()
    await desk.catches_up()
    store, stored = await rows_of(desk, "rosters", "students")
    with pytest.raises(UndisclosedAccess, match="without a disclosure"):
        await opening.open_school_rows(desk.ledger, store, stored)


async def test_access_of_somebody_else_is_not_opened_with_a_receipt(desk: Desk) -> None:
    student, _ = await desk.enrols(2)
    await desk.catches_up()
    await read_student(desk.ledger, reads(), student)
    await desk.catches_up()
    store, stored = await rows_of(desk, "disclosures", "accesses")
    assert stored
    receipt = await a_receipt(desk, student, categories=(RecordClass.DISCLOSURES,))
    with pytest.raises(UndisclosedAccess, match="nobody disclosed"):
        await opening.open_accesses(desk.ledger, receipt, store, stored, set())
    with pytest.raises(UndisclosedAccess, match="nobody disclosed"):
        await opening.open_accesses(
            desk.ledger, await a_receipt(desk, student), store, stored, {row[0] for row in stored}
        )


# --- stolen, replayed, old --------------------------------------------------------------------------------------------


async def test_receipt_of_another_request_opens_nothing(desk: Desk, watched: list[UUID]) -> None:
    """Neither one that was kept for later nor one that somebody else's request was given."""
    (student,) = await desk.enrols()
    await desk.catches_up()
    receipt = await a_receipt(desk, student)
    await elsewhere(refuses(desk, receipt, student, why="did not mint for this request"))
    forged: Disclosure = object.__new__(Disclosure)
    for name in ("access_id", "actor", "students", "categories", "first", "position", "committed_at"):
        object.__setattr__(forged, name, getattr(receipt, name))
    await refuses(desk, forged, student, why="did not mint for this request")
    assert watched == []
    assert await elsewhere(opens(desk, receipt, student), copy_context()) == {student}


async def test_receipt_grows_old(desk: Desk, watched: list[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    (student,) = await desk.enrols()
    await desk.catches_up()
    fresh, unused = await a_receipt(desk, student), await a_receipt(desk, student)
    assert await opens(desk, fresh, student) == {student}
    watched.clear()
    loop = asyncio.get_running_loop()
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + LIFETIME.total_seconds() + 1, raising=False)
    await refuses(desk, fresh, student, why="too old")
    monkeypatch.undo()
    monkeypatch.setattr(proving, "LIFETIME", timedelta(0))
    await refuses(desk, unused, student, why="too old")
    with pytest.raises(UndisclosedAccess, match="too old"):
        await past_of_student(desk.ledger, unused, student, unused.first)
    assert watched == []


# --- what was not committed, or not durably ---------------------------------------------------------------------------


@pytest.mark.parametrize("savepoint", [False, True])
async def test_disclosure_that_can_be_rolled_back_opens_nothing(
    desk: Desk, watched: list[UUID], owner: psycopg.Connection[DbRow], *, savepoint: bool
) -> None:
    """Logging and reading in one transaction leaks: whoever rolls it back has the data. Here they have not."""
    (student,) = await desk.enrols()
    await desk.catches_up()
    writer = desk.ledger.executor._writer.connection
    assert writer is not None
    await writer.execute("BEGIN; SAVEPOINT before" if savepoint else "BEGIN")
    with pytest.raises(UndisclosedAccess, match="not in the history"):
        await read_student(desk.ledger, reads(PERSON), student)
    await writer.execute("ROLLBACK TO before; COMMIT" if savepoint else "ROLLBACK")
    assert watched == []
    left = owner.execute("SELECT count(*) FROM events WHERE subject_id = %s", (PERSON.id,)).fetchone()
    assert left == (0,)


async def test_disclosure_that_a_power_cut_could_lose_opens_nothing(desk: Desk, watched: list[UUID]) -> None:
    (student,) = await desk.enrols()
    await desk.catches_up()
    writer = desk.ledger.executor._writer.connection
    assert writer is not None
    await writer.execute("SET synchronous_commit = off")
    with pytest.raises(StoreUnavailable):
        await read_student(desk.ledger, reads(PERSON), student)
    assert watched == []


async def test_reader_who_does_not_wait_for_the_commit_is_shown_nothing(
    desk: Desk, watched: list[UUID], owner: psycopg.Connection[DbRow]
) -> None:
    """A time-out while the commit is held up: the access may be recorded all the same, and nothing was opened."""
    (student,) = await desk.enrols()
    await desk.catches_up()
    with desk.base.database.connect("owner") as holder, holder.transaction():
        holder.execute("SELECT lock_appends()")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await read_student(desk.ledger, reads(PERSON), student)
        assert watched == []
    assert await opens(desk, await a_receipt(desk, student), student) == {student}
    found = owner.execute("SELECT count(*) FROM events WHERE topic = 'disclosure.made'").fetchone()
    assert found is not None
    assert found[0] >= 1


# --- whatever somebody tries ------------------------------------------------------------------------------------------


async def test_nothing_is_opened_that_was_not_recorded_for_it(desk: Desk) -> None:
    """Random claims, shown in the right request or another one: opened is what the events say, or nothing."""
    students = await desk.enrols(3)
    await desk.catches_up()
    held = [await a_receipt(desk, *students[:count]) for count in (1, 2, 3)]
    held.append(await a_receipt(desk, students[2], categories=(RecordClass.MARKS,)))
    truth = {receipt.access_id: receipt for receipt in held}
    loop, here = asyncio.get_running_loop(), copy_context()
    accesses = st.sampled_from(held)

    async def once(claim: Disclosure, wanted: set[UUID], *, same: bool) -> None:
        recorded = truth[claim.access_id]
        whole = (claim.first, claim.position) == (recorded.first, recorded.position)
        covered = wanted <= recorded.students and set(CARD) <= recorded.categories
        task = loop.create_task(opens(desk, claim, *wanted), context=here if same else Context())
        if same and whole and claim.actor == PERSON.id and covered:
            assert await task == wanted
            return
        try:
            assert await task <= (recorded.students if same else set())
        except UndisclosedAccess:
            return
        assert claim.first == recorded.first, "It opened something, so it named the true access."
        assert claim.position <= recorded.position + 1, "Where the next access begins, nothing of it is disclosed."

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @example(named=held[0], placed=held[0], wanted={students[0]}, begins=0, ends=1, actor=PERSON.id, same=True)
    @given(
        named=accesses,
        placed=accesses,
        wanted=st.sets(st.sampled_from(students), min_size=1),
        begins=st.integers(-2, 2),
        ends=st.integers(-2, 2),
        actor=st.sampled_from([PERSON.id, DIRECTOR.id]),
        same=st.booleans(),
    )
    def any_claim(
        named: Disclosure, placed: Disclosure, wanted: set[UUID], begins: int, ends: int, actor: UUID, *, same: bool
    ) -> None:
        claim = here.run(
            claims, named, actor=actor, students=frozenset(students),
            first=placed.first + begins, position=placed.position + ends,
        )  # fmt: skip
        asyncio.run_coroutine_threadsafe(once(claim, wanted, same=same), loop).result(timeout=60)

    await asyncio.to_thread(any_claim)
