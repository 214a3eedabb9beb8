"""Schemathesis against a real service: whatever comes in, the answer is one that the OpenAPI document describes.

A short run is part of the suite. The long one: `pytest -m soak tests/e2e/test_fuzz.py -s`, with `FUZZ_CASES` (20,000
unless told otherwise) and `FUZZ_SEED` (printed; give it again for the same cases).
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ledger.ids import new_id
from ledger.policy.offices import Office
from tests.support.api import (
    BEGIN,
    END,
    PERIOD,
    YEAR,
    YESTERDAY,
    Api,
    Served,
    a_foundation,
    found,
    make_class,
    projecting,
    sealing,
    serving,
)
from tests.support.postgres import fresh_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemathesis import APIOperation, Case, DeserializationContext, Response

    Operation = APIOperation[Any, Any, Any, Any]
    Request = Case[Any]

QUICK = 4
CHECKS = [
    status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance,
]  # fmt: skip
Json = dict[str, Any]
NDJSON = "application/x-ndjson"

schemathesis.serializer.alias(NDJSON, "application/json")  # one line is enough of a body


@schemathesis.deserializer(NDJSON)
def _first_line(ctx: DeserializationContext, response: Response) -> object:
    """Reads the answer to the one line that was sent."""
    del ctx
    return json.loads(response.content.splitlines()[0])


@dataclass
class Target:
    """A service with a school in it, who asks it, and what it has that a random request would never hit."""

    served: Served
    tokens: dict[str, str]
    known: dict[str, list[str]]
    own: dict[str, str]
    """The student of each representative."""
    statuses: Counter[int] = field(default_factory=Counter)
    session: requests.Session = field(default_factory=requests.Session)


@pytest.fixture(scope="module")
def target(postgres_url: str, kek_text: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, folder) as base,
        projecting(base),
        sealing(base),
        serving(base) as served,
    ):
        director = served.acts()
        found(director)
        yield a_target(served, director)


def a_target(served: Served, director: Api) -> Target:
    """Makes a class with some marks, and tokens of everybody: two teachers, two families, and nobody."""
    made = make_class(director)
    teacher = served.acts(Office.TEACHER, person=made.teacher)
    marks = [teacher.records("/v1/marks", made.mark(student))["id"] for student in made.students]
    first, second = made.students
    mother, day = new_id(), YESTERDAY.isoformat()
    where, proof = f"/v1/students/{first}", {"document": "I-АБ 000000", "document_on": day}
    named = {"person": str(mother), "kind": "parent", "document_kind": "birth_certificate", **proof}
    representation = director.records(f"{where}/representatives", {**named, "effective_on": BEGIN.isoformat()})["id"]
    agreed = {"kind": "processing", "purpose": "contests", "categories": ["awards", "marks"], "form": "written"}
    consent = director.records(
        f"{where}/consents", {**agreed, "by": str(mother), "document": "Согласие", "effective_on": day}
    )["id"]
    asked = director.records(f"{where}/requests", {"by": str(mother), "kind": "copies", "text": "Копии"})["id"]
    tokens = {
        "director": served.token(),
        "secretary": served.token(Office.SECRETARY),
        "auditor": served.token(Office.AUDITOR),
        "teacher": served.token(Office.TEACHER, person=made.teacher),
        "another teacher": served.token(Office.TEACHER),
        "family": served.token(Office.REPRESENTATIVE, person=mother, students=(UUID(first),)),
        "another family": served.token(Office.REPRESENTATIVE, students=(UUID(second),)),
    }
    known = {
        "student_id": made.students, "group_id": [made.group_id], "course_id": [made.course_id], "mark_id": marks,
        "work_id": [made.work_id], "year": [YEAR], "period": [PERIOD], "scale": ["five"], "journal": ["class"],
        "teacher": [str(made.teacher)], "class_teacher": [str(made.class_teacher)], "subject": made.students,
        "value": ["5", "4", "2"], "act": ["assessment"], "level": ["basic", "school"], "basis": made.students,
        "representation_id": [representation], "consent_id": [consent], "request_id": [asked],
        "person": [str(mother)], "by": [str(mother), first],
        "starts_on": [BEGIN.isoformat()], "ends_on": [END.isoformat()], "until": [END.isoformat()],
    }  # fmt: skip
    days = [YESTERDAY.isoformat(), (YESTERDAY - timedelta(days=30)).isoformat()]
    known |= dict.fromkeys(
        (
            "effective_on",
            "received_on",
            "document_on",
            "held_on",
            "achieved_on",
            "granted_on",
            "enrolled_on",
            "in_force_from",
        ),
        days,
    )
    return Target(served, tokens, known, {"family": first, "another family": second})


SURE = 0.8
RARE = {"permit_id", "min_position", "wait", "at_position"}
"""Members that are left out mostly: a made-up one only ever leads to the same refusal."""


def aim(value: Any, known: dict[str, list[str]], chance: random.Random) -> Any:  # noqa: ANN401 - any JSON
    """Returns a value in which most names of things are names of things that exist."""
    if isinstance(value, list):
        return [aim(item, known, chance) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: chance.choice(known[name]) if name in known and chance.random() < SURE else aim(item, known, chance)
        for name, item in value.items()
        if name not in RARE or chance.random() > SURE
    }


@st.composite
def requests_to(draw: st.DrawFn, operation: Operation, target: Target) -> tuple[Request, str]:
    """Draws a request, valid or not, and who sends it."""
    mode = draw(st.sampled_from((GenerationMode.POSITIVE, GenerationMode.POSITIVE, GenerationMode.NEGATIVE)))
    case = draw(operation.as_strategy(generation_mode=mode))
    chance = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - repeatable, and no secret
    case.path_parameters = aim(case.path_parameters, target.known, chance)
    case.query = aim(case.query, target.known, chance)
    case.body = aim(case.body, target.known, chance)
    return case, draw(st.sampled_from((*target.tokens, *("director",) * 4, "nobody", "forged")))


def send(target: Target, case: Request, who: str) -> None:
    """Sends a request and checks the answer."""
    headers = {}
    if who == "forged":
        headers["Authorization"] = "Bearer e30.e30.e30"
    elif who != "nobody":
        headers["Authorization"] = f"Bearer {target.tokens[who]}"
    else:
        headers["Authorization"] = ""
    response = case.call(base_url=target.served.url, session=target.session, headers=headers, timeout=30)
    target.statuses[response.status_code] += 1
    told = response.content.decode("utf-8", "replace")[:2_000]
    shown = f"{who}: {case.method} {case.formatted_path} -> {response.status_code} {told}"
    try:
        case.validate_response(response, checks=CHECKS)
    except (FailureGroup, Failure) as error:
        raise AssertionError(f"{shown}\n{error}\n{getattr(error, 'exceptions', '')}") from None
    assert response.status_code < 500, shown
    if response.status_code < 300 and "/v1/" in case.path:
        assert who not in {"nobody", "forged"}, shown
        student = (case.path_parameters or {}).get("student_id")
        if who in target.own and student is not None:
            assert student == target.own[who], f"Another family's student was shown. {shown}"


def operations(target: Target) -> list[Operation]:
    document = target.session.get(f"{target.served.url}/openapi.json", timeout=30).json()
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    return [operation.ok() for operation in found if isinstance(operation, Ok)]


def fuzz(target: Target, number: int, each: int, failures: dict[str, str] | None = None) -> int:
    """Sends `each` requests to every operation; returns how many that were.

    Args:
        target: the service.
        number: what all choices follow from.
        each: how many.
        failures: one failure of each kind is put here, and the run goes on; without it the first one is raised.
    """
    before = target.statuses.total()
    plan = settings(
        max_examples=each,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    for operation in operations(target):
        attempt = sending(target, operation, failures)
        seed(number)(plan(given(requests_to(operation, target))(attempt)))()
    return target.statuses.total() - before


def sending(
    target: Target, operation: Operation, failures: dict[str, str] | None
) -> Callable[[tuple[Request, str]], None]:
    """Returns what is done with each request that was drawn for an operation."""

    def attempt(drawn: tuple[Request, str]) -> None:
        try:
            send(target, *drawn)
        except AssertionError as error:
            if failures is None:
                raise
            kind = f"{operation.label}: {str(error).splitlines()[1:2]}"
            if kind not in failures:
                print(error, flush=True)  # noqa: T201 - the run goes on
            failures.setdefault(kind, str(error))

    return attempt


@pytest.mark.timeout(300)  # some ten seconds where nothing else runs
def test_every_operation_answers_as_the_document_says(target: Target) -> None:
    number = int(os.environ.get("FUZZ_SEED", "1"))
    assert fuzz(target, number, QUICK) >= QUICK * 40
    assert {200, 401, 404, 422} <= target.statuses.keys(), target.statuses


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_thousand_requests_are_answered_as_the_document_says(target: Target) -> None:
    number = int(os.environ.get("FUZZ_SEED", str(random.SystemRandom().randrange(2**32))))
    wanted = int(os.environ.get("FUZZ_CASES", "20000"))
    print(f"FUZZ_SEED={number}", flush=True)  # noqa: T201 - to run it again
    sent, failures = 0, dict[str, str]()
    while sent < wanted:
        each = min(100, 1 + (wanted - sent) // len(operations(target)))
        sent += fuzz(target, number + sent, each, failures)
        told = f"{sent} requests: {dict(sorted(target.statuses.items()))}, {len(failures)} kinds of failures"
        print(told, flush=True)  # noqa: T201 - it takes minutes
    assert not failures, "\n\n".join(failures.values())
