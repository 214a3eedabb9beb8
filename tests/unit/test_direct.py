"""What is answered past the framework is what the framework would have found, and reads its header fields alike."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.routing import Match

from ledger.api.direct import Direct, Fields
from tests.support.document import the_app

ALL = [context.original_route for context in iter_route_contexts(the_app().router.routes[1:])]
ROUTES = [route for route in ALL if isinstance(route, APIRoute)]
DIRECT = Direct(ROUTES)

NAMES = st.sampled_from(["if-match", "If-Match", "prefer", "accept", "Idempotency-Key"])
RAW = st.lists(st.tuples(NAMES.map(lambda name: name.lower().encode()), st.binary(max_size=8)), max_size=6)


def asked(path: str, method: str) -> dict[str, object]:
    return {"type": "http", "path": path, "method": method, "headers": []}


@pytest.mark.parametrize("path", ["/v1/marks", "/v1/lessons", "/v1/students"])
def test_recording_routes_are_answered_at_once(path: str) -> None:
    assert DIRECT.find(asked(path, "POST")) is not None


def test_only_what_the_framework_finds_by_the_same_address_is_answered_at_once() -> None:
    for route in ROUTES:
        method = min(route.methods or ())
        found = DIRECT.find(asked(route.path, method)) is not None
        first = next(other for other in ROUTES if other.matches(asked(route.path, method))[0] is Match.FULL)
        if found:
            assert first is route
        parameters = route.dependant.path_params + route.dependant.query_params + route.dependant.header_params
        assert not (found and parameters)


@pytest.mark.parametrize(("path", "method"), [("/v1/marks", "GET"), ("/v1/marks", "HEAD"), ("/v1/marks/", "POST")])
def test_everything_else_is_left_to_the_framework(path: str, method: str) -> None:
    assert DIRECT.find(asked(path, method)) is None


@given(RAW, NAMES)
def test_fields_are_read_as_the_frameworks_headers(raw: list[tuple[bytes, bytes]], name: str) -> None:
    ours, theirs = Fields(raw), Headers(raw=raw)
    assert ours.getlist(name) == theirs.getlist(name)
    assert (name in ours) == (name in theirs)
    assert ours.get(name, "none") == theirs.get(name, "none")
    assert ours.items() == theirs.items()
    assert ours == theirs
