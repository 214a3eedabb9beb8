"""Arguments and options that several commands have, and the reader that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from ledger.application.disclose.gate import Reader
from ledger.application.disclose.students import find_student
from ledger.cli.session import operator_id
from ledger.policy.offices import SPEAKING, Actor, Office
from ledger.store.openings import acting

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.settings import Settings

CHANNEL = "cli"


class StudentName:
    """A student as typed: an id, or source and foreign id."""

    def __init__(self, text: str) -> None:
        self.id: UUID | None = None
        self.source, colon, self.foreign_id = text.partition(":")
        try:
            self.id = UUID(text)
        except ValueError:
            if not (colon and self.source and self.foreign_id):
                message = "give the student's UUID, or SOURCE:FOREIGN_ID such as OULAD:student-11391"
                raise typer.BadParameter(message) from None

    async def find(self, ledger: Ledger, reader: Reader) -> UUID:
        """Returns the student's id; finding somebody by a foreign id is an access of its own, and recorded.

        Raises:
            NotFound: nobody has this foreign id. Forbidden: the office may not look (recorded).
        """
        if self.id is not None:
            return self.id
        return (await find_student(ledger, reader, self.source, self.foreign_id)).student_id


def _staff(office: Office) -> Office:
    """Returns the office, if it is none that speaks for named students: those do not use the operator's shell."""
    if office in SPEAKING:
        message = "students and representatives read through the service, with a token"
        raise typer.BadParameter(message)
    return office


StudentArgument = Annotated[
    StudentName, typer.Argument(metavar="STUDENT", parser=StudentName, help="UUID, or SOURCE:FOREIGN_ID.")
]
OfficeOption = Annotated[Office, typer.Option(callback=_staff, help="Office in which you read; the register names it.")]
ActorOption = Annotated[
    UUID | None, typer.Option(help="Who you are; without it the id kept for you in LEDGER_HOME.", metavar="UUID")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on stdout, nothing else.")]


def reader_of(settings: Settings, office: Office, actor: UUID | None) -> Reader:
    """Returns who reads through the command line."""
    reader = Reader(Actor(actor or operator_id(settings), office), CHANNEL)
    acting.set(reader.actor.id)
    return reader
