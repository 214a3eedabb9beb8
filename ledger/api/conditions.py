"""What a request demands and prefers by its headers: If-Match, If-None-Match (RFC 9110 13.1), Prefer (RFC 7240).

A precondition is read strictly, since one that is misread would let a change through that its sender meant to hold
back. A preference is read leniently, as its RFC asks: what is not understood is not honoured, and nobody is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ledger.api.problems import BadRequest
from ledger.application.tags import Tags

if TYPE_CHECKING:
    from starlette.requests import Request

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
MAX_TAGS = 100
MAX_WAIT_S = 10

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_BETWEEN = re.compile(r"[ \t]*(?:,[ \t]*)*")
_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))+', re.DOTALL)
"""A quote that does not end goes on to the end: looked for once, where it begins, however many there are."""
_RETURN, _WAIT = (
    re.compile(rf'[ \t]*{name}[ \t]*=[ \t]*("?)({values})\1[ \t]*(?:;.*)?', re.IGNORECASE | re.DOTALL)
    for name, values in (("return", "minimal|representation"), ("wait", "[0-9]{1,9}"))
)
_NAME = re.compile(r"[ \t]*([^=; \t]*)")


def tags_of(request: Request, header: str) -> Tags | None:
    """Returns the tags of a conditional header, None where it was not sent.

    Raises:
        BadRequest: it is not of the form of its RFC.
    """
    lines = request.headers.getlist(header)
    return read_tags(", ".join(lines), header) if lines else None


def read_tags(value: str, header: str) -> Tags:
    """Returns the tags of a header's value: `*`, or tags by commas, of which some may be empty (RFC 9110 5.6.1.2).

    Raises:
        BadRequest: it is something else, names nothing, or has more than MAX_TAGS tags.
    """
    if value.strip(" \t") == "*":
        return Tags(any=True)
    listed: list[str] = []
    at, apart = _after(value, 0), True
    while apart and len(listed) <= MAX_TAGS and (found := _TAG.match(value, at)):
        listed.append(found.group())
        at = _after(value, found.end())
        apart = "," in value[found.end() : at]
    if at < len(value) or not 0 < len(listed) <= MAX_TAGS:
        raise BadRequest(
            "precondition",
            f"{header} cannot be read.",
            help=f'Send the ETag that you were given, with its quotes, such as "m12"; up to {MAX_TAGS}, or `*`.',
        )
    return Tags(tuple(listed))


def _after(value: str, at: int) -> int:
    """Returns where the blanks and commas that begin at `at` end."""
    found = _BETWEEN.match(value, at)
    return found.end() if found is not None else at


def preferred_return(request: Request) -> str | None:
    """Returns what the client would like to get back of a command: `minimal`, `representation` or nothing said."""
    return read_return(", ".join(request.headers.getlist("prefer")))


def read_return(value: str) -> str | None:
    """Returns the `return` preference of a Prefer header; the first one counts (RFC 7240 2), others are ignored."""
    return _first(value, "return", _RETURN)


def preferred_wait(request: Request) -> int:
    """Returns how many seconds the client would like a command's receipts to be waited for; 0: not at all."""
    return read_wait(", ".join(request.headers.getlist("prefer")))


def read_wait(value: str) -> int:
    """Returns the `wait` preference of a Prefer header (RFC 7240 4.3), at most MAX_WAIT_S."""
    return min(int(_first(value, "wait", _WAIT) or 0), MAX_WAIT_S)


def _first(header: str, name: str, form: re.Pattern[str]) -> str | None:
    """Returns the value of the first preference of a name, None where there is none that can be honoured."""
    for preference in _PREFERENCE.findall(header):
        called = _NAME.match(preference)
        if called is not None and called[1].lower() == name:
            found = form.fullmatch(preference)
            return found[2].lower() if found is not None else None
    return None
