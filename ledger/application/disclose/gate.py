"""The gate: policy decides, the disclosure is appended and committed, and only then a receipt opens what was asked for.

Logging a read and reading in one transaction leaks: whoever rolls it back has the data and leaves no record. So the
disclosure is committed first, by the same executor that records everything else. A refusal is recorded likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from ledger.aggregates.disclosures import AccessOpened, AccessRefused, disclose
from ledger.aggregates.student import record_lane
from ledger.aggregates.student.standing import INFORMATION
from ledger.application.acting import guard_of
from ledger.application.record.command import RecordingCommand, existing, student
from ledger.clock import utc_now
from ledger.errors import Forbidden, UndisclosedAccess
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from ledger.policy.reading import Decision, Denied, Relation, Resource, decide_reading, personal
from ledger.receipt import Disclosure
from ledger.store.commands import Envelope
from ledger.store.header import Header
from ledger.streams.base import Context, Lanes, Proposal

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, and through what."""

    actor: Actor
    channel: str
    request_id: UUID = field(default_factory=new_id)
    on_behalf_of: UUID | None = None
    recipient: str | None = None
    correlation_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class OpenAccess(RecordingCommand):
    """Open personal data: decided by policy on the relations that hold today, recorded whether granted or refused."""

    CAPABILITY: ClassVar[str] = "reading"

    reader: Reader
    resource: Resource
    students: tuple[UUID, ...]
    categories: tuple[str, ...]
    course_id: UUID | None = None
    group_id: UUID | None = None
    access_id: UUID = field(default_factory=new_id)
    said: list[Decision] = field(default_factory=list, compare=False, repr=False)
    """What policy said each time that this was decided; the last counts."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns the access and one lean event for each student concerned.

        Raises:
            NotFound: the course, group or (single) student does not exist; nothing is recorded of nothing.
        """
        relation = self._relation(lanes, context)
        decision = decide_reading(self.reader.actor, self.resource, relation)
        self.said.append(decision)
        values: dict[str, object] = {
            "office": self.reader.actor.office.value,
            "policy": decision.policy,
            "channel": self.reader.channel,
            "resource": self.resource.value,
        }
        event: type[AccessOpened | AccessRefused] = AccessOpened
        if isinstance(decision, Denied):
            event = AccessRefused
            values["purpose"] = "refused"
        else:
            values |= {
                "on_behalf_of": self.reader.on_behalf_of,
                "recipient": self.reader.recipient,
                "purpose": decision.purpose,
                "legal_basis": decision.legal_basis,
            }
        return disclose(
            event,
            values,
            access_id=self.access_id,
            actor=self.reader.actor.id,
            students=self.students,
            categories=self.categories,
        )

    def _relation(self, lanes: Lanes, context: Context) -> Relation:
        actor = self.reader.actor
        own = self._own(lanes, context)
        if self.course_id is not None:
            course = existing(lanes, self.course_ref(self.course_id), "course")
            group = lanes.get(self.group_ref(course.state.group_id))
            leads = group is not None and group.class_teacher_on(context.today) == actor.id
            if len(self.students) == 1:  # named by who asks, perhaps; those of a page come from the views
                student(lanes, self.students[0])
            return replace(own, teaches=course.taught_by(actor.id, context.today), class_teacher=leads)
        if self.group_id is not None:
            group = existing(lanes, self.group_ref(self.group_id), "class group")
            return replace(own, class_teacher=group.class_teacher_on(context.today) == actor.id)
        lanes.need(*(record_lane(student_id) for student_id in self.students))
        records = [student(lanes, student_id) for student_id in self.students]
        if actor.office not in (Office.TEACHER, Office.CLASS_TEACHER):
            return own
        leads = bool(records)
        for record in records:
            groups = [
                self.group_ref(entry.group_id) for entry in record.state.memberships if entry.covers(context.today)
            ]
            lanes.need(*groups)
            teachers = [group.class_teacher_on(context.today) for group in map(lanes.get, groups) if group is not None]
            leads = leads and actor.id in teachers
        return replace(own, class_teacher=leads)

    def _own(self, lanes: Lanes, context: Context) -> Relation:
        """Returns the relation of the students themselves, and of who speaks for all of them today.

        What the school has recorded of representation wins over what a token claims (ADR 0024).
        """
        actor = self.reader.actor
        if actor.office is not Office.REPRESENTATIVE or not self.students:
            return personal(actor, self.students)
        lanes.need(*(record_lane(student_id) for student_id in self.students))
        represents = all(
            student(lanes, one).represented_by(actor.id, INFORMATION, context.today, claimed=one in actor.students)
            for one in self.students
        )
        return Relation(represents=represents)


async def open_access(
    ledger: Ledger,
    reader: Reader,
    resource: Resource,
    *,
    students: Sequence[UUID],
    categories: Sequence[str],
    course_id: UUID | None = None,
    group_id: UUID | None = None,
) -> Disclosure:
    """Records the access, waits for its commit and returns the receipt that opens the data.

    Raises:
        Forbidden: the policy refused; the refusal is recorded.
        NotFound: what was asked for does not exist.
    """
    command = OpenAccess(
        school=ledger.id,
        reader=reader,
        resource=resource,
        students=tuple(dict.fromkeys(students)),
        categories=tuple(categories),
        course_id=course_id,
        group_id=group_id,
    )
    actor = reader.actor
    correlation = reader.correlation_id or reader.request_id
    header = Header(actor.id, actor.office.value, correlation, None, reader.request_id, None, "electronic")
    context = Context(ledger.today(), actor.id, actor.office.value)
    recorded = await ledger.executor.execute(Envelope(command, header, context, guard=guard_of(actor, ledger.id)))
    granted = recorded.events[0].topic == AccessOpened.TOPIC
    ledger.telemetry.metrics.disclosures.recorded(
        command.said[-1].policy, reader.channel, resource.value, granted=granted, students=len(command.students)
    )
    if recorded.events[0].topic == AccessRefused.TOPIC:
        decision = command.said[-1]
        reason = decision.reason if isinstance(decision, Denied) else "The access was refused."
        raise Forbidden(reason, help="The refusal was recorded. Ask the director if you need access by your office.")
    if not granted:
        raise UndisclosedAccess("The disclosure was not recorded as such.", help="Report this fault.")
    return Disclosure(
        command.access_id,
        actor.id,
        frozenset(command.students),
        frozenset(command.categories),
        recorded.position,
        utc_now(),
    )
