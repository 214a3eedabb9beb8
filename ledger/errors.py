"""What can go wrong, as types: each error carries a stable code, a sentence, and what to do about it.

Rooms raise these; only the edges (HTTP, command line) turn them into status codes and exit codes.
No message carries a stored value, so an error may be shown and logged.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass


class LedgerError(Exception):
    """Base of every error that a user of the ledger can meet.

    Args:
        detail: one sentence, without personal data.
        help: what the reader can do about it.
    """

    code = "ledger-error"

    def __init__(self, detail: str, *, help: str = "") -> None:  # noqa: A002 - the field's name for it in the field's errors
        super().__init__(detail)
        self.detail = detail
        self.help = help

    def __str__(self) -> str:
        return f"{self.detail} {self.help}".strip()


class SettingsError(LedgerError):
    """A setting is missing or unusable; nothing was started."""

    code = "settings"


class InvalidInput(LedgerError):
    """What came in cannot be understood: wrong shape, type or range. Nothing was recorded."""

    code = "invalid-input"


class NotFound(LedgerError):
    """The thing named does not exist in this ledger."""

    code = "not-found"


class Conflict(LedgerError):
    """The thing exists already, or has changed in the meantime."""

    code = "conflict"


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a command would break.

    `code` is stable and machine-readable, `message` is for people, `student_id` says whom it concerns
    where a command is about several students.
    """

    code: str
    message: str
    student_id: str | None = None


class Refused(LedgerError):
    """The command breaks rules of the school; no event was recorded.

    Carries every violation, not the first only: a teacher who records a whole lesson sees all of them at once.
    """

    code = "refused"

    def __init__(self, violations: list[Violation]) -> None:
        first = violations[0].message
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first}{more}", help="Nothing was recorded; mend what is named and send it again.")
        self.violations = tuple(violations)


class Forbidden(LedgerError):
    """The actor's office does not allow this, or the purpose does not."""

    code = "forbidden"


class Unauthenticated(LedgerError):
    """No valid token came with the request."""

    code = "unauthenticated"


class KeyReused(LedgerError):
    """The idempotency key was used before, with another request."""

    code = "idempotency-key-reused"


class PreconditionFailed(LedgerError):
    """What the sender has seen is not what stands there now; nothing was recorded."""

    code = "precondition-failed"


class PreconditionRequired(LedgerError):
    """This ledger takes such a change only from those who say which state of the thing they have seen."""

    code = "precondition-required"


class Busy(LedgerError):
    """The queue is full, or a view is behind or being made: try again.

    Args:
        retry_after: in how many seconds.
    """

    code = "busy"

    def __init__(self, detail: str, *, help: str = "", retry_after: int = 1) -> None:  # noqa: A002 - as in the base class
        super().__init__(detail, help=help)
        self.retry_after = retry_after


class StoreUnavailable(LedgerError):
    """The database does not answer; nothing was recorded."""

    code = "store-unavailable"


class OutcomeUnknown(LedgerError):
    """The connection broke while committing and the database cannot be asked yet whether it was committed."""

    code = "outcome-unknown"


class HistoryAlarm(LedgerError):
    """The stored history contradicts what this process has seen (it went back, or the clock did).

    Fatal for the writer: it stops recording until an operator has looked, because going on would hide it.
    """

    code = "history-alarm"


class Unreadable(LedgerError):
    """A stored value cannot be opened: it was altered, its key is missing or is another one."""

    code = "unreadable"


class Erased(Unreadable):
    """The data key was destroyed: the record class has been erased for this student."""

    code = "erased"


class NotProven(LedgerError):
    """A checkpoint, signature, proof or file of a log is not what it should be, or does not prove what it should."""

    code = "not-proven"


class NewerEvent(Unreadable):
    """A newer version of the ledger recorded it; this one stops rather than misread it."""

    code = "newer-event"


class UndisclosedAccess(LedgerError):
    """Somebody tried to open personal data without a committed disclosure that covers it."""

    code = "undisclosed-access"


def trace(error: BaseException) -> str:
    """Returns what kind of error it is and where it came from, for a log.

    Without its message, and those of its causes: an exception of a library may quote the value that it choked on.
    """
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        parts.append(
            f"{type(seen).__module__}.{type(seen).__qualname__}\n" + "".join(traceback.format_tb(seen.__traceback__))
        )
        seen = seen.__cause__ or seen.__context__
    return "caused by ".join(parts)
