"""A child of the supervisor: `python -m ledger.cli.worker api <file descriptor>`, or another kind.

`--name` says what it is called in logs.

It ends on SIGTERM, and by itself when its standard input closes: then the supervisor is gone. Either way the `with`
blocks unwind, so that the last process to leave stops the embedded server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ledger.cli.session import opened
from ledger.cli.supervisor import AWAY
from ledger.errors import HistoryAlarm, LedgerError, SettingsError, StoreUnavailable
from ledger.settings import read_settings
from ledger.store.sealer import LOST_S
from ledger.telemetry.exposition import offer
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.bootstrap import Foundation

logger = get_logger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Runs one child and returns its exit code: AWAY for want of a database, 1 as well where it ended of its own."""
    told = _parse(arguments)
    signal.signal(signal.SIGTERM, _unwind)
    signal.signal(signal.SIGINT, _unwind)
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()
    try:
        with opened(migrating=False, process=told.name or told.kind) as base:
            if told.metrics is not None:
                offer(base.telemetry.metrics, socket.socket(fileno=told.metrics))
            if told.kind == "api":
                from ledger.api.server import serve  # noqa: PLC0415 - the others need no web framework, in time or memory

                serve(base, socket.socket(fileno=told.listen))
            elif told.kind == "projector":
                _follow(base.runner().run, told.kind)
            elif told.kind == "sealer":
                _follow(partial(_seal, base), told.kind)
            else:
                asyncio.run(_dispatch(base))
    except StoreUnavailable as error:
        logger.error(error.detail, code=error.code, help=error.help)  # noqa: TRY400 - as below: no stack, no values
        return AWAY
    except LedgerError as error:
        logger.critical(error.detail, code=error.code, help=error.help)
    return 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ledger.cli.worker")
    parser.add_argument("kind", choices=("api", "projector", "sealer", "dispatcher"))
    parser.add_argument("listen", nargs="?", type=int, help="file descriptor of the listening socket")
    parser.add_argument("--name", help="what it is called in logs and metrics")
    parser.add_argument("--metrics", type=int, help="file descriptor of the socket on which metrics are asked for")
    return parser.parse_args(arguments)


def _unwind(number: int, frame: object) -> NoReturn:
    del number, frame
    sys.exit(0)


def _watch() -> None:
    """Waits until the supervisor is gone, then ends this process: in order, and after some time in any case."""
    try:
        while os.read(sys.stdin.fileno(), 1):
            pass
    except ConnectionError:
        pass  # the other end was killed: the same news
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(read_settings().grace_seconds + 10)
    os._exit(1)


def _seal(base: Foundation, stop: threading.Event) -> None:
    """Seals, and asks the witnesses meanwhile."""
    asking = threading.Thread(target=_ask, args=(base, stop), name="witnesses")
    asking.start()
    try:
        _until_alarm(base.sealer().run, stop)
    finally:
        stop.set()
        asking.join()


def _ask(base: Foundation, stop: threading.Event) -> None:
    """Asks each witness in a thread of its own; a list that cannot be read is no reason not to seal."""
    listed = None
    while listed is None:
        try:
            listed = base.cosigning()
        except SettingsError as error:
            logger.critical(error.detail, help=error.help)
            if stop.wait(LOST_S):
                return
    asking = [
        threading.Thread(target=cosigning.run, args=(stop,), name=f"witness-{number}")
        for number, cosigning in enumerate(listed, 1)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()


def _until_alarm(run: Callable[[threading.Event], None], stop: threading.Event) -> None:
    """Runs; after an alarm, which the log and `/readyz` tell, it waits: a new start would only sound it again."""
    try:
        run(stop)
    except HistoryAlarm:
        stop.wait()


def _follow(run: Callable[[threading.Event], None], name: str) -> None:
    """Follows the history in a thread, so that this one is free to be interrupted."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,), name=name)
    thread.start()
    try:
        thread.join()
    finally:
        stop.set()
        thread.join()


async def _dispatch(base: Foundation) -> None:
    """Tells webhooks until a signal comes; what was being sent then is sent again by the next dispatcher."""
    dispatching = asyncio.ensure_future(base.dispatcher().run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, dispatching.cancel)
    await asyncio.wait([dispatching])
    if dispatching.cancelled():
        sys.exit(0)
    dispatching.result()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
