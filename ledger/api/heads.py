"""HEAD is answered as GET is, without the body (RFC 9110 9.3.2): the same use case, disclosure and headers.

Whoever asks for the headers of a page learns that it is there and whether it has changed, so this is a reading, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Wraps the application; see the module."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request.

        The server must go on seeing HEAD, since it counts the bytes of a body; so the application gets a scope of its
        own, and what it found (the route) is handed back to those who log.
        """
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        ended = False

        async def without_body(message: Message) -> None:
            # The first piece ends the answer: a stream would go on for minutes, with nothing to say.
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.body":
                ended, message = True, {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, without_body)
        finally:
            scope.update({**asked, "method": "HEAD"})
