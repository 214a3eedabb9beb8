"""What is answered past the framework is answered, byte for byte, as the framework would."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest

from ledger.api import app
from ledger.api.direct import Direct
from ledger.api.tokens import issue_token
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from tests.support.api import YESTERDAY, AClass, Api, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

AN_ID = "019a0000-0000-7000-8000-000000000005"
OWN = re.compile(rb'"(request_id|access_id)":"[0-9a-f-]{36}"|"(position)":[0-9]+')
"""What two readings of the same differ in: their own ids, and how far the views were."""
OWN_FIELDS = {b"x-request-id", b"date", b"content-length"}

QUERIES = f"""
? ?& ?limit=1 ?limit=01 ?limit=1&limit=50 ?limit=0 ?limit=51 ?limit=x ?limit= ?limit ?limit=%201 ?limit=1.0 ?LIMIT=1
?cursor={{student}} ?cursor=x ?cursor= ?cursor={"x" * 101} ?min_position=0 ?min_position=-1
?min_position=9223372036854775808 ?at_position={{position}} ?at_position=0 ?at_position=999999999
?at_position={{position}}&known_at=2025-10-01T08:00:00Z ?at_position={{position}}&effective_on={{day}}&limit=1
?known_at=2025-10-01T08:00:00 ?known_at=2001-10-01T08:00:00Z ?known_at=2025-10-01T08:00:00%2B03:00
?effective_on={{day}} ?effective_on=2025-13-01 ?effective_on=1759305600 ?limit=1&unknown=1 ?%D1%8F=1
""".split()
HEADERS: tuple[dict[str, str], ...] = (
    {"If-None-Match": "*"},
    {"If-None-Match": 'W/"x", "y"'},
    {"If-None-Match": "no tag"},
    {"If-Match": "*"},
    {"If-Match": '"c1"'},
    {"If-Match": ""},
    {"Ledger-Office": "director"},
    {"Ledger-Office": "teacher"},
    {"Ledger-Office": "king"},
    {"Ledger-Purpose": "nothing"},
    {"Ledger-Purpose": "protection", "Ledger-Document": "court%20order", "Ledger-Recipient": "%"},
    {"Ledger-Exceptional-Reason": "because"},
    {"Ledger-Exceptional-Reason": "unconscious%20after%20a%20fall%2C%20parents%20do%20not%20answer"},
    {"Prefer": "return=minimal, wait=5"},
    {"Accept": "text/html;q=x", "Content-Type": "text/plain"},
    {"Origin": "https://example.org", "X-Request-Id": AN_ID},
    {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
)


class Asked(NamedTuple):
    """A request as it is sent to both."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    target: str = ""
    """What stands in the request line, where it is not the path as a client would write it."""


@pytest.fixture(scope="module")
def by_framework(served: Served) -> Iterator[Served]:
    """The same ledger, served a second time with nothing past the framework."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(app, "Direct", lambda _: Direct(()))
        with serving(served.base) as service:
            yield service


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def tables(served: Served, a_class: AClass, position: int) -> Iterator[Asked]:
    """Yields requests; whoever sends one has a new token, and so all of their rate."""
    page, student = f"/v1/journals/{a_class.course_id}", a_class.students[0]
    for query in ("", *QUERIES):
        told = query.format(student=student, position=position, day=YESTERDAY.isoformat())
        yield Asked("GET", page + told, bearer(served.token()))
    for headers in HEADERS:
        yield Asked("GET", page, bearer(served.token()) | headers)
    for spelled in (a_class.course_id.upper(), a_class.course_id.replace("-", ""), f"urn:uuid:{a_class.course_id}"):
        yield Asked("GET", f"/v1/journals/{spelled}", bearer(served.token()))
    for unknown in (AN_ID, "x", "%00", f"{AN_ID}%0A", f"{AN_ID}/", f"{AN_ID}%2F", ""):
        yield Asked("GET", f"/v1/journals/{unknown}", bearer(served.token()))
    for method in ("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "BREW"):
        yield Asked(method, page, bearer(served.token()), b"{}" if method == "POST" else b"")
    yield Asked("GET", page, bearer(served.token(Office.TEACHER)))
    yield Asked("GET", page, bearer(served.token(Office.TEACHER, person=a_class.teacher)))
    late = issue_token(
        served.key, served.base.id, Actor(new_id(), Office.DIRECTOR, frozenset()), lifetime=timedelta(seconds=-1)
    )
    for headers in ({}, bearer("x"), {"Authorization": "Bearer"}, bearer(late), {"Authorization": "Basic eA=="}):
        yield Asked("GET", page, headers)
        yield Asked("GET", f"{page}?limit=x", headers)
    student_path = f"/v1/students/{student}"
    marks = (f"/marks/{AN_ID}?min_position=0", f"/courses/{a_class.course_id}/period-marks?min_position=0")
    for path in ("?limit=x", "/portfolio?limit=1", "/history?limit=1", f"/state?at_position={position}", *marks):
        yield Asked("GET", student_path + path, bearer(served.token()))
        yield Asked("GET", f"{student_path}{path}&min_position=x", bearer(served.token()))
    for path in (f"/v1/courses/{a_class.course_id}", f"/v1/courses/{a_class.course_id}/works?limit=1", "/v1/events/1"):
        yield Asked("GET", path, bearer(served.token()))
    correcting = f"{student_path}/marks/{AN_ID}/corrections"
    key, json = {"Idempotency-Key": "k"}, {"Content-Type": "application/json"}
    for headers, body in (({}, b""), (key, b"{}"), (key | json, b"{"), (key | json, b"{}")):
        yield Asked("POST", correcting, bearer(served.token()) | headers, body)
        yield Asked("POST", correcting.replace(AN_ID, "x"), bearer(served.token()) | headers, body)


def with_targets(served: Served, page: str) -> Iterator[Asked]:
    """Yields requests whose line says in its own way what is asked for, or something beside it."""
    for target in (f"*{page}", f"x{page}", f"/{page}", f"http://example.org{page}", f"{page}#x", f"{page}/../x"):
        yield Asked("GET", page, bearer(served.token()), target=target)


def sent(to: httpx.Client, asked: Asked) -> httpx.Response:
    told = {"target": asked.target.encode()} if asked.target else {}
    request = to.build_request(asked.method, asked.path, headers=asked.headers, content=asked.body, extensions=told)
    return to.send(request)


def comparable(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Returns an answer without what is its own alone."""
    fields = [(name, value) for name, value in answer.headers.raw if name not in OWN_FIELDS]
    return answer.status_code, fields, OWN.sub(rb"\1\2", answer.content)


def test_every_request_is_answered_as_the_framework_answers_it(
    served: Served, by_framework: Served, director: Api, a_class: AClass
) -> None:
    position = director.reads(f"/v1/journals/{a_class.course_id}", min_position=a_class.position)["position"]
    past, framework = served.anonymous(), by_framework.anonymous()
    statuses = set()
    targets = with_targets(served, f"/v1/journals/{a_class.course_id}")
    for asked in (*tables(served, a_class, position), *targets):
        ours, theirs = sent(past, asked), sent(framework, asked)
        assert comparable(ours) == comparable(theirs), asked._replace(headers={})
        statuses.add(ours.status_code)
    assert statuses >= {200, 304, 400, 401, 403, 404, 405, 412, 415, 422}
