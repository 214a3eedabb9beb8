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

from ledger.application.disclose.gate import PACE_S
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.marks import read_mark, read_period_marks
from ledger.application.disclose.moment import AsOf
from ledger.application.disclose.register import read_disclosures
from ledger.application.disclose.students import find_student, list_students, read_student
from ledger.errors import Forbidden, NotFound, Unreadable
from ledger.policy.offices import Actor, Office
from ledger.projections.tables import TableStore
from ledger.store.mapper import EventMapper
from tests.support.desk import CLASS_TEACHER, DIRECTOR, TEACHER, Desk, reads
from tests.support.readings import OF_A_CLASS, READS, a_class, disclosed
from tests.support.tampering import FLIPPED, in_view
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.projections.view import Key, Row
    from ledger.seal.entry import Entry
    from ledger.store.database import Row as DbRow
    from ledger.store.keyring import Keyring

LAST_ACCESS = (
    "SELECT topic, position FROM events WHERE topic LIKE 'access.%%' AND subject_id = %s ORDER BY position DESC LIMIT 1"
)


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
    # A course and a group are public inside the school; whether somebody is a student is not.
    with pytest.raises(Forbidden if what in OF_A_CLASS else NotFound):
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
            await read_period_marks(desk.ledger, reads(), nobody, desk.course)
    assert owner.execute("SELECT count(*) FROM events").fetchone() == before


STRANGERS = (
    Actor(uuid4(), Office.TEACHER),
    Actor(uuid4(), Office.CLASS_TEACHER),
    Actor(uuid4(), Office.STUDENT, frozenset({uuid4()})),
    Actor(uuid4(), Office.REPRESENTATIVE, frozenset({uuid4()})),
)


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda stranger: stranger.office.value)
async def test_who_may_not_know_of_a_student_is_told_the_same_whether_there_is_one(
    desk: Desk, owner: psycopg.Connection[DbRow], stranger: Actor
) -> None:
    """The same words at the same pace, and a refusal that is recorded either way, in as many events."""
    student, _ = await a_class(desk)
    clock = asyncio.get_running_loop()
    mark = (await desk.marks(student))[0]
    await desk.catches_up()
    there_is = {what: read for what, read in READS.items() if what not in OF_A_CLASS}
    there_is["mark"] = lambda desk, student, by: read_mark(desk.ledger, reads(by), student, mark)
    there_is["period marks"] = lambda desk, student, by: read_period_marks(desk.ledger, reads(by), student, desk.course)
    for what, read in there_is.items():
        told = []
        for asked in (student, uuid4()):
            size = log_size(owner)
            before, began = refusals_of(owner, stranger), clock.time()
            with pytest.raises(NotFound) as caught:
                await read(desk, asked, stranger)
            told.append((caught.value.detail, caught.value.help, log_size(owner) - size))
            assert refusals_of(owner, stranger) == before + 1, what
            # Up to what the event loop needs to come round, on the beat: not when the work was done.
            assert clock.time() - began >= PACE_S, what
        assert told[0] == told[1], what
    readers = [replace(reads(stranger), reason=reason) for reason in (None, "Без сознания после падения")]
    for reader in readers if stranger.office in (Office.STUDENT, Office.REPRESENTATIVE) else readers[:1]:
        grown = []
        for one in (student, uuid4()):
            size = log_size(owner)
            with pytest.raises(NotFound):
                await read_student(desk.ledger, reader, one)
            grown.append(log_size(owner) - size)
        assert grown == [2 + (reader.reason is not None)] * 2


async def test_emergency_that_meets_nobody_is_recorded_as_a_refusal(
    desk: Desk, owner: psycopg.Connection[DbRow]
) -> None:
    """Otherwise ids, foreign ones above all, could be tried one by one, and only those that hit would show."""
    await a_class(desk)
    stranger = replace(reads(Actor(uuid4(), Office.TEACHER)), reason="Без сознания после падения")
    for tried in (
        read_student(desk.ledger, stranger, uuid4()),
        find_student(desk.ledger, stranger, "register", "nobody"),
    ):
        before, size = refusals_of(owner, stranger.actor), log_size(owner)
        with pytest.raises(NotFound):
            await tried
        assert refusals_of(owner, stranger.actor) == before + 1
        assert log_size(owner) == size + 3, "The access, that nobody was found, and the reason that was given."


@pytest.mark.parametrize("what", ["journal", "class list"])
async def test_refused_list_grows_the_log_alike_wherever_a_page_would_begin(
    desk: Desk, owner: psycopg.Connection[DbRow], what: str
) -> None:
    """Whoever asks chooses where a page begins: by what its refusal records they could search for the ids in it."""
    students = sorted(await a_class(desk, 3))
    stranger = reads(Actor(uuid4(), Office.STUDENT, frozenset({uuid4()})))
    grown = []
    for after, limit, as_of in (
        (None, 50, AsOf()),
        (None, 1, AsOf()),
        (students[0], 50, AsOf()),
        (students[-1], 1, AsOf()),
        (None, 50, AsOf(effective_on=TODAY - timedelta(days=3000))),
    ):
        size = log_size(owner)
        reading = (
            read_journal(desk.ledger, stranger, desk.course, after=after, limit=limit, as_of=as_of)
            if what == "journal"
            else list_students(desk.ledger, stranger, desk.group, after=after, limit=limit, as_of=as_of)
        )
        with pytest.raises(Forbidden):
            await reading
        grown.append(log_size(owner) - size)
    assert grown == [1 + len(students)] * 5


def log_size(owner: psycopg.Connection[DbRow]) -> int:
    row = owner.execute("SELECT count(*) FROM events").fetchone()
    assert row is not None
    return int(row[0])


def refusals_of(owner: psycopg.Connection[DbRow], actor: Actor) -> int:
    return disclosed(owner, actor.id, "access.refused")


async def test_foreign_id_tells_a_stranger_nothing_and_the_refusal_is_recorded(
    desk: Desk, owner: psycopg.Connection[DbRow]
) -> None:
    student, _ = await a_class(desk)
    stranger = reads(Actor(uuid4(), Office.TEACHER))
    answers = []
    for foreign_id in (f"Синтетический-{student}", "nobody"):
        before, size = refusals_of(owner, stranger.actor), log_size(owner)
        with pytest.raises(NotFound) as caught:
            await find_student(desk.ledger, stranger, "register", foreign_id)
        answers.append((str(caught.value), log_size(owner) - size))
        assert refusals_of(owner, stranger.actor) == before + 1
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
        except (Forbidden, NotFound):
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
        asyncio.run_coroutine_threadsafe(once(what, student, by), loop).result(timeout=60)

    await asyncio.to_thread(any_read)
