"""Routes that are answered past the framework: those whose function takes the request, ids and plain parameters.

What the framework does around a function (layers for exceptions and exits, the search for the route, every parameter
looked at from all sides, sent or not) took longer than most of what is recorded. Here the boundary finds the function
by method and address, in one look. What was sent is read by the framework's own fields; where one of them refuses, the
whole request is the framework's, which says what is wrong. An error of the ledger's own is answered by the handler that
the framework would call, any other one by the boundary, and the document describes it all as ever.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from inspect import iscoroutinefunction, signature
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request

from ledger.api.identity import identify
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from fastapi._compat import ModelField
    from fastapi.routing import APIRoute
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_FIRST_ID = 3
"""The part of an address that is the first id; from there on every other one is: `/v1/students/{id}/marks/{id}`."""
_IDS = (UUID, int)
_VALUES = (UUID, int, float, str, bool, date, datetime, AwareDatetime, NoneType)
"""What a parameter may be: one value, that is read by itself, and whose default nobody can change."""


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
        routes: of the application, in the order in which they are tried; those that need the framework are left to it.
    """

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._ways: dict[tuple[str, ...], _Way] = {}
        for route in routes:
            address = _address(route)
            if address is not None and _takes_plain_parameters(route):
                for method in route.methods or ():
                    self._ways.setdefault((method, *address), _Way(route))

    def find(self, scope: Scope) -> ASGIApp | None:
        """Returns who answers a request at once, None where the framework does."""
        method, path = scope["method"], scope["path"]
        way = self._ways.get((method, path))
        if way is not None:
            return way.answering((), scope["query_string"])
        parts = path.split("/")
        way = self._ways.get((method, *_names(parts)))
        return way.answering(parts[_FIRST_ID::2], scope["query_string"]) if way is not None else None


class _Way:
    """How a request comes to a function without the framework."""

    __slots__ = ("_defaults", "_endpoint", "_found", "_ids", "_many", "_query")

    def __init__(self, route: APIRoute) -> None:
        ids = {field.name: field.validate for field in route.dependant.path_params}
        query = route.dependant.query_params
        self._endpoint: Callable[..., Awaitable[Response]] = route.endpoint
        self._found = {"route": route, "endpoint": route.endpoint}
        self._ids = [(name, ids[name]) for name in route.param_convertors]
        self._query = [(field.name, field.alias, field.validate) for field in query]
        self._defaults = {field.name: field.default for field in query if not field.field_info.is_required()}
        self._many = len(ids) + len(query)

    def answering(self, ids: Sequence[str], query: bytes) -> ASGIApp | None:
        """Returns what answers a request with these parameters; None where one is missing or cannot be read."""
        arguments = self._defaults.copy()
        for (name, read), text in zip(self._ids, ids, strict=True):
            arguments[name], wrong = read(text)
            if wrong:
                return None
        if query and self._query:
            sent = QueryParams(query)
            for name, alias, read in self._query:
                if alias in sent:
                    arguments[name], wrong = read(sent[alias])
                    if wrong:
                        return None
        return partial(self._answer, arguments) if len(arguments) == self._many else None

    async def _answer(self, arguments: Mapping[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(self._found)
        request = _Request(scope, receive, send)
        try:
            await identify(scope)
            response = await self._endpoint(request, **arguments)
        except LedgerError as error:
            response = await scope["app"].exception_handlers[LedgerError](request, error)
        await response(scope, receive, send)


def _names(parts: Sequence[str]) -> tuple[str, ...]:
    """Returns what an address with ids has in common with all of its kind: how long it is, the version, the names."""
    return (str(len(parts)), *parts[:2], *parts[2::2])  # before the first slash stands nothing: `*/v1` is no address


def _address(route: APIRoute) -> tuple[str, ...] | None:
    """Returns by what the addresses of a route are known; None where names and ids do not take turns in them."""
    if not route.param_convertors:
        return (route.path,)
    parts = route.path.split("/")
    return _names(parts) if parts[_FIRST_ID::2] == [f"{{{name}}}" for name in route.param_convertors] else None


def _takes_plain_parameters(route: APIRoute) -> bool:
    """Tells whether a route's function takes the request first, then ids and plain values, and needs nothing else."""
    taken = route.dependant
    [*names] = signature(route.endpoint).parameters
    plain = {field.name for field in taken.path_params if _is_one_of(field, _IDS)}
    plain |= {field.name for field in taken.query_params if _is_one_of(field, _VALUES)}
    known = names[:1] == [taken.request_param_name] and plain.issuperset(names[1:])
    return known and not taken.dependencies and iscoroutinefunction(route.endpoint)


def _is_one_of(field: ModelField, kinds: Sequence[type]) -> bool:
    kind = field.field_info.annotation
    members = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)  # and not those of a list
    return all(member in kinds for member in members)
