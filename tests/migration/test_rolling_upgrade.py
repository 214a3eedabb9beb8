"""Two versions of the service at once on one migrated ledger: each released one, and this one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID, uuid4

import httpx
import pytest

from ledger.api.tokens import issue_token, load_token_key
from ledger.policy.offices import Actor, Office
from ledger.projections import runner
from ledger.projections.unversioned import VERSION
from ledger.store.migrate import migrate
from tests.support.api import a_foundation, projecting, serving
from tests.support.desk import an_audit
from tests.support.postgres import ROLES
from tests.support.released import RELEASES, Release, restored
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.bootstrap import Foundation

SCRIPT = Path(__file__).with_name("serve_release.py")
KNOWN = frozenset({"rosters", "journals", "portfolios", "retention", "disclosures"})
"""The views that the older version knows; it passes over the tracking rows of others."""
PATIENCE_S = 60
COMMANDS = 60
PASSING = {"position", "access_id", "next"}
"""Members of an answer that differ each time it is asked for."""
Json = dict[str, Any]


class Both(NamedTuple):
    """The two services, and who asks them."""

    release: Release
    base: Foundation
    urls: dict[str, str]
    tokens: dict[str, str]

    def asks(self, version: str, who: str = "teacher") -> httpx.AsyncClient:
        """Returns a client of one of the versions: `older` or `newer`."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return httpx.AsyncClient(base_url=self.urls[version], headers=headers, timeout=PATIENCE_S)


@contextmanager
def serving_release(release: Release, base: Foundation, folder: Path) -> Iterator[str]:
    """Serves a ledger with the package of a release beside the block; yields its address."""
    settings = {
        "LEDGER_HOME": str(folder),
        "LEDGER_DATABASE_URL": base.database.url,
        "LEDGER_DB_SCHEMA": base.database.schema,
        "LEDGER_KEK": release.kek,
        "LEDGER_TOKEN_KEY_FILE": str(base.settings.token_key_path),
    }
    environment = release.unpack(folder / "package") | settings
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), release.today.isoformat()],
        env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=(folder / "log").open("wb"), text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            port, _, imported = process.stdout.readline().strip().partition(" ")
            assert port, (folder / "log").read_text()
            assert Path(imported).is_relative_to(folder), "That is not the release."
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: release.version)
def both(request: pytest.FixtureRequest, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    release: Release = request.param
    folder = tmp_path_factory.mktemp("rolling")
    with restored(postgres_url, release) as database:
        migrate(database)
        with (
            a_foundation(database.url, database.schema, release.kek, folder) as base,
            serving(base) as newer,
            serving_release(release, base, folder) as older,
        ):
            assert newer.anonymous().get("/livez").status_code == 200
            newer.service.ledger.today = lambda: release.today
            key = load_token_key(base.settings)
            tokens = {
                who: issue_token(key, base.id, Actor(UUID(person["id"]), Office(person["office"])))
                for who, person in release.story["people"].items()
                if person["office"] != "representative"
            }
            yield Both(release, base, {"older": older, "newer": newer.url}, tokens)


async def sends(client: httpx.AsyncClient, key: str, path: str, body: object) -> Json:
    """Records something and returns the answer."""
    answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    return cast("Json", answer.json())


def a_mark(both: Both, number: int) -> Json:
    """Returns a mark of one of two students, so that both versions write the same lanes."""
    body = next(call["body"] for call in both.release.calls("POST") if call["path"] == "/v1/marks")
    return {**body, "student_id": str(both.release.students[number % 2]), "value": "2345"[number % 4]}


def stored(both: Both) -> list[tuple[int, UUID]]:
    """Returns position and id of every event."""
    with both.base.database.connect("owner") as owner:
        return owner.execute("SELECT position, event_id FROM events ORDER BY position").fetchall()


async def test_both_versions_record_at_once_without_gaps_or_losses(both: Both) -> None:
    async with both.asks("older") as older, both.asks("newer") as newer:
        answers = await asyncio.gather(
            *(
                sends(client, str(uuid4()), "/v1/marks", a_mark(both, number))
                for number in range(COMMANDS)
                for client in (older, newer)
            )
        )
    told = {event["event_id"]: event["position"] for answer in answers for event in answer["events"]}
    assert len(told) == 2 * COMMANDS
    log = stored(both)
    assert [position for position, _ in log] == list(range(1, len(log) + 1))
    assert {str(event): position for position, event in log}.items() >= told.items()


@pytest.mark.parametrize(("first", "second"), [("older", "newer"), ("newer", "older")])
async def test_request_sent_to_one_version_is_known_to_the_other(both: Both, first: str, second: str) -> None:
    """A client whose connection broke repeats its request, and the load balancer sends it elsewhere."""
    key, path = str(uuid4()), "/v1/marks"
    async with both.asks(first) as one, both.asks(second) as other:
        sent = await one.post(path, json=a_mark(both, 1), headers={"Idempotency-Key": key})
        again = await other.post(path, json=a_mark(both, 1), headers={"Idempotency-Key": key})
        found = await other.get(f"/v1/commands/{key}")
        reused = await other.post(path, json=a_mark(both, 2), headers={"Idempotency-Key": key})
    assert sent.status_code == again.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert sent.content == again.content == found.content
    assert reused.json()["code"] == "idempotency-key-reused"


@pytest.mark.parametrize(("first", "second"), [("older", "newer"), ("newer", "older")])
async def test_each_version_decides_on_what_the_other_recorded(both: Both, first: str, second: str) -> None:
    mark = a_mark(both, 0)
    async with both.asks(first) as one, both.asks(second) as other:
        made = await sends(one, str(uuid4()), "/v1/marks", mark)
        path = f"/v1/students/{mark['student_id']}/marks/{made['id']}"
        voided = await sends(
            other, str(uuid4()), f"{path}/voidings", {"course_id": mark["course_id"], "reason": "Поставлена дважды"}
        )
        assert voided["position"] > made["position"]
        late = {"course_id": mark["course_id"], "value": "5", "reason": "Ошибка"}
        answer = await one.post(f"{path}/corrections", json=late, headers={"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 422
    assert [violation["code"] for violation in answer.json()["violations"]] == ["mark_void"]


async def test_both_versions_tell_the_same_history_and_record_who_asked(both: Both) -> None:
    path = f"/v1/students/{both.release.students[0]}/history"
    async with both.asks("older", "auditor") as older, both.asks("newer", "auditor") as newer:
        before = (await newer.get(path, params={"limit": 50})).json()
        one, other = [(await client.get(path, params={"limit": 50})).json() for client in (older, newer)]
    assert one["items"] == other["items"][: len(one["items"])]  # that the first was shown it stands in the second
    assert before["items"]
    assert before["items"] == one["items"][: len(before["items"])]
    assert one["access_id"] != other["access_id"]
    with both.base.database.connect("owner") as owner:
        rows = owner.execute("SELECT stream_id::text FROM events WHERE topic = 'access.opened'").fetchall()
    assert {one["access_id"], other["access_id"]} <= {stream for (stream,) in rows}


def runs_release(both: Both, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the release on the ledger."""
    settings = {
        "LEDGER_HOME": str(folder),
        "LEDGER_DATABASE_URL": both.base.database.url,
        "LEDGER_DB_SCHEMA": both.base.database.schema,
        "LEDGER_KEK": both.release.kek,
    }
    return subprocess.run(
        [sys.executable, "-m", "ledger", *command],
        env=both.release.unpack(folder / "package") | settings,
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_older_version_refuses_to_migrate_a_ledger_that_a_newer_one_has_migrated(both: Both, tmp_path: Path) -> None:
    database = both.base.database
    with database.connect("owner") as owner:
        owner.execute("INSERT INTO migrations (number, name, digest) VALUES (9999, 'future', '\\x00')")
    try:
        result = runs_release(both, tmp_path, "migrate")
    finally:
        with database.connect("owner") as owner:
            owner.execute("DELETE FROM migrations WHERE number = 9999")
    assert result.returncode == 1
    assert "newer version of the ledger" in result.stderr


@contextmanager
def projecting_release(both: Both, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the projector of the release beside the block, as its supervisor would."""
    settings = {
        "LEDGER_HOME": str(folder),
        "LEDGER_DATABASE_URL": both.base.database.url,
        "LEDGER_DB_SCHEMA": both.base.database.schema,
        "LEDGER_KEK": both.release.kek,
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ledger.cli.worker", "projector"],
            env=both.release.unpack(folder / "package") | settings, cwd=folder, stdin=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.communicate(timeout=PATIENCE_S)


def leading(both: Both) -> bool:
    """Tells whether some projector leads."""
    query = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND objid::bigint = %s::regrole::oid::bigint"
    )
    with both.base.database.connect("owner") as owner:
        row = owner.execute(query, (f"{both.base.database.schema}_projector",)).fetchone()
    return bool(row and row[0])


def tracked(both: Both) -> dict[tuple[str, int], tuple[int, int | None]]:
    """Returns how far every version of every view is, and where it was stopped."""
    with both.base.database.connect("owner") as owner:
        rows = owner.execute("SELECT view, version, position, failed_position FROM tracking").fetchall()
    return {(view, version): (position, failed) for view, version, position, failed in rows}


def common(older: object, newer: object) -> object:
    """Returns what the newer answer says of what the older one does: without members that were added since."""
    if isinstance(older, dict) and isinstance(newer, dict):
        return {name: common(value, newer.get(name)) for name, value in older.items()}
    if isinstance(older, list) and isinstance(newer, list):
        return [common(*pair) for pair in zip(older, newer, strict=True)]
    return newer


def settled(path: str, answer: Json) -> Json:
    """Returns an answer without what the first of two readings changes for the second one."""
    kept = {name: value for name, value in answer.items() if name not in PASSING}
    if path.endswith("/retention"):
        kept["lines"] = [line for line in answer["lines"] if line["record_class"] != "disclosures"]
    elif path.endswith("/disclosures"):
        kept["items"] = [item for item in answer["items"] if item["resource"] != "disclosures"]
    return kept


async def reads_alike(both: Both, last: int, *only: str) -> dict[str, Json]:
    """Reads views at a position from both versions and returns the older one's answers, which the newer one's are.

    Args:
        only: addresses; without any, every one at which the release answers from a view.
    """
    told: dict[str, Json] = {}
    for call in both.release.calls("GET"):
        path, who = call["path"], call["who"]
        if call["status"] != 200 or who == "representative" or "/commands/" in path or path.endswith("/history"):
            continue  # the last two are told from events
        if only and path not in only:
            continue
        async with both.asks("older", who) as older, both.asks("newer", who) as newer:
            one, other = [await client.get(path, params={"min_position": last}) for client in (older, newer)]
        assert one.status_code == other.status_code == 200, (path, one.text, other.text)
        told[path] = one.json()
        pair = (settled(path, told[path]), settled(path, other.json()))
        assert common(pair[0], pair[0]) == common(*pair), path
    return told


async def test_both_versions_read_the_same_views_while_both_record(both: Both, tmp_path: Path) -> None:
    student, mark = both.release.students[0], a_mark(both, 0)
    journal, portfolio = f"/v1/journals/{mark['course_id']}", f"/v1/students/{student}/portfolio"
    achieved = next(call for call in both.release.calls("POST") if call["path"].endswith("/achievements"))
    with projecting_release(both, tmp_path), projecting(both.base):
        before = await reads_alike(both, stored(both)[-1][0], journal, portfolio)
        async with both.asks("older") as older, both.asks("newer") as newer:
            made = [await sends(client, str(uuid4()), "/v1/marks", mark) for client in (newer, older)]
        async with both.asks("older", achieved["who"]) as older, both.asks("newer", achieved["who"]) as newer:
            path = f"/v1/students/{student}/achievements"
            items = [await sends(client, str(uuid4()), path, achieved["body"]) for client in (newer, older)]
        after = await reads_alike(both, items[-1]["position"])
    cells = [
        {cell["entry_id"] for line in page[journal]["lines"] for cell in line["cells"]} for page in (before, after)
    ]
    assert cells[1] - cells[0] == {mark["id"] for mark in made}
    shown = [{item["item_id"] for item in page[portfolio]["items"]} for page in (before, after)]
    assert shown[1] - shown[0] == {item["id"] for item in items}


async def test_older_version_goes_on_reading_what_this_one_rebuilds(both: Both, tmp_path: Path) -> None:
    portfolio = f"/v1/students/{both.release.students[0]}/portfolio"
    count = 0
    with projecting_release(both, tmp_path), projecting(both.base):
        rebuilding = asyncio.create_task(asyncio.to_thread(both.base.runner().rebuild, both.base.views))
        async with both.asks("older", "director") as older:
            while not rebuilding.done() or not count:
                answer = await older.get(portfolio)
                assert answer.status_code == 200, answer.text
                count += 1
        assert {swapped.view for swapped in await rebuilding} == {view.name for view in both.base.views}
        await reads_alike(both, stored(both)[-1][0], portfolio)


async def test_projector_of_the_older_version_harms_no_view_of_this_one(both: Both, tmp_path: Path) -> None:
    """It leads again after this one has led, as in an upgrade that is taken back halfway."""
    both.base.runner().catch_up()
    with projecting_release(both, tmp_path) as process:
        await until(lambda: leading(both) or process.poll() is not None)
        before = tracked(both)
        async with both.asks("older") as older, both.asks("newer") as newer:
            for number in range(10):
                await sends(older, str(uuid4()), "/v1/marks", a_mark(both, number))
                await sends(newer, str(uuid4()), "/v1/marks", a_mark(both, number))
        await until(lambda: tracked(both) != before or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
    after = tracked(both)
    newer_rows = [row for row in before if row[1] > 1]
    assert newer_rows
    assert [after[row] for row in newer_rows] == [before[row] for row in newer_rows]
    both.base.runner().catch_up()
    report = an_audit(both.base)
    assert report.equal, report.findings[:3]
    assert {failed for row, (_, failed) in tracked(both).items() if row in newer_rows} == {None}


def test_views_under_their_older_names_are_read_only_for_all_but_the_projector(both: Both) -> None:
    ledger = both.base.database.schema
    views = [
        view
        for view in both.base.views
        if view.name in KNOWN and any(row[0] == view.name and row[1] == VERSION for row in tracked(both))
    ]
    with both.base.database.connect("owner") as owner:
        rights = owner.execute(
            "SELECT v.schemaname, r.name, p.may FROM pg_views v, unnest(%(roles)s::text[]) AS r (name),"
            " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) AS p (may)"
            " WHERE starts_with(v.schemaname, %(ledger)s || '_')"
            " AND has_table_privilege(r.name, format('%%I.%%I', v.schemaname, v.viewname), p.may)"
            " AND has_schema_privilege(r.name, v.schemaname, 'USAGE')",
            {"roles": [f"{ledger}_{role}" for role in ROLES if role != "projector"], "ledger": ledger},
        ).fetchall()
    assert set(rights) == {(f"{ledger}_{view.name}", f"{ledger}_reader", "SELECT") for view in views}
    with both.base.database.connect("reader") as reader:
        reader.execute("SET ledger.knows_view_versions TO off")
        seen = reader.execute("SELECT view, version FROM tracking").fetchall()
    known = [row for row in seen if row[0] in KNOWN]
    assert sorted(known) == sorted((view.name, VERSION) for view in views)


def test_rebuild_by_the_older_version_is_refused_and_changes_nothing(both: Both, tmp_path: Path) -> None:
    """It would put tables of its own beside those that this version follows, and share one position with them."""
    before = tracked(both)
    result = runs_release(both, tmp_path, "rebuild", "portfolios")
    assert result.returncode == 1
    assert "refuses the ledger's role" in result.stderr
    assert tracked(both) == before


def test_history_of_both_is_audited_as_one(both: Both) -> None:
    both.base.runner().catch_up()
    report = an_audit(both.base)
    assert report.equal, report.findings[:3]
    assert report.position == len(stored(both))


async def test_views_of_the_older_version_stay_while_its_projector_leads_and_go_some_time_after(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test of this ledger: nothing is left for the older version to read."""
    monkeypatch.setattr(runner, "LEAD_S", 0.05)
    monkeypatch.setattr(runner, "RETIRE_AFTER_S", 0.2)
    older = {(view.name, VERSION) for view in both.base.views if view.version > VERSION}
    with projecting_release(both, tmp_path):
        await until(lambda: leading(both))
        with projecting(both.base):
            await asyncio.sleep(0.5)  # longer than a version that nobody follows may stay
            assert tracked(both).keys() >= older
    with projecting(both.base):
        await until(lambda: not tracked(both).keys() & older)
    path = f"/v1/journals/{a_mark(both, 0)['course_id']}"
    async with both.asks("older") as client, both.asks("newer") as newer:
        assert (await newer.get(path)).status_code == 200
        assert (await client.get(path)).status_code == 503
    async with both.asks("older", "director") as client:
        shared = await client.get(f"/v1/students/{both.release.students[0]}/retention")
    assert shared.status_code == 200, "This version follows it as well: nobody's version is newer."
    with projecting_release(both, tmp_path) as process:
        await until(lambda: process.poll() is not None)
    assert "refuses the ledger's role" in (tmp_path / "log").read_text()
    assert not tracked(both).keys() & older
    report = an_audit(both.base)
    assert report.equal, report.findings[:3]
