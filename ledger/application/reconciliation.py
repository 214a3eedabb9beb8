"""What was opened against what was disclosed: two accounts of the same, kept by parts that know nothing of each other.

The gate records who is shown whose data. The keyring counts whose records it opened for whom (`store/openings.py`).
Each opening must have a disclosure of that student and record class to that person, recorded within the interval that
the opening is counted in, or before it by no more than a receipt lives. Which of the two came first within an interval
(half a minute) is not told: that no opening precedes its disclosure is the gate's part. An opening without one is a
difference: somebody got around the gate. What a killed process had not stored is unknown, and counted as such by the
disclosures of that time which no process has counted an opening of. That time is over when the process's lease is: it
opens nothing that long after it has stored what it opened.

A document that was handed over on paper is none of these disclosures: nothing was opened for it, so it vouches for no
opening, and nobody misses one of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ledger.aggregates.disclosures import AccessOpened, AccessRefused, DataDisclosed, DocumentHandedOver
from ledger.projections.reader import EventReader
from ledger.receipt import LIFETIME
from ledger.seal.entry import Entry
from ledger.store.database import translated
from ledger.store.header import decode_header
from ledger.store.keyring import Keyring
from ledger.store.lanes import ENTRY_COLUMNS, POSITION_AT
from ledger.store.openings import LEASE_S
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import psycopg

    from ledger.projections.view import Fact
    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

SLACK = timedelta(seconds=5)
"""By which the clock of the database may have been set back between a disclosure and a count."""
LOST = timedelta(seconds=LEASE_S) + SLACK
"""After the newest count of a killed process: for as long it may have opened what nobody counted, and no longer."""
SETTLE = LOST
"""The newest openings, which are not looked at while a process lives: it has counted what is older."""
LATE = timedelta(hours=1)
"""How long a process may have kept counts that it could not store, for the next comparison to see them."""
STEP = timedelta(hours=1)
"""Looked at together, so that a year needs no more memory than a day."""
BATCH = 5_000
MAX_DIFFERENCES = 1_000

_INTERVALS = (
    "SELECT i.process, i.number, coalesce(before.ended_at, i.ended_at), i.ended_at, i.last, i.name,"
    " after.number IS NULL"
    " FROM {schema}.opening_intervals i"
    " LEFT JOIN {schema}.opening_intervals before ON before.process = i.process AND before.number = i.number - 1"
    " LEFT JOIN {schema}.opening_intervals after ON after.process = i.process AND after.number = i.number + 1"
    " WHERE i.ended_at > %s AND i.ended_at <= %s ORDER BY i.ended_at"
)
_OPENINGS = (
    "SELECT o.process, o.number, o.actor, o.record_class, o.subject_ids, o.counts"
    " FROM {schema}.openings o JOIN {schema}.opening_intervals i USING (process, number)"
    " WHERE i.ended_at > %s AND i.ended_at <= %s"
)
_BOUNDS = (
    "SELECT clock_timestamp(), (SELECT min(ended_at) FROM {schema}.opening_intervals),"
    " (SELECT until FROM {schema}.reconciliations ORDER BY id DESC LIMIT 1),"
    " EXISTS (SELECT FROM {schema}.opening_intervals i WHERE NOT last AND ended_at > clock_timestamp() - %s AND NOT"
    " EXISTS (SELECT FROM {schema}.opening_intervals n WHERE n.process = i.process AND n.number = i.number + 1))"
)
_DISCLOSED = (
    f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events"  # noqa: S608 - ours
    " WHERE position > %s AND position <= %s AND topic = %s ORDER BY position LIMIT %s"
)
_LOOKED = "SELECT EXISTS (SELECT FROM {schema}.events WHERE subject_id = %s AND topic = ANY(%s))"
_KEEP = (
    "INSERT INTO {schema}.reconciliations (since, until, covered, uncovered, disclosures, unknown)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)


class Interval(NamedTuple):
    """A stretch of time of which a process has counted what it opened; `newest` if it has told nothing since."""

    process: UUID
    number: int
    began_at: datetime
    ended_at: datetime
    last: bool
    name: str
    newest: bool


class Opened(NamedTuple):
    """What a process opened in an interval: for whom, whose, of which class, how often."""

    interval: Interval
    actor: UUID | None
    subject_id: UUID
    record_class: str
    times: int


class Disclosed(NamedTuple):
    """A disclosure as the gate recorded it; `categories` None: erased since, so that any may have been among them."""

    position: int
    recorded_at: datetime
    actor: UUID
    student_id: UUID
    categories: frozenset[str] | None


def coverage_of(covered: int, uncovered: int, unknown: int) -> float:
    """Returns which share of the openings is known to have been disclosed; all of none."""
    known = covered + uncovered + unknown
    return covered / known if known else 1.0


@dataclass(frozen=True, slots=True)
class Difference:
    """Records that were opened and not disclosed: by whom (None: nobody was authenticated), whose, when, and where."""

    actor: UUID | None
    student_id: UUID
    record_class: str
    opened: int
    process: str
    process_id: UUID
    began_at: datetime
    ended_at: datetime


@dataclass(slots=True)
class Reconciliation:
    """What was compared, from when to when, and how it came out.

    Args:
        covered: (person, student, class, interval) that were opened after a disclosure of it. uncovered: without one.
        disclosures: that were recorded. unknown: those of them of which a killed process may have counted the opening.
        lost: processes that were killed.
    """

    since: datetime
    until: datetime
    covered: int = 0
    uncovered: int = 0
    disclosures: int = 0
    unopened: int = 0
    unknown: int = 0
    lost: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether everything that was opened had been disclosed."""
        return not self.uncovered

    @property
    def coverage(self) -> float:
        """Which share of the openings is known to have been disclosed, from 0 to 1."""
        return coverage_of(self.covered, self.uncovered, self.unknown)


class Shown:
    """The disclosures of a stretch of time, to be asked by who was shown whose."""

    def __init__(self, disclosed: Iterable[Disclosed]) -> None:
        self._by: dict[tuple[int, int], list[Disclosed]] = defaultdict(list)
        self._register: dict[int, list[datetime]] = defaultdict(list)
        for one in disclosed:  # in the order of recording
            self._by[one.actor.int, one.student_id.int].append(one)
            if one.categories is None or RecordClass.DISCLOSURES in one.categories:
                self._register[one.actor.int].append(one.recorded_at)

    def of(self, opened: Opened) -> list[Disclosed]:
        """Returns the disclosures that this opening may rest on."""
        if opened.actor is None:
            return []
        begin, end = _window(opened.interval)
        return [
            one
            for one in self._by.get((opened.actor.int, opened.subject_id.int), ())
            if begin <= one.recorded_at <= end and (one.categories is None or opened.record_class in one.categories)
        ]

    def read_register(self, opened: Opened) -> bool:
        """Tells whether the person was shown anybody's register then, which names who looked."""
        if opened.actor is None or opened.record_class != RecordClass.DISCLOSURES:
            return False
        begin, end = _window(opened.interval)
        times = self._register.get(opened.actor.int, [])
        at = bisect_left(times, begin)
        return at < len(times) and times[at] <= end


def _window(interval: Interval) -> tuple[datetime, datetime]:
    return interval.began_at - LIFETIME - SLACK, interval.ended_at + SLACK


def gap_after(killed: Interval) -> tuple[datetime, datetime]:
    """Returns of which time's disclosures a killed process may have opened something after its newest count."""
    return killed.ended_at - LIFETIME - SLACK, killed.ended_at + LOST


def compare(
    openings: Sequence[Opened],
    disclosed: Sequence[Disclosed],
    gaps: Sequence[tuple[datetime, datetime]],
    report: Reconciliation,
    looked: Callable[[UUID], bool],
) -> None:
    """Adds to a report how openings and disclosures of a stretch of time agree.

    Args:
        openings: of the stretch, and of intervals that end soon after it: these are counted with the next one.
        disclosed: of the stretch, and of a receipt's lifetime before its intervals began.
        gaps: of which disclosures a killed process may have opened something that nobody counted.
        report: its `since` and `until` bound the disclosures that are counted.
        looked: tells whether somebody is a person whose accesses stand in the register: a register names them.
    """
    shown = Shown(disclosed)
    seen: set[int] = set()
    for opened in openings:
        rests_on = shown.of(opened)
        seen.update(one.position for one in rests_on)
        if opened.interval.ended_at > report.until:
            continue
        if rests_on or (shown.read_register(opened) and looked(opened.subject_id)):
            report.covered += 1
            continue
        report.uncovered += 1
        if len(report.differences) < MAX_DIFFERENCES:
            at = opened.interval
            report.differences.append(
                Difference(
                    opened.actor,
                    opened.subject_id,
                    opened.record_class,
                    opened.times,
                    at.name,
                    at.process,
                    at.began_at,
                    at.ended_at,
                )
            )
    for one in disclosed:
        if not report.since < one.recorded_at <= report.until:
            continue
        report.disclosures += 1
        if one.position in seen:
            continue
        if any(begin < one.recorded_at <= end for begin, end in gaps):
            report.unknown += 1
        else:
            report.unopened += 1


class Reconciler:
    """Compares, in the role of the projector: it reads events and counts, and can write neither.

    Args:
        settle: how much of the newest time is left for the next time while a process lives: it has not counted it yet.
    """

    def __init__(
        self, database: Database, mapper: EventMapper, keks: KeyEncryptionKeys, *, settle: timedelta = SETTLE
    ) -> None:
        self._database = database
        self._settle = settle
        self._keyring = Keyring(keks)
        self._reader = EventReader(database, mapper, self._keyring)
        self._looked: dict[UUID, bool] = {}

    def reconcile(
        self, since: datetime | None = None, progress: Callable[[int, int], None] | None = None
    ) -> Reconciliation:
        """Compares everything since a time, and keeps the result.

        Args:
            since: without one a day ago, or where the newest comparison ended; an hour more, for counts stored late.
            progress: called with (seconds done, seconds in all) of the time that is looked at.

        Raises:
            StoreUnavailable, SettingsError: the database cannot be read. Unreadable: a disclosure was altered.
        """
        with translated(), self._database.connect("projector") as connection:
            now, first, compared, living = self._row(connection, _BOUNDS, (LOST,))
            until = now - self._settle if living else now
            usual = min(now - timedelta(days=1), compared or now) - LATE
            begin = max(since or usual, (first or until) - timedelta.resolution)
            whole = Reconciliation(min(begin, until), until)
            total = max(round((until - whole.since).total_seconds()), 1)
            at = whole.since
            lost: set[UUID] = set()
            while at < until:
                end = min(at + STEP, until)
                self._step(connection, Reconciliation(at, end), whole, lost)
                at = end
                if progress is not None:
                    progress(round((at - whole.since).total_seconds()), total)
            whole.lost = len(lost)
            connection.execute(
                self._database.bind(_KEEP),
                (whole.since, whole.until, whole.covered, whole.uncovered, whole.disclosures, whole.unknown),
            )
        return whole

    def _step(
        self, connection: psycopg.Connection[Row], step: Reconciliation, whole: Reconciliation, lost: set[UUID]
    ) -> None:
        intervals = self._intervals(connection, step)
        here = {(one.process, one.number): one for one in intervals if one.ended_at > step.since}
        openings = list(self._openings(connection, step, here))
        begin = min((one.began_at for one in here.values()), default=step.since)
        disclosed = list(self._disclosed(connection, min(begin - LIFETIME, step.since) - SLACK, step.until + SLACK))
        killed = [one for one in intervals if one.newest and not one.last and one.ended_at <= whole.until]
        gaps = [gap_after(one) for one in killed]
        lost.update(one.process for one in killed if step.since < one.ended_at <= step.until)
        compare(openings, disclosed, gaps, step, lambda person: self._has_looked(connection, person))
        for name in ("covered", "uncovered", "disclosures", "unopened", "unknown"):
            setattr(whole, name, getattr(whole, name) + getattr(step, name))
        whole.differences += step.differences[: MAX_DIFFERENCES - len(whole.differences)]

    def _intervals(self, connection: psycopg.Connection[Row], step: Reconciliation) -> list[Interval]:
        """Returns the intervals that end in a step, those after which a process was killed, and the next ones."""
        around = (step.since - LOST, step.until + LOST)
        rows = connection.execute(self._database.bind(_INTERVALS), around).fetchall()
        return [Interval._make(row) for row in rows]

    def _openings(
        self, connection: psycopg.Connection[Row], step: Reconciliation, intervals: Mapping[tuple[UUID, int], Interval]
    ) -> Iterator[Opened]:
        rows = connection.execute(self._database.bind(_OPENINGS), (step.since, step.until + LOST)).fetchall()
        for process, number, actor, record_class, subjects, counts in rows:
            for subject, count in zip(subjects, counts, strict=True):
                yield Opened(intervals[process, number], actor, subject, record_class, count)

    def _disclosed(self, connection: psycopg.Connection[Row], after: datetime, until: datetime) -> Iterator[Disclosed]:
        low, high = (self._row(connection, POSITION_AT, {"time": time})[0] for time in (after, until))
        query = self._database.bind(_DISCLOSED)
        while True:
            rows = connection.execute(query, (low, high, DataDisclosed.TOPIC, BATCH), prepare=True, binary=True)
            entries = [Entry._make(row) for row in rows.fetchall()]
            if not entries:
                return
            facts = {fact.entry.position: fact for fact in self._reader.facts(connection, entries)}
            for entry in entries:
                yield _disclosed(entry, facts.get(entry.position))
            low = entries[-1].position

    def _has_looked(self, connection: psycopg.Connection[Row], person: UUID) -> bool:
        if person not in self._looked:
            topics = [AccessOpened.TOPIC, AccessRefused.TOPIC, DocumentHandedOver.TOPIC]
            self._looked[person] = bool(self._row(connection, _LOOKED, (person, topics))[0])
        return self._looked[person]

    def _row(
        self,
        connection: psycopg.Connection[Row],
        query: str,
        parameters: Sequence[object] | Mapping[str, object] | None = None,
    ) -> Row:
        row = connection.execute(self._database.bind(query), parameters).fetchone()
        return row if row is not None else (0,)


def _disclosed(entry: Entry, fact: Fact | None) -> Disclosed:
    event = fact.event if fact is not None else None
    categories = frozenset(event.categories) if isinstance(event, DataDisclosed) else None
    return Disclosed(entry.position, entry.recorded_at, decode_header(entry.header).actor, entry.subject_id, categories)
