"""On which terms somebody reads: purpose, document, recipient and the reason of exceptional access, in headers.

In headers and not in the address, because addresses end up in logs and histories of browsers, and a reason may name
somebody. Headers are ASCII, so texts come percent-encoded (UTF-8), as `encodeURIComponent` makes them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from ledger.api.problems import BadRequest
from ledger.policy.engine import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

PURPOSE, DOCUMENT, RECIPIENT, REASON = (
    "Ledger-Purpose",
    "Ledger-Document",
    "Ledger-Recipient",
    "Ledger-Exceptional-Reason",
)
MAX_TEXT, MAX_REASON, MIN_REASON, MIN_WORDS = 200, 500, 20, 3

_ENCODED = re.compile(r"[\x20-\x7e]*")
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WORD = re.compile(r"\w{2,}")


class Terms(NamedTuple):
    """The terms that a request states; None is what it says nothing of."""

    purpose: Purpose | None
    document: str | None
    recipient: str | None
    reason: str | None


def terms_of(request: Request) -> Terms:
    """Returns the terms of a reading.

    Raises:
        BadRequest: one of them cannot be read, the purpose is not on the list, or the reason is none.
    """
    stated = _text(request, PURPOSE, MAX_TEXT)
    if stated is not None and stated not in set(Purpose):
        raise BadRequest("purpose", "The purpose is not on the list.", help=f"Send one of: {', '.join(Purpose)}.")
    reason = _text(request, REASON, MAX_REASON)
    if reason is not None:
        _check_reason(reason)
        if stated not in (None, Purpose.PROTECTION):
            raise BadRequest(
                "purpose",
                "Exceptional access has a purpose of its own.",
                help=f"Leave out {PURPOSE}, or {REASON} if you do not need exceptional access.",
            )
    return Terms(
        Purpose(stated) if stated is not None else None,
        _text(request, DOCUMENT, MAX_TEXT),
        _text(request, RECIPIENT, MAX_TEXT),
        reason,
    )


def _text(request: Request, name: str, longest: int) -> str | None:
    """Returns the text of a header, None where it is not sent."""
    sent = request.headers.getlist(name)
    if not sent:
        return None
    text = ""
    if len(sent) == 1 and _ENCODED.fullmatch(sent[0]) and not _BROKEN.search(sent[0]):
        try:
            text = " ".join(unquote(sent[0], errors="strict").split())
        except UnicodeDecodeError:
            text = ""
    if not 0 < len(text) <= longest or not text.isprintable():
        raise BadRequest(
            "header",
            f"The header {name} cannot be read.",
            help=f"Send it once, percent-encoded (UTF-8), with 1 to {longest} printable characters.",
        )
    return text


def _check_reason(reason: str) -> None:
    """Passes if the reason says something; whether it is a good one is for those who are told of it."""
    if len(reason) < MIN_REASON or len({word.lower() for word in _WORD.findall(reason)}) < MIN_WORDS:
        raise BadRequest(
            "exceptional-reason",
            "Exceptional access needs a reason in words of your own.",
            help=f"Say what happened and why it cannot wait, in at least {MIN_REASON} characters and {MIN_WORDS} words;"
            " the representatives and the director will read it.",
        )


def _parameter(name: str, description: str, example: str, longest: int) -> Mapping[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 9 * longest}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema} | {
        "example": example
    }


PARAMETERS: tuple[Mapping[str, Any], ...] = (
    {
        "name": PURPOSE,
        "in": "header",
        "required": False,
        "description": (
            "Цель, если она не та, для которой эта должность обычно читает / The purpose, where it is not the one for"
            " which the office ordinarily reads."
        ),
        "schema": {"type": "string", "enum": [purpose.value for purpose in Purpose]},
    },
    _parameter(
        DOCUMENT,
        "Документ, которым сведения запрошены (percent-encoded) / The document that asks for it, percent-encoded.",
        "court%20order%20of%202025-10-01",
        MAX_TEXT,
    ),
    _parameter(
        RECIPIENT,
        "Кому вне школы это идёт (percent-encoded) / To whom outside the school it goes, percent-encoded.",
        "district%20court",
        MAX_TEXT,
    ),
    _parameter(
        REASON,
        "Причина исключительного доступа своими словами (percent-encoded); о нём узнают представители и директор / Why"
        " exceptional access is needed, in your own words, percent-encoded; representatives and director are told.",
        "unconscious%20after%20a%20fall%2C%20parents%20do%20not%20answer",
        MAX_REASON,
    ),
)
"""The headers, as OpenAPI describes them."""
