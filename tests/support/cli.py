"""The command line as its users have it: real processes, each with a home of its own or a shared one.

A command that runs to its end is forked off a server that has loaded the libraries already, which otherwise take longer
than most commands run; whatever stays (`Cli.started`) is started from nothing, and so is what `Cli.from_nothing` runs.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import psutil
import psycopg

from ledger.cli.console import err, out
from ledger.store.database import Database
from ledger.store.embedded import EmbeddedPostgres
from tests.support.forks import FORKS
from tests.support.postgres import roomy_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store.database import Row

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "oulad-aaa-2013j-oneroster-1.2.zip"
PATIENCE_S = 60.0
Json = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Json]:
        """The lines of `--json`: all of stdout must be JSON."""
        assert self.out, self.err
        return [cast("Json", json.loads(line)) for line in self.out.splitlines()]

    @property
    def error(self) -> str:
        """What stands behind `error: `; there must be one such line."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")

    @property
    def last(self) -> Json:
        """The last line, as JSON."""
        return cast("Json", json.loads(self.out.splitlines()[-1]))


class Streams(NamedTuple):
    """The files that are a command's standard streams."""

    stdin: Path
    stdout: Path
    stderr: Path


def _be_a_command(arguments: tuple[str, ...], environment: dict[str, str], streams: Streams) -> None:
    """Turns a forked process into `ledger ...`: its streams, its environment, its arguments; the exit code is its."""
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)  # multiprocessing has put an empty one here
    os.environ.clear()
    os.environ.update(environment)
    for console in (out, err):
        console.width = int(environment["COLUMNS"])  # which they had read when they were loaded
    sys.argv = ["ledger", *arguments]
    runpy.run_module("ledger", run_name="__main__", alter_sys=True)


@dataclass(frozen=True)
class Cli:
    """`ledger` with a home, and settings of its own where there are any."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self, **settings: str) -> dict[str, str]:
        """Returns the environment of a user who has set nothing but the home, and `settings`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEDGER_", "PG"))}
        return kept | {"LEDGER_HOME": str(self.home), "COLUMNS": "200"} | self.settings | settings

    def run(self, *arguments: str, stdin: str = "", **settings: str) -> Result:
        """Runs a command to its end."""
        with tempfile.TemporaryDirectory(prefix="ledger-run-") as folder:
            streams = Streams(*(Path(folder) / name for name in ("in", "out", "err")))
            streams.stdin.write_text(stdin, encoding="utf-8")
            process = FORKS.Process(target=_be_a_command, args=(arguments, self.environment(**settings), streams))
            process.start()
            process.join(PATIENCE_S)
            if process.exitcode is None:
                process.kill()
                process.join()
                raise TimeoutError(f"ledger {' '.join(arguments)} takes too long: {streams.stderr.read_text()}")
            code = process.exitcode
            process.close()
            return Result(code, streams.stdout.read_text(encoding="utf-8"), streams.stderr.read_text(encoding="utf-8"))

    def from_nothing(self, *arguments: str, **settings: str) -> Result:
        """Runs a command to its end as a shell would, the interpreter's start included."""
        done = subprocess.run(
            [sys.executable, "-m", "ledger", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment(**settings),
            timeout=PATIENCE_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def works(self, *arguments: str, **settings: str) -> Result:
        """Runs a command that must succeed."""
        result = self.run(*arguments, **settings)
        assert result.code == 0, result.err
        return result

    def fails(self, *arguments: str, code: int = 1, **settings: str) -> Result:
        """Runs a command that must fail in order, with a sentence and without a traceback."""
        result = self.run(*arguments, **settings)
        assert result.code == code, (result.out, result.err)
        assert "Traceback" not in result.err, result.err
        return result

    @contextmanager
    def started(self, *arguments: str, **settings: str) -> Iterator[Running]:
        """Starts a command that stays; it is stopped at the end of the block, if it has not ended before."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ledger", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.home / "service.log").open("ab"),
            env=self.environment(PYTHONUNBUFFERED="1", **settings),
        )
        running = Running(process, psutil.Process(process.pid))
        with process:
            try:
                yield running
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait(PATIENCE_S)

    def database(self, server: EmbeddedPostgres) -> Database:
        """Returns where the ledger of this home is, as long as the server is held."""
        return Database(server.url, "ledger")

    def postmaster(self) -> psutil.Process | None:
        """The process of the embedded server, if one runs."""
        try:
            lines = (self.home / "postgres" / "postmaster.pid").read_text().splitlines()
            return psutil.Process(int(lines[0]))
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None


@dataclass
class Running:
    """A command that stays."""

    process: subprocess.Popen[bytes]
    tree: psutil.Process
    _read: bytes = b""

    def line(self, wanted: str) -> str:
        """Returns the first line of stdout that contains `wanted`; waits until it is printed."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for line in self._read.decode().splitlines(keepends=True):
                if wanted in line and line.endswith("\n"):
                    return line.strip()
            left = deadline - time.monotonic()
            assert left > 0, f"{wanted!r} was not printed, but: {self._read.decode()}"
            if select.select([self.process.stdout], [], [], left)[0]:
                chunk = os.read(self.process.stdout.fileno(), 65536)
                assert chunk, f"ended without {wanted!r}: {self._read.decode()}"
                self._read += chunk

    def children(self, kind: str) -> list[psutil.Process]:
        """Returns the living workers of a kind: `api` or `projector`."""
        found = []
        for child in self.tree.children():
            try:
                if child.status() != psutil.STATUS_ZOMBIE and kind in child.cmdline():
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found


def gone(process: psutil.Process | None) -> bool:
    """Whether a process has ended; what waits only for its parent to take note has."""
    try:
        return process is None or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def a_home() -> Iterator[Cli]:
    """Yields a command line with an empty home, which is deleted afterwards; its name is short, so the socket fits."""
    folder = Path(tempfile.mkdtemp(prefix="ledger-cli-", dir=roomy_folder()))
    try:
        yield Cli(folder)
    finally:
        EmbeddedPostgres(folder).remove()
        shutil.rmtree(folder)


def count_events(owner: psycopg.Connection[Row]) -> int:
    """Returns how many events there are."""
    row = owner.execute("SELECT count(*) FROM ledger.events").fetchone()
    assert row is not None
    return int(row[0])
