"""A Python client that is generated from our OpenAPI document works against the service, without code of ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.policy.offices import Office
from tests.support.api import BEGIN, YESTERDAY

if TYPE_CHECKING:
    from tests.support.api import AClass, Served

ROOT = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("TESTS_TOOLS", ROOT / ".venv" / "tools" / "bin"))
"""Where `make test` installs the generator; `TESTS_TOOLS` names another folder with it."""

PROGRAM = """
import datetime, json, sys, uuid

from ledger_client import AuthenticatedClient
from ledger_client.api.journals import read_journal
from ledger_client.api.marks import correct_mark, record_mark
from ledger_client.api.students import enrol_student, list_students, move_student, read_student
from ledger_client.models import (
    CommandRecorded, ForeignId, JournalPage, MarkCorrection, NewMark, NewMove, NewStudent, Problem, Student,
    StudentPage,
)

told = json.loads(sys.stdin.read())
begin, day = datetime.date.fromisoformat(told["begin"]), datetime.date.fromisoformat(told["day"])
group, course, work = (uuid.UUID(told[name]) for name in ("group", "course", "work"))
director, teacher = (
    AuthenticatedClient(base_url=told["url"], token=told[who], raise_on_unexpected_status=True)
    for who in ("director", "teacher")
)


def key():
    return str(uuid.uuid4())


form = NewStudent(
    family_name="Синтетическая", given_name="Ученица", enrolled_on=begin,
    foreign_ids=[ForeignId(source="sis", id=str(uuid.uuid4()))],
)
enrolled = enrol_student.sync(client=director, body=form, idempotency_key=key())
assert isinstance(enrolled, CommandRecorded), enrolled
student = enrolled.id
moved = move_student.sync(
    student, client=director, body=NewMove(group_id=group, effective_on=begin), idempotency_key=key()
)
assert isinstance(moved, CommandRecorded), moved

mark = NewMark(course_id=course, student_id=student, work_id=work, value="4", effective_on=day, comment="Хорошо")
once = key()
recorded = record_mark.sync(client=teacher, body=mark, idempotency_key=once)
again = record_mark.sync_detailed(client=teacher, body=mark, idempotency_key=once)
assert again.parsed == recorded and again.headers["idempotency-replayed"] == "true"
correction = MarkCorrection(course_id=course, value="5", reason="Ошибка при проверке")
corrected = correct_mark.sync(student, recorded.id, client=teacher, body=correction, idempotency_key=key())
refused = record_mark.sync_detailed(
    client=teacher, body=NewMark.from_dict({**mark.to_dict(), "value": "9"}), idempotency_key=key()
)
assert refused.status_code == 422 and isinstance(refused.parsed, Problem), refused
assert [violation.code for violation in refused.parsed.violations] == ["off_scale"]

page = read_journal.sync(course, client=teacher, min_position=corrected.position)
assert isinstance(page, JournalPage), page
line = next(line for line in page.lines if line.student_id == student)
card = read_student.sync(student, client=director, min_position=moved.position)
assert isinstance(card, Student) and card.enrolled_on == begin, card
listed = list_students.sync(client=director, group_id=group, min_position=moved.position)
assert isinstance(listed, StudentPage) and student in [item.student_id for item in listed.items]
(cell,) = line.cells
print(json.dumps({"value": cell.value, "changes": [change.old_value for change in cell.changes]}))
"""


@pytest.fixture(scope="module")
def python(served: Served, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """Generates the client; returns a Python without the service in it, and the environment that finds the client."""
    generator = TOOLS / "openapi-python-client"
    if not generator.exists():
        pytest.skip(f"There is no {generator}: `make test` installs it.")
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_bytes(served.anonymous().get("/openapi.json").content)
    environment = {"PATH": f"{TOOLS}:{os.environ['PATH']}", "PYTHONPATH": str(folder), "LANG": "C.UTF-8"}
    made = subprocess.run(
        [
            generator, "generate", "--path", document, "--output-path", folder / "ledger_client", "--meta", "none",
            "--config", ROOT / ".openapi-python-client.yaml", "--fail-on-warning",
        ],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    return str(TOOLS / "python"), environment


def test_generated_client_enrols_marks_and_reads_a_journal(
    served: Served, a_class: AClass, python: tuple[str, dict[str, str]]
) -> None:
    told = {
        "url": served.url,
        "director": served.token(),
        "teacher": served.token(Office.TEACHER, person=a_class.teacher),
        "group": a_class.group_id,
        "course": a_class.course_id,
        "work": a_class.work_id,
        "begin": BEGIN.isoformat(),
        "day": YESTERDAY.isoformat(),
    }
    interpreter, environment = python
    done = subprocess.run(
        [interpreter, "-c", PROGRAM],
        input=json.dumps(told), env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"value": "5", "changes": ["4"]}
