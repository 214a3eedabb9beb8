"""The service as processes: API workers that share a socket, a projector, a sealer, a dispatcher of webhooks."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer
from prometheus_client import CollectorRegistry

from ledger.api.tokens import check_identity, load_token_key
from ledger.application.standing import HistoryCollector
from ledger.cli.client import Client
from ledger.cli.console import out
from ledger.cli.session import opened
from ledger.cli.supervisor import Child, Patience, supervise
from ledger.settings import read_settings
from ledger.telemetry.exposition import Gathered, exposed, outlets

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Iterator

    from ledger.bootstrap import Foundation
    from ledger.settings import Settings

SUPERVISOR = "supervisor"
FOLLOWERS = ("projector", "sealer", "dispatcher")
"""Processes beside the API workers, one of each."""

WORKER = (sys.executable, "-m", "ledger.cli.worker")

HostOption = Annotated[str | None, typer.Option(help="Address to listen on; without it LEDGER_HOST or 127.0.0.1.")]
PortOption = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port; without it LEDGER_PORT or 8000. 0 takes a free one.")
]


@dataclass(frozen=True, slots=True)
class Door:
    """Where the service is reached."""

    socket: socket.socket
    url: str


@contextmanager
def door(settings: Settings, host: str | None, port: int | None) -> Iterator[Door]:
    """Yields the listening socket, bound before anything else is started: a busy port costs nobody a moment.

    Raises:
        SettingsError: the port is taken, or the address cannot be used.
    """
    from ledger.api.server import listen  # noqa: PLC0415 - the web framework takes longer to load than most commands run

    host = host or settings.host
    with closing(listen(host, settings.port if port is None else port)) as listening:
        shown = f"[{host}]" if ":" in host else host
        yield Door(listening, f"http://{shown}:{listening.getsockname()[1]}")


def children(entrance: Door, workers: int) -> list[Child]:
    """Returns the processes of a service."""
    descriptor = entrance.socket.fileno()
    api = (*WORKER, "api", str(descriptor))
    found = [Child(f"api-{number}", api, (descriptor,)) for number in range(1, workers + 1)]
    found += [Child(name, (*WORKER, name)) for name in FOLLOWERS]
    return [replace(child, command=(*child.command, "--name", child.name)) for child in found]


def serve(
    host: HostOption = None,
    port: PortOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="API processes; without it LEDGER_WORKERS or 2.")
    ] = None,
    migrate: Annotated[bool, typer.Option(help="Bring the database up to date first (takes its owner).")] = True,
) -> None:
    """Serve the API: workers, projector, sealer and dispatcher, watched over; Ctrl-C or SIGTERM stops everything."""
    settings = read_settings()
    check_identity(settings)
    with (
        door(settings, host, port) as entrance,
        opened(settings, making=True, migrating=migrate, process=SUPERVISOR) as base,
    ):
        if not settings.production:
            load_token_key(settings)  # makes it once, before several workers look for it
        base.ensure_log_key()
        base.cosigning()  # a list of witnesses that cannot be used is said here, and not by every process
        where = f"Реестр / Serving {base.id} on {entrance.url} (docs: {entrance.url}/docs)."
        out.print(f"{where} Ctrl-C останавливает всё / stops everything.")
        with watched(base, children(entrance, workers or settings.workers)) as (kept, url):
            if url is not None:
                out.print(f"Metrics on {url}.")
            patience = Patience(grace_s=settings.grace_seconds + 5)  # the workers need it themselves
            asyncio.run(supervise(kept, until_told(), patience, metrics=base.telemetry.metrics.supervisor))


@contextmanager
def watched(base: Foundation, kept: list[Child]) -> Iterator[tuple[list[Child], str | None]]:
    """Yields the processes and the address of their metrics, where the settings want any."""
    settings, metrics = base.settings, base.telemetry.metrics
    if settings.metrics_port is None:
        yield kept, None
        return
    with outlets([child.name for child in kept]) as doors:
        metrics.show_process()
        paths = {name: path for name, (_, path) in doors.items()}
        registry = CollectorRegistry()
        registry.register(Gathered(paths, metrics.registry, SUPERVISOR))
        registry.register(HistoryCollector(base.database, base.views, base.settings.timezone))
        showing = []
        for child in kept:
            descriptor = doors[child.name][0].fileno()
            command = (*child.command, "--metrics", str(descriptor))
            showing.append(replace(child, command=command, descriptors=(*child.descriptors, descriptor)))
        with exposed(registry, settings.metrics_host, settings.metrics_port) as port:
            yield showing, f"http://{settings.metrics_host}:{port}/metrics"


async def until_told(before: Coroutine[object, object, None] | None = None) -> None:
    """Returns on SIGINT or SIGTERM.

    Args:
        before: runs beside the waiting, as long as nobody stops it.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.ensure_future(told.wait())
    if before is not None:
        first = asyncio.ensure_future(before)
        await asyncio.wait([waiting, first], return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            first.result()
        else:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
    await waiting


async def ready(url: str, seconds: float = 60.0) -> None:
    """Returns when the service says that it is ready.

    Raises:
        Busy: it does not within the time; the log says why.
    """
    client = Client(url)
    deadline = asyncio.get_running_loop().time() + seconds
    while not await asyncio.to_thread(client.answers, "/readyz"):
        if asyncio.get_running_loop().time() > deadline:
            raise client.late()
        await asyncio.sleep(0.05)
