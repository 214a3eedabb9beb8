"""The application: a factory without module-level state. Its lifespan opens the ledger and closes it again."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.responses import Response

from ledger.api import pages, problems
from ledger.api.boundary import Boundary
from ledger.api.calls import CHANNEL
from ledger.api.direct import Direct
from ledger.api.finding import Finder
from ledger.api.heads import HeadAsGet
from ledger.api.identity import Identity
from ledger.api.limits import Limits
from ledger.api.openapi import build
from ledger.api.routes import all_routers
from ledger.api.security import admit, charge
from ledger.api.service import Service
from ledger.api.tokens import verifier_of
from ledger.application.door import Door
from ledger.application.readiness import Readiness
from ledger.bootstrap import open_ledger
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.types import Receive, Scope, Send

    from ledger.bootstrap import Foundation
    from ledger.telemetry.parts import Telemetry


_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own telemetry is on by default, and takes bodies, rejected inputs and messages of exceptions."""


def create_app(base: Foundation) -> FastAPI:
    """Returns the application of one process; nothing is opened before its lifespan begins.

    Raises (in the lifespan):
        SettingsError: the token key cannot be read, or in production no provider is named.
        StoreUnavailable: the database does not answer.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                verifier = verifier_of(base.settings, base.id)
                limits = Limits(base.settings.rate, base.settings.rate_strangers, base.settings.rate_public)
                ledger = await stack.enter_async_context(open_ledger(base))
                identity = Identity.of(ledger, limits)
                door = Door(ledger, CHANNEL)
                app.state.service = Service(ledger, verifier, identity, limits, Readiness(ledger), door)
                if identity is not None:
                    await stack.enter_async_context(identity.provider)
            except LedgerError as error:
                app.state.trouble = error  # the server tells who started it that there was one, and not which
                raise
            yield
            await door.close()

    app = _Bounded(
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        debug=False,
        telemetry=_NO_TELEMETRY,
    )
    routers = (*all_routers(), pages.router)
    for router in routers:
        app.include_router(router)
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    app.router.routes.insert(0, Finder(routes))

    def methods_of(path: str) -> Sequence[str]:
        found = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
        return sorted(found | ({"HEAD"} if "GET" in found else set()))

    problems.install(app, methods_of, admit, charge)
    app.add_middleware(HeadAsGet)
    app.bound(base.telemetry, base.settings.request_seconds, Direct(routes))
    _describe(app)
    return app


class _Bounded(FastAPI):
    """The framework's application within the boundary, so that a request meets the boundary before anything of it.

    What is answered past the framework has nothing of its layers around it.
    """

    def bound(self, telemetry: Telemetry, seconds: float, direct: Direct) -> None:
        """Puts the boundary around the application; see `Boundary`."""
        self.boundary = Boundary(super().__call__, telemetry, seconds=seconds, direct=direct)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or goes through the lifespan."""
        scope["app"] = self
        await self.boundary(scope, receive, send)


def _describe(app: FastAPI) -> None:
    """Serves the OpenAPI document, which is written once, when somebody asks first."""
    written: list[bytes] = []

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way of extending its document

    @app.get("/openapi.json", include_in_schema=False, response_model=None)
    async def openapi() -> Response:
        if not written:
            written.append(msgspec.json.encode(document()))
        return Response(written[0], media_type="application/json")
