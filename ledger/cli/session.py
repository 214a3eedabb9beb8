"""What most commands begin with: settings, a foundation, a ledger on an event loop, and who is at the keyboard."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer
import uvloop

from ledger.application.disclose.gate import Reader
from ledger.application.disclose.students import find_student
from ledger.bootstrap import foundation, open_ledger
from ledger.cli.console import bars
from ledger.errors import SettingsError
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from ledger.settings import Settings, read_settings
from ledger.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from ledger.application.ledger import Ledger
    from ledger.bootstrap import Foundation

T = TypeVar("T")

CHANNEL = "cli"
SPEAKING = frozenset({Office.STUDENT, Office.REPRESENTATIVE})
"""Offices that speak for named students: they use the service, with a token, and not its operator's shell."""


@contextmanager
def opened(
    settings: Settings | None = None, *, making: bool = False, migrating: bool | None = None, process: str = "cli"
) -> Iterator[Foundation]:
    """Yields the foundation.

    Args:
        settings: from the environment unless given.
        making: make an embedded ledger where there is none yet.
        process: what this process is called in its log.
        migrating: an embedded database is migrated on the way unless told otherwise; one on a server is not, because
            that takes its owner (`ledger migrate`, `ledger serve`).

    Raises:
        LedgerError: a setting cannot be used, or the database does not answer.
    """
    settings = settings or read_settings()
    configure(settings.log_level, settings.log_format, process=process)
    if not making:
        check_there(settings)
    if migrating is None:
        migrating = settings.database_url is None
    with foundation(settings, migrating=migrating, process=process) as base:
        yield base


def check_there(settings: Settings) -> None:
    """Refuses to look at a ledger that is not there: in a new one, made by a mistyped LEDGER_HOME, all would be well.

    Raises:
        SettingsError: the settings mean an embedded ledger, and there is none in the home.
    """
    if settings.database_url is None and not (settings.home / "postgres").is_dir():
        raise SettingsError(
            f"There is no ledger in {settings.home}.",
            help="`ledger serve` or `ledger demo` makes one; LEDGER_HOME names the folder of another.",
        )


def with_ledger(base: Foundation, work: Callable[[Ledger], Awaitable[T]]) -> T:
    """Runs a use case on an event loop of its own and returns what it returns."""

    async def run() -> T:
        async with open_ledger(base) as ledger:
            return await work(ledger)

    return uvloop.run(run())


def catch_up(base: Foundation) -> int:
    """Brings the views to what is recorded, with a bar, and returns that position."""
    with bars() as shown:
        position = base.runner().catch_up(shown.follow("представления / views"))
        shown.fill()
    return position


def operator_id(settings: Settings) -> UUID:
    """Returns the stable opaque id under which the present user of this machine acts.

    It is made once and kept in the home by the user's number; the ledger never learns a name.

    Raises:
        SettingsError: it can be neither read nor kept.
    """
    path = settings.home / "operators" / str(os.getuid())
    try:
        if not path.exists():
            _keep(path, str(new_id()))
        return UUID(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Your id cannot be kept in {path}.", help="Name yourself: --actor <uuid>, or mend the file."
        ) from error


def _keep(path: Path, text: str) -> None:
    """Writes a file whole or not at all; of several who do this at once one wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{new_id().hex}")
    fresh.write_text(text + "\n", encoding="ascii")
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        return
    finally:
        fresh.unlink()


# --- arguments that several commands have ---------------------------------------------------------------------------


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
    return Reader(Actor(actor or operator_id(settings), office), CHANNEL)
