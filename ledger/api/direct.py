"""Routes that are answered past the framework: those of one address, whose function takes the request and nothing else.

What the framework does around a function (layers for exceptions and exits, the search for the route, parameters that
such a function does not have) took longer than most of what is recorded. Here the boundary finds the function by method
and address, in one look. An error of the ledger's own is answered by the handler that the framework would call, any
other one by the boundary, and the document describes it all as ever.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.requests import Request

from ledger.api.identity import identify
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from fastapi.routing import APIRoute
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send


class Fields(Headers):
    """Header fields by name, read once: a command is asked for a dozen of them."""

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=list(raw))
        self._by_name: dict[str, list[str]] = {}
        for name, value in raw:
            self._by_name.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def getlist(self, key: str) -> list[str]:
        """Returns the values of a name, in the order in which they came."""
        return self._by_name.get(key.lower(), [])

    def __contains__(self, key: object) -> bool:
        """Tells whether a name was sent."""
        return isinstance(key, str) and key.lower() in self._by_name

    def __getitem__(self, key: str) -> str:
        """Returns the first value of a name.

        Raises:
            KeyError: it was not sent.
        """
        return self._by_name[key.lower()][0]


class _Request(Request):
    """A request whose header fields are read once."""

    @property
    def headers(self) -> Headers:
        """The header fields."""
        if not hasattr(self, "_headers"):
            self._headers = Fields(self.scope["headers"])
        return self._headers


class Direct:
    """Knows the functions that can be called at once.

    Args:
        routes: of the application; those that need the framework are left to it.
    """

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._answers = {
            (method, route.path): _answering(route)
            for route in routes
            if _takes_the_request_alone(route)
            for method in route.methods or ()
        }

    def find(self, scope: Scope) -> ASGIApp | None:
        """Returns who answers a request at once, None where the framework does."""
        return self._answers.get((scope["method"], scope["path"]))


def _takes_the_request_alone(route: APIRoute) -> bool:
    """Tells whether a route has one address, and its function one parameter, the request, with nothing before it."""
    taken = route.dependant
    [*parameters] = signature(route.endpoint).parameters
    return not route.param_convertors and not taken.dependencies and parameters == [taken.request_param_name]


def _answering(route: APIRoute) -> ASGIApp:
    endpoint: Callable[[Request], Awaitable[Response]] = route.endpoint
    found = {"route": route, "endpoint": endpoint, "path_params": {}}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(found)
        request = _Request(scope, receive, send)
        try:
            await identify(scope)
            response = await endpoint(request)
        except LedgerError as error:
            response = await scope["app"].exception_handlers[LedgerError](request, error)
        await response(scope, receive, send)

    return answer
