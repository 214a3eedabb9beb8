"""Small commands for tests of the store: real lanes and real events, with the least of rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.aggregates.disclosures import AccessOpened, disclose
from ledger.aggregates.student import marks_lane, record_lane
from ledger.aggregates.student.marks import MarkRecorded, MarksOpened
from ledger.aggregates.student.record import StudentEnrolled
from ledger.errors import Refused, Violation
from ledger.ids import new_id
from ledger.store.commands import Envelope, Idempotency
from ledger.store.header import Header
from ledger.streams.base import Context, Lanes, Proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.store.commands import Command
    from ledger.store.secrets import Hasher

YEAR = "2025-2026"
ACTOR = UUID("00000000-0000-7000-8000-0000000000aa")
CLIENT = UUID("00000000-0000-7000-8000-0000000000bb")
TODAY = date(2025, 9, 1)
CONTEXT = Context(today=TODAY, actor=ACTOR, office="teacher")


def header(**changes: object) -> Header:
    """Returns a header of a synthetic teacher."""
    values: dict[str, object] = {
        "actor": ACTOR, "office": "teacher", "correlation": CLIENT, "causation": None, "request": CLIENT,
        "local_act": None, "carrier": "electronic",
    }  # fmt: skip
    return Header(**{**values, **changes})  # type: ignore[arg-type]  # fields by name


def envelope(
    command: Command, *, hasher: Hasher | None = None, key: str | None = None, body: bytes = b"body", **changes: object
) -> Envelope:
    """Returns the command in its envelope; with `key` (and the ledger's hasher) it is idempotent."""
    idempotency = None
    if hasher is not None and key is not None:
        idempotency = Idempotency(hasher.command(CLIENT, key), CLIENT, hasher.request(body))
    return Envelope(command, header(**changes), CONTEXT, idempotency)


class _CitesNothing:
    def cites(self, lanes: Lanes, context: Context) -> str | None:
        """Cites no local act."""
        del lanes, context
        return None


@dataclass(frozen=True)
class Enrol(_CitesNothing):
    """Enrols a synthetic student; refuses one who is there."""

    student: UUID = field(default_factory=new_id)
    name: str = "Тестова"

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Decides."""
        ref = record_lane(self.student)
        if lanes.get(ref) is not None:
            raise Refused([Violation("enrolled_already", "The student is enrolled.", str(self.student))])
        values = {
            "family_name": self.name, "given_name": "Ученица", "patronymic": "", "birth_date": None,
            "enrolled_on": context.today, "foreign_ids": (),
        }  # fmt: skip
        return [Proposal(ref, StudentEnrolled, values, new_id())]


@dataclass(frozen=True)
class Mark(_CitesNothing):
    """Sets a mark; refuses it for who is not enrolled, and beyond `at_most` marks of the year.

    `before` is called in each decision, so that a test can count them or fail inside; `changes` replace values.
    """

    student: UUID
    value: str = "5"
    at_most: int | None = None
    before: Callable[[], None] = lambda: None
    changes: dict[str, object] = field(default_factory=dict)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Decides."""
        self.before()
        record, ref = record_lane(self.student), marks_lane(self.student, YEAR)
        lanes.need(record, ref)
        if lanes.get(record) is None:
            raise Refused([Violation("not_enrolled", "The student is not enrolled.", str(self.student))])
        marks = lanes.get(ref)
        if self.at_most is not None and marks is not None and len(marks.state.marks) >= self.at_most:
            raise Refused([Violation("enough", "There are marks enough.", str(self.student))])
        proposals = [] if marks else [Proposal(ref, MarksOpened, {"year": YEAR}, new_id())]
        values = {
            "course_id": CLIENT, "work_id": CLIENT, "scale": "five", "scale_version": 1, "value": self.value,
            "effective_on": context.today, "entered_on": context.today, "comment": "", "permit_id": None, "flags": (),
        }  # fmt: skip
        return [*proposals, Proposal(ref, MarkRecorded, {**values, **self.changes}, new_id())]


@dataclass(frozen=True)
class Disclose(_CitesNothing):
    """Records that somebody saw something of students; decided from nothing."""

    students: tuple[UUID, ...]

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Decides."""
        values: dict[str, object] = {
            "office": "teacher", "on_behalf_of": None, "recipient": None, "purpose": "teaching", "legal_basis": "law",
            "policy": "p1", "channel": "api", "resource": "journal",
        }  # fmt: skip
        return disclose(
            AccessOpened, values, access_id=new_id(), actor=context.actor, students=self.students, categories=("marks",)
        )


@dataclass(frozen=True)
class Scripted(_CitesNothing):
    """Decides as the given function does."""

    script: Callable[[Lanes], Sequence[Proposal]]

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Decides."""
        del context
        return self.script(lanes)
