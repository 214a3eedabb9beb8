"""The finder gives a request to the route that the framework would have given it to, and leaves the rest to it."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Match

from ledger.api.finding import Finder
from tests.support.document import the_app

FIRST, *OTHERS = the_app().router.routes
ALL = [context.original_route for context in iter_route_contexts(OTHERS)]
ROUTES = [route for route in ALL if isinstance(route, APIRoute)]
"""Every route of the application, in the order in which the framework tries them."""
SELDOM = {"/docs/{name}", "/openapi.json"}
"""What the framework finds without help."""
AN_ID = "019a0000-0000-7000-8000-000000000005"


def scope(path: str, method: str) -> dict[str, object]:
    return {"type": "http", "path": path, "method": method, "headers": []}


def method_of(route: APIRoute) -> str:
    return min(route.methods or ())


def address(route: APIRoute) -> str:
    values = {name: "7" if "position" in name or name == "size" else AN_ID for name in route.param_convertors}
    return route.path_format.format(**values)


def test_finder_stands_before_all_other_routes_and_knows_what_kind_they_are() -> None:
    assert isinstance(FIRST, Finder)
    assert ROUTES == ALL
    assert len(ROUTES) > 40
    assert {route.path for route in ROUTES} > SELDOM


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{method_of(route)} {route.path}")
def test_every_route_is_found_as_by_trying_all_of_them(route: APIRoute) -> None:
    asked = scope(address(route), method_of(route))
    first = next(other for other in ROUTES if other.matches(dict(asked))[0] is Match.FULL)
    match, found = FIRST.matches(asked)
    if route.path in SELDOM:
        assert (match, first) == (Match.NONE, route)
    else:
        assert match is Match.FULL
        assert found["route"] is first


@pytest.mark.parametrize(
    ("path", "method"),
    [("/v1/marks", "GET"), ("/v1/marks/", "POST"), ("/v1", "GET"), ("/", "POST"), ("//marks", "POST")],
)
def test_what_no_route_takes_is_left_to_the_framework(path: str, method: str) -> None:
    assert FIRST.matches(scope(path, method)) == (Match.NONE, {})
