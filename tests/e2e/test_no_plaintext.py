"""No student's data in clear: canaries are recorded and shown, and then looked for wherever they could have gone.

Looked through are every table of the ledger, a dump, every file of the home (the data files, the write-ahead log, the
server's log, the log of all processes at its most talkative, with failures provoked in each), in every spelling that a
program would store text in.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from ledger.store.embedded import EmbeddedPostgres
from tests.support.api import BEGIN, END, YEAR, YESTERDAY, Api
from tests.support.cli import Cli, Running, a_home
from tests.support.oneroster import write_package
from tests.support.tampering import FLIPPED, in_events, schema_of_view
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from ledger.store.database import Row

FAMILY, GIVEN, COMMENT = "Цыплухарькова", "Эвфрозинья", "Зазубрилакомментарий"
REASON, OFF_SCALE, AWARD = "Опечатковыверение", "десяткасплюсом", "Грамотазажужелиц"
FOREIGN, KEY_NAME, LATIN = "snils-zq-77-canary", "klyuch-Tsyplukharkova-enrol", "Xylobandicoot"
CONTACT, COURT, QUESTION = "Улицаступеньколазов", "Решениехмурогосуда", "Вопросокляузочках"
CANARIES = (
    FAMILY, GIVEN, COMMENT, REASON, OFF_SCALE, AWARD, FOREIGN, KEY_NAME, LATIN, CONTACT, COURT, QUESTION,
)  # fmt: skip
PLANTED = "Подсаднойканарейкин"

pytestmark = pytest.mark.xdist_group("no-plaintext")  # one worker makes the ledger that is searched


def spellings(text: str) -> dict[str, bytes]:
    """Returns the text as a program might have stored it."""
    plain = text.encode()
    found = {
        "UTF-8": plain,
        "UTF-16 LE": text.encode("utf-16-le"),
        "UTF-16 BE": text.encode("utf-16-be"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "JSON escapes": text.encode("ascii", "backslashreplace"),
    }
    for shift in range(3):  # where the text begins within a longer one that was encoded as a whole
        encoded = base64.b64encode(bytes(shift) + plain)
        whole = encoded[(0, 2, 3)[shift] : len(encoded) // 4 * 4 - (4 if encoded.endswith(b"=") else 0)]
        found[f"base64, shifted by {shift}"] = whole
        found[f"base64url, shifted by {shift}"] = whole.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def search(content: bytes, where: str, texts: tuple[str, ...]) -> list[str]:
    """Returns which of the texts stand in the content, in which spelling and where."""
    return [
        f"{text} as {spelling} in {where}"
        for text in texts
        for spelling, needle in spellings(text).items()
        if needle in content
    ]


@dataclass(frozen=True)
class Everywhere:
    """All the places of a ledger."""

    cli: Cli
    server: EmbeddedPostgres
    owner: psycopg.Connection[Row]

    def tables(self) -> dict[str, bytes]:
        """Returns what COPY gives of every table in every schema of the ledger."""
        names = self.owner.execute(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'm') AND (n.nspname = 'ledger' OR starts_with(n.nspname, 'ledger_'))"
        ).fetchall()
        found = {}
        for (name,) in names:
            with self.owner.cursor().copy(f"COPY {name} TO STDOUT") as copy:
                found[f"table {name}"] = b"".join(bytes(part) for part in copy)
        return found

    def dump(self) -> dict[str, bytes]:
        """Returns a dump of the database as an administrator takes it."""
        done = subprocess.run([EmbeddedPostgres.binary("pg_dump"), self.server.url], capture_output=True, check=True)
        return {"dump": done.stdout}

    def files(self) -> dict[str, bytes]:
        """Returns every file of the home, after the server has written what it held in memory."""
        self.owner.execute("CHECKPOINT")
        return {
            str(path.relative_to(self.cli.home)): path.read_bytes()
            for path in self.cli.home.rglob("*")
            if path.is_file() and not path.is_symlink()
        }


def found_in(places: Mapping[str, bytes], texts: tuple[str, ...]) -> list[str]:
    """Searches all the places."""
    return [hit for where, content in places.items() for hit in search(content, where, texts)]


def _live(director: Api) -> str:
    """Records and shows the canaries through the service, and returns the student's id."""
    director.records("/v1/school", {"name": "Школа для проверок"})
    dates = {"starts_on": BEGIN.isoformat(), "ends_on": END.isoformat()}
    director.records("/v1/school/years", {"year": YEAR, "title": "2025/26", **dates})
    group = director.records("/v1/class-groups", {"title": "5А", "year": YEAR, "level": "basic"})["id"]
    course_form = {"title": "Математика", "group_id": group, "journal": "class", "scale": "five"}
    course = director.records("/v1/courses", course_form)["id"]
    work = director.records(f"/v1/courses/{course}/works", {"title": "Контрольная", "kind": "control"})["id"]
    student_form = {
        "family_name": FAMILY,
        "given_name": GIVEN,
        "patronymic": LATIN,
        "enrolled_on": BEGIN.isoformat(),
        "foreign_ids": [{"source": "sis", "id": FOREIGN}],
    }
    student = director.records("/v1/students", student_form, key=KEY_NAME)["id"]
    director.records(f"/v1/students/{student}/moves", {"group_id": group, "effective_on": BEGIN.isoformat()})
    mark_form = {
        "course_id": course,
        "student_id": student,
        "work_id": work,
        "value": "4",
        "effective_on": YESTERDAY.isoformat(),
        "comment": COMMENT,
    }
    mark = director.records("/v1/marks", mark_form)["id"]
    corrections = f"/v1/students/{student}/marks/{mark}/corrections"
    director.records(corrections, {"course_id": course, "value": "5", "reason": REASON})
    assert director.post("/v1/marks", {**mark_form, "value": OFF_SCALE}).status_code == 422
    assert director.post("/v1/marks", {**mark_form, "value": 5, OFF_SCALE: 1}).status_code == 422
    assert director.post("/v1/students", {**student_form, "given_name": LATIN}, key=KEY_NAME).status_code == 422
    _record_family(director, student)
    achievement_form = {
        "kind": "research",
        "level": "school",
        "outcome": "winner",
        "title": AWARD,
        "achieved_on": YESTERDAY.isoformat(),
        "evidence": "Диплом",
    }
    achievement = director.records(f"/v1/students/{student}/achievements", achievement_form)["id"]
    award_form = {
        "form": "diploma",
        "sphere": "scientific",
        "title": AWARD,
        "basis": [achievement],
        "order": "Приказ",
        "granted_on": YESTERDAY.isoformat(),
    }
    at = director.records(f"/v1/students/{student}/awards", award_form)["position"]
    cell = director.reads(f"/v1/journals/{course}", min_position=at)["lines"][0]
    assert (cell["family_name"], cell["cells"][0]["comment"]) == (FAMILY, COMMENT)
    assert AWARD in {
        item["title"] for item in director.reads(f"/v1/students/{student}/portfolio", min_position=at)["items"]
    }
    found = director.reads("/v1/students", source="sis", foreign_id=FOREIGN, min_position=at)
    assert found["student_id"] == student
    director.reads(f"/v1/students/{student}/history")
    assert director.get(f"/v1/commands/{KEY_NAME}").status_code == 200
    return str(student)


def _record_paper(director: Api, student: str) -> None:
    """Records a document that a court was handed, and one that a newspaper was not."""
    paper = {
        "students": [student], "categories": ["marks"], "document_kind": "extract", "document_number": QUESTION,
        "channel": "paper", "purpose": "statutory_duty", "recipient": COURT,
    }  # fmt: skip
    assert director.post("/v1/hand-overs", paper).status_code == 403
    at = director.records("/v1/hand-overs", paper | {"asked_by": CONTACT})["position"]
    told = director.reads(f"/v1/students/{student}/who-saw", own=True, min_position=at)["items"]
    assert all(text in told[0]["text"] + told[1]["text"] for text in (QUESTION, COURT, CONTACT))


def _record_family(director: Api, student: str) -> None:
    """Records a mother with an address, what a court took from her, what she agreed to, asked and was handed."""
    day = YESTERDAY.isoformat()
    mother = str(uuid4())
    where = f"/v1/students/{student}"
    proof = {"kind": "parent", "document_kind": "birth_certificate", "document": CONTACT, "document_on": day}
    form = {"person": mother, **proof, "effective_on": BEGIN.isoformat(), "contact": CONTACT}
    named = director.records(f"{where}/representatives", form)["id"]
    assert director.post(f"{where}/representatives", form).status_code == 422
    scope = {"categories": ["awards"], "recipients": [QUESTION], "form": "written", "document": QUESTION}
    consent = {"by": mother, "kind": "processing", "purpose": "contests", **scope, "effective_on": day}
    director.records(f"{where}/consents", consent)
    asked = director.records(f"{where}/requests", {"by": mother, "kind": "information", "text": QUESTION})["id"]
    director.records(f"{where}/requests/{asked}/answers", {"how": "letter", "text": QUESTION})
    _record_paper(director, student)
    taken = {"powers": ["information"], "document": COURT, "document_on": day, "effective_on": day}
    at = director.records(f"{where}/representatives/{named}/restrictions", taken)["position"]
    (shown,) = director.reads(f"{where}/representatives")["items"]
    assert (shown["contact"], shown["restrictions"][0]["document"]) == (CONTACT, COURT)
    assert director.reads(f"{where}/consents")["items"][0]["recipients"] == [QUESTION]
    assert director.reads(f"{where}/requests", min_position=at)["items"][0]["answer"] == QUESTION


async def _provoke(cli: Cli, server: EmbeddedPostgres, running: Running, director: Api, student: str) -> None:
    """Makes every process fail at something that holds canaries; the log says how, and must not say of whom."""
    database = cli.database(server)
    with database.connect("owner") as owner:
        flip = f"UPDATE events SET state = {FLIPPED.format('state')} WHERE topic = 'marks.recorded'"
        in_events(database, flip)
        # The projector meets the altered event again, and so does who reads the history.
        owner.execute("UPDATE tracking SET position = 0 WHERE view = 'journals'")
        award_form = {"kind": "research", "level": "school", "outcome": "winner", "title": AWARD, "evidence": LATIN}
        award_form["achieved_on"] = YESTERDAY.isoformat()
        director.records(f"/v1/students/{student}/achievements", award_form)
        await until(lambda: b"View journals cannot apply" in _log(cli))
        assert director.get(f"/v1/students/{student}/history").status_code == 500
        in_events(database, flip)
        ended = owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
        assert ended
    answer = director.post(f"/v1/students/{student}/achievements", award_form)
    assert answer.status_code in {201, 503}
    (worker,) = running.children("api")
    worker.send_signal(signal.SIGKILL)
    await until(lambda: b"signal 9" in _log(cli))
    broken = write_package(cli.home.parent / f"{cli.home.name}.zip", results=f"sourcedId,{LATIN}\r\n{FAMILY},\r\n")
    try:
        said = cli.fails("import", "oneroster", str(broken), LEDGER_LOG_LEVEL="debug").err
    finally:
        broken.unlink()
    said += cli.fails("replay", f"sis:{FOREIGN}-{LATIN}", LEDGER_LOG_LEVEL="debug").err
    said += cli.works("replay", f"sis:{FOREIGN}", LEDGER_LOG_LEVEL="debug").err
    (cli.home / "cli.log").write_text(said, encoding="utf-8")


def _log(cli: Cli) -> bytes:
    return (cli.home / "service.log").read_bytes()


@contextmanager
def _served(cli: Cli) -> Iterator[tuple[str, Running]]:
    with cli.started("serve", "--port", "0", "--workers", "1", LEDGER_LOG_LEVEL="debug") as running:
        found = re.search(r"http://\S+:\d+", running.line("Serving"))
        assert found is not None
        yield found.group(), running


@pytest.fixture(scope="module")
def everywhere() -> Iterator[Everywhere]:
    with a_home() as cli, EmbeddedPostgres(cli.home) as server:
        with _served(cli) as (url, running):
            token = cli.works("token", "--office", "director", "--actor", str(uuid4())).out.strip()
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, timeout=60, headers=headers) as client:
                student = _live(Api(client))
                asyncio.run(_provoke(cli, server, running, Api(client), student))
        with cli.database(server).connect("owner") as owner:
            yield Everywhere(cli, server, owner)


def test_no_canary_stands_in_any_table(everywhere: Everywhere) -> None:
    tables = everywhere.tables()
    students = f"{schema_of_view(everywhere.cli.database(everywhere.server), 'rosters')}.students"
    assert {"table ledger.events", "table ledger.commands", f"table {students}"} <= set(tables)
    assert found_in(tables, CANARIES) == []


def test_no_canary_stands_in_a_dump(everywhere: Everywhere) -> None:
    dump = everywhere.dump()
    assert b"COPY ledger.events" in dump["dump"]
    assert found_in(dump, CANARIES) == []


def test_no_canary_stands_in_any_file_of_the_home(everywhere: Everywhere) -> None:
    files = everywhere.files()
    assert any("pg_wal/0000" in name for name in files)
    assert files["postgres/server.log"]
    assert b"/v1/marks" in files["service.log"]
    assert found_in(files, CANARIES) == []


def test_every_process_logs_json_lines_and_told_of_the_failures(everywhere: Everywhere) -> None:
    lines = [json.loads(line) for line in everywhere.files()["service.log"].splitlines()]
    assert {line["process"] for line in lines} >= {"supervisor", "api-1", "projector"}
    told = {(line["process"], line["event"]) for line in lines if line["level"] in {"warning", "error", "critical"}}
    assert ("api-1", "request failed") in told
    assert ("projector", "The projector lost the database.") in told
    assert ("supervisor", "A process died; a new one starts.") in told
    assert any(process == "projector" and event.startswith("View journals cannot apply") for process, event in told)
    failed = next(line for line in lines if line["event"] == "request failed")
    answered = next(line for line in lines if line["event"] == "request" and line["status"] == 500)
    assert failed["request_id"] == answered["request_id"]


@pytest.mark.parametrize("canary", CANARIES)
def test_search_knows_every_spelling(canary: str) -> None:
    around = f"до {canary} после"
    contents = [
        around.encode(),
        around.encode("utf-16"),
        around.encode("utf-16-be"),
        around.encode().hex().encode(),
        around.encode().hex().upper().encode(),
        *(base64.b64encode(f"{'.' * n}{around}".encode()) for n in range(3)),
        *(base64.urlsafe_b64encode(f"{'.' * n}{around}".encode()) for n in range(3)),
        around.encode("ascii", "backslashreplace"),
    ]
    for content in contents:
        assert search(content, "here", CANARIES), content
    assert search(around.encode(), "here", ("другое",)) == []


def test_search_finds_a_planted_text_in_tables_dump_files_and_log(everywhere: Everywhere) -> None:
    everywhere.owner.execute("CREATE TABLE ledger.planted (clear text, sealed bytea)")
    try:
        everywhere.owner.execute("INSERT INTO ledger.planted VALUES (%s, %s)", (PLANTED, PLANTED.encode()))
        tables = found_in(everywhere.tables(), (PLANTED,))
        dump = found_in(everywhere.dump(), (PLANTED,))
        files = found_in(everywhere.files(), (PLANTED,))
    finally:
        everywhere.owner.execute("DROP TABLE ledger.planted")
    for hits in (tables, dump):
        assert any(f"{PLANTED} as UTF-8" in hit for hit in hits)
        assert any(f"{PLANTED} as hex" in hit for hit in hits)
    assert any("pg_wal" in hit for hit in files)
    assert any("base/" in hit for hit in files)
