"""The supervisor with children of its own kind: who dies is started again, who keeps dying is given up."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from ledger.cli.supervisor import AWAY, Child, GivenUp, Patience, supervise
from tests.support.cli import gone
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Cli

QUICK = Patience(deaths=3, window_s=30, first_pause_s=0.01, longest_pause_s=0.02, grace_s=0.5)


def _writes_its_pid(folder: Path, then: str) -> Child:
    code = f"import os, pathlib, signal, sys, time; pathlib.Path({str(folder)!r}, str(os.getpid())).touch(); {then}"
    return Child("tester", (sys.executable, "-c", code))


def _pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


async def test_result_of_the_work_is_returned_and_children_are_stopped(tmp_path: Path) -> None:
    async def work() -> str:
        await until(lambda: len(_pids(tmp_path)) == 2)
        return "done"

    child = _writes_its_pid(tmp_path, "sys.stdin.read()")
    assert await supervise([child, child], work(), QUICK) == "done"
    assert all(gone(psutil.Process(pid)) if psutil.pid_exists(pid) else True for pid in _pids(tmp_path))


async def test_child_that_dies_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        await until(lambda: len(_pids(tmp_path)) == 1)
        psutil.Process(_pids(tmp_path)[0]).kill()
        await until(lambda: len(_pids(tmp_path)) == 2)

    await supervise([_writes_its_pid(tmp_path, "sys.stdin.read()")], work(), QUICK)
    assert "signal 9" in caplog.text


async def test_child_that_keeps_dying_is_given_up_and_the_others_are_stopped(tmp_path: Path) -> None:
    lasting = tmp_path / "lasting"
    dying = tmp_path / "dying"
    for folder in (lasting, dying):
        folder.mkdir()
    children = [_writes_its_pid(lasting, "sys.stdin.read()"), _writes_its_pid(dying, "sys.exit(3)")]
    with pytest.raises(GivenUp, match="died 3 times within 30 seconds, the last with exit code 3"):
        await supervise(children, asyncio.Event().wait(), QUICK)
    assert len(_pids(dying)) == 3
    assert not any(psutil.pid_exists(pid) for pid in _pids(lasting))


async def test_child_that_finds_no_database_is_started_until_it_does(tmp_path: Path) -> None:
    """As often as it takes: a failover lasts longer than a child may die."""
    starts = QUICK.deaths + 2

    async def work() -> None:
        await until(lambda: len(_pids(tmp_path)) > starts)

    found = f"sys.exit({AWAY}) if len(os.listdir({str(tmp_path)!r})) <= {starts} else sys.stdin.read()"
    await supervise([_writes_its_pid(tmp_path, found)], work(), QUICK)
    assert len(_pids(tmp_path)) == starts + 1


def test_worker_says_that_there_is_no_database(cli: Cli, kek_text: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"postgresql://postgres@127.0.0.1:{taken.getsockname()[1]}/ledger"
        environment = cli.environment() | {"LEDGER_DATABASE_URL": url, "LEDGER_KEK": kek_text}
        command = (sys.executable, "-m", "ledger.cli.worker", "projector")
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as worker:
            assert worker.wait(60) == AWAY


async def test_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
    ready = tmp_path / "ready"
    folder = tmp_path / "pids"
    folder.mkdir()
    child = _writes_its_pid(folder, stubborn)

    async def work() -> None:
        await until(ready.exists)

    await supervise([Child(child.name, (*child.command, str(ready)))], work(), QUICK)
    assert not psutil.pid_exists(_pids(folder)[0])


async def test_failure_of_the_work_is_raised_after_the_children_were_stopped(tmp_path: Path) -> None:
    async def work() -> None:
        await until(lambda: len(_pids(tmp_path)) == 1)
        message = "the work failed"
        raise ValueError(message)

    with pytest.raises(ValueError, match="the work failed"):
        await supervise([_writes_its_pid(tmp_path, "sys.stdin.read()")], work(), QUICK)
    assert not psutil.pid_exists(_pids(tmp_path)[0])
