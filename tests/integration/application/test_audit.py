"""The audit: honest histories are equal, and whoever altered something is found with the record's name and no value."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ledger.application import audit as audit_module
from ledger.application.audit import AuditReport
from ledger.application.disclose.journals import read_journal
from ledger.application.record.achievements import RecordAchievement
from ledger.application.record.marks import CorrectMark
from ledger.application.record.requests import RegisterRequest
from ledger.application.record.staff import AssumeOffice
from ledger.application.record.students import TransferOut
from ledger.ids import new_id
from ledger.projections.tables import TableStore
from ledger.store.keyring import KeyEncryptionKeys, Keyring, KeyRow
from tests.support.desk import TEACHER, an_audit, reads
from tests.support.tampering import FLIPPED, behind_the_back, erase, in_events, in_view, schema_of_view
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.application.audit import Finding
    from ledger.store.database import Row
    from tests.support.desk import Desk

CANARIES = ("Канарей", "Ученик", "тайный", "Математика", "Школа для проверок", "Опечатка")


async def a_history(desk: Desk) -> list[UUID]:
    """Records something of everything, builds the views, and returns the students."""
    students = await desk.enrols(3, family="Канарейкин")
    await desk.appoints(TEACHER.id)
    (mark, *_) = await desk.marks(*students)
    await desk.does(desk.mark(students[1], "4", comment="тайный"), TEACHER)
    await desk.does(
        CorrectMark(
            school=desk.school,
            course_id=desk.course,
            student_id=students[0],
            mark_id=mark,
            value="3",
            reason="Опечатка",
        ),
        TEACHER,
    )
    await desk.does(
        RecordAchievement(
            school=desk.school,
            student_id=students[0],
            kind="gto",
            level="school",
            outcome="fulfilled",
            title="тайный",
            achieved_on=TODAY,
            evidence="тайный",
        )
    )
    await desk.does(
        TransferOut(
            school=desk.school,
            student_id=students[2],
            to_organisation="тайный",
            application="тайный",
            order="тайный",
            effective_on=TODAY,
        )
    )
    await desk.does(
        RegisterRequest(school=desk.school, student_id=students[0], by=students[0], kind="copies", text="тайный")
    )
    await desk.does(
        AssumeOffice(school=desk.school, person_id=new_id(), office="secretary", starts_on=TODAY, document="тайный")
    )
    await desk.catches_up()
    await read_journal(desk.ledger, reads(), desk.course, after=None, limit=50)
    await desk.catches_up()
    assert desk.audits().equal
    return students


def named(report: AuditReport, *parts: str) -> list[Finding]:
    """Returns the findings that name all the parts, after checking that the report tells no value of anybody."""
    for finding in report.findings:
        text = f"{finding.where} {finding.record} {finding.what}"
        assert not any(canary in text for canary in CANARIES), text
    found = [one for one in report.findings if all(part in f"{one.where} {one.record} {one.what}" for part in parts)]
    assert found, (parts, report.findings[:5])
    assert not report.equal
    return found


def an_event(owner: psycopg.Connection[Row], topic: str) -> tuple[int, UUID]:
    row = owner.execute(
        "SELECT position, event_id FROM events WHERE topic = %s ORDER BY position LIMIT 1", (topic,)
    ).fetchone()
    assert row is not None
    return row[0], row[1]


# --- honest histories -------------------------------------------------------------------------------------------------


async def test_honest_history_is_equal_and_counted(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    seen: list[tuple[int, int]] = []
    report = await asyncio.to_thread(
        audit_module.Auditor(desk.base.database, desk.base.mapper, desk.base.keks, desk.base.views).audit,
        lambda done, last: seen.append((done, last)),
    )
    assert (report.equal, report.erased, report.findings) == (True, 0, [])
    assert owner.execute("SELECT count(*), max(position) FROM events").fetchone() == (report.events, report.position)
    assert [digest.view for digest in report.views] == [view.name for view in desk.base.views]
    assert all(digest.served == digest.replayed and digest.rows for digest in report.views)
    assert seen[-1] == (report.position, report.position)


async def test_view_that_is_behind_is_compared_at_its_own_position(desk: Desk) -> None:
    students = await a_history(desk)
    await desk.marks(*students[:2])
    report = desk.audits()
    assert report.equal
    assert max(digest.position for digest in report.views) < report.position


@pytest.mark.no_views
async def test_views_that_were_never_built_are_named(desk: Desk) -> None:
    report = desk.audits()
    assert {finding.where for finding in report.findings} == {f"view {view.name}" for view in desk.base.views}


async def test_small_batches_audit_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_history(desk)
    whole = desk.audits()
    monkeypatch.setattr(audit_module, "BATCH", 3)
    assert desk.audits() == whole


# --- the history is altered -------------------------------------------------------------------------------------------


async def test_flipped_bit_in_a_state_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    position, event = an_event(owner, "marks.recorded")
    in_events(desk.base.database, f"UPDATE events SET state = {FLIPPED.format('state')} WHERE position = %s", position)
    report = desk.audits()
    named(report, "events", f"position {position} ", str(event), "does not open")
    named(report, "view journals, table entries", str(event), "no such row")
    assert report.erased == 0


async def test_edited_header_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    """Who did it is bound to what was done: another actor's header does not fit."""
    await a_history(desk)
    position, event = an_event(owner, "marks.recorded")
    _, other = an_event(owner, "student.enrolled")
    in_events(
        desk.base.database,
        "UPDATE events SET header = (SELECT header FROM events WHERE event_id = %s) WHERE position = %s",
        other,
        position,
    )
    named(desk.audits(), "events", f"position {position} ", str(event), "does not open")


async def test_header_that_is_none_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    position, event = an_event(owner, "marks.recorded")
    in_events(desk.base.database, "UPDATE events SET header = '\\x00' WHERE position = %s", position)
    named(desk.audits(), "events", str(event), "header cannot be read")


async def test_back_dated_event_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    position, event = an_event(owner, "marks.corrected")
    in_events(
        desk.base.database,
        "UPDATE events SET recorded_at = recorded_at - interval '1 day' WHERE position = %s",
        position,
    )
    named(desk.audits(), "events", str(event), "recorded before the event in front of it")


async def test_event_deleted_in_the_middle_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    position, event = an_event(owner, "marks.recorded")
    in_events(desk.base.database, "DELETE FROM events WHERE position = %s", position)
    report = desk.audits()
    named(report, "events", f"position {position}", "1 positions are missing")
    named(report, "events", "should be at version")
    named(report, "table entries", str(event), "no such row")


async def test_deleted_event_hidden_by_renumbering_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    position, event = an_event(owner, "student.achievement_recorded")
    with behind_the_back(desk.base.database) as connection:
        connection.execute("DELETE FROM events WHERE position = %s", (position,))
        connection.execute("ALTER TABLE events DROP CONSTRAINT events_pkey")
        connection.execute("UPDATE events SET position = position - 1 WHERE position > %s", (position,))
    report = desk.audits()
    named(report, "table items", str(event), "no such row")
    assert not [finding for finding in report.findings if "missing from here" in finding.what]


async def test_swapped_versions_are_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    students = await a_history(desk)
    with behind_the_back(desk.base.database) as connection:
        connection.execute("ALTER TABLE events DROP CONSTRAINT events_stream_version")
        connection.execute(
            "UPDATE events SET version = 3 - version WHERE stream_id = %s AND version IN (1, 2)", (students[1],)
        )
    named(desk.audits(), "events", str(students[1]), "should be at version 1")


@pytest.mark.parametrize("record_class", ["final_results", "awards"])
async def test_changed_record_class_is_found(desk: Desk, owner: psycopg.Connection[Row], record_class: str) -> None:
    await a_history(desk)
    position, event = an_event(owner, "marks.recorded")
    in_events(desk.base.database, "UPDATE events SET record_class = %s WHERE position = %s", record_class, position)
    report = desk.audits()
    named(report, "events", f"position {position} ", str(event), "class")
    assert report.erased == 0, "A changed class is no erasure."


@pytest.mark.parametrize("topic", ["marks.voided", "marks.work_submitted", "invented.topic"])
async def test_changed_topic_is_found(desk: Desk, owner: psycopg.Connection[Row], topic: str) -> None:
    await a_history(desk)
    position, event = an_event(owner, "marks.recorded")
    in_events(desk.base.database, "UPDATE events SET topic = %s WHERE position = %s", topic, position)
    named(desk.audits(), "events", f"position {position} ", str(event))


async def test_event_given_to_another_student_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    students = await a_history(desk)
    position, event = an_event(owner, "marks.recorded")
    row = owner.execute("SELECT subject_id FROM events WHERE position = %s", (position,)).fetchone()
    other = next(one for one in students if row is not None and one != row[0])
    in_events(desk.base.database, "UPDATE events SET subject_id = %s WHERE position = %s", other, position)
    named(desk.audits(), "events", str(event))


async def test_truncated_tail_leaves_the_views_ahead(desk: Desk) -> None:
    await a_history(desk)
    in_events(desk.base.database, "DELETE FROM events WHERE position > (SELECT max(position) - 3 FROM events)")
    found = named(desk.audits(), "ahead of the history")
    assert {finding.where for finding in found} == {f"view {view.name}" for view in desk.base.views}


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_data_key_replaced_by_another_one_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    """Somebody with the key-encryption key puts another data key into the place of a student's."""
    (student, *_) = await a_history(desk)
    _, forged = Keyring(desk.base.keks).create(student, "marks")
    assert isinstance(forged, KeyRow)
    owner.execute(
        "UPDATE data_keys SET wrapped = %s WHERE subject_id = %s AND record_class = 'marks'", (forged.wrapped, student)
    )
    report = desk.audits()
    named(report, "events", "marks.recorded", "another data key")
    named(report, "table entries", "does not open")
    assert report.erased == 0


async def test_data_key_copied_from_another_student_is_found_and_the_audit_goes_on(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    first, second, _ = await a_history(desk)
    owner.execute(
        "UPDATE data_keys k SET wrapped = o.wrapped FROM data_keys o WHERE k.subject_id = %s AND o.subject_id = %s"
        " AND k.record_class = 'marks' AND o.record_class = 'marks'",
        (first, second),
    )
    report = desk.audits()
    events = named(report, "events", "key does not open")
    assert {"marks." in finding.record for finding in events} == {True}
    named(report, "table entries", "key does not open")
    assert not [one for one in report.findings if "rosters" in one.where], "The student's other keys are good."
    assert report.erased == 0
    assert len(report.views) == len(desk.base.views)


async def test_audit_with_another_key_file_finds_everything_unreadable(desk: Desk) -> None:
    await a_history(desk)
    other = KeyEncryptionKeys.parse(f"1 {base64.b64encode(bytes(32)).decode()}")
    auditor = audit_module.Auditor(desk.base.database, desk.base.mapper, other, desk.base.views)
    report = auditor.audit()
    assert len([one for one in report.findings if one.where == "events"]) == report.events


async def test_erased_class_is_counted_and_is_no_finding(desk: Desk) -> None:
    (student, *_) = await a_history(desk)
    erase(desk.base.database, student, "marks")
    report = desk.audits()
    assert report.equal
    assert (report.erased, report.erased_rows) == (3, 2)


async def test_row_of_somebody_without_history_does_not_pass_for_erased(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    await a_history(desk)
    stranger = uuid4()
    in_view(
        desk.base.database,
        "rosters",
        "INSERT INTO memberships SELECT group_id, %s, begun_by, starts_on, ends_on, since, %s, record_class, position"
        " FROM memberships LIMIT 1",
        stranger,
        stranger,
    )
    named(desk.audits(), "table memberships", str(stranger), "No event of the history")


# --- views are altered ------------------------------------------------------------------------------------------------


async def test_edited_row_is_found_by_its_key_and_column(desk: Desk) -> None:
    (student, *_) = await a_history(desk)
    in_view(desk.base.database, "retention", "UPDATE classes SET last_on = '2001-01-01' WHERE student_id = %s", student)
    found = named(desk.audits(), "view retention, table classes", f"student_id {student}", "Differs in: last_on.")
    assert "2001" not in "".join(finding.what for finding in found)
    (digest,) = [one for one in desk.audits().views if one.view == "retention"]
    assert digest.served != digest.replayed


async def test_deleted_row_is_found(desk: Desk) -> None:
    (student, *_) = await a_history(desk)
    in_view(desk.base.database, "rosters", "DELETE FROM students WHERE student_id = %s", student)
    named(desk.audits(), "view rosters, table students", f"student_id {student}", "The row is missing.")


async def test_added_row_is_found(desk: Desk) -> None:
    (student, *_) = await a_history(desk)
    other = uuid4()
    in_view(
        desk.base.database,
        "rosters",
        "INSERT INTO memberships SELECT %s, student_id, begun_by, starts_on, ends_on, since, subject_id, record_class,"
        " position FROM memberships WHERE student_id = %s",
        other,
        student,
    )
    named(desk.audits(), "table memberships", f"group_id {other}", "no such row")


async def test_swapped_ciphertexts_are_found(desk: Desk) -> None:
    await a_history(desk)
    in_view(
        desk.base.database,
        "rosters",
        "UPDATE students s SET sealed = o.sealed FROM students o WHERE s.student_id <> o.student_id",
    )
    found = named(desk.audits(), "view rosters, table students", "does not open")
    assert len(found) == 3


async def test_row_sealed_anew_with_another_mark_is_found_by_the_field(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who has the keys writes a good mark into the journal: the row opens, and differs from its replay."""
    students = await a_history(desk)
    view = next(view for view in desk.base.views if view.name == "journals")
    store = TableStore(view, view.table("entries"), view.schema(desk.base.database.schema))
    keyring = Keyring(desk.base.keks)
    with desk.base.database.connect("projector") as connection:
        keyring.admit((), connection.execute("SELECT subject_id, record_class, epoch, wrapped FROM data_keys"))
        stored: Sequence[Row] = connection.execute(store.select_all).fetchall()
        key, row = store.open(next(one for one in stored if store.subject(one)[0] == students[0]), keyring)
        row.body.value, row.body.changes = "5", []
        connection.execute(store.upsert, store.parameters([(key, row)], keyring), binary=True)
    named(desk.audits(), "table entries", str(key[0]), "Differs in: sealed value, sealed changes.")


async def test_missing_table_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    owner.execute(f"DROP TABLE {schema_of_view(desk.base.database, 'journals')}.results")
    named(desk.audits(), "view journals, table results", "The table is missing")


async def test_stopped_view_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    owner.execute("UPDATE tracking SET failed_position = position + 1, failure = 'why' WHERE view = 'portfolios'")
    stopped = owner.execute("SELECT failed_position FROM tracking WHERE view = 'portfolios'").fetchone()
    assert stopped is not None
    named(desk.audits(), "view portfolios", f"position {stopped[0]}", "has stopped")


async def test_position_that_was_set_back_is_found(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    owner.execute("UPDATE tracking SET position = 10 WHERE view = 'journals'")
    named(desk.audits(), "view journals, table entries", "no such row")


def test_findings_past_the_first_thousand_are_counted() -> None:
    report = AuditReport()
    for number in range(audit_module.MAX_FINDINGS + 5):
        report.add("events", str(number), "x")
    assert (len(report.findings), report.unlisted, report.equal) == (audit_module.MAX_FINDINGS, 5, False)


async def test_audit_changes_nothing(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    await a_history(desk)
    before = owner.execute("SELECT pg_current_xact_id_if_assigned(), max(position) FROM events").fetchone()
    an_audit(desk.base)
    assert owner.execute("SELECT pg_current_xact_id_if_assigned(), max(position) FROM events").fetchone() == before
