"""The first page of "who saw this student's data in the last year" comes at once, out of five million disclosures.

LEDGER_SOAK_DISCLOSURES   how many (5,000,000)
LEDGER_SOAK_SEED          chooses who looked at whom (1)

It prints one line of JSON with what it measured: milliseconds of a whole page, its own disclosure included. The rows
are sealed and stored by the view's own functions; the events behind them are as many and as old, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ledger.application.disclose.register import RegisterQuery, export_register, read_register
from ledger.clock import utc_now
from ledger.ids import new_id
from ledger.projections.disclosures.projection import AccessBody, DisclosedBody, search_token
from ledger.projections.tables import TableStore
from ledger.projections.view import Row as ViewRow
from ledger.streams.record_classes import RecordClass
from tests.support.desk import Desk, a_base, at_desk, reads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from ledger.projections.view import Key
    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

DISCLOSURES = int(os.environ.get("LEDGER_SOAK_DISCLOSURES", "5000000"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
STUDENTS, PEOPLE, CLASS = 1_000, 60, 25
GOAL_MS = 200.0
ROUNDS = 15
YEARS = 2
BATCH = 10_000

OFFICES = (
    ("teacher", "trajectory", "273-FZ art. 28(3)(11)", "journal"),
    ("director", "quality_control", "273-FZ art. 28(3)(11); S0-5.3, S1-4.10", "student"),
    ("secretary", "custody", "S1-6.5", "portfolio"),
    ("representative", "own_request", "152-FZ art. 14", "student"),
)
EVENTS = """
INSERT INTO events SELECT n, gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'disclosure.made',
    %(begin)s + (n - %(first)s) * %(step)s, 'disclosures', 1, '\\x00', decode(repeat('00', 90), 'hex'),
    decode(repeat('00', 160), 'hex')
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""


class Filling:
    """Fills the register's tables with sealed rows."""

    def __init__(self, desk: Desk, owner: psycopg.Connection[Row], students: list[UUID], first: int) -> None:
        self._owner = owner
        self._view = desk.ledger.view("disclosures")
        self._stores = {
            table.name: TableStore(self._view, table, self._view.schema(desk.base.database.schema))
            for table in self._view.tables
        }
        self._token = desk.ledger.hasher.blind_index
        self._keyring = desk.ledger.keyring
        self._random = random.Random(SEED)  # noqa: S311 - the same again
        self._people = [new_id() for _ in range(PEOPLE)]
        self._students = students
        self._rows: dict[str, list[tuple[Key, ViewRow]]] = {"accesses": [], "disclosed": []}
        self.position = first
        self._give_keys([*self._people, *students])

    def _give_keys(self, subjects: list[UUID]) -> None:
        for subject in subjects:
            name = (subject, RecordClass.DISCLOSURES.value)
            if self._keyring.find(*name) is None:
                key, row = self._keyring.create(*name)
                self._owner.execute("INSERT INTO data_keys VALUES (%s, %s, %s, %s)", row)
                self._keyring.put(*name, key)

    def fill(self, count: int, begin: Any, step: timedelta) -> None:  # noqa: ANN401 - a datetime
        """Adds accesses until they have so many disclosures; four in five are of one student, the rest of a class."""
        first, rng, made = self.position, self._random, 0
        while made < count:
            office, purpose, basis, resource = rng.choices(OFFICES, (70, 15, 5, 10))[0]
            recipient = f"Комиссия {rng.randrange(50)}" if rng.random() < 0.001 else None
            channel = "cli" if rng.random() < 0.001 else "api"
            granted = rng.random() > 0.0005
            who = rng.sample(self._students, CLASS if rng.random() < 0.2 else 1)
            access, at = new_id(), begin + (self.position - first) * step
            texts = {"purpose": purpose, "legal_basis": basis, "channel": channel, "recipient": recipient}
            tokens = [search_token(self._token, name, text) if text else None for name, text in texts.items()]
            person = rng.choice(self._people)
            clear = (at, granted, False, person, office, len(who), *tokens)
            body = AccessBody(None, recipient, purpose, basis, office, channel, resource)
            self._put("accesses", (access,), ViewRow(person, "disclosures", self.position, clear, body))
            lean = DisclosedBody(granted, ["personal_file"])
            for number, student in enumerate(who, self.position + 1):
                self._put("disclosed", (student, number), ViewRow(student, "disclosures", number, (access,), lean))
            self.position += 1 + len(who)
            made += len(who)
        for table in self._rows:
            self._write(table)
        parameters = {"begin": begin, "step": step, "first": first, "last": self.position - 1}
        self._owner.execute(EVENTS, parameters)
        self._owner.execute("UPDATE tracking SET position = %s WHERE view = 'disclosures'", (self.position - 1,))
        for name in ("events", *(store.qualified for store in self._stores.values())):
            self._owner.execute(f"VACUUM ANALYZE {name}")

    def _put(self, table: str, key: Key, row: ViewRow) -> None:
        rows = self._rows[table]
        rows.append((key, row))
        if len(rows) >= BATCH:
            self._write(table)

    def _write(self, table: str) -> None:
        store, rows = self._stores[table], self._rows[table]
        if rows:
            self._owner.execute(store.upsert, store.parameters(rows, self._keyring), binary=True)
        rows.clear()


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_first_page_comes_within_its_goal(
    ledger_db: Database, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path, owner: psycopg.Connection[Row]
) -> None:
    async with at_desk(a_base(ledger_db, keks, mapper, tmp_path)) as desk:
        await desk.founds()
        students = await desk.enrols(STUDENTS)
        await desk.catches_up()
        row = owner.execute("SELECT max(position) FROM events").fetchone()
        assert row is not None
        filling = Filling(desk, owner, students, row[0] + 1)
        began = time.perf_counter()
        step = timedelta(days=365 * YEARS) / (DISCLOSURES * 1.3)
        begin = utc_now() - timedelta(days=365 * YEARS)
        owner.execute("ALTER TABLE events DISABLE TRIGGER USER")  # the school was founded before anybody looked
        owner.execute("UPDATE events SET recorded_at = %s", (begin,))
        owner.execute("ALTER TABLE events ENABLE TRIGGER USER")
        # Aside: a process whose loop stands still for so long cannot account for what it opens, and shows nothing.
        await asyncio.to_thread(filling.fill, DISCLOSURES, begin, step)
        told: dict[str, Any] = {"disclosures": DISCLOSURES, "fill_s": round(time.perf_counter() - began, 1)}
        year = utc_now() - timedelta(days=365)
        queries: dict[str, Callable[[], RegisterQuery]] = {
            "student_last_year": lambda: RegisterQuery(random.choice(students), since=year),  # noqa: S311 - choosing for a measurement
            "student_refused": lambda: RegisterQuery(random.choice(students), granted=False),  # noqa: S311 - choosing for a measurement
            "everybody": RegisterQuery,
            "everybody_first_month": lambda: RegisterQuery(until=utc_now() - timedelta(days=365 * YEARS - 30)),
            "person": lambda: RegisterQuery(actor=filling._people[0]),
            "office": lambda: RegisterQuery(office="secretary"),
            "purpose": lambda: RegisterQuery(purpose="custody"),
            "legal_basis": lambda: RegisterQuery(legal_basis="152-FZ art. 14"),
            "channel": lambda: RegisterQuery(channel="cli"),
            "recipient": lambda: RegisterQuery(recipient="Комиссия 7"),
            "refused_year": lambda: RegisterQuery(granted=False, since=year),
            "person_and_recipient": lambda: RegisterQuery(actor=filling._people[0], recipient="Комиссия 7"),
            "nobody": lambda: RegisterQuery(purpose="none of ours"),
        }
        worst = 0.0
        for name, query in queries.items():
            took, lines = [], 0
            for _ in range(ROUNDS):
                began = time.perf_counter()
                page = await read_register(desk.ledger, reads(), query(), before=None, limit=50)
                took.append((time.perf_counter() - began) * 1000)
                lines = len(page.items)
            told[name] = {
                "median_ms": round(statistics.median(took), 1), "first_ms": round(took[0], 1),
                "max_ms": round(max(took), 1), "lines": lines,
            }  # fmt: skip
            worst = max(worst, statistics.median(took), took[0])
        began = time.perf_counter()
        made = await export_register(desk.ledger, reads(), RegisterQuery(since=utc_now() - timedelta(days=90)))
        told["export_disclosed_s"] = round(time.perf_counter() - began, 2)
        lines = 0
        async for batch in made.batches:
            lines += len(batch)
        assert lines == made.lines
        told["export_lines"] = lines
        told["export_lines_per_s"] = round(lines / (time.perf_counter() - began))
        print(json.dumps(told, ensure_ascii=False))  # noqa: T201 - what it is for
        assert worst <= GOAL_MS
