"""Clients of the HTTP API that do as the manual tells them: one key a command, and again until they are answered.

What each was told is noted in a `History`; `amiss` says what cannot be true of it and of the log at once.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import httpx

from ledger.api.tokens import issue_token, load_token_key
from ledger.ids import new_id
from ledger.policy.offices import Actor
from tests.support.api import YESTERDAY
from tests.support.history import Call, History, Outcome, Told, contradictions, read_log, unaccounted
from tests.support.waiting import until

if TYPE_CHECKING:
    from ledger.bootstrap import Foundation
    from ledger.policy.offices import Office
    from ledger.store.database import Database
    from ledger.store.secrets import Hasher
    from tests.support.api import AClass

PATIENCE_S = 60
UNRECORDED = {"busy", "store-unavailable"}
"""Codes of problems that say that nothing was recorded."""


class Person(NamedTuple):
    """Somebody with a token."""

    id: UUID
    token: str


class Ask(NamedTuple):
    """A command as it is sent."""

    by: Person
    path: str
    body: bytes


@dataclass
class Insisting:
    """A school's people at their devices, all of whom want an answer."""

    url: str
    hasher: Hasher
    a_class: AClass
    teacher: Person
    director: Person
    history: History = field(default_factory=History)
    asks: dict[str, Ask] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """The stored id of each key."""
    codes: dict[str, int] = field(default_factory=dict)
    """How often an attempt ended otherwise than with what was recorded, and how."""
    over: bool = False
    producers: list[asyncio.Task[None]] = field(default_factory=list)
    longest_s: float = 0.0

    def client(self) -> httpx.AsyncClient:
        """Returns somebody's device, with a connection of its own."""
        return httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, limits=httpx.Limits(max_connections=1))

    def ask(self, dice: random.Random, *, length: int = 0) -> Ask:
        """Returns some command: a mark, a lesson, an achievement; with a text of so many letters, if it takes them."""
        student, text = dice.choice(self.a_class.students), "а" * length
        kind = dice.random()
        if kind < 0.6:
            body = self.a_class.mark(student, dice.choice("2345"), comment=text)
            return Ask(self.teacher, "/v1/marks", json.dumps(body).encode())
        if kind < 0.8 or length > 400:
            those = dice.sample(self.a_class.students, min(3, len(self.a_class.students)))
            lines = ({"student_id": one, "marks": [dice.choice("2345")], "comment": text} for one in those)
            return Ask(self.teacher, "/v1/lessons", json.dumps(self.a_class.lesson(*lines)).encode())
        body = {
            "kind": "olympiad", "level": "school", "outcome": "winner", "title": "Олимпиада",
            "achieved_on": YESTERDAY.isoformat(), "evidence": f"Диплом {text}",
        }  # fmt: skip
        return Ask(self.director, f"/v1/students/{student}/achievements", json.dumps(body).encode())

    async def insists(self, http: httpx.AsyncClient, name: str, key: str, ask: Ask, dice: random.Random) -> None:
        """Sends a command under its key until it is acknowledged."""
        self.asks[key] = ask
        self.keys[key] = self.hasher.command(ask.by.id, key).hex()
        begun = time.monotonic()
        while True:
            if await self.attempt(http, name, key):
                break
            await asyncio.sleep(dice.random() * 0.2)
        self.longest_s = max(self.longest_s, time.monotonic() - begun)

    async def attempt(self, http: httpx.AsyncClient, name: str, key: str) -> bool:
        """Sends a command once, notes what came of it, and says whether that was an acknowledgement."""
        ask = self.asks[key]
        headers = {
            "Authorization": f"Bearer {ask.by.token}", "Idempotency-Key": key, "Content-Type": "application/json",
        }  # fmt: skip
        begun = time.monotonic_ns()
        outcome, told = Outcome.UNKNOWN, None
        try:
            answer = await http.post(ask.path, content=ask.body, headers=headers)
            if answer.status_code == 201:
                outcome, told = Outcome.ACKNOWLEDGED, _told(answer)
                return True
            assert answer.status_code == 503, answer.text
            code = answer.json()["code"]
            if code in UNRECORDED:
                outcome = Outcome.NOT_RECORDED
        except httpx.TransportError as error:
            code = type(error).__name__
        finally:
            self.history.calls.append(Call(name, self.keys[key], begun, time.monotonic_ns(), outcome, told))
        self.codes[code] = self.codes.get(code, 0) + 1
        return False

    # --- without a pause --------------------------------------------------------------------------------------------

    def begin(self, count: int, seed: int) -> None:
        """Lets so many clients record, one command after another, until they are told that it is over."""
        self.producers = [asyncio.create_task(self._produce(f"client {n}", seed * 1_000 + n)) for n in range(count)]

    async def _produce(self, name: str, seed: int) -> None:
        dice, number = random.Random(seed), 0  # noqa: S311 - a drill, not a secret
        async with self.client() as http:
            while not self.over:
                number += 1
                key = f"{name}/{number}"
                await self.insists(http, name, key, self.ask(dice, length=dice.choice((0, 0, 20, 400))), dice)
                if dice.random() < 0.1:  # some ask again although they were answered
                    await self.insists(http, name, key, self.asks[key], dice)
                await asyncio.sleep(dice.random() * 0.2)

    async def acknowledged(self, more: int, *, seconds: float = 60) -> None:
        """Returns when so many more calls have been acknowledged; what stops a client is raised."""
        wanted = self.history.count(Outcome.ACKNOWLEDGED) + more

        def enough() -> bool:
            for producer in self.producers:
                if producer.done():
                    producer.result()
            return self.history.count(Outcome.ACKNOWLEDGED) >= wanted

        await until(enough, seconds=seconds)

    async def ends(self) -> None:
        """Lets the clients finish what they have begun."""
        self.over = True
        await asyncio.gather(*self.producers)

    # --- what is checked --------------------------------------------------------------------------------------------

    async def asks_again(self, url: str) -> list[str]:
        """Sends every command once more; returns the keys whose answer is another one than the first."""
        first = {call.key: call.told for call in reversed(self.history.calls) if call.told is not None}
        waiting = list(self.keys)

        async def late() -> None:
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
                while waiting:
                    key = waiting.pop()
                    assert await self.attempt(http, "late", key), self.codes

        await asyncio.gather(*(late() for _ in range(8)))
        again = {call.key: call.told for call in self.history.calls if call.client == "late"}
        return [key for key, told in first.items() if again.get(key) != replace(told, repeated=True)]

    def amiss(self, database: Database, before: int) -> list[str]:
        """Returns what is wrong, a sentence each: the contradictions, who was not answered, and what nobody was told.

        Args:
            database: the ledger.
            before: the last position of what was recorded before the clients began; all after it is theirs.
        """
        log = read_log(database)
        strangers = {event.command for event in log[before:]} - set(self.keys.values())
        return [
            *contradictions(self.history, log),
            *unaccounted(self.history, log, after=before),
            *(f"doubled: {command} was recorded and asked for by nobody" for command in strangers),
        ]

    def figures(self) -> dict[str, Any]:
        """Returns what it came to."""
        return {
            "commands": len(self.keys),
            "calls": {outcome.value: self.history.count(outcome) for outcome in Outcome},
            "failed attempts": dict(sorted(self.codes.items())),
            "longest wait, s": round(self.longest_s, 1),
        }


def a_person(base: Foundation, office: Office, person: UUID | None = None) -> Person:
    """Returns somebody in an office."""
    actor = Actor(person or new_id(), office, frozenset())
    return Person(actor.id, issue_token(load_token_key(base.settings), base.id, actor))


def _told(answer: httpx.Response) -> Told:
    """Returns what an answer says, and when it was said the first time."""
    said = answer.json()
    events = tuple(UUID(event["event_id"]) for event in said["events"])
    repeated = answer.headers.get("idempotency-replayed") == "true"
    return Told(said["first_position"], events, datetime.fromisoformat(said["recorded_at"]), repeated)
