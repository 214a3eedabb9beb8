"""An import that is cancelled or killed anywhere goes on to the same result; and the soak of the full package."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.application.record.oneroster import importer as importer_module
from tests.support.importing import EXAMPLE, imports
from tests.support.oneroster import result, tiny_school, write_package
from tests.support.projector import environment

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row as DbRow
    from tests.support.desk import Desk


def state_of(owner: psycopg.Connection[DbRow]) -> list[DbRow]:
    """Returns how many events of each topic there are."""
    return owner.execute("SELECT topic, count(*) FROM events GROUP BY topic ORDER BY topic").fetchall()


def many(package: Path, students: int = 60) -> Path:
    """Writes a package with more students, each with a result."""
    rows = tiny_school()
    names = [f"s{number}" for number in range(students)]
    users = [{**rows["users"][0], "sourcedId": name, "username": name} for name in names]
    roles = [{**rows["roles"][0], "sourcedId": f"role-{name}", "userSourcedId": name} for name in names]
    enrolments = [{**rows["enrollments"][0], "sourcedId": f"e-{name}", "userSourcedId": name} for name in names]
    results = [result("work-1", name, score="4") for name in names]
    return write_package(
        package,
        users=[*rows["users"], *users],
        roles=[*rows["roles"], *roles],
        enrollments=[*rows["enrollments"], *enrolments],
        results=[*rows["results"], *results],
    )


@pytest.mark.parametrize("rows", [1, 40, 100, 160, 190])
async def test_cancelled_import_goes_on_to_the_same_result(
    office: Desk, package: Path, owner: psycopg.Connection[DbRow], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(importer_module, "CHUNK", 7)
    monkeypatch.setattr(importer_module, "IN_FLIGHT", 5)
    path = many(package)
    done = 0

    def stop(file: str, number: int) -> None:
        nonlocal done
        del file, number
        done += 1
        if done == rows:
            task.cancel()

    task = asyncio.create_task(imports(office.ledger, path, progress=stop))
    with pytest.raises(asyncio.CancelledError):
        await task
    report = await imports(office.ledger, path)
    assert (report.refused, report.differs) == ([], [])
    assert (report.rows["users.csv"], report.rows["results.csv"]) == (62, 63)
    assert report.unchanged.total() > 0
    assert dict(state_of(owner)) | {"school.scale_defined": 0} == {
        "course.opened": 1,
        "course.work_added": 2,
        "group.formed": 1,
        "marks.opened": 62,
        "marks.recorded": 62,
        "marks.work_submitted": 1,
        "school.founded": 1,
        "school.scale_defined": 0,
        "school.year_opened": 1,
        "student.enrolled": 62,
        "student.left_group": 1,
        "student.moved_to_group": 62,
    }
    assert (await imports(office.ledger, path)).events_added == 0


async def test_killed_import_goes_on_to_the_same_result(
    office: Desk, owner: psycopg.Connection[DbRow], kek_text: str
) -> None:
    for rows in (200, 500, 900):
        with subprocess.Popen(  # noqa: ASYNC220 - starting one takes no time; its lines are read in a thread
            [sys.executable, "-m", "tests.support.importing", str(EXAMPLE)],
            env=environment(office.base.database, kek_text),
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(rows):
                assert await asyncio.to_thread(process.stdout.readline)
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait)
        assert process.returncode == -signal.SIGKILL
    summary = (await imports(office.ledger, EXAMPLE)).summary()
    wanted = {"students": 383, "enrolments": 383, "line_items": 7, "results": 2016, "refused": 0, "differs": 0}
    assert {name: summary[name] for name in wanted} == wanted
    assert (await imports(office.ledger, EXAMPLE)).events_added == 0
    counts: dict[str, int] = dict(state_of(owner))
    assert (counts["student.enrolled"], counts["student.moved_to_group"]) == (383, 383)
    of_results = ("marks.recorded", "marks.work_submitted", "student.result_credited", "results.set")
    assert sum(counts.get(topic, 0) for topic in of_results) == 2016
    await office.catches_up()
    assert office.audits().equal


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_full_package_is_imported_whole(office: Desk) -> None:
    """The whole of OULAD, where LEDGER_OULAD_FULL names the package."""
    named = os.environ.get("LEDGER_OULAD_FULL")
    if named is None or not Path(named).exists():  # noqa: ASYNC240 - one look, before anything runs
        pytest.fail("LEDGER_OULAD_FULL does not name the full package; a soak without it proves nothing.")
    report = await imports(office.ledger, Path(named))
    summary = report.summary()
    wanted = {"students": 28_785, "enrolments": 32_593, "results": 206_505, "flagged": 10_787, "refused": 0}
    assert {name: summary[name] for name in wanted} == wanted
    await office.catches_up()
    assert (await imports(office.ledger, Path(named))).events_added == 0
    assert office.audits().equal
