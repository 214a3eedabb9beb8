"""The gate: nobody is shown anything before it stands in the register, whoever asks and however it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.application.disclose import opening
from ledger.application.disclose.differences import read_difference
from ledger.application.disclose.gate import open_access
from ledger.application.disclose.history import read_history
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.marks import read_period_marks
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.register import read_disclosures
from ledger.application.disclose.retention import read_retention
from ledger.application.disclose.states import read_state
from ledger.application.disclose.students import find_student, list_students, read_student
from ledger.clock import utc_now
from ledger.errors import Forbidden, InvalidInput, NotFound, UndisclosedAccess, Unreadable
from ledger.policy.offices import Actor, Office
from ledger.policy.reading import Resource
from ledger.projections.tables import TableStore
from ledger.receipt import LIFETIME, Disclosure
from ledger.store.mapper import EventMapper
from ledger.streams.record_classes import RecordClass
from tests.support.desk import CLASS_TEACHER, DIRECTOR, TEACHER, Desk, reads
from tests.support.tampering import FLIPPED, in_view
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    from ledger.projections.view import Key, Row
    from ledger.seal.entry import Entry
    from ledger.store.database import Row as DbRow
    from ledger.store.keyring import Keyring

    Read = Callable[[Desk, UUID, Actor], Awaitable[object]]

THEN = AsOf(effective_on=TODAY)
"""A moment whose rows are folded from the events, whatever the views have reached."""

READS: dict[str, Read] = {
    "student": lambda desk, student, by: read_student(desk.ledger, reads(by), student),
    "students": lambda desk, _, by: list_students(desk.ledger, reads(by), desk.group, after=None, limit=50),
    "journal": lambda desk, _, by: read_journal(desk.ledger, reads(by), desk.course, after=None, limit=50),
    "portfolio": lambda desk, student, by: read_portfolio(desk.ledger, reads(by), student, after=None, limit=50),
    "retention": lambda desk, student, by: read_retention(desk.ledger, reads(by), student),
    "disclosures": lambda desk, student, by: read_disclosures(desk.ledger, reads(by), student, before=None, limit=50),
    "history": lambda desk, student, by: read_history(desk.ledger, reads(by), student, after=0, limit=50),
    "student then": lambda desk, student, by: read_student(desk.ledger, reads(by), student, as_of=THEN),
    "students then": lambda desk, _, by: list_students(
        desk.ledger, reads(by), desk.group, after=None, limit=50, as_of=THEN
    ),
    "journal then": lambda desk, _, by: read_journal(
        desk.ledger, reads(by), desk.course, after=None, limit=50, as_of=THEN
    ),
    "portfolio then": lambda desk, student, by: read_portfolio(
        desk.ledger, reads(by), student, after=None, limit=50, as_of=THEN
    ),
    "state": lambda desk, student, by: read_state(desk.ledger, reads(by), student),
    "difference": lambda desk, student, by: read_difference(desk.ledger, reads(by), student, since=THEN),
}

OF_A_CLASS = {"students", "journal", "students then", "journal then"}
"""Reads that are about everybody in the class, not about one student."""

LAST_ACCESS = (
    "SELECT topic, position FROM events WHERE topic LIKE 'access.%%' AND subject_id = %s ORDER BY position DESC LIMIT 1"
)
DISCLOSED = "SELECT count(*) FROM events WHERE topic = %s AND subject_id = %s"


async def a_class(desk: Desk, count: int = 2) -> list[UUID]:
    students = await desk.enrols(count)
    await desk.marks(*students)
    for student in students:
        await desk.does(desk.achievement(student))
    await desk.catches_up()
    await asyncio.gather(*(read_student(desk.ledger, reads(), student) for student in students))
    await desk.catches_up()
    return students


def disclosed(owner: psycopg.Connection[DbRow], student: UUID, topic: str = "disclosure.made") -> int:
    row = owner.execute(DISCLOSED, (topic, student)).fetchone()
    assert row is not None
    return int(row[0])


# --- first the record, then the reading -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", list(READS))
async def test_disclosure_is_committed_before_any_row_is_opened(
    desk: Desk, owner: psycopg.Connection[DbRow], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """While the commit is held up nothing is opened; at each opening, a second connection sees this reader's access."""
    student, other = await a_class(desk)
    reader = Actor(uuid4(), Office.DIRECTOR)
    opened: list[tuple[UUID, bool]] = []
    open_row, open_event = TableStore.open, EventMapper.open

    def seen(subject: UUID) -> None:
        if subject == desk.school:
            return  # the school's own rows need no disclosure
        access = owner.execute(LAST_ACCESS, (reader.id,)).fetchone()
        opened.append((subject, access is not None and access[0] == "access.opened"))

    def watched_row(self: TableStore, stored: tuple[Any, ...], keyring: Keyring) -> tuple[Key, Row]:
        seen(self.subject(stored)[0])
        return open_row(self, stored, keyring)

    def watched_event(self: EventMapper, entry: Entry, keyring: Keyring) -> object:
        seen(entry.subject_id)
        return open_event(self, entry, keyring)

    monkeypatch.setattr(TableStore, "open", watched_row)
    monkeypatch.setattr(EventMapper, "open", watched_event)
    with desk.base.database.connect("owner") as holder, holder.transaction():
        holder.execute("SELECT lock_appends()")
        reading = asyncio.ensure_future(READS[what](desk, student, reader))
        await asyncio.wait({reading}, timeout=0.2)
        assert opened == []
        assert not reading.done()
    await reading
    assert opened, "Nothing was opened: the test proves nothing."
    assert [subject for subject, committed in opened if not committed] == []
    assert disclosed(owner, student) >= 2
    assert disclosed(owner, other) == (2 if what in OF_A_CLASS else 1)


@pytest.mark.parametrize("what", list(READS))
async def test_refused_access_is_recorded_and_shows_nothing(
    desk: Desk, owner: psycopg.Connection[DbRow], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    student, _ = await a_class(desk)
    before = disclosed(owner, student)
    stranger = Actor(uuid4(), Office.TEACHER)
    opened: list[object] = []
    monkeypatch.setattr(TableStore, "open", lambda *arguments: opened.append(arguments))
    with pytest.raises(Forbidden):
        await READS[what](desk, student, stranger)
    assert opened == []
    access = owner.execute(LAST_ACCESS, (stranger.id,)).fetchone()
    assert access is not None
    assert access[0] == "access.refused"
    assert disclosed(owner, student) == before
    assert disclosed(owner, student, "disclosure.refused") == 1
    monkeypatch.undo()
    await desk.catches_up()
    register = await read_disclosures(desk.ledger, reads(), student, before=None, limit=50)
    newest = register.items[0]
    assert (newest.granted, newest.actor, newest.purpose) == (False, stranger.id, "refused")


async def test_what_does_not_exist_is_not_found_and_nothing_is_recorded(
    desk: Desk, owner: psycopg.Connection[DbRow]
) -> None:
    await a_class(desk)
    before = owner.execute("SELECT count(*) FROM events").fetchone()
    for what in READS.keys() - OF_A_CLASS:
        with pytest.raises(NotFound):
            await READS[what](desk, uuid4(), DIRECTOR)
    with pytest.raises(NotFound):
        await read_journal(desk.ledger, reads(), uuid4(), after=None, limit=50)
    with pytest.raises(NotFound):
        await list_students(desk.ledger, reads(), uuid4(), after=None, limit=50)
    with pytest.raises(NotFound):
        await find_student(desk.ledger, reads(), "register", "nobody")
    for nobody in (uuid4(), desk.ledger.id, desk.group):
        with pytest.raises(NotFound):
            await read_period_marks(desk.ledger, reads(TEACHER), nobody, desk.course)
    assert owner.execute("SELECT count(*) FROM events").fetchone() == before


async def test_foreign_id_tells_a_stranger_nothing_and_the_refusal_is_recorded(
    desk: Desk, owner: psycopg.Connection[DbRow]
) -> None:
    student, _ = await a_class(desk)
    stranger = reads(Actor(uuid4(), Office.TEACHER))
    answers = []
    for foreign_id in (f"Синтетический-{student}", "nobody"):
        with pytest.raises(NotFound) as caught:
            await find_student(desk.ledger, stranger, "register", foreign_id)
        answers.append(str(caught.value))
    assert answers[0] == answers[1]
    assert disclosed(owner, student, "disclosure.refused") == 1
    assert (await find_student(desk.ledger, reads(), "register", f"Синтетический-{student}")).student_id == student


async def test_read_that_fails_afterwards_stays_in_the_register(desk: Desk, owner: psycopg.Connection[DbRow]) -> None:
    """Whoever makes the reading fail after the commit has left a record, not the other way round."""
    student, _ = await a_class(desk)
    in_view(desk.base.database, "rosters", f"UPDATE students SET sealed = {FLIPPED.format('sealed')}")
    before = disclosed(owner, student)
    with pytest.raises(Unreadable):
        await read_student(desk.ledger, reads(), student)
    assert disclosed(owner, student) == before + 1


async def test_cancelled_read_shows_nothing_without_a_record(desk: Desk, owner: psycopg.Connection[DbRow]) -> None:
    student, _ = await a_class(desk)
    before = disclosed(owner, student)
    task = asyncio.create_task(read_student(desk.ledger, reads(), student))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert disclosed(owner, student) in {before, before + 1}


# --- receipts ---------------------------------------------------------------------------------------------------------


async def a_receipt(desk: Desk, *students: UUID) -> Disclosure:
    return await open_access(
        desk.ledger, reads(), Resource.STUDENTS, students=students, categories=(RecordClass.PERSONAL_FILE,)
    )


async def rows_of(desk: Desk, view: str, table: str) -> tuple[TableStore, list[tuple[Any, ...]]]:
    store = opening.table(desk.ledger, view, table)
    async with opening.snapshot(desk.ledger, (view,)) as connection:
        cursor = await connection.execute(store.select_all, binary=True)
        return store, await cursor.fetchall()


async def test_receipt_opens_what_it_names(desk: Desk) -> None:
    students = await a_class(desk)
    store, stored = await rows_of(desk, "rosters", "students")
    opened = await opening.open_rows(desk.ledger, await a_receipt(desk, *students), store, stored)
    assert {row.subject_id for _, row in opened} == set(students)


async def test_receipt_of_one_student_opens_no_row_of_a_page_with_another(desk: Desk) -> None:
    student, _ = await a_class(desk)
    store, stored = await rows_of(desk, "rosters", "students")
    with pytest.raises(UndisclosedAccess):
        await opening.open_rows(desk.ledger, await a_receipt(desk, student), store, stored)


async def test_receipt_of_one_category_opens_no_other(desk: Desk) -> None:
    students = await a_class(desk)
    store, stored = await rows_of(desk, "journals", "entries")
    with pytest.raises(UndisclosedAccess):
        await opening.open_rows(desk.ledger, await a_receipt(desk, *students), store, stored)


async def test_receipt_grows_old(desk: Desk) -> None:
    students = await a_class(desk)
    store, stored = await rows_of(desk, "rosters", "students")
    receipt = await a_receipt(desk, *students)
    old = replace(receipt, committed_at=utc_now() - LIFETIME - timedelta(seconds=1))
    with pytest.raises(UndisclosedAccess, match="too old"):
        await opening.open_rows(desk.ledger, old, store, stored)


async def test_rows_of_students_do_not_pass_for_the_schools_own(desk: Desk) -> None:
    await a_class(desk)
    store, stored = await rows_of(desk, "rosters", "students")
    with pytest.raises(UndisclosedAccess):
        await opening.open_school_rows(desk.ledger, store, stored)


async def test_access_of_somebody_else_is_not_opened_with_a_receipt(desk: Desk) -> None:
    student, other = await a_class(desk)
    store, stored = await rows_of(desk, "disclosures", "accesses")
    receipt = replace(await a_receipt(desk, student), categories=frozenset({RecordClass.DISCLOSURES}))
    with pytest.raises(UndisclosedAccess):
        await opening.open_accesses(desk.ledger, receipt, store, stored, set())
    with pytest.raises(UndisclosedAccess):
        await opening.open_accesses(
            desk.ledger, await a_receipt(desk, student, other), store, stored, {row[0] for row in stored}
        )


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_class_teacher_reads_the_class_and_a_former_one_does_not(desk: Desk) -> None:
    student, _ = await a_class(desk)
    assert (await read_student(desk.ledger, reads(CLASS_TEACHER), student)).student_id == student
    with pytest.raises(Forbidden):
        await read_student(desk.ledger, reads(Actor(uuid4(), Office.CLASS_TEACHER)), student)


async def test_teacher_reads_the_journal_of_the_course_and_no_card(desk: Desk) -> None:
    student, _ = await a_class(desk)
    page = await read_journal(desk.ledger, reads(TEACHER), desk.course, after=None, limit=50)
    assert len(page.lines) == 2
    with pytest.raises(Forbidden):
        await read_student(desk.ledger, reads(TEACHER), student)


async def test_representative_reads_their_child_only(desk: Desk) -> None:
    mine, other = await a_class(desk)
    parent = Actor(uuid4(), Office.REPRESENTATIVE, frozenset({mine}))
    assert (await read_portfolio(desk.ledger, reads(parent), mine, after=None, limit=50)).student_id == mine
    for what in READS.keys() - OF_A_CLASS:
        with pytest.raises(Forbidden):
            await READS[what](desk, other, parent)


async def test_student_sees_who_read_what_and_why(desk: Desk) -> None:
    student, _ = await a_class(desk)
    await read_journal(desk.ledger, reads(TEACHER), desk.course, after=None, limit=50)
    await desk.catches_up()
    own = Actor(student, Office.STUDENT, frozenset({student}))
    register = await read_disclosures(desk.ledger, reads(own), student, before=None, limit=50)
    newest = register.items[0]
    assert (newest.actor, newest.office, newest.resource, newest.purpose) == (
        TEACHER.id,
        "teacher",
        "journal",
        "trajectory",
    )
    assert (newest.granted, newest.channel, newest.students) == (True, "api", 2)
    assert set(newest.categories) == {"personal_file", "marks", "final_results", "credits"}
    await desk.catches_up()
    after = await read_disclosures(desk.ledger, reads(own), student, before=None, limit=50)
    assert (after.items[0].actor, after.items[0].resource) == (student, "disclosures")
    assert len(after.items) == len(register.items) + 1


@pytest.mark.parametrize("limit", [0, -1, 51, 1000])
async def test_page_of_no_or_too_many_students_is_refused_before_anything_is_read(
    desk: Desk, owner: psycopg.Connection[DbRow], limit: int
) -> None:
    await a_class(desk)
    before = owner.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(InvalidInput):
        await read_journal(desk.ledger, reads(), desk.course, after=None, limit=limit)
    with pytest.raises(InvalidInput):
        await list_students(desk.ledger, reads(), desk.group, after=None, limit=limit)
    assert owner.execute("SELECT count(*) FROM events").fetchone() == before


# --- random reads -----------------------------------------------------------------------------------------------------


async def test_every_student_ever_shown_stands_in_the_register_before_the_answer(
    desk: Desk, owner: psycopg.Connection[DbRow]
) -> None:
    """Random people read random things: whoever is shown was recorded for this reader, not after the answer."""
    students = await a_class(desk, 4)
    people = [
        DIRECTOR,
        TEACHER,
        CLASS_TEACHER,
        Actor(uuid4(), Office.SECRETARY),
        Actor(uuid4(), Office.INSPECTOR),
        Actor(students[0], Office.STUDENT, frozenset({students[0]})),
        Actor(uuid4(), Office.REPRESENTATIVE, frozenset(students[:2])),
    ]
    loop = asyncio.get_running_loop()

    def shown_by(answer: object) -> set[UUID]:
        lines = getattr(answer, "lines", None)
        items = lines if lines and hasattr(lines[0], "student_id") else getattr(answer, "items", [])
        several = {one.student_id for one in items if hasattr(one, "student_id")}
        return several or {getattr(answer, "student_id")}  # noqa: B009 - of whatever was read

    async def once(what: str, student: UUID, by: Actor) -> None:
        first = owner.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()
        assert first is not None
        try:
            answer = await READS[what](desk, student, by)
        except Forbidden:
            shown: set[UUID] = set()
        else:
            shown = shown_by(answer)
        recorded = owner.execute(
            "SELECT topic, subject_id, header FROM events WHERE position > %s ORDER BY position", (first[0],)
        ).fetchall()
        assert recorded
        assert recorded[0][0] == ("access.opened" if shown else "access.refused")
        assert recorded[0][1] == by.id
        assert shown <= {subject for topic, subject, _ in recorded if topic == "disclosure.made"}
        assert all(by.id.bytes in bytes(header) for _, _, header in recorded)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(list(READS)), st.sampled_from(students), st.sampled_from(people))
    def any_read(what: str, student: UUID, by: Actor) -> None:
        asyncio.run_coroutine_threadsafe(once(what, student, by), loop).result(timeout=20)

    await asyncio.to_thread(any_read)
