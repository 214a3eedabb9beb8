"""Consumers that are killed and come back have every event exactly once, in order; two processes write meanwhile.

The follower is the program of docs/feed.md, word for word.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.policy.offices import Office
from tests.support.api import AClass, Api, Served, a_foundation, found, make_class, serving
from tests.support.dispatcher import dispatcher
from tests.support.postgres import fresh_schema
from tests.support.receiver import receiving
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver import Receiver

ROOT = Path(__file__).parents[2]
KILLS = pytest.mark.parametrize(
    "kills", [4, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])], ids=["few", "hundred"]
)


@pytest.fixture
def pair(postgres_url: str, kek_text: str, tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """One ledger of its own, served twice: two executors write at once, as two workers do."""
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, tmp_path) as base,
        serving(base) as one,
        serving(base) as other,
    ):
        found(one.acts())
        yield one, other


def last(api: Api) -> int:
    return int(api.reads("/v1/events", limit=1)["until"])


@contextmanager
def recording(pair: tuple[Served, Served]) -> Iterator[None]:
    """Records marks through both services as long as the block runs."""
    done = threading.Event()

    def record(api: Api, a_class: AClass) -> None:
        while not done.is_set():
            for student in a_class.students:
                api.records("/v1/marks", a_class.mark(student))
            done.wait(0.05)

    classes = [(service.acts(), make_class(service.acts(), students=3)) for service in pair]
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(record, api, a_class) for api, a_class in classes]
        try:
            yield
        finally:
            done.set()
            for writer in writers:
                writer.result()


@contextmanager
def follower(service: Served, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Yields the consumer of the documentation as a process; it is dead afterwards."""
    (text,) = re.findall(r'```python\n("""python follow\.py.*?)```', (ROOT / "docs/feed.md").read_text(), re.DOTALL)
    program = folder / "follow.py"
    program.write_text(text)
    environment = {**os.environ, "LEDGER_TOKEN": service.token(Office.SYSTEM), "LEDGER_LIMIT": "3"}
    with subprocess.Popen(
        [sys.executable, str(program), service.url, str(folder / "book.sqlite")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@KILLS
def test_follower_of_the_feed_has_every_event_once(pair: tuple[Served, Served], tmp_path: Path, kills: int) -> None:
    chance = random.Random(kills)  # noqa: S311 - the same kills in every run
    with recording(pair):
        for kill in range(kills):
            with follower(pair[kill % 2], tmp_path) as process:
                assert process.stdout is not None
                for _ in range(chance.randrange(4)):
                    assert process.stdout.readline()
                with pytest.raises(subprocess.TimeoutExpired):  # it does not end by itself, and is killed anywhere
                    process.wait(chance.uniform(0.0, 0.15))
    make_class(pair[0].acts())  # something is left to follow: with nothing it would say nothing until its wait is over
    end = last(pair[0].acts())
    with follower(pair[0], tmp_path) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < end:
            pass
    with sqlite3.connect(tmp_path / "book.sqlite") as book:
        got = book.execute("SELECT position, id FROM events ORDER BY rowid").fetchall()
    with pair[0].base.database.connect("owner") as owner:
        assert got == owner.execute("SELECT position, event_id::text FROM events ORDER BY position").fetchall()


@KILLS
async def test_receiver_of_webhooks_has_every_event_once(pair: tuple[Served, Served], kills: int) -> None:
    chance = random.Random(kills)  # noqa: S311 - the same kills in every run
    director = pair[0].acts()
    with receiving() as receiver:
        webhook = director.records("/v1/webhooks", {"url": receiver.url, "after": 0})["id"]
        receiver.secret = director.reads(f"/v1/webhooks/{webhook}/secret")["secret"]
        with recording(pair):
            for _ in range(kills):
                sent = len(receiver.messages) + chance.randrange(1, 5)
                with dispatcher(pair[0].base.settings) as process:
                    await until(partial(_has, receiver, sent))
                    process.join(chance.uniform(0.0, 0.02))  # it does not end by itself, and is killed anywhere
        end = last(director)
        with dispatcher(pair[0].base.settings):
            await until(lambda: _position(receiver) >= end, seconds=60)
        assert receiver.positions == list(range(1, end + 1))
        with pair[0].base.database.connect("owner") as owner:
            ids = [str(row[0]) for row in owner.execute("SELECT event_id FROM events ORDER BY position").fetchall()]
        assert [event["id"] for event in receiver.kept] == ids


def _has(receiver: Receiver, messages: int) -> bool:
    return len(receiver.messages) >= messages


def _position(receiver: Receiver) -> int:
    return receiver.positions[-1] if receiver.kept else 0
