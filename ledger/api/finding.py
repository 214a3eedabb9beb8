"""Finding the route of a request by the first word of its address, before all routes are tried one after the other.

The framework matches an address against every route until one fits, and does so twice (ADR 0018).
What is not found here (another method, an unknown address) is left to the framework, which answers as ever.

A route whose function takes the request and nothing else is called at once: what the framework does around one (exits
of dependencies, parameters that it does not have) was a seventh of a recorded mark. Errors are answered further out.
"""

from __future__ import annotations

from collections import defaultdict
from inspect import signature
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.routing import BaseRoute, Match

from ledger.api.identity import identify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from fastapi.routing import APIRoute
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send


class Finder(BaseRoute):
    """Stands before all other routes of the application and speaks for those that it knows.

    Args:
        routes: in the order in which they are tried.
    """

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._routes: dict[str, list[tuple[APIRoute, ASGIApp]]] = defaultdict(list)
        for route in routes:
            answer = _at_once(route.endpoint) if _takes_the_request_alone(route) else route.handle
            self._routes[_word(route.path)].append((route, answer))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tells whether a route takes the request, address and method; which one it is becomes part of the scope."""
        if scope["type"] == "http":
            for route, answer in self._routes.get(_word(scope["path"]), ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, {**found, "answer": answer}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gives the request to the route that was found, once it is known who it is by."""
        await identify(scope)
        await scope["answer"](scope, receive, send)


def _takes_the_request_alone(route: APIRoute) -> bool:
    """Tells whether a route's function has one parameter, the request, and nothing runs before it."""
    taken = route.dependant
    [*parameters] = signature(route.endpoint).parameters
    return parameters == [taken.request_param_name] and not taken.dependencies


def _at_once(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return answer


def _word(path: str) -> str:
    """Returns the word behind the version: `marks` of `/v1/marks`."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 2 else ""  # noqa: PLR2004 - before the first slash, the version, the word
