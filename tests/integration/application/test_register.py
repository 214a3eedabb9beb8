"""The disclosure register: each filter finds what it names and nothing else, pages join, exports are whole."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import pytest

from ledger.application.disclose import gate, register
from ledger.application.disclose.exporting import COLUMNS, csv_header, csv_lines, json_lines
from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.register import EVERYTHING, RegisterQuery, export_register, read_register
from ledger.application.disclose.tracker import UsageQuery, Usages, find_usage, heartbeat, usage_period
from ledger.application.disclose.who_saw import who_saw
from ledger.errors import Forbidden, NotFound
from ledger.policy.engine import Purpose
from ledger.policy.offices import Actor, Office
from ledger.policy.reading import Resource
from ledger.projections.disclosures import queries
from tests.support.desk import DIRECTOR, TEACHER, Desk, reads

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ledger.application.disclose.shown import DisclosureLine
    from ledger.store.database import Row

INSPECTOR = Actor(uuid4(), Office.INSPECTOR)
AUDITOR = Actor(uuid4(), Office.AUDITOR)


async def some_accesses(desk: Desk) -> list[UUID]:
    """Opens and is refused a few times: persons, offices, channels, recipients, one student and several."""
    students = await desk.enrols(3)
    readers = [
        Reader(DIRECTOR, "api"),
        Reader(
            DIRECTOR, "letter", recipient="=Комиссия", purpose=Purpose.STATUTORY_DUTY, document="Синтетический запрос"
        ),
        Reader(AUDITOR, "cli"),
        Reader(TEACHER, "api"),
    ]
    for reader, who in product(readers, (students[:1], students[1:], students)):
        for resource in (Resource.HISTORY, Resource.RETENTION):
            try:
                await open_access(desk.ledger, reader, resource, students=who, categories=("marks",))
            except NotFound:
                assert reader.actor is TEACHER
    await desk.catches_up()
    return students


async def everything(desk: Desk, query: RegisterQuery = EVERYTHING, limit: int = 50) -> list[DisclosureLine]:
    lines: list[DisclosureLine] = []
    before: int | None = None
    while True:
        page = await read_register(desk.ledger, reads(INSPECTOR), query, before=before, limit=limit)
        lines += page.items
        if page.next is None:
            return lines
        before = int(page.next)


async def test_every_filter_finds_what_a_look_through_the_whole_register_finds(desk: Desk) -> None:
    students = await some_accesses(desk)
    whole = await everything(desk)
    assert len(whole) == 4 * 2 * 6
    assert [line.position for line in whole] == sorted((line.position for line in whole), reverse=True)
    middle = whole[len(whole) // 2].recorded_at
    asked: list[tuple[RegisterQuery, Any]] = [
        (RegisterQuery(student_id=students[0]), lambda line: line.student_id == students[0]),
        (RegisterQuery(actor=AUDITOR.id), lambda line: line.actor == AUDITOR.id),
        (RegisterQuery(office="teacher"), lambda line: line.office == "teacher"),
        (RegisterQuery(granted=False), lambda line: not line.granted),
        (RegisterQuery(granted=True), lambda line: line.granted),
        (RegisterQuery(recipient="=Комиссия"), lambda line: line.recipient == "=Комиссия"),
        (RegisterQuery(purpose="audit"), lambda line: line.purpose == "audit"),
        (RegisterQuery(legal_basis=whole[0].legal_basis), lambda line: line.legal_basis == whole[0].legal_basis),
        (RegisterQuery(channel="letter"), lambda line: line.channel == "letter"),
        (RegisterQuery(since=middle), lambda line: line.recorded_at >= middle),
        (RegisterQuery(until=middle), lambda line: line.recorded_at < middle),
        (RegisterQuery(not_actors=(DIRECTOR.id,)), lambda line: line.actor != DIRECTOR.id),
        (
            RegisterQuery(students[1], DIRECTOR.id, "director", channel="api", since=middle, granted=True),
            lambda line: (
                (line.student_id, line.actor, line.channel) == (students[1], DIRECTOR.id, "api")
                and line.recorded_at >= middle
            ),
        ),
        (RegisterQuery(purpose="nobody's"), lambda _: False),
    ]
    for query, holds in asked:
        assert await everything(desk, query) == [line for line in whole if holds(line)], query


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_pages_join_to_the_whole_whatever_their_size(desk: Desk, limit: int) -> None:
    students = await some_accesses(desk)
    for query in (EVERYTHING, RegisterQuery(actor=AUDITOR.id), RegisterQuery(students[2])):
        assert await everything(desk, query, limit) == await everything(desk, query)


async def test_page_is_disclosed_to_the_students_on_it_and_to_nobody_else(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    students = await some_accesses(desk)
    page = await read_register(desk.ledger, reads(INSPECTOR), EVERYTHING, before=None, limit=2)
    shown = {line.student_id for line in page.items}
    query = "SELECT position FROM events WHERE stream_id = %s"
    position = owner.execute(query, (page.access_id,)).fetchone()
    assert position is not None
    told = owner.execute(
        "SELECT subject_id FROM events WHERE topic = 'disclosure.made' AND position > %s", position
    ).fetchall()
    assert sorted(told) == sorted((student,) for student in shown)
    assert len(students) > len(shown)


@pytest.mark.parametrize("office", [Office.TEACHER, Office.SECRETARY, Office.STUDENT, Office.REPRESENTATIVE])
async def test_register_of_everybody_is_for_those_who_watch_over_it(
    desk: Desk, owner: psycopg.Connection[Row], office: Office
) -> None:
    students = await some_accesses(desk)
    by = Actor(uuid4(), office, frozenset(students))
    for query in (EVERYTHING, RegisterQuery(actor=AUDITOR.id), RegisterQuery(actor=uuid4())):
        before = recorded(owner)
        with pytest.raises(Forbidden):
            await read_register(desk.ledger, reads(by), query, before=None, limit=50)
        with pytest.raises(Forbidden):
            await export_register(desk.ledger, reads(by), query)
        assert recorded(owner)[len(before) :] == ["access.refused"] * 2, "How many were found is told by nothing."


async def test_who_may_not_search_is_refused_before_anything_is_searched(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    student, *_ = await some_accesses(desk)
    searched: list[object] = []
    monkeypatch.setattr(queries, "found", lambda *asked: searched.append(asked))
    monkeypatch.setattr(queries, "students_of", lambda *asked: searched.append(asked))
    for one in (student, uuid4()):
        before = recorded(owner)
        with pytest.raises(NotFound):
            await export_register(desk.ledger, reads(TEACHER), RegisterQuery(one))
        assert len(recorded(owner)) == len(before) + 2
    with pytest.raises(Forbidden):
        await read_register(desk.ledger, reads(TEACHER), EVERYTHING, before=None, limit=50)
    assert searched == []


def recorded(owner: psycopg.Connection[Row]) -> list[str]:
    return [row[0] for row in owner.execute("SELECT topic FROM events ORDER BY position").fetchall()]


async def test_who_may_see_one_students_register_may_filter_it(desk: Desk) -> None:
    student, other, _ = await some_accesses(desk)
    own = Actor(uuid4(), Office.REPRESENTATIVE, frozenset({student}))
    page = await read_register(desk.ledger, reads(own), RegisterQuery(student, granted=False), before=None, limit=50)
    assert {line.student_id for line in page.items} == {student}
    with pytest.raises(NotFound):
        await read_register(desk.ledger, reads(own), RegisterQuery(other), before=None, limit=50)
    with pytest.raises(NotFound):
        await read_register(desk.ledger, reads(INSPECTOR), RegisterQuery(uuid4()), before=None, limit=50)


async def test_export_is_the_whole_register_and_one_access(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "BATCH", 5)
    students = await some_accesses(desk)
    whole = await everything(desk)
    await desk.catches_up()
    before = owner.execute("SELECT count(*) FROM events WHERE topic = 'access.opened'").fetchone()
    made = await export_register(desk.ledger, reads(INSPECTOR), RegisterQuery(channel="letter"))
    lines = [line async for batch in made.batches for line in batch]
    assert lines == [line for line in whole if line.channel == "letter"]
    assert made.lines == len(lines)
    after = owner.execute("SELECT count(*) FROM events WHERE topic = 'access.opened'").fetchone()
    assert before is not None
    assert after == (before[0] + 1,)
    told = owner.execute(
        "SELECT count(*) FROM events WHERE topic = 'disclosure.made' AND position >"
        " (SELECT position FROM events WHERE stream_id = %s)",
        (made.access_id,),
    ).fetchone()
    assert told == (len(students),)
    rows = list(csv.DictReader(io.StringIO((csv_header() + csv_lines(lines)).decode(), newline="")))
    assert [row["position"] for row in rows] == [str(line.position) for line in lines]
    assert {row["recipient"] for row in rows} == {"'=Комиссия"}
    assert tuple(rows[0]) == COLUMNS
    decoded = [msgspec.json.decode(line) for line in json_lines(lines).splitlines()]
    assert {row["recipient"] for row in decoded} == {"=Комиссия"}


async def test_export_that_outlives_its_receipt_goes_on_under_a_further_access(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "BATCH", 20)
    monkeypatch.setattr(register, "RENEW_S", -1.0)
    await some_accesses(desk)
    made = await export_register(desk.ledger, reads(INSPECTOR), EVERYTHING)
    lines = [line async for batch in made.batches for line in batch]
    assert len(lines) == made.lines
    accesses = owner.execute(
        "SELECT count(*) FROM events WHERE topic = 'access.opened' AND subject_id = %s", (INSPECTOR.id,)
    ).fetchone()
    assert accesses is not None
    assert accesses[0] > 1


async def test_what_an_erased_person_looked_at_is_left_out_and_the_rest_stays(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    await some_accesses(desk)
    whole = await everything(desk)
    owner.execute("DELETE FROM data_keys WHERE subject_id = %s", (AUDITOR.id,))
    desk.ledger.keyring.drop([(AUDITOR.id, "disclosures")])
    assert await everything(desk, replace(EVERYTHING, until=whole[0].recorded_at + timedelta.resolution)) == [
        line for line in whole if line.actor != AUDITOR.id
    ]


async def test_parent_reads_in_sentences_who_saw_it_and_not_the_own_views(desk: Desk) -> None:
    student, _, _ = await some_accesses(desk)
    parent = Actor(uuid4(), Office.REPRESENTATIVE, frozenset({student}))
    await who_saw(desk.ledger, reads(parent), student, before=None, limit=50)
    await desk.catches_up()
    page = await who_saw(desk.ledger, reads(parent), student, before=None, limit=50)
    whole = await who_saw(desk.ledger, reads(parent), student, before=None, limit=50, own=True)
    assert [one.position for one in page.items] == sorted((one.position for one in page.items), reverse=True)
    assert parent.id not in {one.actor for one in page.items}
    assert [one for one in whole.items if one.actor != parent.id] == page.items
    assert len(whole.items) == len(page.items) + 1
    assert any("директор смотрел историю записей для: =Комиссия" in one.text for one in page.items)
    assert any("отказано" in one.text for one in page.items)
    first = await who_saw(desk.ledger, reads(parent), student, before=None, limit=3)
    rest = await who_saw(desk.ledger, reads(parent), student, before=int(first.next or 0), limit=50)
    assert first.items + rest.items == page.items
    with pytest.raises(NotFound):
        await who_saw(desk.ledger, reads(TEACHER), student, before=None, limit=50)


async def test_data_tracker_is_told_of_granted_uses_newest_first(desk: Desk) -> None:
    student, other, _ = await some_accesses(desk)
    system = Reader(Actor(uuid4(), Office.SYSTEM), "api", recipient="EE12345678901")
    told = await find_usage(desk.ledger, system, UsageQuery(str(student)))
    lines = await everything(desk, RegisterQuery(student, granted=True))
    assert [use.logtime for use in told.usages] == [line.recorded_at for line in lines][-len(told.usages) :]
    assert told.totalUsages == len(told.usages)
    assert {use.receiverName for use in told.usages} == {"Школа для проверок", "=Комиссия"}
    assert "История" not in told.usages[0].action
    part = await find_usage(desk.ledger, system, UsageQuery(str(student), offset=1, limit=2))
    assert (part.totalUsages, part.usages) == (told.totalUsages, told.usages[1:3])
    since = told.usages[2].logtime
    late = await find_usage(desk.ledger, system, UsageQuery(str(student), since=since, until=since))
    assert late.usages == [use for use in told.usages if use.logtime == since]
    assert (await find_usage(desk.ledger, system, UsageQuery("register:nobody"))).usages == []
    assert (await find_usage(desk.ledger, system, UsageQuery("no code at all"))).totalUsages == 0
    stranger = reads(Actor(uuid4(), Office.REPRESENTATIVE, frozenset({student})))
    assert (await find_usage(desk.ledger, stranger, UsageQuery(str(other)))).totalUsages == 0
    period = await usage_period(desk.ledger)
    assert period.periodStart == min(line.recorded_at for line in lines)
    assert (await heartbeat(desk.ledger)).status == "OK"


async def test_data_tracker_finds_a_student_by_the_code_of_another_system(desk: Desk) -> None:
    student, _, _ = await some_accesses(desk)
    system = reads(Actor(uuid4(), Office.SYSTEM))
    told = await find_usage(desk.ledger, system, UsageQuery(f"register:Синтетический-{student}"))
    assert told.totalUsages > 0


async def test_data_tracker_tells_strangers_nothing_of_who_is_there(
    desk: Desk, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an id or by the code of another system: the same answer, a record of the refusal, on the same beat."""
    [student] = await desk.enrols(1)
    await desk.catches_up()
    beats: list[float] = []
    keep_pace = gate.keep_pace

    async def counted(began: float) -> None:
        beats.append(began)
        await keep_pace(began)

    monkeypatch.setattr(gate, "keep_pace", counted)
    stranger = Reader(Actor(uuid4(), Office.TEACHER), "api", recipient="EE12345678901")
    codes = (str(student), f"register:Синтетический-{student}", str(uuid4()), "register:nobody", "no code at all")
    for code in codes:
        assert await find_usage(desk.ledger, stranger, UsageQuery(code)) == Usages(0, [])
    refused = owner.execute(
        "SELECT count(*) FROM events WHERE topic = 'access.refused' AND subject_id = %s", (stranger.actor.id,)
    ).fetchone()
    assert refused == (len(codes),)
    assert len(beats) == len(codes)


@pytest.mark.no_views
async def test_heartbeat_says_fail_while_the_register_is_not_made(desk: Desk) -> None:
    assert (await heartbeat(desk.ledger)).status == "FAIL"
