"""Writes down a release, so that every later one is tested against it: `python -m tests.migration.make_release`.

Run once when a version is released, in its tree. `tests/fixtures/released/<version>/` gets

* `ledger.zip`        the package itself, for tests in which two versions run at once;
* `dump.sql`          a whole ledger of that version (pg_dump), its schema named SCHEMA;
* `kek`               the key-encryption key of that ledger, which protects nothing but synthetic data;
* `calls.json`        every request with which the ledger was made, and every page read from it, with the answers;
* `events.json`       the recorded forms of events as they were then, and `migrations.sha256` the migrations' digests.

Every name in it is synthetic.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import ledger
from ledger.application.rotation import retire_log_key, rotate_log_key
from ledger.bootstrap import open_ledger
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.executor import ExecutorSettings
from ledger.store.log_keys import make_log_key, read_log_keys
from ledger.store.migrate import migrations
from tests.support.api import Api, Served, a_foundation, projecting, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.bootstrap import Foundation
    from ledger.store.database import Database

SCHEMA = "ledger_as_released"
TODAY = date(2025, 10, 15)
YEAR = "2025-2026"
SNAPSHOT_EVERY = 20
FIXTURES = Path(__file__).parents[1] / "fixtures"
Json = dict[str, Any]


class Story:
    """What people do and read at the school; every call is kept with its answer."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.calls: list[Json] = []
        self.people: dict[str, tuple[Office, str]] = {}
        self._clients: dict[str, Api] = {}
        for name in ("director", "deputy_head", "teacher", "class_teacher", "secretary", "auditor"):
            self.hire(name, Office(name))

    def hire(self, name: str, office: Office, *students: str) -> str:
        """Gives somebody an office; returns their id."""
        person = new_id()
        self.people[name] = (office, str(person))
        self._clients[name] = self.served.acts(office, person=person, students=tuple(map(UUID, students)))
        return str(person)

    def does(self, who: str, path: str, **body: object) -> Json:
        """Records something."""
        key = str(uuid4())
        answer = self._clients[who].post(path, body, key=key)
        assert answer.status_code == 201, (path, answer.text)
        call = {"who": who, "method": "POST", "path": path, "body": body, "key": key, "status": 201}
        self.calls.append({**call, "answer": answer.text})
        made: Json = answer.json()
        return made

    def reads(self, who: str, path: str, *, status: int = 200) -> None:
        """Reads something; the views have everything by then."""
        position = max(json.loads(call["answer"]).get("position", 0) for call in self.calls if call["method"] == "POST")
        query = "" if path.startswith("/v1/commands/") else f"?min_position={position}"
        answer = self._clients[who].get(path + query)
        assert answer.status_code == status, (path, answer.text)
        self.calls.append({"who": who, "method": "GET", "path": path, "status": status, "answer": answer.text})


def found(story: Story) -> tuple[str, str, str]:
    """Founds the school with a class and a course; returns the group, the course and a work."""
    does = story.does
    does("director", "/v1/school", name="Школа для проверок")
    for year, starts, ends in (("2024-2025", "2024-09-01", "2025-08-31"), (YEAR, "2025-09-01", "2026-08-31")):
        does("director", "/v1/school/years", year=year, title=year, starts_on=starts, ends_on=ends)
    dates = (("1", "2025-09-01", "2025-10-26"), ("2", "2025-11-03", "2025-12-28"))
    for number, starts, ends in dates:
        does(
            "director", "/v1/school/periods", period=f"{YEAR}/{number}", year=YEAR, kind="quarter", title=number,
            starts_on=starts, ends_on=ends,
        )  # fmt: skip
    does(
        "director", "/v1/school/periods", period="2024-2025/4", year="2024-2025", kind="quarter", title="4",
        starts_on="2025-03-31", ends_on="2025-05-31",
    )  # fmt: skip
    does("director", "/v1/school/periods/closings", period="2024-2025/4")
    does("director", "/v1/school/years/closings", year="2024-2025")
    does("director", "/v1/school/scales", scale="ten", title="Десятибалльная", symbols=["1", "5", "10"], passing=["5"])
    does(
        "director", "/v1/school/local-acts", act="assessment", title="Положение об оценивании",
        consulted=["Педагогический совет"], approved_by="Приказ 1 от 01.09.2025", in_force_from="2025-09-01",
        correction_window_days=60,
    )  # fmt: skip
    does("deputy_head", "/v1/school/permissions", year="2024-2025", until="2025-10-31", reason="Болезнь учителя")
    group = does("secretary", "/v1/class-groups", title="5А", year=YEAR, level="basic")["id"]
    head = story.people["class_teacher"][1]
    path = f"/v1/class-groups/{group}/class-teacher"
    does("director", path, class_teacher=head, effective_on="2025-09-01")
    teacher = story.people["teacher"][1]
    course = does(
        "director", "/v1/courses", title="Математика", group_id=group, journal="class", scale="five",
        teachers=[teacher], starts_on="2025-09-01",
    )["id"]  # fmt: skip
    stand_in = {"teacher": head, "starts_on": "2025-10-06", "ends_on": "2025-10-10", "substitute": True}
    does("director", f"/v1/courses/{course}/teachers", **stand_in)
    path = f"/v1/courses/{course}/works"
    work = does("teacher", path, title="Контрольная", kind="control", weight="2.5", set_on="2025-09-22")["id"]
    return group, course, work


def teach(story: Story, group: str, course: str, work: str) -> list[str]:
    """Enrols three students and teaches them; returns their ids."""
    does = story.does
    students = []
    for number in range(3):
        student = does(
            "secretary", "/v1/students", family_name=f"Синтетический{number}", given_name="Ученик",
            patronymic="Отчество", birth_date="2014-05-17", enrolled_on="2025-09-01",
            foreign_ids=[{"source": "sis", "id": f"s-{number}"}],
        )["id"]  # fmt: skip
        does("secretary", f"/v1/students/{student}/moves", group_id=group, effective_on="2025-09-01")
        students.append(student)
    first, second, third = students
    mark = {"course_id": course, "student_id": first, "work_id": work, "effective_on": "2025-09-22"}
    marks = [does("teacher", "/v1/marks", **mark, value="4", comment="Хорошо")["id"] for _ in range(SNAPSHOT_EVERY + 5)]
    lines = [
        {"student_id": first, "marks": ["4", "5"], "comment": "Отлично"}, {"student_id": second, "attendance": "н"},
    ]  # fmt: skip
    does("teacher", "/v1/lessons", course_id=course, work_id=work, held_on="2025-09-23", entries=lines)
    does("teacher", "/v1/submissions", **{**mark, "student_id": second})
    path = f"/v1/students/{first}/marks"
    does("teacher", f"{path}/{marks[0]}/corrections", course_id=course, value="5", reason="Ошибка при проверке")
    does("teacher", f"{path}/{marks[1]}/voidings", course_id=course, reason="Поставлена дважды")
    result = {"course_id": course, "student_id": first, "period": f"{YEAR}/1"}
    does("teacher", "/v1/period-marks", **result, value="4", effective_on="2025-10-15")
    does("teacher", "/v1/period-marks/corrections", **result, value="5", reason="Учтена пересдача")
    path = f"/v1/students/{first}"
    won = does(
        "class_teacher", f"{path}/achievements", kind="olympiad", level="municipal", outcome="winner",
        title="Олимпиада", achieved_on="2025-10-08", evidence="Диплом 17",
    )["id"]  # fmt: skip
    does(
        "director", f"{path}/awards", form="diploma", sphere="study", title="Грамота", basis=[won], order="Приказ 20",
        granted_on="2025-10-14",
    )  # fmt: skip
    does(
        "secretary", f"{path}/credits", subject="Музыка", from_organisation="Музыкальная школа", scale="five",
        value="5", will_of="representative", will_on="2025-10-01", order="Приказ 15", effective_on="2025-10-10",
    )  # fmt: skip
    out = {"to_organisation": "Школа 2", "application": "Заявление 1", "order": "Приказ 12"}
    path = f"/v1/students/{second}"
    does("secretary", f"{path}/transfers-out", **out, effective_on="2025-10-10", released=["personal_file"])
    back = {"from_organisation": "Школа 2", "order": "Приказ 13", "effective_on": "2025-10-13"}
    does("secretary", f"{path}/transfers-in", **back)
    does("secretary", f"/v1/students/{third}/group-leavings", group_id=group, effective_on="2025-10-01")
    does("secretary", f"/v1/students/{third}/leavings", effective_on="2025-10-02", reason="moved_away")
    return students


def read(story: Story, group: str, course: str, students: list[str]) -> None:
    """Reads every page once, and is refused once."""
    for path in ("/v1/school", "/v1/class-groups", f"/v1/class-groups/{group}", "/v1/courses", f"/v1/courses/{course}"):
        story.reads("director", path)
    story.reads("teacher", f"/v1/courses/{course}/works")
    story.reads("teacher", f"/v1/journals/{course}")
    story.hire("representative", Office.REPRESENTATIVE, students[0])
    for student in students:
        for page in ("", "/portfolio", "/retention"):
            story.reads("director", f"/v1/students/{student}{page}")
    story.reads("representative", f"/v1/students/{students[0]}/portfolio")
    story.reads("teacher", f"/v1/students/{students[0]}/retention", status=403)
    lesson = next(call for call in story.calls if call["path"] == "/v1/lessons")
    story.reads("teacher", f"/v1/commands/{lesson['key']}")
    for page in ("history", "disclosures"):
        for student in students:
            story.reads("auditor", f"/v1/students/{student}/{page}")


def change_keys(base: Foundation) -> None:
    """Seals the history and changes the log's key, which nobody does by HTTP."""
    path, by = base.settings.log_key_path, Actor(new_id(), Office.SYSTEM)
    make_log_key(path, "log.example/released")
    base.sealer().catch_up()
    old = read_log_keys(path)[0].verifier.id.hex()

    async def rotate() -> None:
        async with open_ledger(base) as ledger:
            await rotate_log_key(ledger, path, by, "Плановая смена")
            await asyncio.to_thread(base.sealer().catch_up)
            await retire_log_key(ledger, path, by, old, "Плановая смена", grace=timedelta())

    asyncio.run(rotate())
    base.sealer().catch_up()


@contextmanager
def on_the_day(database: Database) -> Iterator[None]:
    """Has the database record as on TODAY while the block runs.

    A ledger refuses a clock that is behind its history, so the dump must lie in the past wherever it is restored.
    """
    signature = f"{database.schema}.append"
    with database.connect("owner") as connection:
        row = connection.execute("SELECT pg_get_functiondef(%s::regproc)", (signature,)).fetchone()
        assert row is not None
        (definition,) = row
        past = f"(clock_timestamp() - interval '{(datetime.now(UTC).date() - TODAY).days} days')"
        connection.execute(definition.replace("clock_timestamp()", past))
        yield
        connection.execute(definition)


def dump(server: EmbeddedPostgres, url: str) -> str:
    """Returns the ledger with its views as SQL, without what only psql understands."""
    command = [str(server.binary("pg_dump")), "--inserts", "--rows-per-insert=50", f"--schema={SCHEMA}"]
    text = subprocess.run(
        [*command, f"--schema={SCHEMA}_*", url], check=True, capture_output=True, text=True, encoding="utf-8"
    ).stdout
    return re.sub(r"^\\(un)?restrict .*\n", "", text, flags=re.MULTILINE)


def archive(target: Path) -> None:
    """Writes the package, with the same bytes for the same files."""
    root = Path(ledger.__file__).parent
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                packed.writestr(zipfile.ZipInfo(path.relative_to(root.parent).as_posix()), path.read_bytes(),
                                zipfile.ZIP_DEFLATED)  # fmt: skip


def main(folder: Path) -> None:
    """Makes a ledger, tells its story and writes everything down."""
    kek = f"1 {base64.b64encode(os.urandom(32)).decode()}"
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="release-") as home, EmbeddedPostgres(Path(home)) as server:
        with (
            a_foundation(server.url, SCHEMA, kek, Path(home)) as base,
            projecting(base),
            serving(base) as served,
            on_the_day(base.database),
        ):
            served.anonymous().get("/readyz").raise_for_status()
            served.service.ledger.today = lambda: TODAY
            served.service.ledger.executor._writer._settings = ExecutorSettings(snapshot_every=SNAPSHOT_EVERY)
            story = Story(served)
            group, course, work = found(story)
            read(story, group, course, teach(story, group, course, work))
            change_keys(base)
            base.runner().catch_up()
        text = dump(server, server.url)
    people = {name: {"office": office.value, "id": person} for name, (office, person) in story.people.items()}
    story_told = {"today": TODAY.isoformat(), "people": people, "calls": story.calls}
    (folder / "calls.json").write_text(json.dumps(story_told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "dump.sql").write_text(text, encoding="utf-8")
    (folder / "kek").write_text(f"# Of a test's synthetic ledger; it protects nothing.\n{kek}\n", encoding="ascii")
    recorded = sorted(FIXTURES.glob("events-v*.json"))
    forms = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in recorded}
    (folder / "events.json").write_text(json.dumps(forms, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    digests = [f"{one.digest.hex()}  {one.number:04}_{one.name}.sql" for one in migrations()]
    (folder / "migrations.sha256").write_text("\n".join(digests) + "\n", encoding="ascii")
    archive(folder / "ledger.zip")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES / "released" / version("ledger"))
