"""The ledger's history behind the recorder interface of the `eventsourcing` library.

It lets the library's own parts (its contract suites, a `NotificationLog`, a subscription) read the history, and write
to it by the one way that there is: the append function. The service itself records through the command executor.

What comes in here is *foreign*: opaque bytes of the library's mapper, without a subject's key, a header or a
commitment. It is kept under the record class `foreign`, with the stream as its own subject and algorithm 0, so that
nothing takes it for a sealed event. Its versions are stored as they are given, from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsourcing.persistence import DataError, IntegrityError, InterfaceError, OperationalError
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresSubscription
from eventsourcing.utils import retry
from psycopg import OperationalError as ConnectionLost
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from ledger.ids import new_id
from ledger.store.append import AppendBatch, append_parameters, append_query
from ledger.store.mapper import MAX_STATE, SealedState
from ledger.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from eventsourcing.persistence import StoredEvent

    from ledger.store.database import Database

FOREIGN = "foreign"
"""Record class of what was recorded through the library."""

PLAIN = 0
"""Algorithm id of a state that the ledger did not encrypt."""

MAX_TOPIC = 255


class LedgerDatastore(PostgresDatastore):
    """The library's connection pool on a ledger's database, in the role of the writer.

    Args:
        database: where the ledger lives.
        pool_size: connections; each thread that records or reads uses one at a time.
    """

    def __init__(self, database: Database, *, pool_size: int = 1) -> None:
        self.database = database
        login = conninfo_to_dict(database.url)
        super().__init__(
            dbname=str(login.pop("dbname", "")),
            host=str(login.pop("host", "")),
            port=str(login.pop("port", "")),
            user=str(login.pop("user", "")),
            password=str(login.pop("password", "")),
            schema=database.schema,
            pool_size=pool_size,
            pre_ping=True,
        )
        # What else the URL says (TLS and so on) counts as well; the library has no parameter for it.
        self.pool.kwargs = {**self.pool.kwargs, **login, **database.arguments("writer")}  # type: ignore[dict-item]  # a pool takes any keyword

    def register_type_adapters(self) -> None:
        """Does nothing: the append function takes no composite types, and the roles may not have been made yet."""


class PollingSubscription(PostgresSubscription):
    """A subscription for which NOTIFY is a hint and polling the guarantee.

    The library's own misses an event that is recorded between its first pull and its LISTEN, and does not notice a
    connection that was lost; until somebody records again, nothing comes.
    """

    POLL_S = 0.1

    def _ended(self) -> bool:
        return self._has_been_stopped or self._thread_error is not None

    def _listen(self) -> None:
        while not self._ended():
            try:
                with self._recorder.datastore.get_connection() as connection:
                    connection.execute(SQL("LISTEN {}").format(Identifier(self._recorder.channel_name)))
                    while not self._ended():
                        self._has_been_notified.set()
                        for _ in connection.notifies(timeout=self.POLL_S, stop_after=1):
                            pass
            except (ConnectionLost, OperationalError, InterfaceError):
                continue  # listened for anew; the pull tells whoever waits if the database stays away
            except BaseException as error:  # noqa: BLE001 - raised to whoever iterates, as the library does
                self._thread_error = self._thread_error or error
                self.stop()


class LedgerRecorder(PostgresApplicationRecorder):
    """Records and reads events as the library's applications do.

    Reads go through the view `stored_events`; writes through the append function, so positions stay contiguous, no
    reader misses an event, and several recorders and executors may write at once.
    """

    datastore: LedgerDatastore

    def __init__(self, datastore: LedgerDatastore) -> None:
        super().__init__(datastore, events_table_name="stored_events")
        self.channel_name = datastore.database.schema
        self._append = append_query(datastore.database)
        self._positions = datastore.database.bind(
            "SELECT position FROM {schema}.events WHERE event_id = ANY(%s) ORDER BY position"
        )

    def create_table(self) -> None:
        """Brings the ledger's schema up to date: its tables come from the numbered migrations only."""
        migrate(self.datastore.database)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> Sequence[int] | None:
        """Appends all events or none and returns their positions.

        Raises:
            IntegrityError: a version of a stream is taken.
            DataError: a state or topic is longer than an entry of the history may be.
        """
        batch = AppendBatch()
        for event in stored_events:
            _add(batch, event)
        try:
            positions: list[int] = self._record(batch)
        except IntegrityError:
            # The library repeats a call whose connection broke. If the first try was committed, the second conflicts
            # with it: the event ids, which are made once, tell that from the conflict with somebody else.
            with self.datastore.get_connection() as connection:
                found = connection.execute(self._positions, (batch.event_ids,)).fetchall()
            if not found:
                raise
            positions = [row["position"] for row in found]
        return positions

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> PollingSubscription:
        """Returns a subscription to what is recorded after position `gt`."""
        return PollingSubscription(recorder=self, gt=gt, topics=topics)

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def _record(self, batch: AppendBatch) -> list[int]:
        with self.datastore.get_connection() as connection:
            cursor = connection.execute(self._append, append_parameters(batch, None, []), prepare=True, binary=True)
            row = cursor.fetchone()
        last = int(row["last_position"]) if row else 0
        return list(range(last - len(batch) + 1, last + 1))


def _add(batch: AppendBatch, event: StoredEvent) -> None:
    if len(event.state) > MAX_STATE or len(event.topic.encode()) > MAX_TOPIC:
        message = f"An event has at most {MAX_STATE} bytes of state and {MAX_TOPIC} of topic."
        raise DataError(message)
    stream: UUID = event.originator_id  # type: ignore[assignment]  # text only where the datastore is set to text
    sealed = SealedState(event.topic, FOREIGN, PLAIN, b"", event.state)
    batch.add_event(new_id(), stream, event.originator_version, stream, b"", sealed)
