"""What is answered past the framework is what the framework would have found, with what it would have read."""

from __future__ import annotations

import asyncio
from functools import partial, wraps
from inspect import signature
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import quote
from uuid import UUID

import pytest
from fastapi import FastAPI, Query
from fastapi.routing import APIRoute, iter_route_contexts
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from ledger.api.boundary import Boundary
from ledger.api.direct import Direct, Fields
from ledger.telemetry.parts import Telemetry
from tests.support.document import the_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from starlette.types import ASGIApp

APP = the_app()
ALL = [context.original_route for context in iter_route_contexts(APP.router.routes[1:])]
ROUTES = [route for route in ALL if isinstance(route, APIRoute)]
DIRECT = cast("Direct", cast("Any", APP).boundary._direct)
"""What the application's own boundary asks first."""
AN_ID = "019a0000-0000-7000-8000-000000000005"

NAMES = st.sampled_from(["if-match", "If-Match", "prefer", "accept", "Idempotency-Key"])
RAW = st.lists(st.tuples(NAMES.map(lambda name: name.lower().encode()), st.binary(max_size=8)), max_size=6)


def asked(path: str, method: str, query: str = "") -> dict[str, Any]:
    return {"type": "http", "path": path, "method": method, "query_string": query.encode(), "headers": []}


def address(route: APIRoute) -> str:
    """Returns an address of the route whose ids can be read."""
    values = {name: "7" if "position" in name else AN_ID for name in route.param_convertors}
    return route.path_format.format(**values)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/marks", "POST"),
        ("/v1/lessons", "POST"),
        (f"/v1/students/{AN_ID}/marks/{AN_ID}/corrections", "POST"),
        (f"/v1/journals/{AN_ID}", "GET"),
        (f"/v1/courses/{AN_ID}/works", "GET"),
        (f"/v1/students/{AN_ID}", "GET"),
        (f"/v1/students/{AN_ID}/courses/{AN_ID}/period-marks", "GET"),
        (f"/v1/students/{AN_ID}/portfolio", "GET"),
        ("/v1/events/7", "GET"),
        ("/v1/school", "GET"),
    ],
)
def test_recordings_and_readings_are_answered_at_once(path: str, method: str) -> None:
    assert DIRECT.find(asked(path, method)) is not None
    assert DIRECT.find(asked(path, method, "min_position=5")) is not None


def test_page_is_answered_at_once_whatever_can_be_asked_of_it() -> None:
    query = (
        f"limit=20&cursor={AN_ID}&min_position=5&at_position=9&known_at=2025-10-01T08:00:00Z&effective_on=2025-10-01"
    )
    assert DIRECT.find(asked(f"/v1/journals/{AN_ID}", "GET", query)) is not None


def test_most_routes_are_answered_at_once() -> None:
    found = [route for route in ROUTES if DIRECT.find(asked(address(route), min(route.methods or ())))]
    assert len(found) > 0.8 * len(ROUTES)


def test_only_what_the_framework_finds_by_the_same_address_is_answered_at_once() -> None:
    for route in ROUTES:
        scope = asked(address(route), min(route.methods or ()))
        first = next(other for other in ROUTES if other.matches(dict(scope))[0] is Match.FULL)
        found = DIRECT.find(scope)
        if found is not None:
            assert first is route
            assert isinstance(found, partial)  # of the way to this function
            assert not route.dependant.header_params + route.dependant.body_params


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/marks", "GET"),
        ("/v1/marks", "HEAD"),
        ("/v1/marks/", "POST"),
        (f"/v1/journals/{AN_ID}", "HEAD"),
        (f"/v1/journals/{AN_ID}", "POST"),
        (f"/v1/journals/{AN_ID}/", "GET"),
        (f"/v2/journals/{AN_ID}", "GET"),
        (f"*/v1/journals/{AN_ID}", "GET"),
        (f"x/v1/journals/{AN_ID}", "GET"),
        (f"//v1/journals/{AN_ID}", "GET"),
        (f"/v1/journals/x{AN_ID}", "GET"),
        ("/v1/journals/", "GET"),
        ("/v1/journals", "GET"),
        ("/v1/events/0", "GET"),
        ("*", "OPTIONS"),
        ("", "GET"),
    ],
)
def test_everything_else_is_left_to_the_framework(path: str, method: str) -> None:
    assert DIRECT.find(asked(path, method)) is None


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=51", "limit=x", "limit=", "min_position=-1", "known_at=2025-10-01"]
)
def test_page_whose_parameters_cannot_be_read_is_left_to_the_framework(query: str) -> None:
    assert DIRECT.find(asked(f"/v1/journals/{AN_ID}", "GET", query)) is None


async def takes_several(request: Request, ids: Annotated[list[UUID], Query(default_factory=list)]) -> Response:
    return Response(f"{request.method} {ids}")


async def takes_one(request: Request, an_id: UUID | None = None) -> Response:
    return Response(f"{request.method} {an_id}")


@pytest.mark.parametrize(("function", "plain"), [(takes_one, True), (takes_several, False)])
def test_function_of_several_values_is_left_to_the_framework(function: Callable[..., object], *, plain: bool) -> None:
    found = Direct([APIRoute("/v1/ids", function, methods=["GET"])]).find(asked("/v1/ids", "GET"))
    assert (found is not None) is plain


# --- the same arguments ----------------------------------------------------------------------------------------------


def echoing(route: APIRoute) -> Callable[..., Awaitable[Response]]:
    """Returns a function of the route's own signature that answers with what it was called with."""

    @wraps(route.endpoint)
    async def echo(*given: Request, **named: object) -> Response:
        taken = signature(route.endpoint).bind(*given, **named).arguments
        known = {name: value for name, value in taken.items() if name != route.dependant.request_param_name}
        return Response(f"{route.path} {sorted(known.items())!r}")

    return echo


def an_echo() -> tuple[FastAPI, Direct]:
    """Returns an application of all routes that echoes, and what answers past it."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for route in ROUTES:
        app.add_api_route(route.path, echoing(route), methods=[*(route.methods or ())], response_model=None)
    app.state.service = SimpleNamespace(identity=None)
    return app, Direct(route for route in app.routes if isinstance(route, APIRoute))


ECHO, PAST_ECHO = an_echo()


async def answered(by: ASGIApp, scope: MutableMapping[str, Any]) -> tuple[int, bytes]:
    """Returns status and body of an answer."""
    told: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    await by(scope, receive, send)
    return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:])


SPELLINGS = [AN_ID.upper(), AN_ID.replace("-", ""), f"{{{AN_ID}}}", f"urn:uuid:{AN_ID}", f"{AN_ID}\n", f" {AN_ID}"]
NUMBERS = ["7", "07", "+7", " 7", "7.0", "7_0", "٧", "0", "-1", "99999999999999999999", "50", "51", "1e1", "5.5", "nan"]
TIMES = ["2025-10-01", "2025-10-01T08:00:00Z", "2025-10-01T08:00:00", "1759305600", "0001-01-01"]
WORDS = ["", "a b", "true", "on", "yes", "null", "None", "overdue", "inf", "1 ", "я"]
IDS = st.sampled_from([AN_ID, *SPELLINGS, *NUMBERS, *WORDS])
VALUES = st.one_of(IDS, st.sampled_from(TIMES), st.text(max_size=5))
QUERY_NAMES = sorted({field.alias for route in ROUTES for field in route.dependant.query_params} | {"unknown", "Limit"})


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Draws a request to some route, more or less well-formed."""
    route = draw(st.sampled_from(ROUTES))
    ids = {name: draw(st.one_of(st.just(AN_ID), st.just("7"), IDS)) for name in route.param_convertors}
    known = [field.alias for field in route.dependant.query_params]
    names = st.sampled_from(known * 5 + QUERY_NAMES) if known else st.sampled_from(QUERY_NAMES)
    pairs = draw(st.lists(st.tuples(names, VALUES), max_size=3))
    query = "&".join(f"{name}={quote(value)}" for name, value in pairs) + draw(
        st.sampled_from(["", "", "&", "&&x", "#"])
    )
    before, behind = (
        draw(st.sampled_from(["", "", "", "", "*", "/"])),
        draw(st.sampled_from(["", "", "", "", "/", "\n"])),
    )
    path = before + route.path_format.format(**ids) + behind
    return asked(path, draw(st.sampled_from(sorted(route.methods or ()))), query)


@given(requests())
@example(asked(f"/v1/journals/{AN_ID}", "GET", "limit=1&limit=50"))
def test_functions_are_called_with_what_the_framework_would_have_called_them_with(scope: dict[str, Any]) -> None:
    past = PAST_ECHO.find(scope)
    if past is not None:
        ours = asyncio.run(answered(past, {**scope, "app": ECHO, "state": {}}))
        assert ours == asyncio.run(answered(ECHO, {**scope, "state": {}}))
        assert ours[0] == 200


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods or ())} {route.path}")
def test_plain_request_is_answered_alike(route: APIRoute) -> None:
    scope = asked(address(route), min(route.methods or ()))
    past = PAST_ECHO.find(scope)
    assert (past is None) == (DIRECT.find(scope) is None)
    if past is not None:
        ours = asyncio.run(answered(past, {**scope, "app": ECHO, "state": {}}))
        assert ours == asyncio.run(answered(ECHO, {**scope, "state": {}}))


async def nobody(scope: object, receive: object, send: object) -> None:
    pytest.fail("The framework was asked.")


@pytest.mark.parametrize(("path", "method"), [("/v1/marks", "POST"), (f"/v1/journals/{AN_ID}", "GET")])
def test_boundary_does_not_ask_the_framework(path: str, method: str) -> None:
    boundary = Boundary(nobody, Telemetry(), seconds=5, direct=PAST_ECHO)
    status, body = asyncio.run(answered(boundary, asked(path, method) | {"app": ECHO}))
    assert status == 200
    assert body.startswith(path.removesuffix(AN_ID).encode())


@given(RAW, NAMES)
def test_fields_are_read_as_the_frameworks_headers(raw: list[tuple[bytes, bytes]], name: str) -> None:
    ours, theirs = Fields(raw), Headers(raw=raw)
    assert ours.getlist(name) == theirs.getlist(name)
    assert (name in ours) == (name in theirs)
    assert ours.get(name, "none") == theirs.get(name, "none")
    assert ours.items() == theirs.items()
    assert ours == theirs
