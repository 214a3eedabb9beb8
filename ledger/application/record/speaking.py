"""Whose word a command records: that of the student or representative who sends it, or of whom the school names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ledger.aggregates.student.standing import INFORMATION
from ledger.application.record.command import no_such, student
from ledger.errors import Forbidden, Refused, Violation
from ledger.policy.offices import Office

if TYPE_CHECKING:
    from ledger.aggregates.student import StudentRecord
    from ledger.streams.base import Context, Lanes


class Speaker(NamedTuple):
    """Who speaks: their opaque id, which is the student's own where it is the student."""

    person: UUID
    claimed: bool
    """Whether a token vouches for it that they speak for the student."""
    own: bool
    """Whether they speak themselves, with a token of their own."""


def heard(lanes: Lanes, student_id: UUID, by: UUID | None, context: Context) -> tuple[StudentRecord, Speaker]:
    """Returns the student's record, and whose word about them it is.

    Students and representatives speak for themselves and those whom they represent. To anybody else there is no such
    student: that there is one is personal, too. An office names whose word it writes down.

    Raises:
        NotFound: there is no such student, or a student or representative speaks of somebody else.
        Forbidden: they speak in somebody else's name.
        Refused: an office does not say whose word it is.
    """
    record = student(lanes, student_id)
    named = student_id in context.speaks_for
    if context.office == Office.STUDENT:
        mine, person, claimed = named, student_id, False
    elif context.office == Office.REPRESENTATIVE:
        person, claimed = context.actor, named
        mine = record.represented_by(person, INFORMATION, context.today, claimed=claimed)
    else:
        if by is None:
            raise Refused([Violation("by_missing", "Say whose word it is: `by`.", str(student_id))])
        return record, Speaker(by, claimed=False, own=False)
    if not mine:
        raise no_such("student")
    if by not in (None, person, context.actor):
        raise Forbidden("You cannot speak in somebody else's name.", help="Leave `by` out.")
    return record, Speaker(person, claimed, own=True)
