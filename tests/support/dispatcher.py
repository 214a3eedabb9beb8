"""A dispatcher as a process of its own, to be killed anywhere."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ledger.application.webhooks import dispatcher as dispatching
from ledger.bootstrap import foundation
from tests.support.forks import FORKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess

    from ledger.settings import Settings


def dispatch(settings: Settings) -> None:
    """Tells webhooks until it is killed."""
    dispatching.FOLLOWER_PAUSE_S = 0.02  # the one before has only just been killed
    with foundation(settings, migrating=False) as base:
        asyncio.run(base.dispatcher().run())


@contextmanager
def dispatcher(settings: Settings) -> Iterator[BaseProcess]:
    """Yields the process, which may send to this machine; it is dead afterwards, without a chance to say good-bye."""
    process = FORKS.Process(target=dispatch, args=(settings.model_copy(update={"webhook_networks": "127.0.0.0/8"}),))
    process.start()
    try:
        yield process
        assert process.is_alive()
    finally:
        process.kill()
        process.join()
