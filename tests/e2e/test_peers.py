"""An independent fuzzer, with the tokens of two class teachers, finds no way for one to see the other's students.

Schemathesis asks as one of them, repeats as the other what was shown, and fails where the other is shown the same
(broken object-level authorisation, OWASP API1:2023). A second run has the relation taken out of what is decided about a
student's records, and must find just that.

LEDGER_SOAK_CASES   requests to each operation in each phase (30)
LEDGER_SOAK_SEED    chooses them (1)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ledger.application.disclose import gate
from ledger.policy.offices import Office
from ledger.policy.reading import Resource, decide_reading
from tests.support.api import a_foundation, found, make_class, projecting, sealing, serving
from tests.support.postgres import fresh_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.policy.offices import Actor
    from ledger.policy.reading import Asking, Decision, Relation
    from tests.support.api import Served

CASES = int(os.environ.get("LEDGER_SOAK_CASES", "30"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
PEERS = ("class-teacher-a", "class-teacher-b")
CHECKS = ("object_level_authorization", "not_a_server_error")
ONLY_READING = "^(?!GET$)"
OF_STUDENTS = "^/v1/(class-groups|students|courses|journals|disclosures|requests|events|data-tracker)"

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


@pytest.fixture
def served(postgres_url: str, kek_text: str, tmp_path: Path) -> Iterator[Served]:
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, tmp_path) as base,
        projecting(base),
        sealing(base),
        serving(base) as served,
    ):
        yield served


def with_lists(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the document with one answer to a list of students: the fuzzer does not see that either of two is one."""
    answers = document["paths"]["/v1/students"]["get"]["responses"]["200"]["content"]["application/json"]
    answers["schema"] = {"$ref": "#/components/schemas/StudentPage"}
    return document


def fuzz(served: Served, folder: Path) -> tuple[int, str]:
    """Runs the fuzzer as both class teachers; returns its exit code and what it said."""
    director = served.acts()
    found(director)
    users = []
    for name in PEERS:
        made = make_class(director, family=name)
        token = served.token(Office.CLASS_TEACHER, person=made.class_teacher)
        header = {"name": "Authorization", "value": f"Bearer {token}"}
        users.append({"name": name, "fixedHeaders": [header]})
    (folder / "users.json").write_text(json.dumps({"auth": users}), encoding="utf-8")
    config = folder / "schemathesis.toml"
    config.write_text(
        f'seed = {SEED}\n[auth.wfc]\npath = "{folder / "users.json"}"\nuser = "{PEERS[0]}"\n'
        f"peers = {json.dumps(PEERS)}\n",
        encoding="utf-8",
    )
    document = folder / "openapi.json"
    document.write_text(
        json.dumps(with_lists(httpx.get(f"{served.url}/openapi.json", timeout=30).json())), encoding="utf-8"
    )
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(document)]
    command += ["--url", served.url, "--phases", "examples,fuzzing,stateful", "-n", str(CASES)]
    command += ["--checks", ",".join(CHECKS), "--exclude-method-regex", ONLY_READING]
    command += ["--include-path-regex", OF_STUDENTS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_one_class_teacher_is_never_shown_what_is_the_others(served: Served, tmp_path: Path) -> None:
    code, said = fuzz(served, tmp_path)
    print(said[-3000:])  # noqa: T201 - how much was tried
    assert code == 0, said


def test_fuzzer_finds_what_a_policy_without_relations_would_show(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anybodys(actor: Actor, resource: Resource, relation: Relation, *terms: Asking) -> Decision:
        if resource is not Resource.STUDENTS:  # what is in each other's lists would be shared by design
            relation = replace(relation, class_teacher=True)
        return decide_reading(actor, resource, relation, *terms)

    monkeypatch.setattr(gate, "decide_reading", anybodys)
    code, said = fuzz(served, tmp_path)
    assert code == 1, said
    assert "owns" in said
