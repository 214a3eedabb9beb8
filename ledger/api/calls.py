"""A request on its way into a use case: authenticated, checked and bounded first; only then is its body read.

Reading the body here, instead of by FastAPI, keeps the order (token, key, size, JSON, fields), tells broken JSON from
wrong fields, and validates strictly in one pass over the bytes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from ledger.api.answers import answer_command, show
from ledger.api.conditions import IF_MATCH, IF_NONE_MATCH, preferred_return, preferred_wait, tags_of
from ledger.api.problems import (
    BadRequest,
    FieldError,
    InvalidFields,
    SlowBody,
    TooLarge,
    UnsupportedMedia,
    field_error,
)
from ledger.api.protocol import BODY_IS_HERE
from ledger.api.recordings import RECORDINGS
from ledger.api.security import authenticate
from ledger.api.service import correlation_of, request_id_of, service_of, without_time_limit
from ledger.api.terms import terms_of
from ledger.application.disclose.gate import Reader
from ledger.application.log import wait_for_receipts
from ledger.application.record.command import Request as RecordRequest
from ledger.application.record.command import record
from ledger.application.record.precondition import Precondition
from ledger.errors import LedgerError, PreconditionFailed
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from ledger.api.recordings import Recording
    from ledger.application.ledger import Ledger
    from ledger.application.record.command import RecordingCommand
    from ledger.application.tags import Tags

logger = get_logger(__name__)

MAX_BODY = 1024 * 1024
KEY = "Idempotency-Key"
CHANNEL = "api"

F = TypeVar("F", bound=BaseModel)


class Tagged(Protocol):
    """Something shown that says in which state it was seen."""

    @property
    def etag(self) -> str:
        """Its entity tag, strong or weak."""


@dataclass(frozen=True, slots=True)
class ReadingCall:
    """A GET: who asks, the ledger that is asked, and in which state they have seen it or demand it to be."""

    ledger: Ledger
    reader: Reader
    match: Tags | None = None
    none_match: Tags | None = None

    def show(self, value: Tagged) -> Response:
        """Returns what was read, as JSON; 304 where the reader has it already.

        Raises:
            PreconditionFailed: they ask for a state that it is not in any more (If-Match).
        """
        if self.match is not None and not self.match.match_strongly(value.etag):
            raise PreconditionFailed("It is not in that state.", help="Leave If-Match out to read it as it is.")
        return show(value, value.etag, self.none_match)


async def perform(request: Request, command: type[RecordingCommand], *ids: UUID) -> Response:
    """Records the command of a POST and returns the answer, once it is durable.

    Args:
        request: as it came.
        command: what it asks for; `recordings` has the form that its body must have.
        ids: the ids in its address; they are part of what the idempotency key stands for.

    Raises:
        Unauthenticated, BadRequest, UnsupportedMedia, TooLarge, InvalidFields: in this order.
    """
    recording = RECORDINGS[command]
    actor = authenticate(request)
    key = _key(request)
    ledger = service_of(request).ledger
    required = ledger.settings.require_if_match
    precondition = Precondition(tags_of(request, IF_MATCH), tags_of(request, IF_NONE_MATCH), required)
    if media_type(request) != "application/json":
        raise UnsupportedMedia("The body must be JSON.", help="Send `Content-Type: application/json`.")
    body = await _body(request, ledger.settings.body_seconds)
    form, fields = recording.read(body) or _read_whole(recording, body)
    content = recording.content(ids, fields)
    sent = RecordRequest(
        actor,
        key,
        content,
        request_id=request_id_of(request),
        correlation_id=correlation_of(request),
        precondition=precondition,
    )
    recorded = await record(ledger, recording.make(ledger.id, ids, form), sent)
    seconds = preferred_wait(request)
    positions = [event.position for event in recorded.events]
    receipts = await receipts_of(request, positions, seconds) if seconds else None
    return answer_command(recorded, key, preferred_return(request), seconds, receipts)


def _read_whole(recording: Recording, body: bytes) -> tuple[object, dict[str, object]]:
    form = read_form(recording.form, body)
    return form, form.model_dump(exclude_defaults=True)


async def receipts_of(request: Request, positions: Sequence[int], seconds: int) -> list[bytes] | None:
    """Returns the receipts of what was recorded at these positions (ascending), if they come in time.

    What was recorded is told in any case.
    """
    without_time_limit(request)  # the waiting has its own bound
    try:
        return await wait_for_receipts(service_of(request).ledger, positions, seconds)
    except LedgerError as error:
        logger.warning("What was recorded is answered without its receipts.", code=error.code)
        return None


def ask(request: Request) -> ReadingCall:
    """Returns a GET, ready to read.

    Raises:
        Unauthenticated: there is no valid token.
        InvalidFields: a query parameter is unknown; a misspelled filter must not show everything instead.
        BadRequest: a precondition cannot be read, or the terms of reading.
    """
    actor = authenticate(request)
    check_query(request)
    # Read before anything is disclosed: a header that cannot be read shall not cost a disclosure.
    match, none_match = tags_of(request, IF_MATCH), tags_of(request, IF_NONE_MATCH)
    terms = terms_of(request)
    reader = Reader(
        actor,
        CHANNEL,
        request_id_of(request),
        correlation_id=correlation_of(request),
        recipient=terms.recipient,
        purpose=terms.purpose,
        document=terms.document,
        reason=terms.reason,
    )
    return ReadingCall(service_of(request).ledger, reader, match, none_match)


def check_query(request: Request) -> None:
    """Passes if the route knows every query parameter.

    Raises:
        InvalidFields: it does not.
    """
    if not request.scope["query_string"]:
        return
    route = request.scope["route"].dependant
    known = {field.alias for part in (route, *route.dependencies) for field in part.query_params}
    if not request.query_params.keys() <= known:
        names = ", ".join(sorted(known)) or "none"
        message = f"has a parameter that this address does not know (it knows {names})."
        raise InvalidFields([FieldError("query", "extra_forbidden", message)])


def _key(request: Request) -> str:
    keys = request.headers.getlist(KEY)
    if len(keys) != 1 or not keys[0]:
        raise BadRequest(
            "idempotency-key-missing",
            f"The request needs one {KEY} header.",
            help="Send a new random key, such as a UUID, with each new request, and the same key when you repeat one.",
        )
    return keys[0]


async def _body(request: Request, seconds: float) -> bytes:
    """Returns the body, however it is transferred, if it comes in time.

    Raises:
        SlowBody: it does not. TooLarge: it has more than it may.
    """
    if request.scope["state"].get(BODY_IS_HERE):
        return await _whole_body(request)
    try:
        async with asyncio.timeout(seconds):
            return await _whole_body(request)
    except TimeoutError:
        raise SlowBody(
            f"The body did not come within {seconds:g} seconds.", help="Nothing was recorded; send it again."
        ) from None


async def _whole_body(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    chunks: list[bytes] = []
    if size <= MAX_BODY:
        size = 0
        more = True
        while more and size <= MAX_BODY:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
    if size > MAX_BODY:
        raise TooLarge("The body has more than 1 MiB.", help="Nothing was recorded; send less in one request.")
    return b"".join(chunks)


def media_type(request: Request) -> str:
    """Returns what the body is by its own account, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_form(kind: type[F], body: bytes) -> F:
    """Returns the form that a body holds.

    Raises:
        BadRequest: it is no JSON.
        InvalidFields: every field that breaks a rule is named.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    if any(entry["type"] == "json_invalid" for entry in found):
        raise BadRequest("malformed-json", "The body is not JSON.", help="Nothing was recorded; check its syntax.")
    raise InvalidFields([field_error({**entry, "loc": ("body", *entry["loc"])}) for entry in found])


def cursor_id(cursor: str | None) -> UUID | None:
    """Returns where a list is continued.

    Raises:
        BadRequest: the cursor is none that a list gave out.
    """
    if cursor is None:
        return None
    try:
        found = UUID(cursor)
    except ValueError:
        found = None
    if found is None or str(found) != cursor:
        raise broken_cursor()
    return found


def cursor_position(cursor: str | None) -> int | None:
    """Returns the position at which a register is continued, or raises BadRequest."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):  # noqa: PLR2004 - digits of a position
        raise broken_cursor()
    return int(cursor)


def broken_cursor() -> BadRequest:
    """Returns what is said of a cursor that no list gave out."""
    return BadRequest("cursor", "The cursor is not one of this list.", help="Use `next` of the page before, unchanged.")
