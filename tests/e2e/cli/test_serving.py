"""`ledger serve`: one door, several processes, and what happens when one of them, or all, are killed."""

from __future__ import annotations

import re
import signal
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import psutil

from ledger.store.migrate import migrations
from tests.support.cli import Cli, Running, gone
from tests.support.postgres import fresh_schema
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cli import Json

PATIENCE_S = 60


def _url(running: Running) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", running.line("Serving"))
    assert found is not None
    return found.group()


def _asks(url: str, path: str, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(url + path, headers=headers, timeout=30)


def _ready(url: str) -> Callable[[], bool]:
    return lambda: _asks(url, "/readyz").status_code == 200


def _position(answer: httpx.Response) -> int:
    found: Json = answer.json()
    return next(int(part["position"]) for part in found["parts"] if part["name"] == "view rosters")


def _listening(running: Running) -> set[str]:
    """Returns the addresses on which the processes of a service are reached."""
    return {
        connection.laddr.ip
        for process in (running.tree, *running.tree.children(recursive=True))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


async def test_service_answers_on_this_machine_only_heals_itself_and_leaves_nothing_behind(cli: Cli) -> None:
    with cli.started("serve", "--port", "0", "--workers", "2") as running:
        url = _url(running)
        await until(_ready(url), seconds=PATIENCE_S)
        assert _listening(running) == {"127.0.0.1"}
        token = cli.works("token", "--office", "director", "--hours", "1").out.strip()
        assert _asks(url, "/v1/courses", token).json()["items"] == []
        assert _asks(url, "/v1/courses", token[:-2]).status_code == 401
        assert len(running.children("api")) == 2

        (projector,) = running.children("projector")
        workers = running.children("api")
        for child in (projector, *workers):
            child.kill()
        killed = {child.pid for child in (projector, *workers)}
        await until(lambda: all(gone(child) for child in (projector, *workers)), seconds=PATIENCE_S)
        await until(
            lambda: len(running.children("api")) == 2 and len(running.children("projector")) == 1, seconds=PATIENCE_S
        )
        assert killed.isdisjoint(child.pid for kind in ("api", "projector") for child in running.children(kind))
        form = {"name": "Школа для проверок"}
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "one"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
            founded = await client.post("/v1/school", json=form)
        assert founded.status_code == 201
        position = founded.json()["position"]
        await until(lambda: _position(_asks(url, "/readyz")) >= position, seconds=PATIENCE_S)
        assert _asks(url, f"/v1/school?min_position={position}", token).json()["name"] == form["name"]

        everybody = [*running.tree.children(recursive=True), cli.postmaster()]
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE_S) == 0
    assert all(gone(process) for process in everybody)
    assert cli.postmaster() is None


async def test_killed_supervisor_takes_its_children_and_the_embedded_server_with_it(cli: Cli) -> None:
    with cli.started("serve", "--port", "0", "--workers", "1") as running:
        await until(_ready(_url(running)), seconds=PATIENCE_S)
        everybody = [*running.tree.children(recursive=True), cli.postmaster()]
        assert len([process for process in everybody if process is not None]) == 5
        running.process.kill()
        await until(lambda: all(gone(process) for process in everybody), seconds=PATIENCE_S)


async def test_ledger_on_a_server_is_migrated_and_served_with_keys_that_were_made_first(
    cli: Cli, postgres_url: str
) -> None:
    with fresh_schema(postgres_url) as database:
        settings = {"LEDGER_DATABASE_URL": database.url, "LEDGER_DB_SCHEMA": database.schema}
        server = replace(cli, settings=settings)
        assert "ledger keygen" in server.fails("migrate").err
        server.works("keygen")
        assert "Run `ledger migrate`" in server.fails("audit").err
        numbers = ", ".join(str(number) for number, _, _ in migrations())
        assert f"Applied migrations: {numbers}." in server.works("migrate").out
        assert "token key" in server.fails("serve", "--port", "0").error
        server.works("keygen", "--token")
        assert "ledger keygen --log" in server.fails("serve", "--port", "0").err
        assert "--origin" in server.fails("keygen", "--log").err
        server.works("keygen", "--log", "--origin", "school.example/ledger")
        with server.started("serve", "--port", "0", "--workers", "1", "--no-migrate") as running:
            url = _url(running)
            await until(_ready(url), seconds=PATIENCE_S)
            token = server.works("token", "--office", "director").out.strip()
            assert _asks(url, "/v1/courses", token).json()["items"] == []
        assert running.process.returncode == 0
        assert not (cli.home / "postgres").exists()


def test_busy_port_is_said_before_anything_is_started(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("serve", "demo"):
            failed = cli.fails(command, "--port", port)
            assert failed.err.startswith(f"error: Port {port} of 127.0.0.1 is taken by another program.")
            assert "--port" in failed.err
            assert "PORT=" in failed.err
    assert not (cli.home / "postgres").exists()


def test_options_out_of_range_are_usage_errors(cli: Cli) -> None:
    cli.fails("serve", "--port", "70000", code=2)
    cli.fails("serve", "--workers", "0", code=2)
