"""Every address that names a student, asked by strangers: the whole answer is that of a student who does not exist."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from ledger.api.terms import DOCUMENT, PURPOSE, REASON, RECIPIENT
from ledger.ids import new_id
from ledger.policy.offices import Office

if TYPE_CHECKING:
    from tests.support.api import AClass, Api, Served

STATED: tuple[dict[str, str], ...] = (
    {},
    {"If-None-Match": "*"},
    {"If-Match": '"m1"'},
    {PURPOSE: "statutory_duty", RECIPIENT: "synthetic%20court", DOCUMENT: quote("Запрос № 1")},
    {REASON: quote("Упал на перемене, без сознания, родители не отвечают")},
)
QUERIES: dict[str, dict[str, Any]] = {"diff": {"from_position": 1}}
OWN = frozenset({"x-request-id", "date", "ratelimit"})
AT_ONCE = 24


async def answers(requests: list[httpx.Request]) -> list[tuple[object, ...]]:
    """Returns all that requests were answered, but for what is each answer's own."""
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        found = await asyncio.gather(*map(client.send, requests))
    return [
        (
            answer.status_code,
            {**answer.json(), "request_id": ""},
            sorted(item for item in answer.headers.items() if item[0] not in OWN),
        )
        for answer in found
    ]


def test_strangers_get_the_answer_of_nobody(served: Served, director: Api, a_class: AClass) -> None:
    recorded = director.records("/v1/marks", a_class.mark(a_class.students[0]))
    director.reads(f"/v1/journals/{a_class.course_id}", min_position=recorded["position"])
    paths = director.reads("/openapi.json")["paths"]
    about = [path for path, methods in paths.items() if "{student_id}" in path and "get" in methods]
    assert len(about) > 10
    of_student = {"student_id": a_class.students[0], "mark_id": recorded["id"], "course_id": str(a_class.course_id)}
    of_nobody = of_student | {"student_id": str(new_id()), "mark_id": str(new_id())}
    strangers = {
        office: served.acts(office, students=(new_id(),) if office in (Office.STUDENT, Office.REPRESENTATIVE) else ())
        for office in (Office.TEACHER, Office.CLASS_TEACHER, Office.STUDENT, Office.REPRESENTATIVE)
    }
    cells, requests = [], []
    for office, stranger in strangers.items():
        # For staff an emergency opens it, and is recorded as one; students and representatives have none.
        stated = STATED if office in (Office.STUDENT, Office.REPRESENTATIVE) else STATED[:-1]
        for number, path in enumerate(about):
            for terms in (stated[0], stated[1 + number % (len(stated) - 1)]):
                cells.append((office, path, tuple(terms)))
                for ids in (of_student, of_nobody):
                    query = QUERIES.get(path.rpartition("/")[2], {})
                    address = path.format(**ids)
                    requests.append(stranger.http.build_request("GET", address, params=query, headers=terms))
    found = asyncio.run(answers(requests))
    for cell, one, other in zip(cells, found[::2], found[1::2], strict=True):
        assert one == other, cell
        assert one[0] == httpx.codes.NOT_FOUND, cell
