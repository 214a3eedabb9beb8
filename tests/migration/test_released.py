"""Every released ledger goes on: restored, migrated, read, audited, rebuilt and recorded into."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ledger.aggregates.registry import EVENTS
from ledger.store.keyring import KeyEncryptionKeys, Keyring
from ledger.store.lanes import LaneLoader
from ledger.store.migrate import migrations
from ledger.streams.base import LaneRef, OpeningEvent
from tests.support.api import a_foundation, projecting, serving
from tests.support.catalogue import catalogue
from tests.support.cli import Cli
from tests.support.desk import an_audit
from tests.support.postgres import fresh_ledger
from tests.support.released import RELEASES, Release, restored
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.bootstrap import Foundation
    from ledger.store.database import Database
    from ledger.store.mapper import EventMapper
    from tests.support.api import Api, Served

PASSING = {"position", "request_id", "access_id", "next"}
"""Members of an answer as a whole that differ each time it is asked for."""


class Upgraded(NamedTuple):
    """A released ledger that this version serves."""

    release: Release
    served: Served

    def client(self, who: str) -> Api:
        """Returns a client that acts as one of the people of the release's story."""
        return self.release.client(self.served, who)


def migrate_by_command(database: Database, release: Release, home: Path) -> str:
    settings = {"LEDGER_DATABASE_URL": database.url, "LEDGER_DB_SCHEMA": database.schema, "LEDGER_KEK": release.kek}
    return Cli(home, settings).works("migrate").out


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: release.version)
def upgraded(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upgraded]:
    release: Release = request.param
    folder = tmp_path_factory.mktemp("upgraded")
    with restored(postgres_url, release) as database:
        migrate_by_command(database, release, folder)
        with (
            a_foundation(database.url, database.schema, release.kek, folder) as base,
            projecting(base),
            serving(base) as served,
        ):
            assert served.anonymous().get("/livez").status_code == 200
            served.service.ledger.today = lambda: release.today
            asyncio.run(until(lambda: served.anonymous().get("/readyz").status_code == 200))
            yield Upgraded(release, served)


@pytest.fixture(params=RELEASES, ids=lambda release: release.version)
def old(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[tuple[Release, Database]]:
    with restored(postgres_url, request.param) as database:
        yield request.param, database


def still_says(new: Any, old: Any, where: str = "") -> None:  # noqa: ANN401 - any JSON
    """Passes if an answer has everything that an older one had; it may have more members and later items."""
    if isinstance(old, dict):
        for name, value in old.items():
            assert name in new, f"{where}/{name} has gone"
            still_says(new[name], value, f"{where}/{name}")
    elif isinstance(old, list):
        rest = list(new)
        for number, item in enumerate(old):
            found = next((place for place, other in enumerate(rest) if _equal(other, item)), None)
            assert found is not None, f"{where}/{number} has gone or changed"
            del rest[found]
    else:
        assert new == old, f"{where} has changed"


def _equal(new: object, old: object) -> bool:
    try:
        still_says(new, old)
    except AssertionError:
        return False
    return True


def test_what_was_read_then_is_read_now(upgraded: Upgraded) -> None:
    for call in upgraded.release.calls("GET"):
        answer = upgraded.client(call["who"]).http.get(call["path"])
        if call["status"] == 403 and call["path"].startswith("/v1/students/"):
            assert answer.status_code == 404, "403 told a stranger that there is such a student."
            continue
        assert answer.status_code == call["status"], (call["path"], answer.text)
        told: dict[str, Any] = json.loads(call["answer"])
        wanted = {name: told[name] for name in told.keys() - PASSING}
        if "lines" in wanted and call["path"].endswith(
            "/retention"
        ):  # every further reading is kept as well, and later
            wanted["lines"] = [line for line in told["lines"] if line["record_class"] != "disclosures"]
        still_says(answer.json(), wanted, call["path"])


def test_repeated_request_of_an_older_version_gets_its_answer_byte_for_byte(upgraded: Upgraded) -> None:
    for call in upgraded.release.calls("POST"):
        answer = upgraded.client(call["who"]).post(call["path"], call["body"], key=call["key"])
        assert answer.status_code == 201, (call["path"], answer.text)
        assert answer.headers["idempotency-replayed"] == "true"
        assert answer.text == call["answer"]


def test_key_of_an_older_version_is_refused_with_another_request(upgraded: Upgraded) -> None:
    call = upgraded.release.calls("POST")[-1]
    answer = upgraded.client(call["who"]).post(call["path"], {**call["body"], "reason": "other"}, key=call["key"])
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")


def test_new_commands_go_on_where_the_older_version_stopped(upgraded: Upgraded) -> None:
    release, teacher, director = upgraded.release, upgraded.client("teacher"), upgraded.client("director")
    student = str(release.students[0])
    body = next(call["body"] for call in release.calls("POST") if call["path"] == "/v1/marks")
    recorded = teacher.records("/v1/marks", {**body, "value": "3"})
    path = f"/v1/students/{student}/marks/{release.made('/v1/marks')}/corrections"
    again = {"course_id": body["course_id"], "value": "2", "reason": "Исправлено после обновления"}
    last = teacher.records(path, again)
    page = teacher.reads(f"/v1/journals/{body['course_id']}", min_position=last["position"])
    cells = {cell["entry_id"]: cell for line in page["lines"] for cell in line["cells"]}
    assert cells[recorded["id"]]["value"] == "3"
    assert [change["old_value"] for change in cells[release.made("/v1/marks")]["changes"]] == ["4", "5"]
    card = {"family_name": "Синтетический", "given_name": "Новый", "enrolled_on": "2025-10-01"}
    made = director.records("/v1/students", card)
    assert director.reads(f"/v1/students/{made['id']}", min_position=made["position"])["given_name"] == "Новый"


def test_audit_is_equal_before_and_after_every_view_is_rebuilt(upgraded: Upgraded) -> None:
    base: Foundation = upgraded.served.base
    report = an_audit(base)
    assert report.equal, report.findings[:3]
    base.runner().rebuild(base.views)
    report = an_audit(base)
    assert report.equal, report.findings[:3]


async def test_every_lane_is_folded_from_its_events_and_from_its_snapshot_alike(
    old: tuple[Release, Database], mapper: EventMapper
) -> None:
    release, database = old
    loader = LaneLoader(database, mapper, Keyring(KeyEncryptionKeys.parse(release.kek)))
    async with await database.connect_async("owner") as owner:
        cursor = await owner.execute(
            "SELECT DISTINCT ON (stream_id) stream_id, subject_id, topic FROM events ORDER BY stream_id, version"
        )
        refs = [
            LaneRef(stream, subject, event.LANE)
            for stream, subject, topic in await cursor.fetchall()
            if issubclass(event := EVENTS[topic], OpeningEvent)
        ]
        taken = await loader.load(owner, refs)
        await owner.execute("DELETE FROM snapshots")
        folded = await loader.load(owner, refs)
    assert len(refs) > len(release.students) * 2
    for ref in refs:
        one, other = taken[ref.stream_id], folded[ref.stream_id]
        assert isinstance(one, ref.kind)
        assert isinstance(other, ref.kind)
        assert (one.version, one._state) == (other.version, other._state)


def test_schema_after_the_migrations_is_that_of_a_fresh_ledger(
    old: tuple[Release, Database], postgres_url: str, tmp_path: Path
) -> None:
    release, database = old
    applied = migrate_by_command(database, release, tmp_path)
    new = [migration.number for migration in migrations() if migration.number > len(release.digests)]
    assert re.findall(r"\d+", applied) == list(map(str, new))
    with fresh_ledger(postgres_url, KeyEncryptionKeys.parse(release.kek)) as fresh:
        assert catalogue(database) == catalogue(fresh)


def test_dump_of_a_release_has_every_topic_of_it(old: tuple[Release, Database]) -> None:
    release, database = old
    with database.connect("owner") as connection:
        stored = {topic for (topic,) in connection.execute("SELECT DISTINCT topic FROM events").fetchall()}
        snapshots = connection.execute("SELECT count(*) FROM snapshots").fetchone()
    assert stored == {topic for recorded in release.events.values() for topic in recorded}
    assert snapshots is not None
    assert snapshots[0] > 0


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_released_migrations_are_never_reworded_and_new_ones_come_after_them(release: Release) -> None:
    """Its digests are `sha256sum` of its files: a mended migration would leave the ledgers that ran it unmended."""
    now = {f"{one.number:04}_{one.name}.sql": one.digest.hex() for one in migrations()}
    assert dict(sorted(now.items())[: len(release.digests)]) == release.digests
