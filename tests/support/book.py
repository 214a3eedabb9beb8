"""What a ledger must have recorded, and must have said, by a plain book that is kept beside it.

The book is a `World`: lanes in memory and the pure decisions, without database, caches, batches, retries or crashes.
It reads the log in order; each stretch of it must be what somebody asked for, decided at exactly this point, with these
values and this local act. So it does not matter who got in between whom, only that there is one order. What was
acknowledged must be in the log as it was told, what was refused must be refused at some point while it was asked, and
not be there.

    attempt = Attempt("A", envelope)
    book.asks(attempt)
    ...                                   # it is sent, and `attempt.answer` says what came of it
    book.follows(facts, recorded_at, [attempt])
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.aggregates.disclosures import AccessOpened, AccessRefused, DataDisclosed, DisclosureRefused
from ledger.aggregates.school import LateEntryPermitted
from ledger.aggregates.student.achievements import AchievementRecorded
from ledger.aggregates.student.marks import MarkCorrected, MarkRecorded, MarkVoided
from ledger.aggregates.student.record import StudentEnrolled
from ledger.aggregates.webhooks import WebhookRegistered
from ledger.errors import LedgerError, Refused
from ledger.store.commands import Recorded
from ledger.store.header import decode_header
from ledger.streams.base import LaneRef, OpeningEvent
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from ledger.projections.view import Fact
    from ledger.store.commands import Envelope
    from ledger.store.header import Header

READINGS = {event.TOPIC for event in (AccessOpened, AccessRefused, DataDisclosed, DisclosureRefused)}
UNRECORDED = {"store-unavailable", "busy"}
"""Codes that say of nothing but the ledger's state, and that nothing was recorded."""
UNKNOWN = {"outcome-unknown", "history-alarm"}


class Said(NamedTuple):
    """A refusal: its code, and the violations of the school's rules."""

    code: str
    violations: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def of(cls, error: LedgerError) -> Said:
        """Returns what an error says."""
        broken = error.violations if isinstance(error, Refused) else ()
        return cls(error.code, tuple(sorted((one.code, str(one.student_id)) for one in broken)))


Answer = Recorded | Said


@dataclass(eq=False)
class Attempt:
    """A command on its way through one door; `answer` stays None where the door fell shut.

    `demanded` is the mark, and the tag that its sender has seen, where the command names one.
    """

    door: str
    envelope: Envelope
    demanded: tuple[UUID, str] | None = None
    answer: Answer | None = None
    begun: int = 0
    ended: int = 0
    positions: list[int] = field(default_factory=list)

    @property
    def request(self) -> UUID:
        """What names the attempt in the log."""
        return self.envelope.header.request

    @property
    def key(self) -> bytes | None:
        """The stored id of its idempotency key."""
        return self.envelope.idempotency.command_id if self.envelope.idempotency else None

    @property
    def unknown(self) -> bool:
        """Whether nobody has said what became of it."""
        return self.answer is None or (isinstance(self.answer, Said) and self.answer.code in UNKNOWN)

    @property
    def refused(self) -> bool:
        """Whether the rules, or a condition, have refused it."""
        return isinstance(self.answer, Said) and self.answer.code not in UNRECORDED | UNKNOWN


class Book(World):
    """The log as it must be; see the module. `position` is how far it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0
        self.attempts: dict[UUID, Attempt] = {}
        self.readings: dict[UUID, list[Fact]] = {}
        self.recorded: dict[bytes, Attempt] = {}
        """By idempotency key: what has recorded it."""
        self.stored: dict[int, Fact] = {}
        self.tags: dict[UUID, str] = {}
        """The tag of each mark by the plain words of the manual: the version of the event that changed it last."""
        self.marks: list[tuple[UUID, UUID, UUID]] = []
        """Every mark that was set: student, course, mark."""
        self.achievements: list[tuple[UUID, UUID]] = []
        self.permits: list[UUID] = []
        self.students: list[UUID] = []
        self.webhooks: list[UUID] = []
        self._sequences: dict[UUID, int] = defaultdict(int)
        self._numbers: dict[UUID, int] = {}

    def asks(self, attempt: Attempt) -> None:
        """Notes that somebody is about to ask."""
        assert attempt.request not in self.attempts
        self.attempts[attempt.request] = attempt
        self._numbers[attempt.request] = len(self._numbers) + 1

    def adopts(self, facts: Iterable[Fact]) -> None:
        """Takes over what had been recorded before the book was begun."""
        for fact in facts:
            self._apply(fact)

    # --- the log ----------------------------------------------------------------------------------------------------

    def follows(self, facts: Sequence[Fact], finished: Iterable[Attempt]) -> None:
        """Reads what is new in the log, and compares what has just been answered.

        Raises:
            AssertionError: something is there, or was said, that cannot be.
        """
        answered = list(finished)
        refused = [attempt for attempt in answered if attempt.refused]
        refused = self._unexplained(refused)
        for request, group in groupby(facts, key=lambda fact: decode_header(fact.entry.header).request):
            stretch = list(group)
            if request in self.readings:
                self._read(request, stretch)
            else:
                assert request in self.attempts, f"Nobody asked for what stands at {stretch[0].entry.position}."
                self._recorded(self.attempts[request], stretch)
            refused = self._unexplained(refused)
        for attempt in refused:
            raise AssertionError(f"{_name(attempt)} was answered {attempt.answer}, not {self.says(attempt.envelope)}.")
        for attempt in answered:
            self._check_answer(attempt)

    def says(self, envelope: Envelope) -> Said | Attempt | None:
        """Returns what is to be said to a command now: a refusal, the earlier attempt, or None: it is recorded."""
        key = envelope.idempotency
        earlier = self.recorded.get(key.command_id) if key is not None else None
        if key is not None and earlier is not None and earlier.envelope.idempotency is not None:
            return earlier if earlier.envelope.idempotency.request == key.request else Said("idempotency-key-reused")
        try:
            envelope.decide(self)
        except LedgerError as error:
            return Said.of(error)
        return None

    def _unexplained(self, refused: list[Attempt]) -> list[Attempt]:
        """Returns the refusals that are not right at this point of the log."""
        return [attempt for attempt in refused if self.says(attempt.envelope) != attempt.answer]

    def _recorded(self, attempt: Attempt, stretch: list[Fact]) -> None:
        said = self.says(attempt.envelope)
        where = f"{_name(attempt)}, recorded at {stretch[0].entry.position},"
        assert not isinstance(said, Attempt), f"{where} had been recorded at {said.positions} before."
        assert said is None, f"{where} should have been refused: {said}."
        assert not attempt.positions, f"{where} was recorded twice."
        assert attempt.answer is None or isinstance(attempt.answer, Recorded) or attempt.unknown, (
            f"{where} was answered {attempt.answer}."
        )
        if attempt.demanded is not None:
            mark, tag = attempt.demanded
            assert self.tags.get(mark) == tag, f"{where} was sent for {tag}, and the mark had {self.tags.get(mark)}."
        sequence = attempt.envelope.sequence
        if sequence is not None:
            number = self._numbers[attempt.request]
            assert number > self._sequences[sequence], f"{where} overtook what was sent before it."
            self._sequences[sequence] = number
        proposals = attempt.envelope.decide(self)
        cited = attempt.envelope.command.cites(self, attempt.envelope.context)
        assert len(proposals) == len(stretch), f"{where} has {len(stretch)} events, not {len(proposals)}."
        for proposal, fact in zip(proposals, stretch, strict=True):
            entry, event = fact.entry, fact.event
            place = (proposal.lane.stream_id, proposal.lane.subject_id, proposal.event)
            assert place == (entry.stream_id, entry.subject_id, type(event)), where
            stored = {name: vars(event)[name] for name in proposal.values}
            assert stored == dict(proposal.values), f"{where} has other values: {sorted(proposal.values)}."
            header: Header = decode_header(entry.header)
            assert header.local_act == cited, f"{where} cites {header.local_act}, not {cited}."
            self._apply(fact)
            attempt.positions.append(entry.position)
        if attempt.key is not None:
            self.recorded[attempt.key] = attempt

    def _read(self, request: UUID, stretch: list[Fact]) -> None:
        assert {fact.entry.topic for fact in stretch} <= READINGS
        assert not self.readings[request], "A reading was recorded twice."
        self.readings[request].extend(stretch)
        for fact in stretch:
            self._apply(fact)

    def _apply(self, fact: Fact) -> None:
        """Applies an event as it is stored; what it opens is known from then on."""
        entry, event = fact.entry, fact.event
        assert entry.position == self.position + 1, f"Position {entry.position} follows {self.position}."
        self.position = entry.position
        self.stored[entry.position] = fact
        lane = self._lanes.get(entry.stream_id)
        if lane is not None or (isinstance(event, OpeningEvent) and event.LANE.LOADED):
            evolved = event.mutate(lane)
            self._lanes[entry.stream_id] = evolved
            self.events.append((LaneRef(entry.stream_id, entry.subject_id, type(evolved)), event))
        self._notice(fact)

    def _notice(self, fact: Fact) -> None:
        entry, event = fact.entry, fact.event
        if isinstance(event, MarkRecorded):
            self.marks.append((entry.subject_id, event.course_id, entry.event_id))
            self.tags[entry.event_id] = f'"m{entry.version}"'
        elif isinstance(event, (MarkCorrected, MarkVoided)):
            self.tags[event.mark_id] = f'"m{entry.version}"'
        elif isinstance(event, AchievementRecorded):
            self.achievements.append((entry.subject_id, entry.event_id))
        elif isinstance(event, WebhookRegistered):
            self.webhooks.append(entry.stream_id)
        elif isinstance(event, StudentEnrolled):
            self.students.append(entry.subject_id)
        elif isinstance(event, LateEntryPermitted):
            self.permits.append(entry.event_id)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _check_answer(self, attempt: Attempt) -> None:
        """Passes if what was acknowledged is in the log, as it was told."""
        answer = attempt.answer
        if not isinstance(answer, Recorded):
            return
        name = _name(attempt)
        assert answer.position <= self.position, (
            f"{name} was told of {answer.position}; the log ends at {self.position}."
        )
        owner = self.recorded.get(attempt.key) if attempt.key is not None else attempt
        assert owner is not None, f"{name} was acknowledged, and nothing is recorded under its key."
        told = list(range(answer.first_position, answer.position + 1))
        assert told == owner.positions, f"{name} was told of {told}, and stands at {owner.positions}."
        assert len(answer.events) == answer.count
        assert answer.repeated or owner is attempt, f"{name} was told that it is new, and was recorded before."
        for event in answer.events:
            entry = self.stored[event.position].entry
            columns: tuple[Any, ...] = (entry.event_id, entry.stream_id, entry.subject_id, entry.topic)
            assert (event.event_id, event.stream_id, event.subject_id, event.topic) == columns, name
            assert event.version in {0, entry.version}, name
            assert entry.recorded_at == answer.recorded_at, f"{name} was told another time."

    def open_keys(self) -> list[Attempt]:
        """Returns, of each key that nobody has been answered for, the last attempt."""
        answered = {attempt.key for attempt in self.attempts.values() if isinstance(attempt.answer, Recorded)}
        refused = {attempt.key for attempt in self.attempts.values() if attempt.refused}
        left = {attempt.key: attempt for attempt in self.attempts.values() if attempt.key is not None}
        return [attempt for key, attempt in left.items() if key not in answered | refused]


def _name(attempt: Attempt) -> str:
    return f"{type(attempt.envelope.command).__name__} through {attempt.door}"
