"""Finding the route of a request by the first word of its address, before all routes are tried one after the other.

The framework matches an address against every route until one fits, and does so twice (ADR 0018).
What is not found here (another method, an unknown address) is left to the framework, which answers as ever.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Match

from ledger.api.identity import identify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi.routing import APIRoute
    from starlette.types import Receive, Scope, Send


class Finder(BaseRoute):
    """Stands before all other routes of the application and speaks for those that it knows.

    Args:
        routes: in the order in which they are tried.
    """

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._routes: dict[str, list[APIRoute]] = defaultdict(list)
        for route in routes:
            self._routes[_word(route.path)].append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tells whether a route takes the request, address and method; which one it is becomes part of the scope."""
        if scope["type"] == "http":
            for route in self._routes.get(_word(scope["path"]), ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gives the request to the route that was found, once it is known who it is by."""
        await identify(scope)
        await scope["route"].handle(scope, receive, send)


def _word(path: str) -> str:
    """Returns the word behind the version: `marks` of `/v1/marks`."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 2 else ""  # noqa: PLR2004 - before the first slash, the version, the word
