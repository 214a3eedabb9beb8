"""A served ledger to test with: a real server, a real projector, and a client that speaks as an office."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from ledger import bootstrap
from ledger.api.server import listen, make_server
from ledger.api.tokens import issue_token, load_token_key, make_token_key
from ledger.bootstrap import Foundation, foundation
from ledger.clock import school_calendar
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from ledger.settings import Settings
from ledger.store.log_keys import make_log_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import uvicorn
    from joserfc.jwk import OKPKey

    from ledger.api.service import Service

ZONE = "Europe/Moscow"
TODAY = school_calendar(ZONE)()
YESTERDAY = TODAY - timedelta(days=1)
BEGIN, END = TODAY - timedelta(days=120), TODAY + timedelta(days=120)
YEAR, PERIOD = "2025-2026", "2025-2026/1"
Json = dict[str, Any]
BULK = {"Content-Type": "application/x-ndjson"}


def ndjson(*lines: Json | bytes) -> bytes:
    """Returns a body of a bulk request."""
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def as_line(recorded: bytes) -> bytes:
    """Returns the answer of a single route as a line of a bulk answer has it: with the way to its receipt."""
    position = json.loads(recorded)["position"]
    return recorded.removesuffix(b"}") + f',"receipt":"/v1/events/{position}/receipt"}}\n'.encode()


@dataclass
class Served:
    """A running service: where it is, and how tokens for it are made."""

    base: Foundation
    key: OKPKey
    url: str
    server: uvicorn.Server
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def service(self) -> Service:
        """The parts behind the routes, for making faults."""
        app = cast("Any", self.server.config.app)
        return cast("Service", app.state.service)

    def token(
        self, office: Office = Office.DIRECTOR, *, person: UUID | None = None, students: tuple[UUID, ...] = ()
    ) -> str:
        """Returns a token of somebody in an office."""
        return issue_token(self.key, self.base.id, Actor(person or new_id(), office, frozenset(students)))

    def anonymous(self) -> httpx.Client:
        """Returns a client without a token."""
        client = httpx.Client(base_url=self.url, timeout=30)
        self.clients.append(client)
        return client

    def acts(
        self, office: Office = Office.DIRECTOR, *, person: UUID | None = None, students: tuple[UUID, ...] = ()
    ) -> Api:
        """Returns a client that acts in an office."""
        token = self.token(office, person=person, students=students)
        client = httpx.Client(base_url=self.url, timeout=30, headers={"Authorization": f"Bearer {token}"})
        self.clients.append(client)
        return Api(client)


@dataclass
class Api:
    """Somebody who uses the service."""

    http: httpx.Client

    def post(self, path: str, body: object, *, key: str | None = None) -> httpx.Response:
        """Sends a command under a new key, or a given one."""
        return self.http.post(path, json=body, headers={"Idempotency-Key": key or str(uuid4())})

    def bulk(self, *lines: Json | bytes, prefer: str | None = None) -> list[Json]:
        """Sends lines in one request and returns their answers."""
        headers = BULK | ({"Prefer": prefer} if prefer else {})
        answer = self.http.post("/v1/bulk", content=ndjson(*lines), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.content.splitlines()]

    def records(self, path: str, body: object, *, key: str | None = None) -> Json:
        """Sends a command that must be recorded, and returns the answer."""
        answer = self.post(path, body, key=key)
        assert answer.status_code == 201, answer.text
        return cast("Json", answer.json())

    def reads(self, path: str, **query: object) -> Json:
        """Reads what must be shown, and returns it."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return cast("Json", answer.json())

    def get(self, path: str, **query: object) -> httpx.Response:
        """Asks for something."""
        return self.http.get(path, params=cast("Any", query or None))


@dataclass
class AClass:
    """A class group with a course, a work and students of its own, made over HTTP."""

    group_id: str
    course_id: str
    work_id: str
    teacher: UUID
    class_teacher: UUID
    students: list[str]
    position: int

    def mark(self, student: str, value: str = "5", **more: object) -> Json:
        """Returns the form of a mark."""
        return {
            "course_id": self.course_id,
            "student_id": student,
            "work_id": self.work_id,
            "value": value,
            "effective_on": YESTERDAY.isoformat(),
            **more,
        }

    def lesson(self, *lines: Json) -> Json:
        """Returns the form of a lesson."""
        return {
            "course_id": self.course_id,
            "work_id": self.work_id,
            "held_on": YESTERDAY.isoformat(),
            "entries": list(lines),
        }


def make_class(director: Api, *, students: int = 2, family: str = "Синтетический") -> AClass:
    """Makes a class; the students are synthetic."""
    teacher, class_teacher = new_id(), new_id()
    group = director.records(
        "/v1/class-groups", {"title": "5А", "year": YEAR, "level": "basic", "class_teacher": str(class_teacher)}
    )["id"]
    course = director.records(
        "/v1/courses",
        {
            "title": "Математика",
            "group_id": group,
            "journal": "class",
            "scale": "five",
            "teachers": [str(teacher)],
            "starts_on": BEGIN.isoformat(),
        },
    )["id"]
    work = director.records(f"/v1/courses/{course}/works", {"title": "Контрольная", "kind": "control", "weight": 2})[
        "id"
    ]
    ids, position = [], 0
    for number in range(students):
        form = {"family_name": f"{family}{number}", "given_name": "Ученик", "enrolled_on": BEGIN.isoformat()}
        student = director.records("/v1/students", form)["id"]
        move = {"group_id": group, "effective_on": BEGIN.isoformat()}
        position = director.records(f"/v1/students/{student}/moves", move)["position"]
        ids.append(student)
    return AClass(group, course, work, teacher, class_teacher, ids, position)


def found(director: Api) -> int:
    """Founds the school with a year and a period around today, and returns the position from which it can be read."""
    director.records("/v1/school", {"name": "Школа для проверок"})
    dates = {"starts_on": BEGIN.isoformat(), "ends_on": END.isoformat()}
    director.records("/v1/school/years", {"year": YEAR, "title": "2025/26", **dates})
    quarter = {"period": PERIOD, "year": YEAR, "kind": "quarter", "title": "I четверть"}
    return int(director.records("/v1/school/periods", {**quarter, **dates})["position"])


@contextmanager
def projecting(base: Foundation) -> Iterator[None]:
    """Runs a projector beside the block."""
    stop = threading.Event()
    thread = threading.Thread(target=base.runner().run, args=(stop,), name="projector")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def sealing(base: Foundation) -> Iterator[None]:
    """Runs a sealer beside the block, with a key of its own where the settings name none."""
    if not base.settings.log_key_path.exists():
        make_log_key(base.settings.log_key_path, f"ledger/{base.id}")
    stop = threading.Event()
    thread = threading.Thread(target=base.sealer().run, args=(stop,), name="sealer")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def serving(base: Foundation) -> Iterator[Served]:
    """Serves a ledger on a free port beside the block."""
    key = load_token_key(base.settings)
    with listen("127.0.0.1", 0) as listening:
        server = make_server(base)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server")
        thread.start()
        served = Served(base, key, f"http://127.0.0.1:{listening.getsockname()[1]}", server)
        try:
            yield served
        finally:
            for client in served.clients:
                client.close()
            server.should_exit = True
            thread.join()


@contextmanager
def a_foundation(url: str, schema: str, kek: str, folder: Path, **more: Any) -> Iterator[Foundation]:  # noqa: ANN401 - settings
    """Yields the foundation of a ledger on a server, with a token key of its own; `more` are other settings."""
    key_file = folder / "token.pem"
    make_token_key(key_file)
    settings = Settings(
        home=folder,
        database_url=SecretStr(url),
        db_schema=schema,
        kek=SecretStr(kek),
        token_key_file=key_file,
        timezone=ZONE,
        **{"wait_seconds": 25, **more},
    )
    with pytest.MonkeyPatch.context() as patched, foundation(settings) as base:
        # The school's day is that of the forms here, also when midnight passes while they are sent.
        patched.setattr(bootstrap, "school_calendar", lambda _: lambda: TODAY)
        yield base


async def all_at_once(requests: list[httpx.Request]) -> list[httpx.Response]:
    """Sends requests at the same time, each on a connection of its own."""
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=len(requests))) as client:
        return list(await asyncio.gather(*(client.send(request) for request in requests)))
