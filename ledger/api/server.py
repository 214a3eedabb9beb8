"""Serving: one process, one event loop, one socket, which several processes may share.

The supervisor calls `listen` once and hands the socket's file descriptor to its workers; each opens the foundation for
itself (after forking) and calls `serve`. The kernel spreads the connections.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn

from ledger.api.app import create_app
from ledger.api.protocol import KEEP_ALIVE_S, BoundedProtocol
from ledger.collector import collect_seldom
from ledger.errors import SettingsError

if TYPE_CHECKING:
    from ledger.api.service import Service
    from ledger.bootstrap import Foundation

BACKLOG = 2048
CLIENT_GONE_MS = 30_000
"""After which a client that acknowledges nothing of what we sent it counts as gone."""


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket that child processes may inherit; port 0 takes a free one.

    Raises:
        SettingsError: the address cannot be used, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # handed on to every connection, as the next
        if sys.platform == "linux":
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, CLIENT_GONE_MS)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"Port {port} of {host} is taken by another program.",
                help="Choose another one: `--port 8001`, with make PORT=8001, or LEDGER_PORT.",
            ) from error
        raise SettingsError(
            f"The service cannot listen on {host}, port {port}.", help="Check LEDGER_HOST and LEDGER_PORT."
        ) from error
    listening.set_inheritable(True)
    return listening


class Server(uvicorn.Server):
    """A server that tells whoever waits for events or seals to go home before it waits for open connections to end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the application and begins to take connections.

        Raises:
            LedgerError: why the application could not be opened, where one of ours says it.
            SystemExit: it could not; the log says why.
        """
        try:
            await super().startup(sockets)
        except SystemExit:
            application: Any = self.config.app
            trouble = getattr(application.state, "trouble", None)
            if trouble is None:
                raise
            raise trouble from None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops taking requests and lets those under way finish."""
        application: Any = self.config.app
        service: Service | None = getattr(application.state, "service", None)
        if service is not None:
            service.ledger.tail.stop()
            service.ledger.sealed.stop()
        await super().shutdown(sockets)


def make_server(base: Foundation) -> uvicorn.Server:
    """Returns a server of this process; `run(sockets=[...])` blocks until `should_exit` is set or a signal comes."""
    config = uvicorn.Config(
        create_app(base),
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        reset_contextvars=True,  # or a request that came before the one ahead was answered would begin in its context
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(base.settings.grace_seconds),
    )
    # `access_log=False` only takes its handlers away: whoever adds one would log addresses with keys and foreign ids.
    logging.getLogger("uvicorn.access").disabled = True
    return Server(config)


def serve(base: Foundation, listening: socket.socket) -> None:
    """Serves until a signal comes (SIGINT, SIGTERM); requests under way are finished first.

    Raises:
        LedgerError, SystemExit: the application could not start.
    """
    server = make_server(base)
    collect_seldom()  # again, now that the application is there
    server.run(sockets=[listening])
