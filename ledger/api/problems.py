"""Problems (RFC 9457): every answer from 400 up is `application/problem+json` with a stable code and what to do.

Nothing that was submitted or stored is echoed: of a validation error only the place, in names of ours, and the rule are
told. What was not foreseen is a 500 that shows no internals; the log has its kind and place under the request's id, and
not its message, which may quote a value.
"""

from __future__ import annotations

import traceback
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ledger import errors
from ledger.api.limits import TooManyRequests
from ledger.api.service import request_id_of, service_of
from ledger.application.acting import TurnedAway
from ledger.application.readiness import Part
from ledger.errors import InvalidInput, LedgerError, Refused
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastapi import FastAPI

logger = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100
"""Fields that a problem names: whoever sends a mebibyte of wrong ones shall not get seven back."""


class BadRequest(InvalidInput):
    """The request cannot be read at all: broken JSON, a missing key, a cursor that is none of ours."""

    def __init__(self, code: str, detail: str, *, help: str) -> None:  # noqa: A002 - as the base class names it
        super().__init__(detail, help=help)
        self.code = code


class TooLarge(InvalidInput):
    """The body is larger than a request may be."""

    code = "body-too-large"


class UnsupportedMedia(InvalidInput):
    """The body is not JSON by its own account."""

    code = "media-type"


class NotAcceptable(InvalidInput):
    """None of the media types that the client takes is one that this address has."""

    code = "not-acceptable"


class SlowBody(InvalidInput):
    """The body did not come in time."""

    code = "body-timeout"


class EarlierLineFailed(InvalidInput):
    """A line of a bulk request needs what an earlier one did not make."""

    code = "earlier-line-failed"


class FieldError(msgspec.Struct):
    """A field that cannot be used: where it stands and which rule it breaks."""

    field: str
    code: str
    message: str


class InvalidFields(InvalidInput):
    """Fields of a request break the rules of its form; each is named, of very many the first."""

    def __init__(self, fields: Sequence[FieldError]) -> None:
        first = fields[0]
        more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
        super().__init__(f"{first.field}: {first.message}{more}", help="Nothing was recorded; /docs shows every field.")
        self.fields = list(fields[:MAX_ERRORS])


class ViolationShown(msgspec.Struct):
    """A rule of the school that the command would break."""

    code: str
    message: str
    student_id: str | None


class Problem(msgspec.Struct, omit_defaults=True):
    """A problem (RFC 9457). `code` is stable and for machines; `detail` and `help` are for people."""

    type: str
    title: str
    status: int
    detail: str
    help: str
    code: str
    request_id: UUID
    violations: list[ViolationShown] = []
    errors: list[FieldError] = []
    parts: list[Part] = []


_STATUS: Mapping[type[LedgerError], int] = {
    BadRequest: 400,
    SlowBody: 408,
    TooLarge: 413,
    UnsupportedMedia: 415,
    TooManyRequests: 429,
    NotAcceptable: 406,
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Refused: 422,
    errors.Forbidden: 403,
    errors.Unauthenticated: 401,
    errors.KeyReused: 422,
    EarlierLineFailed: 424,
    errors.PreconditionFailed: 412,
    errors.PreconditionRequired: 428,
    errors.Busy: 503,
    errors.StoreUnavailable: 503,
    errors.OutcomeUnknown: 503,
    errors.HistoryAlarm: 503,
    errors.Erased: 410,
    errors.NewerEvent: 503,
}

_PASSING = (errors.Busy, errors.StoreUnavailable, errors.OutcomeUnknown)
"""What may be over in a second: the client is told to try again."""


FOREIGN = "/v1/data-tracker/"
"""Addresses of a protocol that is not ours: 400 is its word for a query that cannot be understood."""


def status_at(path: str, error: LedgerError) -> int:
    """Returns the HTTP status of an error at an address."""
    if path.startswith(FOREIGN) and isinstance(error, InvalidInput):
        return HTTPStatus.BAD_REQUEST
    return status_of(error)


def status_of(error: LedgerError) -> int:
    """Returns the HTTP status of an error; what is not foreseen for clients is a 500."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def problem(
    request_id: UUID,
    status: int,
    code: str,
    detail: str,
    *,
    help: str = "",  # noqa: A002 - the member's name
    headers: Mapping[str, str] | None = None,
    violations: Sequence[ViolationShown] = (),
    fields: Sequence[FieldError] = (),
    parts: Sequence[Part] = (),
) -> Response:
    """Returns the answer that tells of a problem."""
    body = Problem(
        f"urn:ledger:problem:{code}",
        HTTPStatus(status).phrase,
        status,
        detail,
        help,
        code,
        request_id,
        list(violations),
        list(fields),
        list(parts),
    )
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def answer_error(request: Request, error: LedgerError) -> Response:
    """Returns the problem of one of the ledger's own errors."""
    status = status_at(request.url.path, error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unauthenticated):
        named = ', error="invalid_token"' if "authorization" in request.headers else ""
        headers["WWW-Authenticate"] = f'Bearer realm="ledger"{named}'
    elif isinstance(error, _PASSING):
        headers["Retry-After"] = str(error.retry_after if isinstance(error, errors.Busy) else 1)
    elif isinstance(error, TooManyRequests):
        headers |= {"Retry-After": str(error.retry_s), **error.standing.headers()}
    elif isinstance(error, TooLarge | SlowBody):
        headers["Connection"] = "close"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, errors.Busy):
        log_fault(error, request_id_of(request))
    violations: list[ViolationShown] = []
    if isinstance(error, Refused):
        violations = [ViolationShown(found.code, found.message, found.student_id) for found in error.violations]
    fields = error.fields if isinstance(error, InvalidFields) else []
    return problem(
        request_id_of(request),
        status,
        error.code,
        error.detail,
        help=error.help,
        headers=headers,
        violations=violations,
        fields=fields,
    )


async def answer_refusal(request: Request, error: LedgerError) -> Response:
    """Returns the problem of an error, once it is recorded who was turned away; or of what kept it from being so."""
    if isinstance(error, TurnedAway):
        try:
            await service_of(request).door.turn_away(error)
        except LedgerError as failed:
            error = failed
    return answer_error(request, error)


def answer_too_slow(request_id: UUID, seconds: float) -> Response:
    """Returns the answer to a request that took too long; what it had queued is recorded all the same."""
    return problem(
        request_id,
        503,
        "request-timeout",
        f"The request was not answered within {seconds:g} seconds.",
        help="Ask GET /v1/commands/{key} what became of it, or send it again with the same key.",
        headers={"Retry-After": "1"},
    )


def answer_fault(request_id: UUID, error: Exception) -> Response:
    """Logs an error that nobody foresaw, without its message, and returns a problem that shows nothing of it."""
    log_fault(error, request_id)
    return problem(
        request_id,
        500,
        "internal",
        "Something went wrong in the ledger.",
        help="Try again with the same Idempotency-Key; if it stays, report the request_id to the operator.",
    )


def log_fault(error: BaseException, request_id: UUID) -> None:
    """Logs the kinds and places of an error and its causes."""
    told: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(told) < 5:  # noqa: PLR2004 - deeper chains tell nothing new
        frames = traceback.extract_tb(cause.__traceback__)[-6:]
        places = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
        told.append(f"{type(cause).__qualname__} at {places or '?'}")
        cause = cause.__cause__ or cause.__context__
    logger.error("request failed", request_id=str(request_id), why="; caused by ".join(told))


# --- validation ------------------------------------------------------------------------------------------------------

_MESSAGES: Mapping[str, str] = {
    "missing": "is required.",
    "string_too_short": "needs at least {min_length} characters.",
    "string_too_long": "has more than {max_length} characters.",
    "string_pattern_mismatch": "must match {pattern}.",
    "too_short": "needs at least {min_length} items.",
    "too_long": "has more than {max_length} items.",
    "greater_than_equal": "must be {ge} or more.",
    "greater_than": "must be more than {gt}.",
    "less_than_equal": "must be {le} or less.",
    "less_than": "must be less than {lt}.",
    "decimal_max_digits": "has more than {max_digits} digits.",
    "decimal_max_places": "has more than {decimal_places} decimals.",
    "extra_forbidden": "has a field that this request does not know.",
    "model_type": "must be a JSON object.",
    "timezone_aware": "needs a time zone, such as Z or +03:00.",
}
_KINDS: Mapping[str, str] = {
    "uuid": "must be a UUID.",
    "date": "must be a date, such as 2025-09-01.",
    "datetime": "must be a time with its zone, such as 2025-09-01T08:00:00Z.",
    "decimal": "must be a decimal number.",
    "int": "must be a whole number.",
    "string": "must be a string.",
    "bool": "must be true or false.",
    "tuple": "must be an array.",
    "list": "must be an array.",
}
_RULES = frozenset({"min_length", "max_length", "pattern", "ge", "gt", "le", "lt", "max_digits", "decimal_places"})
"""Members of an error's context that come from our own form, never from what was sent."""


def field_error(found: Mapping[str, Any]) -> FieldError:
    """Returns what may be told of one error of pydantic: its place and rule, never the value."""
    code, place = str(found["type"]), list(found["loc"])
    if code == "extra_forbidden":
        place.pop()  # the name of an unknown field was made up by the sender
    rules = {name: value for name, value in (found.get("ctx") or {}).items() if name in _RULES}
    text = _MESSAGES.get(code)
    if text is None:
        text = _KINDS.get(code.split("_", 1)[0], "cannot be used.")
    try:
        message = text.format(**rules)
    except KeyError:
        message = "cannot be used."
    return FieldError(".".join(str(part) for part in place) or "body", code, message)


def install(
    app: FastAPI,
    methods_of: Callable[[str], Sequence[str]],
    admit: Callable[[Request], None],
    charge: Callable[[Request, LedgerError], None],
) -> None:
    """Makes the application answer every error with a problem.

    Args:
        app: the application.
        methods_of: tells which methods a path has, for the `Allow` header of a 405.
        admit: raises what is wrong with a request's token, where it needs one: nobody without is told what else is.
        charge: has the client pay for what was refused.
    """

    async def on_ledger_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, LedgerError):
            raise error
        charge(request, error)
        return await answer_refusal(request, error)

    async def on_invalid(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        told: LedgerError = InvalidFields([field_error(found) for found in error.errors()])
        try:
            admit(request)
        except LedgerError as refused:
            told = refused
        return await answer_refusal(request, told)

    async def on_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.NOT_FOUND:
            code, detail = "no-such-route", "There is nothing under this address."
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            code, detail = "method-not-allowed", "This address does not take this method."
            headers["Allow"] = ", ".join(methods_of(request.url.path))
        else:
            code, detail = "http-error", "The request cannot be answered."
        return problem(
            request_id_of(request), error.status_code, code, detail, help="/docs lists what there is.", headers=headers
        )

    app.add_exception_handler(LedgerError, on_ledger_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, _leave_to_the_boundary)


async def _leave_to_the_boundary(_request: Request, error: Exception) -> Response:
    """Raises what nobody foresaw again; the framework would answer it in a way of its own."""
    raise error
