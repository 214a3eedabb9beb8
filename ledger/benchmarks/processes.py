"""What is measured over HTTP, as processes: our own service as it is always started, and the rivals' beside it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import urlopen

from ledger.application.standing import read_standing
from ledger.benchmarks.rivals import SCHEMA, TOKEN, URL
from ledger.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ledger.bootstrap import Foundation

WORKERS = 2
START_S = 60.0
_ADDRESS = re.compile(r"http://127\.0\.0\.1:([0-9]+)")


class Place(NamedTuple):
    """Where a measured service listens, and a token that it takes."""

    port: int
    token: str


def _environment(base: Foundation, folder: Path) -> dict[str, str]:
    """Returns the environment of our processes: this ledger, no bound on the rate, further keys in a folder."""
    left_out = {"LEDGER_METRICS_PORT", "LEDGER_LOG_KEY"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    if base.settings.kek is None:
        environment["LEDGER_KEK_FILE"] = str(base.settings.kek_path.absolute())
    return environment | {
        "LEDGER_DATABASE_URL": base.database.url,
        "LEDGER_DB_SCHEMA": base.database.schema,
        "LEDGER_HOME": str(folder),
        "LEDGER_TOKEN_KEY_FILE": str(folder / "token.pem"),
        "LEDGER_LOG_KEY_FILE": str(folder / "log.key"),
        "LEDGER_SEAL_FILE": str(folder / "checkpoint"),
        "LEDGER_RATE": "0",
    }


def _ledger(environment: Mapping[str, str], *arguments: str) -> str:
    command = (sys.executable, "-m", "ledger", *arguments)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise StoreUnavailable(f"`ledger {arguments[0]}` failed.", help=done.stderr[-2000:])
    return done.stdout.strip()


@contextmanager
def our_service(base: Foundation, folder: Path) -> Iterator[Place]:
    """Yields `ledger serve`: API workers, projector, sealer and dispatcher, all as in production.

    Raises:
        StoreUnavailable: it does not start.
    """
    environment = _environment(base, folder)
    _ledger(environment, "keygen", "--token")
    _ledger(environment, "keygen", "--log", "--origin", "bench.example/ledger")
    token = _ledger(environment, "token", "--office", "director")
    command = (sys.executable, "-m", "ledger", "serve", "--port", "0", "--workers", str(WORKERS), "--no-migrate")
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - ours
            command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield Place(_address(process, folder / "log"), token)
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str], log: Path) -> int:
    """Returns the port, once the service answers that it is ready."""
    said = process.stdout
    found = _ADDRESS.search(said.readline()) if said is not None else None
    if said is None or found is None:
        raise StoreUnavailable("The measured service did not start.", help=log.read_text()[-2000:])
    threading.Thread(target=said.read, name="service-output", daemon=True).start()  # a full pipe would stop it
    port = int(found[1])
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                if answer.status == 200:  # noqa: PLR2004 - OK
                    return port
        except OSError:  # nobody listens yet, or 503
            time.sleep(0.1)
    raise StoreUnavailable("The measured service does not become ready.", help=log.read_text()[-2000:])


@contextmanager
def rival(kind: str, url: str, schema: str) -> Iterator[Place]:
    """Yields a rival's service (see `rivals`), with as many workers on one socket as ours has."""
    environment = os.environ | {URL: url, SCHEMA: schema, TOKEN: "bench"}
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        descriptor = listening.fileno()
        command = (sys.executable, "-m", "ledger.benchmarks.rivals", kind, str(descriptor))
        for _ in range(WORKERS):
            worker = stack.enter_context(
                subprocess.Popen(command, env=environment, pass_fds=(descriptor,))  # noqa: S603 - ours
            )
            stack.callback(worker.terminate)
        yield Place(listening.getsockname()[1], "bench")


def settle(base: Foundation, seconds: float = 120.0) -> None:
    """Returns when views and seal have caught up, so that their work does not fall into another's measurement.

    Raises:
        StoreUnavailable: they do not.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        standing = read_standing(base.database, base.views)
        least = min((view.position for view in standing.views.values()), default=0)
        if min(least, standing.sealed) >= standing.position:
            return
        time.sleep(0.2)
    raise StoreUnavailable("Views or seal do not catch up.", help="Run `ledger doctor`.")
