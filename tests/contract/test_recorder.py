"""The library's own contract suites, passed by our recorder; and what it promises beyond them.

The suites lie in one module with those of the ciphers, which wants PyCryptodome; the library's own cipher on
`cryptography` stands in for it, since no suite used here encrypts.

`AggregateRecorderTestCase` is for recorders that give no positions (it asserts that there are none); what it says about
`select_events` is repeated here.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from eventsourcing import cryptography
from eventsourcing.persistence import DataError, IntegrityError, OperationalError, StoredEvent

from ledger.store.recorder import LedgerDatastore, LedgerRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from eventsourcing.tests import persistence

    from ledger.store.database import Database, Row
else:
    sys.modules.setdefault("eventsourcing.cipher", cryptography)
    persistence = importlib.import_module("eventsourcing.tests.persistence")

THREADS = 13  # ten writers and two readers of the suite, and one listener


@pytest.fixture
def datastore(ledger_db: Database) -> Iterator[LedgerDatastore]:
    with LedgerDatastore(ledger_db, pool_size=2) as store:
        yield store


@pytest.fixture
def recorder(datastore: LedgerDatastore) -> LedgerRecorder:
    return LedgerRecorder(datastore)


class _OnLedger:
    """Gives a suite of the library a recorder on an empty ledger."""

    _datastore: LedgerDatastore

    @pytest.fixture(autouse=True)
    def _provide(self, empty_db: Database) -> Iterator[None]:
        self._datastore = LedgerDatastore(empty_db, pool_size=THREADS)
        yield
        self._datastore.close()

    def create_recorder(self) -> LedgerRecorder:
        recorder = LedgerRecorder(self._datastore)
        recorder.create_table()
        return recorder


class TestApplicationRecorder(_OnLedger, persistence.ApplicationRecorderTestCase[LedgerRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleavingNotificationIDs(_OnLedger, persistence.NonInterleavingNotificationIDsBaseCase):
    pass


def _event(stream: UUID, version: int, *, topic: str = "topic", state: bytes = b"state") -> StoredEvent:
    return StoredEvent(originator_id=stream, originator_version=version, topic=topic, state=state)


def test_events_of_a_stream_are_selected_by_version_order_and_limit(recorder: LedgerRecorder) -> None:
    stream = uuid4()
    events = [_event(stream, version, state=bytes([version])) for version in range(4)]
    recorder.insert_events([*events[:2], _event(uuid4(), 1)])
    recorder.insert_events(events[2:])
    assert recorder.select_events(stream) == events
    assert recorder.select_events(stream, desc=True, limit=1) == events[3:]
    assert recorder.select_events(stream, gt=0, lte=2) == events[1:3]
    assert recorder.select_events(stream, lte=1, desc=True, limit=1) == events[1:2]
    assert recorder.select_events(uuid4()) == []


def test_conflict_records_nothing_and_leaves_no_hole(recorder: LedgerRecorder) -> None:
    stream = uuid4()
    assert recorder.insert_events([_event(stream, 1)]) == [1]
    with pytest.raises(IntegrityError):
        recorder.insert_events([_event(uuid4(), 1), _event(stream, 1)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([_event(stream, 2), _event(stream, 2)])
    assert recorder.insert_events([_event(stream, 2)]) == [2]
    assert recorder.insert_events([]) == []


@pytest.mark.parametrize("too_long", [{"state": bytes(61_441)}, {"topic": "т" * 128}])
def test_what_would_not_fit_into_an_entry_is_refused(recorder: LedgerRecorder, too_long: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        recorder.insert_events([_event(uuid4(), 1, **too_long)])
    assert recorder.max_notification_id() is None


def test_foreign_events_carry_no_key_and_name_their_class(
    recorder: LedgerRecorder, owner: psycopg.Connection[Row]
) -> None:
    stream = uuid4()
    recorder.insert_events([_event(stream, 1)])
    row = owner.execute(
        "SELECT subject_id, record_class, algorithm, key_commitment, header, topic, state FROM events"
    ).fetchone()
    assert row == (stream, "foreign", 0, b"", b"", "topic", b"state")
    assert owner.execute("SELECT count(*) FROM data_keys").fetchone() == (0,)


def test_commit_whose_answer_was_lost_is_answered_with_its_positions(
    recorder: LedgerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.insert_events([_event(uuid4(), 1)])
    real, calls = recorder.datastore.get_connection, 0

    def losing_the_first_answer() -> object:
        nonlocal calls
        calls += 1
        return _Lost(real()) if calls == 1 else real()

    monkeypatch.setattr(recorder.datastore, "get_connection", losing_the_first_answer)
    stream = uuid4()
    assert recorder.insert_events([_event(stream, 1), _event(stream, 2)]) == [2, 3]
    assert recorder.max_notification_id() == 3


class _Lost:
    """A connection whose work is committed and whose answer does not arrive."""

    def __init__(self, connection: object) -> None:
        self._connection = connection

    def __enter__(self) -> psycopg.Connection[Row]:
        return self._connection.__enter__()  # type: ignore[attr-defined,no-any-return]  # the wrapped context manager is untyped

    def __exit__(self, *error: object) -> None:
        self._connection.__exit__(*error)  # type: ignore[attr-defined]  # the wrapped context manager is untyped
        message = "the server closed the connection unexpectedly"
        raise OperationalError(message)


def test_recorder_works_as_the_writer_and_never_as_the_owner(datastore: LedgerDatastore) -> None:
    with datastore.get_connection() as connection:
        row = connection.execute("SELECT current_user AS who, current_setting('search_path') AS path").fetchone()
    schema = datastore.database.schema
    assert row == {"who": f"{schema}_writer", "path": schema}


def test_listeners_are_told_on_the_channel_of_the_ledger(recorder: LedgerRecorder, ledger_db: Database) -> None:
    assert recorder.channel_name == ledger_db.schema
    with ledger_db.connect("owner") as listener:
        listener.execute(f"LISTEN {ledger_db.schema}")
        recorder.insert_events([_event(uuid4(), 1)])
        assert [note.payload for note in listener.notifies(timeout=30, stop_after=1)] == ["1"]
