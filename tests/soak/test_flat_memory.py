"""The memory of every process of a service stays what it is while the service is used for an hour.

LEDGER_SOAK_MINUTES   how long it is used (60)
LEDGER_SOAK_SEED      chooses who asks for what (1)

Used for what leaves nothing to remember: attendance of whole lessons, cards, pages of a journal that does not grow,
refused marks, commands that are sent again. (Marks themselves are remembered, as a decision about a later one may need
them; the executor's settings bound for how many lanes.) It prints one line of JSON with each process's memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from ledger.bootstrap import foundation
from ledger.ids import new_id
from ledger.policy.offices import Office
from ledger.settings import Settings
from tests.support.api import TODAY, Api, found, make_class
from tests.support.cli import a_home
from tests.support.insisting import a_person
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.api import AClass, Json
    from tests.support.cli import Running

MINUTES = float(os.environ.get("LEDGER_SOAK_MINUTES", "60"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
CLIENTS = 8
STUDENTS = 30
CHILDREN = ("api-1", "api-2", "projector", "sealer", "dispatcher")
SAMPLE_S = max(MINUTES * 60 / 120, 0.5)
MUCH, NOISE = 1.05, 8 * 2**20
"""What counts as growth between the second sixth of the time and the last."""


class Use:
    """Clients of a service, and what became of their requests."""

    def __init__(self, url: str, director: str, quiet: AClass, busy: AClass) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {director}"}, timeout=30)
        self._quiet, self._busy = quiet, busy
        self.answers: dict[int, int] = {}
        self.over = False

    async def asks(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - the same choices again
        while not self.over:
            answer = await self._one(rng)
            self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1

    async def _one(self, rng: random.Random) -> httpx.Response:
        student = rng.choice(self._quiet.students)
        what = rng.randrange(5)
        if what == 0:
            return await self._http.get(f"/v1/students/{student}")
        if what == 1:
            return await self._http.get(f"/v1/journals/{self._quiet.course_id}", params={"limit": 10})
        if what in (2, 3):  # no such mark in this scale; the same mark again
            form = self._quiet.mark(student, "7" if what == 2 else "5")
            return await self._post("/v1/marks", form, new_id().hex if what == 2 else f"again-{student}")
        entries = [{"student_id": one, "attendance": "н"} for one in self._busy.students]
        form = {"course_id": self._busy.course_id, "work_id": self._busy.work_id, "held_on": TODAY.isoformat()}
        return await self._post("/v1/lessons", {**form, "entries": entries}, new_id().hex)

    async def _post(self, path: str, form: Json, key: str) -> httpx.Response:
        return await self._http.post(path, json=form, headers={"Idempotency-Key": key})

    async def close(self) -> None:
        await self._http.aclose()


def memory(running: Running) -> dict[str, int]:
    """Returns the resident bytes of each process of the service."""
    sizes = {"supervisor": running.tree.memory_info().rss}
    for name in CHILDREN:
        [child] = running.children(name)
        sizes[name] = child.memory_info().rss
    return sizes


@pytest.mark.soak
@pytest.mark.timeout(MINUTES * 60 + 600)
async def test_memory_of_every_process_is_flat_while_the_service_is_used() -> None:
    samples: dict[str, list[int]] = {}
    with a_home() as cli, cli.started("serve", "--port", "0", "--workers", "2", LEDGER_LOG_LEVEL="warning") as running:
        address = re.search(r"http://127\.0\.0\.1:\d+", running.line("Serving"))
        assert address is not None
        url = address.group()
        with foundation(Settings(home=cli.home), migrating=False) as base:
            director = a_person(base, Office.DIRECTOR)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {director.token}"}, timeout=30) as http:
            await until(lambda: http.get("/readyz").status_code == 200, seconds=60)
            api = Api(http)
            found(api)
            quiet, busy = make_class(api, students=STUDENTS), make_class(api, students=STUDENTS, family="Другой")
        use = Use(url, director.token, quiet, busy)
        asking = [asyncio.create_task(use.asks(SEED + number)) for number in range(CLIENTS)]
        ends = time.monotonic() + MINUTES * 60
        while time.monotonic() < ends:
            await asyncio.wait(asking, timeout=SAMPLE_S)
            assert not any(task.done() for task in asking), "A client failed."
            for name, size in memory(running).items():
                samples.setdefault(name, []).append(size)
        use.over = True
        await asyncio.gather(*asking)
        await use.close()
    figures, grown = {}, []
    for name, sizes in samples.items():
        part = len(sizes) // 6
        early, late = statistics.median(sizes[part : 2 * part]), statistics.median(sizes[-part:])
        figures[name] = {"early_mib": round(early / 2**20, 1), "late_mib": round(late / 2**20, 1)}
        if late > early * MUCH + NOISE:
            grown.append(name)
    sys.stdout.write(json.dumps({"minutes": MINUTES, "answers": use.answers} | figures) + "\n")
    assert set(use.answers) == {200, 201, 422}
    assert grown == [], figures
