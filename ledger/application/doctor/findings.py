"""What the doctor finds: a state, a sentence without a stored value, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How bad it is; `unknown` is what this login, or this machine, may not see."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of one check."""

    check: str
    state: State
    what: str
    help: str = ""


def ok(check: str, what: str) -> Finding:
    """Returns that all is well."""
    return Finding(check, State.OK, what)


def unknown(check: str, what: str, todo: str = "") -> Finding:
    """Returns that it could not be seen."""
    return Finding(check, State.UNKNOWN, what, todo)


def warning(check: str, what: str, todo: str) -> Finding:
    """Returns what should be looked at, and does not hurt yet."""
    return Finding(check, State.WARNING, what, todo)


def problem(check: str, what: str, todo: str) -> Finding:
    """Returns what is wrong."""
    return Finding(check, State.PROBLEM, what, todo)
