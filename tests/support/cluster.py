"""PostgreSQL servers of a test's own: a primary, its standbys, and what becomes of them.

    with a_folder() as folder:
        primary = Server(folder, "a"); primary.create(); primary.start()
        standby = Server(folder, "b"); standby.clone(primary); standby.start()
        ...
        primary.kill(); standby.promote()

Each has a socket folder of its own, so that the hosts of one URL are told apart by it (`url_of`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import quote

import psutil
import psycopg

from ledger.store import embedded_folders as folders
from ledger.store.embedded import SUPERUSER, EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ledger.store.database import Row

DATABASE = "ledger"
PATIENCE_S = 60.0
_SETTINGS = """
listen_addresses = ''
max_connections = 60
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
wal_level = replica
wal_keep_size = 64MB
hot_standby = on
fsync = on
synchronous_commit = on
log_min_messages = warning
"""


def binaries() -> Path:
    """Returns the folder of PostgreSQL's own programs."""
    return EmbeddedPostgres.binary("postgres").parent


@contextmanager
def a_folder() -> Iterator[Path]:
    """Yields a folder of the servers' user, short enough for sockets; what runs in it is killed and it is deleted."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, with a random name
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=memory if os.access(memory, os.W_OK) else None))
    user = folders.server_user()
    if user:
        os.chown(folder, user["user"], user["group"])
    folders.give_to_server(folder, [EmbeddedPostgres.binary("postgres")])
    try:
        yield folder
    finally:
        for record in folder.glob("*/postmaster.pid"):
            _kill_tree(record)
        shutil.rmtree(folder)


class Surroundings(TypedDict, total=False):
    """Arguments of `subprocess` with which PostgreSQL's programs are run."""

    env: dict[str, str]
    cwd: str
    umask: int
    user: int
    group: int
    extra_groups: list[int]


def surroundings(variables: Mapping[str, str] | None = None) -> Surroundings:
    """Returns how a program is run as the servers' user: PostgreSQL's on its path, and none of our PG* variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LEDGER_"))}
    kept |= {"LC_ALL": "C", "PATH": f"{binaries()}:{os.environ.get('PATH', '')}"} | dict(variables or {})
    return {"env": kept, "cwd": "/", "umask": 0o077, **folders.server_user()}


def run(command: list[str], variables: Mapping[str, str] | None = None) -> str:
    """Runs a program as the servers' user and returns what it said.

    Its output goes to a file: a server inherits it, and a pipe would keep us waiting until the server ends.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=PATIENCE_S,
            **surroundings(variables),
        )
        output.seek(0)
        said = output.read()
    if done.returncode:
        message = f"{command} ended with {done.returncode}:\n{said}"
        raise AssertionError(message)
    return said


@dataclass(frozen=True)
class Server:
    """A server that lives in `folder/name`, with its socket in `folder/name.run`."""

    folder: Path
    name: str

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / self.name

    @property
    def host(self) -> Path:
        """Its socket's folder, which is its host in a URL."""
        return self.folder / f"{self.name}.run"

    @property
    def url(self) -> str:
        """Its URL."""
        return url_of(self)

    # --- making -----------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Makes an empty server."""
        run([
            "initdb", f"--username={SUPERUSER}", "--auth=trust", "--encoding=UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync", "-D", str(self.data),
        ])  # fmt: skip
        self.configure(_SETTINGS)

    def clone(self, primary: Server) -> None:
        """Makes a standby of `primary`, to be started; it follows the new primary's history after a failover."""
        run([
            "pg_basebackup", "--pgdata", str(self.data), "--checkpoint=fast", "--write-recovery-conf", "--no-sync",
            "--dbname", primary.conninfo(self.name),
        ])  # fmt: skip

    def conninfo(self, client: str) -> str:
        """Returns how a standby of the name `client` reaches this server."""
        return f"host={self.host} port=5432 user={SUPERUSER} application_name={client}"

    def configure(self, settings: str) -> None:
        """Adds lines to its configuration; a running server takes them at `reload`."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(settings + "\n")

    # --- running ----------------------------------------------------------------------------------------------------

    def start(self, options: str = "") -> None:
        """Starts it and waits until it answers.

        Args:
            options: of `postgres`, for this once.
        """
        self.wait_until_gone()
        run(["mkdir", "-p", "-m", "700", str(self.host)])
        self.control("start", "-l", str(self.folder / f"{self.name}.log"), "-o", f"-k {self.host} -p 5432 {options}")

    def control(self, action: str, *arguments: str) -> None:
        """Runs pg_ctl."""
        try:
            run(["pg_ctl", action, "-w", "-t", "30", "-s", "-D", str(self.data), *arguments])
        except AssertionError as error:
            log = self.folder / f"{self.name}.log"
            error.add_note(log.read_text(encoding="utf-8") if log.exists() else "It has no log.")
            raise

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor killed."""
        record = self.data / "postmaster.pid"
        return record.exists() and not _is_dead_number(int(record.read_text(encoding="utf-8").split()[0]))

    def stop(self, mode: str = "fast") -> None:
        """Stops it in order."""
        self.control("stop", "-m", mode)

    def kill(self) -> None:
        """Kills all of its processes at once: nothing is flushed, nobody is told."""
        _kill_tree(self.data / "postmaster.pid")

    def is_buried(self) -> None:
        """Removes what says that a killed server runs, so that nobody need wait for who adopted it (`kill` is sure)."""
        for record in (self.data / "postmaster.pid", self.host / ".s.PGSQL.5432.lock"):
            record.unlink(missing_ok=True)

    def promote(self) -> None:
        """Makes a standby the primary."""
        self.control("promote")

    def run_sql(self, statement: str, *, database: str = "postgres") -> list[Row]:
        """Runs a statement as the superuser and returns its rows."""
        with psycopg.connect(url_of(self, database=database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def sets(self, name: str, value: str) -> None:
        """Changes a setting in the running server, and waits until it is so."""
        self.run_sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.run_sql("SELECT pg_reload_conf()")
        deadline = time.monotonic() + PATIENCE_S
        while self.run_sql(f"SELECT current_setting('{name}')") != [(value,)]:
            assert time.monotonic() < deadline, f"{name} does not become {value}."

    def wait_until_gone(self) -> None:
        """Returns when who adopted the killed has taken note: PostgreSQL goes by the number of a process alone."""
        record = self.data / "postmaster.pid"
        if record.exists():
            number = int(record.read_text(encoding="utf-8").split()[0])
            deadline = time.monotonic() + PATIENCE_S
            while psutil.pid_exists(number):
                assert time.monotonic() < deadline, f"Process {number} stays."
                time.sleep(0.01)

    def follows(self, primary: Server) -> bool:
        """Whether it runs and `primary` counts a standby as synchronous."""
        states = primary.run_sql("SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'")
        return self.running and states in ([("sync",)], [("quorum",)])


def url_of(*servers: Server, database: str = DATABASE) -> str:
    """Returns the URL of a database that is on one of several servers."""
    hosts = ",".join(quote(str(server.host), safe="") for server in servers)
    return f"postgresql://{SUPERUSER}@/{database}?host={hosts}&port=5432"


def _kill_tree(record: Path) -> None:
    """Kills the server whose pid file this is, if it runs, with all its children."""
    try:
        postmaster = psutil.Process(int(record.read_text(encoding="utf-8").split()[0]))
        if postmaster.name() != "postgres" or not Path(postmaster.cwd()).samefile(record.parent):
            return
        postmaster.send_signal(signal.SIGSTOP)  # so that it starts nobody while we count
        processes = [postmaster, *postmaster.children(recursive=True)]
    except (FileNotFoundError, psutil.NoSuchProcess):
        return
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # it had ended already
    deadline = time.monotonic() + PATIENCE_S
    while not all(_is_dead(process) for process in processes):
        assert time.monotonic() < deadline, "The server does not die."
        time.sleep(0.001)


def _is_dead_number(number: int) -> bool:
    return not psutil.pid_exists(number) or _is_dead(psutil.Process(number))


def _is_dead(process: psutil.Process) -> bool:
    """Whether it runs no more; who adopted it may take note later."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
