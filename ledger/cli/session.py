"""What commands and workers begin with: settings, a foundation, a ledger on an event loop, who is at the keyboard."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import uvloop

from ledger.bootstrap import foundation, open_ledger
from ledger.collector import collect_seldom
from ledger.errors import SettingsError
from ledger.ids import new_id
from ledger.settings import Settings, read_settings
from ledger.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from ledger.application.ledger import Ledger
    from ledger.bootstrap import Foundation

T = TypeVar("T")


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
    collect_seldom()
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
    from ledger.cli.console import bars  # noqa: PLC0415 - workers show none, and it takes longer to load than they do

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
