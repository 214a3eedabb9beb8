"""A projector as a process of its own, which says how far it is after each small batch: to be killed anywhere.

python -m tests.support.projector <batch> <batches>     reads LEDGER_DATABASE_URL, LEDGER_DB_SCHEMA and LEDGER_KEK;
                                                        after so many batches it waits for its end
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ledger.bootstrap import foundation
from ledger.projections import follower, runner
from ledger.projections.view import Rule
from ledger.settings import read_settings
from ledger.store.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    import psycopg

    from ledger.projections.view import Fact, Rows, View
    from ledger.store.database import Database, Row


class _Talking(runner.ProjectionRunner):
    batches: int

    def advance(self, connection: psycopg.Connection[Row]) -> int:
        if not self.batches:
            threading.Event().wait()
        done = super().advance(connection)
        if done:
            self.batches -= 1
            sys.stdout.write(f"{done}\n")
            sys.stdout.flush()
        return done


def main() -> None:
    """Follows the history until it is killed."""
    follower.BATCH = int(sys.argv[1])
    with foundation(read_settings(), migrating=False) as base:
        talking = _Talking(base.database, base.mapper, Keyring(base.keks), base.views)
        talking.batches = int(sys.argv[2])
        talking.run(threading.Event())


@contextmanager
def running(projector: runner.ProjectionRunner) -> Iterator[threading.Event]:
    """Runs a projector beside the block; the block may stop it earlier."""
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def broken(view: View, event: type, at: UUID | None = None) -> View:
    """Returns the view with a fault in the rule of an event class (or of one event)."""
    rule = view.rules[event]

    def apply(fact: Fact, rows: Rows) -> None:
        if at is None or fact.entry.event_id == at:
            message = "a fault in the rule"
            raise KeyError(message)
        rule.apply(fact, rows)

    return replace(view, rules={**view.rules, event: Rule(apply, rule.reads)})


def environment(database: Database, kek_text: str) -> dict[str, str]:
    """Returns the environment of a process that works with a ledger of the tests."""
    wanted = {"LEDGER_DATABASE_URL": database.url, "LEDGER_DB_SCHEMA": database.schema, "LEDGER_KEK": kek_text}
    return {**os.environ, **wanted}


@contextmanager
def running_projector(
    database: Database, kek_text: str, *, batch: int, batches: int
) -> Iterator[subprocess.Popen[str]]:
    """Yields the process, which goes no further than so many batches; it is dead afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.projector", str(batch), str(batches)],
        env=environment(database, kek_text),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    main()
