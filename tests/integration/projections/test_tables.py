"""The tables of the views: what the database has is what the rules believe, and what stands there is sealed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.application.disclose.history import read_history
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.portfolios import read_portfolio
from ledger.application.disclose.retention import read_retention
from ledger.application.disclose.students import find_student, list_students, read_student
from ledger.application.record.requests import RegisterRequest
from ledger.application.record.staff import AssumeOffice
from ledger.errors import Erased, NotFound, Unreadable
from ledger.ids import new_id
from ledger.projections.tables import TableStore
from ledger.projections.views import all_views
from ledger.store.keyring import Keyring
from ledger.store.openings import CountedKeyring
from tests.support.desk import TEACHER, reads
from tests.support.tampering import FLIPPED, erase, in_view, schema_of_view
from tests.support.world import TODAY

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.bootstrap import Foundation
    from ledger.projections.view import Table, View
    from ledger.store.database import Row
    from tests.support.desk import Desk

ALL_TABLES = [(view, table) for view in all_views(lambda *_: b"") for table in view.tables]
SEALED = [(view.name, table.name) for view, table in ALL_TABLES if table.body is not None]
NAMED = [f"{view.name}.{table.name}" for view, table in ALL_TABLES]


@pytest.mark.parametrize(("view", "table"), ALL_TABLES, ids=NAMED)
async def test_table_has_the_columns_order_types_and_key_of_its_description(
    base: Foundation, owner: psycopg.Connection[Row], view: View, table: Table
) -> None:
    await asyncio.to_thread(base.runner().catch_up)
    name = f"{view.schema(base.database.schema)}.{table.name}"
    columns = owner.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        (name,),
    ).fetchall()
    spelled = {"timestamptz": "timestamp with time zone"}
    described = [(column.name, spelled.get(column.type, column.type)) for column in (*table.key, *table.clear)]
    described += [("subject_id", "uuid"), ("record_class", "text"), ("position", "bigint")]
    described += [("sealed", "bytea")] if table.body is not None else []
    assert [(column, kind) for column, kind, _ in columns] == described
    needed = {column.name for column in table.key} | {"subject_id", "record_class", "position", "sealed"}
    assert {column for column, _, always in columns if always} >= needed & {column for column, _, _ in columns}
    key = owner.execute(
        "SELECT array_agg(a.attname::text ORDER BY k.ord) FROM pg_index i,"
        " unnest(i.indkey) WITH ORDINALITY AS k (num, ord), pg_attribute a"
        " WHERE i.indrelid = %s::regclass AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.num",
        (name,),
    ).fetchone()
    assert key == ([column.name for column in table.key],)


async def test_reader_reads_views_and_changes_nothing_and_reads_no_events(desk: Desk) -> None:
    await desk.marks(*await desk.enrols(1))
    await desk.catches_up()
    journals, rosters, retention = (
        schema_of_view(desk.base.database, view) for view in ("journals", "rosters", "retention")
    )
    with desk.base.database.connect("reader") as connection:
        assert connection.execute(f"SELECT count(*) FROM {journals}.entries").fetchone() == (1,)
        for forbidden in (
            f"DELETE FROM {journals}.entries",
            f"UPDATE {rosters}.memberships SET ends_on = NULL",
            f"INSERT INTO {retention}.clocks SELECT * FROM {retention}.clocks",
            "SELECT * FROM events",
            "SELECT * FROM data_keys",
            "UPDATE tracking SET position = 0",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


async def a_full_desk(desk: Desk) -> list[UUID]:
    students = await desk.enrols(2)
    await desk.appoints(TEACHER.id)
    await desk.marks(*students)
    for student in students:
        await desk.does(desk.achievement(student))
        asked = RegisterRequest(school=desk.school, student_id=student, by=student, kind="copies", text="Копии")
        await desk.does(asked)
    office = AssumeOffice(
        school=desk.school, person_id=new_id(), office="secretary", starts_on=TODAY, document="Приказ"
    )
    await desk.does(office)
    await desk.catches_up()
    for student in students:
        await read_student(desk.ledger, reads(), student)
    await desk.catches_up()
    return students


def stored_rows(desk: Desk, view_name: str, table_name: str) -> tuple[TableStore, list[tuple[object, ...]], Keyring]:
    """Returns a table, its rows as stored, and a keyring with every key."""
    view = next(view for view in desk.base.views if view.name == view_name)
    store = TableStore(view, view.table(table_name), view.schema(desk.base.database.schema))
    keyring = Keyring(desk.base.keks)
    with desk.base.database.connect("projector") as connection:
        keyring.admit((), connection.execute("SELECT subject_id, record_class, epoch, wrapped FROM data_keys"))
        return store, connection.execute(store.select_all).fetchall(), keyring


async def test_row_opens_only_as_it_was_sealed(desk: Desk) -> None:
    """Whatever is changed of a stored row, in clear or sealed, it does not open any more."""
    await a_full_desk(desk)
    for view_name, table_name in SEALED:
        store, rows, keyring = await asyncio.to_thread(stored_rows, desk, view_name, table_name)
        if view_name == "journals" and table_name == "results":
            assert rows == []
            continue
        assert rows
        row = rows[0]
        store.open(row, keyring)
        columns = store.columns.split(", ")
        for at, column in enumerate(columns):
            value = row[at]
            if column in {"subject_id", "record_class"}:
                continue  # another key, tried below
            if column == "sealed":
                assert isinstance(value, bytes)
                changed: object = value[:20] + bytes((value[20] ^ 1,)) + value[21:]
            elif column == "position":
                assert isinstance(value, int)
                changed = value + 1
            else:
                changed = "another"
            with pytest.raises(Unreadable):
                store.open((*row[:at], changed, *row[at + 1 :]), keyring)
        sealed = len(columns) - 1
        for other in rows[1:2]:
            with pytest.raises(Unreadable):
                store.open((*row[:sealed], other[sealed]), keyring)


async def test_no_two_rows_are_sealed_with_one_nonce(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    """Under one key that would give both away: AES-GCM allows each nonce once. A batch seals many rows."""
    await a_full_desk(desk)
    names = [f"{schema_of_view(desk.base.database, view)}.{table}" for view, table in SEALED]
    every = " UNION ALL ".join(f"SELECT sealed FROM {name}" for name in names)
    total, distinct = owner.execute(
        f"SELECT count(*), count(DISTINCT substring(sealed FROM 1 FOR 12)) FROM ({every}) AS r"
    ).fetchone() or (0, 0)
    assert total == distinct > len(names)


async def test_swapped_and_edited_rows_are_not_shown(desk: Desk) -> None:
    await a_full_desk(desk)
    in_view(
        desk.base.database,
        "journals",
        "UPDATE entries e SET sealed = o.sealed FROM entries o WHERE e.entry_id <> o.entry_id",
    )
    with pytest.raises(Unreadable):
        await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
    in_view(desk.base.database, "rosters", f"UPDATE students SET sealed = {FLIPPED.format('sealed')}")
    with pytest.raises(Unreadable):
        await list_students(desk.ledger, reads(), desk.group, after=None, limit=50)


async def test_no_canary_stands_in_clear_in_any_table(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    (student,) = await desk.enrols(1, family="Канарейкин")
    await desk.does(desk.mark(student, comment="Канарейка поёт"), TEACHER)
    await desk.catches_up()
    await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
    await desk.catches_up()
    tables = owner.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE starts_with(schemaname, %s)", (desk.base.database.schema,)
    ).fetchall()
    assert len(tables) > len(ALL_TABLES)
    needles = ["Канарей", "Математика", "Контрольная", "Школа для проверок", "trajectory", "quality_control"]
    for schema, table in tables:
        for (row,) in owner.execute(f"SELECT t::text FROM {schema}.{table} t").fetchall():
            for needle in needles:
                assert needle not in row, (schema, table)
                assert needle.encode().hex() not in row, (schema, table)


# --- erasure ----------------------------------------------------------------------------------------------------------


async def test_erased_class_is_left_out_everywhere_and_nothing_else(desk: Desk) -> None:
    gone, stays = await a_full_desk(desk)
    erase(desk.base.database, gone, "marks")
    # As a process that has not read the key before.
    desk.ledger.keyring = CountedKeyring(Keyring(desk.base.keks), desk.ledger.keyring.openings)
    for rebuilding in (False, True):
        if rebuilding:
            await asyncio.to_thread(desk.base.runner().rebuild, desk.base.views)
        page = await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
        cells = {line.student_id: len(line.cells) for line in page.lines}
        assert cells == {gone: 0, stays: 1}
        assert all(line.family_name for line in page.lines)
        retention = await read_retention(desk.ledger, reads(), gone)
        assert "marks" not in {line.record_class for line in retention.lines}
        assert "personal_file" in {line.record_class for line in retention.lines}
        portfolio = await read_portfolio(desk.ledger, reads(), gone, after=None, limit=50)
        assert len(portfolio.items) == 1
        history = await read_history(desk.ledger, reads(), gone, after=0, limit=50)
        assert {line.state is None for line in history.items if line.record_class == "marks"} == {True}
        assert {line.state is None for line in history.items if line.record_class != "marks"} == {False}
        report = desk.audits()
        assert report.equal, report.findings
        assert report.erased == 2


async def test_erased_personal_file_leaves_neither_name_nor_card(desk: Desk) -> None:
    gone, stays = await a_full_desk(desk)
    erase(desk.base.database, gone, "personal_file")
    desk.ledger.keyring = CountedKeyring(Keyring(desk.base.keks), desk.ledger.keyring.openings)
    for rebuilding in (False, True):
        if rebuilding:
            await asyncio.to_thread(
                desk.base.runner().rebuild, [view for view in desk.base.views if view.name == "rosters"]
            )
        with pytest.raises(NotFound):
            await read_student(desk.ledger, reads(), gone)
        with pytest.raises(NotFound):
            await find_student(desk.ledger, reads(), "register", f"Синтетический-{gone}")
        page = await list_students(desk.ledger, reads(), desk.group, after=None, limit=50)
        assert [card.student_id for card in page.items] == [stays]
        assert desk.audits().equal


async def test_rows_of_tables_without_content_are_erased_as_well(desk: Desk) -> None:
    gone, _ = await a_full_desk(desk)
    erase(desk.base.database, gone, "personal_file")
    for table_name in ("memberships", "foreign_ids"):
        store, rows, keyring = await asyncio.to_thread(stored_rows, desk, "rosters", table_name)
        opened = erased = 0
        for row in rows:
            try:
                store.open(row, keyring)
                opened += 1
            except Erased:
                erased += 1
        assert (opened, erased) == (1, 1)
