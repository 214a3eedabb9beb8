"""The append function: positions, versions, times, and each reason to write nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest

from ledger.store.keyring import KeyRow
from tests.support.appending import Row1, call, columns, foreign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store.append import AppendBatch
    from ledger.store.database import Database, Row


@pytest.fixture
def writer(ledger_db: Database) -> Iterator[psycopg.Connection[Row]]:
    with ledger_db.connect("writer") as connection:
        yield connection


def _insert(owner: psycopg.Connection[Row], position: int, recorded_at: datetime) -> None:
    """What only a database administrator could do."""
    owner.execute(
        "INSERT INTO events SELECT %s, gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 't', %s, 'c', 1,"
        " '', '', ''",
        (position, recorded_at),
    )


def _stored(owner: psycopg.Connection[Row]) -> list[Row]:
    return owner.execute("SELECT position, stream_id, version FROM events ORDER BY position").fetchall()


def test_positions_are_contiguous_in_the_order_of_the_batch(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    rows = [Row1() for _ in range(50)]
    first = call(writer, ledger_db, columns(*rows[:20]))
    second = call(writer, ledger_db, columns(*rows[20:]), seen=20)
    assert (first.outcome, first.last_position) == ("appended", 20)
    assert (second.outcome, second.last_position) == ("appended", 50)
    assert _stored(owner) == [(place, row.stream, 1) for place, row in enumerate(rows, start=1)]


def test_every_column_is_stored_as_it_was_given(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    row = Row1(version=3, state=bytes(range(256)))
    result = call(writer, ledger_db, columns(row))
    assert owner.execute("SELECT * FROM events").fetchone() == (
        1, row.event_id, row.stream, 3, row.subject, "topic", result.stored_at, "marks", 1, b"commitment", b"header",
        row.state,
    )  # fmt: skip


def test_failed_append_leaves_no_hole(ledger_db: Database, writer: psycopg.Connection[Row]) -> None:
    taken = Row1()
    call(writer, ledger_db, columns(taken))
    with pytest.raises(psycopg.errors.UniqueViolation):
        call(writer, ledger_db, columns(Row1(), Row1(stream=taken.stream)), seen=None)
    assert call(writer, ledger_db, columns(Row1()), seen=1).last_position == 2


def test_version_zero_becomes_the_next_of_its_stream(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    one, two = uuid4(), uuid4()
    call(writer, ledger_db, columns(Row1(one, 0), Row1(two, 0), Row1(one, 0), Row1(version=7)))
    call(writer, ledger_db, columns(Row1(one, 0), Row1(one, 0)), seen=4)
    versions = {stream: [row[2] for row in _stored(owner) if row[1] == stream] for stream in (one, two)}
    assert versions == {one: [1, 2, 3, 4], two: [1]}


def test_version_zero_of_a_sealed_event_is_never_stored(ledger_db: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        foreign(ledger_db, Row1(version=0))


def test_moved_names_the_streams_that_others_wrote(ledger_db: Database, writer: psycopg.Connection[Row]) -> None:
    mine, theirs, other = Row1(), Row1(), Row1()
    call(writer, ledger_db, columns(mine))
    foreign(ledger_db, theirs, other)
    result = call(writer, ledger_db, columns(Row1(mine.stream, 2)), seen=1, touched=(mine.stream, theirs.stream))
    assert result.outcome == "moved"
    assert (set(result.moved), result.last_position) == ({theirs.stream, other.stream}, 3)


def test_moved_streams_that_the_batch_did_not_touch_do_not_hinder_it(
    ledger_db: Database, writer: psycopg.Connection[Row]
) -> None:
    theirs = Row1()
    foreign(ledger_db, theirs)
    result = call(writer, ledger_db, columns(Row1()), seen=0, touched=(uuid4(),))
    assert (result.outcome, result.last_position, result.moved) == ("appended", 2, (theirs.stream,))


def test_reading_alone_is_checked_as_well(ledger_db: Database, writer: psycopg.Connection[Row]) -> None:
    theirs = Row1()
    foreign(ledger_db, theirs)
    assert call(writer, ledger_db, columns(), seen=0, touched=(theirs.stream,)).outcome == "moved"
    assert call(writer, ledger_db, columns(), seen=1, touched=(theirs.stream,)).outcome == "empty"


def test_disclosures_move_nothing(ledger_db: Database, writer: psycopg.Connection[Row]) -> None:
    theirs = Row1(record_class="disclosures")
    foreign(ledger_db, theirs)
    result = call(writer, ledger_db, columns(Row1(theirs.stream, 0)), seen=0, touched=(theirs.stream,))
    assert (result.outcome, result.moved) == ("appended", ())


def test_writer_that_is_far_behind_is_told_to_forget_everything(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    _insert(owner, 50_001, datetime.now(UTC))
    result = call(writer, ledger_db, columns(Row1()), seen=0)
    assert (result.outcome, result.last_position) == ("behind", 50_001)
    assert call(writer, ledger_db, columns(Row1()), seen=1).outcome == "appended"


def test_shorter_history_than_seen_is_told(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    result = call(writer, ledger_db, columns(Row1()), seen=5)
    assert (result.outcome, result.last_position) == ("went_back", 0)
    assert _stored(owner) == []


def test_empty_batch_writes_nothing(ledger_db: Database, writer: psycopg.Connection[Row]) -> None:
    result = call(writer, ledger_db, columns())
    assert (result.outcome, result.last_position, result.stored_at) == ("empty", 0, None)


def _command(batch: AppendBatch, name: bytes, first: int, count: int) -> None:
    batch.add_command(name, UUID(int=1), b"request", first, count)


def test_repeated_names_the_commands_by_ordinal_and_writes_nothing(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    batch = columns(Row1(), Row1(), Row1())
    _command(batch, b"a", 1, 1)
    _command(batch, b"b", 2, 2)
    assert call(writer, ledger_db, batch).outcome == "appended"
    rows = owner.execute("SELECT command_id, first_position, count FROM commands ORDER BY 1").fetchall()
    assert rows == [(b"a", 1, 1), (b"b", 2, 2)]
    again = columns(Row1())
    _command(again, b"new", 1, 1)
    _command(again, b"b", 1, 0)
    result = call(writer, ledger_db, again, seen=3)
    assert (result.outcome, result.repeated) == ("repeated", (2,))
    assert len(_stored(owner)) == 3


def test_refused_command_is_looked_up_and_not_stored(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    batch = columns(Row1())
    _command(batch, b"refused", 1, 0)
    assert call(writer, ledger_db, batch).outcome == "appended"
    assert owner.execute("SELECT count(*) FROM commands").fetchone() == (0,)


def test_key_that_somebody_else_made_is_told(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    subject = uuid4()
    batch = columns(Row1(subject=subject))
    batch.keys.append(KeyRow(subject, "marks", 1, b"theirs"))
    assert call(writer, ledger_db, batch).outcome == "appended"
    late = columns(Row1(subject=subject))
    late.keys.append(KeyRow(subject, "awards", 1, b"mine"))
    late.keys.append(KeyRow(subject, "marks", 1, b"mine"))
    assert call(writer, ledger_db, late, seen=1).outcome == "keys"
    assert owner.execute("SELECT record_class, wrapped FROM data_keys").fetchall() == [("marks", b"theirs")]
    assert len(_stored(owner)) == 1


def test_clock_far_behind_the_history_is_told(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    _insert(owner, 1, datetime.now(UTC) + timedelta(minutes=2))
    assert call(writer, ledger_db, columns(Row1()), seen=1).outcome == "clock"
    assert len(_stored(owner)) == 1


def test_recorded_at_never_goes_back(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    ahead = datetime.now(UTC) + timedelta(seconds=40)
    _insert(owner, 1, ahead)
    assert call(writer, ledger_db, columns(Row1()), seen=1).stored_at == ahead
    assert owner.execute("SELECT recorded_at FROM events WHERE position = 2").fetchone() == (ahead,)


def test_recorded_at_is_the_database_clock(ledger_db: Database, writer: psycopg.Connection[Row]) -> None:
    before = datetime.now(UTC)
    stored_at = call(writer, ledger_db, columns(Row1())).stored_at
    assert stored_at is not None
    assert before - timedelta(seconds=1) < stored_at < datetime.now(UTC) + timedelta(seconds=1)


def test_commit_that_would_not_be_durable_is_refused(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    writer.execute("SET synchronous_commit = off")
    with pytest.raises(psycopg.Error, match="must be durable") as caught:
        call(writer, ledger_db, columns(Row1()))
    assert caught.value.sqlstate == "LG002"
    assert _stored(owner) == []


@pytest.mark.parametrize("too_much", [{"state": bytes(61_441)}])
def test_state_over_60_kib_is_refused(ledger_db: Database, too_much: dict[str, bytes]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        foreign(ledger_db, Row1(state=too_much["state"]))


def test_listeners_are_told_the_last_position_once_for_a_batch(
    ledger_db: Database, writer: psycopg.Connection[Row], owner: psycopg.Connection[Row]
) -> None:
    owner.execute(f"LISTEN {ledger_db.schema}")
    call(writer, ledger_db, columns(Row1(), Row1(), Row1()))
    call(writer, ledger_db, columns(Row1()), seen=3)
    assert [note.payload for note in owner.notifies(timeout=30, stop_after=2)] == ["3", "4"]


def test_appends_wait_for_each_other(ledger_db: Database, writer: psycopg.Connection[Row]) -> None:
    done = threading.Event()

    def other() -> None:
        foreign(ledger_db)
        done.set()

    thread = threading.Thread(target=other)
    with writer.transaction():
        call(writer, ledger_db, columns(Row1()))
        thread.start()
        assert not done.wait(0.1)
    thread.join(60)
    assert done.is_set()
