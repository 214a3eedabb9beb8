"""The gate: policy decides, the disclosure is appended and committed, and only then a receipt opens what was asked for.

Logging a read and reading in one transaction leaks: whoever rolls it back has the data and leaves no record. So the
disclosure is committed first, by the same executor that records everything else. A refusal is recorded likewise.

Who may not even know that a student exists is told that there is none: in the same words, after a refusal that was
recorded like any other, and at the same pace, whether there is one or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from math import ceil
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from ledger.aggregates.disclosures import AccessOpened, AccessRefused, Grounds, disclose
from ledger.aggregates.student import marks_lane, record_lane
from ledger.aggregates.student.consents import PROCESSING_PURPOSES, Consented, allows
from ledger.aggregates.student.standing import INFORMATION
from ledger.application.acting import guard_of
from ledger.application.disclose.minting import mint
from ledger.application.reach import Reach, reach_of
from ledger.application.record.command import RecordingCommand, existing, no_such
from ledger.errors import Forbidden, NotFound, UndisclosedAccess
from ledger.ids import new_id
from ledger.policy.engine import Purpose
from ledger.policy.offices import COURSE_BOUND, Actor, Office
from ledger.policy.reading import (
    SPECIAL_CATEGORIES,
    Asking,
    Decision,
    Denied,
    Relation,
    Resource,
    decide_reading,
    personal,
)
from ledger.store.commands import Envelope
from ledger.store.header import Header
from ledger.streams.base import Context, Lanes, Proposal

if TYPE_CHECKING:
    from ledger.aggregates.course import Course
    from ledger.aggregates.student import StudentRecord
    from ledger.application.ledger import Ledger
    from ledger.receipt import Disclosure

PACE_S = 0.05
"""Refusals that hide whether somebody exists are answered at the next multiple of this after they were asked for."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, through what, and on which terms.

    Args:
        recipient: to whom outside the school it goes.
        purpose: what they say it is for; None: what their office ordinarily reads for.
        document: the document that asks for it.
        reason: why they need exceptional access, in their own words; None: they do not ask for it.
    """

    actor: Actor
    channel: str
    request_id: UUID = field(default_factory=new_id)
    on_behalf_of: UUID | None = None
    recipient: str | None = None
    correlation_id: UUID | None = None
    purpose: Purpose | None = None
    document: str | None = None
    reason: str | None = None

    def asking(self, categories: Collection[str]) -> Asking:
        """Returns the terms on which they ask for these record classes, as policy knows them."""
        return Asking(
            self.purpose,
            outside=self.recipient is not None,
            document=self.document is not None,
            exceptional=self.reason is not None,
            special=not SPECIAL_CATEGORIES.isdisjoint(categories),
        )


@dataclass(frozen=True, kw_only=True)
class OpenAccess(RecordingCommand):
    """Open personal data: decided by policy on the relations that hold today, recorded whether granted or refused.

    `named` says that who asks has named the student (none: a foreign id, or a mark, that is nobody's); those of a page
    come from the views. `refused` are whom a refusal of a page concerns, whichever page of the list it is.
    `consented_on` is the day on which a consent must hold; today, where it is left out.
    """

    CAPABILITY: ClassVar[str] = "reading"

    reader: Reader
    resource: Resource
    students: tuple[UUID, ...]
    categories: tuple[str, ...]
    course_id: UUID | None = None
    group_id: UUID | None = None
    named: bool = False
    refused: tuple[UUID, ...] | None = None
    consented_on: date | None = None
    access_id: UUID = field(default_factory=new_id)
    said: list[Decision] = field(default_factory=list, compare=False, repr=False)
    """What policy said each time that this was decided; the last counts."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns the access and one lean event for each student concerned, or in place of who does not exist.

        Whom a search among everybody found is not concerned by its refusal: how many they are would be told by how
        much was recorded. Of a list that was refused it is the same whichever page was asked for: where the next page
        begins, an id, is chosen by who asks, and how many come after it would tell which ids there are.

        Raises:
            NotFound: the course, group or named student does not exist; nothing is recorded of nothing, but for those
                who may not know whether there is such a student.
        """
        relation, decision, absent = self.judge(lanes, context)
        if absent and self.reader.reason is not None:
            # Nobody's life is at stake: they are asked about as without a reason, and it is recorded likewise.
            asking = replace(self.reader.asking(self.categories), exceptional=False)
            decision = decide_reading(self.reader.actor, self.resource, relation, asking)
        self.said.append(decision)
        denied = isinstance(decision, Denied)
        if absent and not (isinstance(decision, Denied) and decision.hidden):
            raise no_such("student")
        values: dict[str, object] = {
            "office": self.reader.actor.office.value,
            "policy": decision.policy,
            "channel": self.reader.channel,
            "resource": self.resource.value,
            "purpose": "refused",
        }
        if not isinstance(decision, Denied):
            values |= {
                "on_behalf_of": self.reader.on_behalf_of,
                "recipient": self.reader.recipient,
                "purpose": decision.purpose,
                "legal_basis": decision.legal_basis,
            }
        chosen = self.named or self.course_id is not None or self.group_id is not None
        concerned = self.students if self.refused is None or not denied else self.refused
        return disclose(
            AccessRefused if denied else AccessOpened,
            values,
            access_id=self.access_id,
            actor=self.reader.actor.id,
            students=() if absent or (denied and not chosen) else concerned,
            categories=self.categories,
            grounds=Grounds(self.reader.document, self.reader.reason),
            nobody=max(len(self.students), 1) if absent else 0,
        )

    def _consented(self, records: Sequence[StudentRecord], context: Context) -> bool:
        """Tells whether consents in force, each to one purpose, allow to hand this out to the recipient."""
        recipient, day = self.reader.recipient, self.consented_on or context.today
        if recipient is None or not records:
            return False
        return all(
            any(
                isinstance(
                    allows(record, purpose=one, categories=self.categories, recipient=recipient, day=day),
                    Consented,
                )
                for one in PROCESSING_PURPOSES
            )
            for record in records
        )

    def judge(self, lanes: Lanes, context: Context) -> tuple[Relation, Decision, bool]:
        """Returns the relation that holds today, what policy says, and whether a named student does not exist.

        Raises:
            NotFound: the course or group does not exist.
        """
        records = self._records(lanes)
        absent = self.named and (not records or any(record is None for record in records))
        there = [record for record in records if record is not None]
        relation = self._relation(lanes, context, there, absent=absent)
        if not self._reached(lanes, context, there, absent=absent):
            relation = replace(relation, within_office=False, within_mandate=False)
        relation = replace(relation, consented=not absent and self._consented(there, context))
        asking = self.reader.asking(self.categories)
        return relation, decide_reading(self.reader.actor, self.resource, relation, asking), absent

    def _records(self, lanes: Lanes) -> list[StudentRecord | None]:
        """Returns the record lanes of students who were named; a page's are known from the views."""
        if not self.named:
            return []
        lanes.need(*(record_lane(student_id) for student_id in self.students))
        return [lanes.get(record_lane(student_id)) for student_id in self.students]

    def _relation(self, lanes: Lanes, context: Context, records: Sequence[StudentRecord], *, absent: bool) -> Relation:
        """Returns how the actor is related today to everybody who is asked about; to who does not exist, not at all."""
        actor = self.reader.actor
        known = self._own(lanes, context)
        if self.course_id is not None:
            course = existing(lanes, self.course_ref(self.course_id), "course")
            if absent or not all(self._stands_in(lanes, record, course) for record in records):
                return known
            group = lanes.get(self.group_ref(course.state.group_id))
            leads = group is not None and group.class_teacher_on(context.today) == actor.id
            substitutes = course.substituted_by(actor.id, context.today)
            teaches = course.taught_by(actor.id, context.today) and not substitutes
            return replace(known, teaches=teaches, substitutes=substitutes, class_teacher=leads)
        if self.group_id is not None:
            group = existing(lanes, self.group_ref(self.group_id), "class group")
            if absent or not all(record.was_in_group(self.group_id) for record in records):
                return known
            return replace(known, class_teacher=group.class_teacher_on(context.today) == actor.id)
        if absent or actor.office not in COURSE_BOUND:
            return known
        leads = bool(records)
        for record in records:
            groups = [
                self.group_ref(entry.group_id) for entry in record.state.memberships if entry.covers(context.today)
            ]
            lanes.need(*groups)
            teachers = [group.class_teacher_on(context.today) for group in map(lanes.get, groups) if group is not None]
            leads = leads and actor.id in teachers
        return replace(known, class_teacher=leads)

    def _stands_in(self, lanes: Lanes, record: StudentRecord, course: Course) -> bool:
        """Tells whether a student stands in a course's journal: by the class group, now or once, or by a mark."""
        if record.was_in_group(course.state.group_id):
            return True
        marks = lanes.get(marks_lane(record.id, course.state.year))
        return marks is not None and marks.has_of(course.id)

    def _reached(self, lanes: Lanes, context: Context, records: Sequence[StudentRecord], *, absent: bool) -> bool:
        """Tells whether office and mandate reach what is asked for: of a course, who stands in its journal."""
        reach = self._reach(lanes, context)
        if reach.covers_students(lanes, self.students):
            return True
        if self.course_id is not None and reach.covers_course(lanes, self.course_id):
            course = existing(lanes, self.course_ref(self.course_id), "course")
            return not absent and all(self._stands_in(lanes, record, course) for record in records)
        return self.group_id is not None and reach.covers_group(lanes, self.group_id)

    def _reach(self, lanes: Lanes, context: Context) -> Reach:
        """Returns how far the office of who asks reaches."""
        return reach_of(lanes, self.school, self.reader.actor, context.today)

    def _own(self, lanes: Lanes, context: Context) -> Relation:
        """Returns the relation of the students themselves, and of who speaks for all of them today.

        What the school has recorded of representation wins over what a token claims (ADR 0024).
        """
        actor = self.reader.actor
        if actor.office is not Office.REPRESENTATIVE or not self.students:
            return personal(actor, self.students)
        lanes.need(*(record_lane(student_id) for student_id in self.students))
        represents = True
        for one in self.students:
            record = lanes.get(record_lane(one))
            claimed = one in actor.students
            if record is None:  # of nobody nobody is a representative; who claims so may know that there is nobody
                represents = represents and claimed
            else:
                represents = represents and record.represented_by(actor.id, INFORMATION, context.today, claimed=claimed)
        return Relation(represents=represents)


@dataclass(frozen=True, kw_only=True)
class _WouldOpen(OpenAccess):
    """Decides as the access would be, and records nothing."""

    would: list[bool] = field(default_factory=list, compare=False, repr=False)
    """Whether it would be granted, of somebody who exists; each time that this was decided: the last counts."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Returns nothing; the last of `would` is the answer."""
        _, decision, absent = self.judge(lanes, context)
        self.would.append(not absent and not isinstance(decision, Denied))
        return ()


async def may_open(
    ledger: Ledger, reader: Reader, resource: Resource, *, students: Sequence[UUID], categories: Sequence[str]
) -> bool:
    """Returns whether an access would be granted now: of students who were named, or (none) of everybody."""
    command = _WouldOpen(
        school=ledger.id,
        reader=reader,
        resource=resource,
        students=tuple(students),
        categories=tuple(categories),
        named=bool(students),
    )
    await ledger.executor.execute(_envelope(ledger, reader, command, looks=True))
    return command.would[-1]


@dataclass(frozen=True, kw_only=True)
class _Belonging(RecordingCommand):
    """Looks who of some students belongs to a class group on a day, by their own lanes; records nothing."""

    CAPABILITY: ClassVar[str] = "reading"

    group_id: UUID
    students: tuple[UUID, ...]
    day: date
    found: list[list[UUID]] = field(default_factory=list, compare=False, repr=False)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:  # noqa: ARG002 - as a command's
        """Returns nothing; the last of `found` is the answer."""
        refs = [record_lane(student_id) for student_id in self.students]
        lanes.need(*refs)
        records = [lanes.get(ref) for ref in refs]
        self.found.append([one.id for one in records if one is not None and one.in_group(self.group_id, self.day)])
        return ()


async def belonging(ledger: Ledger, reader: Reader, group_id: UUID, students: Sequence[UUID], day: date) -> list[UUID]:
    """Returns who of these students belongs to a class group on a day: a view says so later, the lanes at once."""
    command = _Belonging(school=ledger.id, group_id=group_id, students=tuple(students), day=day)
    await ledger.executor.execute(_envelope(ledger, reader, command, looks=True))
    return command.found[-1]


async def check_access(
    ledger: Ledger, reader: Reader, resource: Resource, *, students: Sequence[UUID] = (), categories: Sequence[str]
) -> None:
    """Passes if an access would be granted: asked before anything is searched, so that a refusal tells of no search.

    Of everybody (no students) it passes only for those whose office or mandate reaches everybody.

    Raises:
        Forbidden, NotFound: as `open_access`, by which the refusal is recorded.
    """
    if not await may_open(ledger, reader, resource, students=students, categories=categories):
        await open_access(ledger, reader, resource, students=students, categories=categories)


def _envelope(ledger: Ledger, reader: Reader, command: RecordingCommand, *, looks: bool = False) -> Envelope:
    actor = reader.actor
    correlation = reader.correlation_id or reader.request_id
    header = Header(actor.id, actor.office.value, correlation, None, reader.request_id, None, "electronic")
    context = Context(ledger.today(), actor.id, actor.office.value)
    return Envelope(command, header, context, looks=looks, guard=guard_of(actor, ledger.id))


async def open_access(
    ledger: Ledger,
    reader: Reader,
    resource: Resource,
    *,
    students: Sequence[UUID],
    categories: Sequence[str],
    course_id: UUID | None = None,
    group_id: UUID | None = None,
    named: bool | None = None,
    refused: Sequence[UUID] | None = None,
) -> Disclosure:
    """Records the access, waits for its commit and returns the receipt that opens the data.

    Args:
        named: whether who asks has named the students; by default, where it is about no course and no group.
        refused: whom a refusal concerns, where that are not the same.

    Raises:
        Forbidden: the policy refused; the refusal is recorded.
        NotFound: what was asked for does not exist, or who asks may not know whether the student does (recorded).
    """
    command = OpenAccess(
        school=ledger.id,
        reader=reader,
        resource=resource,
        students=tuple({one.int: one for one in students}.values()),
        categories=tuple(categories),
        course_id=course_id,
        group_id=group_id,
        named=bool(students) and course_id is None and group_id is None if named is None else named,
        refused=None if refused is None else tuple(refused),
    )
    clock = asyncio.get_running_loop()
    began = clock.time()
    actor = reader.actor
    recorded = await ledger.executor.execute(_envelope(ledger, reader, command))
    granted = recorded.events[0].topic == AccessOpened.TOPIC
    decision = command.said[-1]
    ledger.telemetry.metrics.disclosures.recorded(
        decision.policy, reader.channel, resource.value, granted=granted, students=len(command.students)
    )
    if recorded.events[0].topic == AccessRefused.TOPIC and isinstance(decision, Denied):
        if command.named and decision.hidden:
            await keep_pace(began)
            raise no_such("student")
        raise Forbidden(
            decision.reason, help="The refusal was recorded. Ask the director if you need access by your office."
        )
    if not granted:
        raise UndisclosedAccess("The disclosure was not recorded as such.", help="Report this fault.")
    return mint(command.access_id, actor.id, command.students, command.categories, recorded)


async def refuse_unknown(ledger: Ledger, reader: Reader, resource: Resource) -> None:
    """Records that somebody asked for what is not there, if they may not know whether it is; otherwise nothing.

    For what is looked up before it is known whose it is (a foreign id, a mark): the caller answers both alike.
    """
    with suppress(NotFound):
        await open_access(ledger, reader, resource, students=(), categories=(), named=True)


async def keep_pace(began: float) -> None:
    """Returns at the next multiple of PACE_S after `began` (loop's clock): how long it took shall tell nothing."""
    passed = asyncio.get_running_loop().time() - began
    await asyncio.sleep(ceil(passed / PACE_S) * PACE_S - passed)
