"""A student's record classes with their terms, computed from the file plan on the day of asking."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.aggregates.file_plan import due
from ledger.aggregates.student.consents import all_ended_on
from ledger.application.disclose.gate import Reader, open_access
from ledger.application.disclose.opening import look, open_rows, table
from ledger.application.disclose.past import past_of_student
from ledger.application.disclose.representation import lane_of
from ledger.application.disclose.shown import Retention, RetentionLine
from ledger.policy.offices import SPEAKING
from ledger.policy.reading import Resource
from ledger.projections.query import reached
from ledger.projections.retention import queries
from ledger.streams.record_classes import STUDENT_CLASSES, RecordClass

if TYPE_CHECKING:
    from datetime import date

    from ledger.application.ledger import Ledger

VIEW = "retention"
CATEGORIES = STUDENT_CLASSES
"""The rows tell of every class that it exists and since when; they hold nothing of its content."""
CONSENTS = (RecordClass.PERSONAL_FILE, RecordClass.CONSENTS)
"""What says until when consents hold; the birth date is part of it."""


async def read_retention(ledger: Ledger, reader: Reader, student_id: UUID, *, min_position: int = 0) -> Retention:
    """Returns the terms of a student's records.

    To students and representatives not those of requests: how many there are, and since when, tells one of a family
    what another one has asked for.

    Raises:
        Forbidden: the policy refused (recorded). NotFound: no such student.
    """
    receipt = await open_access(ledger, reader, Resource.RETENTION, students=[student_id], categories=CATEGORIES)
    classes, clocks = table(ledger, VIEW, "classes"), table(ledger, VIEW, "clocks")
    class_rows, clock_rows, [(position,)] = await look(
        ledger,
        (VIEW,),
        queries.rows_of(classes, [student_id]),
        queries.rows_of(clocks, [student_id]),
        reached(ledger.database, [ledger.view(VIEW)]),
        min_position=min_position,
    )
    completed = file_released = portfolio_released = None
    for _, row in await open_rows(ledger, receipt, clocks, clock_rows):
        completed, file_released, portfolio_released = cast("tuple[date | None, date | None, date | None]", row.clear)
    released = {
        RecordClass.PERSONAL_FILE: file_released,
        RecordClass.ACHIEVEMENTS: portfolio_released,
    }
    today = ledger.today()
    consents = await past_of_student(ledger, receipt, student_id, position, classes=CONSENTS)
    consents_ended = all_ended_on(lane_of(consents.facts, student_id))
    lines: dict[RecordClass, RetentionLine] = {}
    for key, row in await open_rows(ledger, receipt, classes, class_rows):
        record_class = RecordClass(str(key[1]))
        if record_class is RecordClass.REQUESTS and reader.actor.office in SPEAKING:
            continue
        last_on, events = cast("tuple[date, int]", row.clear)
        term = due(
            record_class,
            last_on=last_on,
            completed_on=completed,
            released_on=released.get(record_class),
            ended_on=consents_ended,
        )
        lines[record_class] = RetentionLine(
            record_class.value,
            list(term.carriers),
            last_on,
            events,
            term.status,
            term.due_on,
            term.destroy_by,
            term.eligible(today),
            list(term.sources),
        )
    ordered = [lines[record_class] for record_class in STUDENT_CLASSES if record_class in lines]
    return Retention(student_id, completed, ordered, position, receipt.access_id)
