"""The embedded PostgreSQL: who starts it, who stops it, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from ledger.errors import Conflict, SettingsError, StoreUnavailable
from ledger.store import embedded, embedded_folders
from ledger.store.embedded import EmbeddedPostgres
from tests.support.postgres import furnish, roomy_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

# A user of its own process: says when it has the server, and holds it until its standard input closes.
HOLDER = """
import sys
from pathlib import Path
from ledger.store.embedded import EmbeddedPostgres

with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def empty_home() -> Iterator[Path]:
    """A short folder, so that the socket lies in it; the tests about deep ones make their own."""
    folder = Path(tempfile.mkdtemp(prefix="home-", dir=roomy_folder()))
    yield folder
    EmbeddedPostgres(folder).remove()
    shutil.rmtree(folder)


@pytest.fixture
def home(empty_home: Path) -> Path:
    """One whose server was started before."""
    furnish(empty_home)
    return empty_home


@contextmanager
def other_process(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("postgresql://")
        yield process
        # leaving Popen's own context closes the pipes, which ends the holder, and waits for it


def postmaster(home: Path) -> psutil.Process | None:
    """The server's process, if one runs."""
    file = home / "postgres" / "postmaster.pid"
    return psutil.Process(int(file.read_text().splitlines()[0])) if file.exists() else None


def alive(process: psutil.Process | None) -> bool:
    """Whether it runs; what waits only for its parent to take note of its end does not."""
    try:
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def answers(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT current_database()").fetchone() == ("ledger",)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_server_runs_inside_the_with_block_only(empty_home: Path) -> None:
    with EmbeddedPostgres(empty_home) as server:
        assert answers(server.url)
        running = postmaster(empty_home)
        assert alive(running)
    assert postmaster(empty_home) is None
    assert not alive(running)


def test_commits_are_flushed_to_disk(home: Path) -> None:
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url) as connection:
        for setting, value in (("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")):
            assert connection.execute(f"SHOW {setting}").fetchone() == (value,)


def test_server_listens_on_no_network_address_and_its_socket_is_private(home: Path) -> None:
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        folder = Path(connection.info.host)
        assert folder.stat().st_mode & 0o077 == 0


def test_text_sorts_alike_everywhere_and_knows_cyrillic_capitals(home: Path) -> None:
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT lower('ЩУКА'), 'B' < 'a'").fetchone() == ("щука", True)


def test_second_start_keeps_the_data(home: Path) -> None:
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept (x int)")
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_starting_and_stopping_twice_is_the_same_as_once(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.start()
    server.start()
    server.stop()
    assert postmaster(home) is None
    server.stop()
    with pytest.raises(StoreUnavailable, match="not started"):
        _ = server.url


def test_two_objects_of_one_process_share_the_server(home: Path) -> None:
    with EmbeddedPostgres(home) as first:
        with EmbeddedPostgres(home) as second:
            assert second.url == first.url
        assert answers(first.url)
    assert postmaster(home) is None


def test_last_user_stops_the_server(home: Path) -> None:
    with other_process(home):
        with EmbeddedPostgres(home) as server:
            running = postmaster(home)
            assert answers(server.url)
        assert alive(running)
    assert postmaster(home) is None
    assert not alive(running)


def test_users_that_start_at_once_get_one_server(empty_home: Path) -> None:
    with ExitStack() as stack:
        holders = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLDER, str(empty_home)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(3)
        ]
        urls = {holder.stdout.readline() for holder in holders if holder.stdout}
        assert len(urls) == 1
        assert answers(urls.pop().strip())
    assert postmaster(empty_home) is None


def test_server_of_a_killed_user_is_adopted_and_stopped_by_the_next(home: Path) -> None:
    with other_process(home) as holder:
        kill(holder)
    orphan = postmaster(home)
    assert alive(orphan)
    with EmbeddedPostgres(home) as server:
        assert postmaster(home) == orphan
        assert answers(server.url)
    assert not alive(orphan)


def test_killed_user_beside_a_living_one_stops_nothing(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        with other_process(home) as holder:
            kill(holder)
        assert answers(server.url)
    assert postmaster(home) is None


def test_data_survive_the_kill_of_server_and_user(home: Path) -> None:
    with other_process(home) as holder:
        url = f"postgresql://postgres@/ledger?host={home / 'postgres.run'}"
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS x")
        kill(holder)
    server_process = postmaster(home)
    assert server_process is not None
    children = server_process.children()
    server_process.kill()
    psutil.wait_procs([server_process, *children], timeout=30)
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (7,)


def test_pid_file_whose_number_belongs_to_another_program_is_ignored(home: Path) -> None:
    with EmbeddedPostgres(home):
        pid_file = home / "postgres" / "postmaster.pid"
        content = pid_file.read_text()
    _, _, rest = content.partition("\n")
    pid_file.write_text(f"{os.getpid()}\n{rest}")
    with EmbeddedPostgres(home) as server:
        assert answers(server.url)


def test_orphan_whose_socket_was_tidied_away_is_restarted(home: Path) -> None:
    with other_process(home) as holder:
        kill(holder)
    orphan = postmaster(home)
    shutil.rmtree(home / "postgres.run")
    with EmbeddedPostgres(home) as server:
        assert postmaster(home) != orphan
        assert answers(server.url)


def test_interrupted_initialisation_is_begun_anew(empty_home: Path) -> None:
    (empty_home / "postgres.new").mkdir()
    (empty_home / "postgres.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(empty_home) as server:
        assert answers(server.url)


def test_deep_home_gets_a_short_socket_folder_and_uses_it_again(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["very-deep-folder"] * 8)
    hosts = []
    for _ in range(2):
        with EmbeddedPostgres(deep) as server, psycopg.connect(server.url) as connection:
            hosts.append(connection.info.host)
    assert hosts[0] == hosts[1]
    assert len(hosts[0]) <= 85
    EmbeddedPostgres(deep).remove()
    assert not Path(hosts[0]).exists()


def test_home_with_blanks_commas_and_cyrillic_letters_works(tmp_path: Path) -> None:
    home = tmp_path / "школа № 5, 'север'"
    with EmbeddedPostgres(home) as server:
        assert answers(server.url)
    EmbeddedPostgres(home).remove()


def test_recorded_socket_folder_that_others_could_enter_is_not_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_folders, "_LONGEST_SOCKET_FOLDER", 0)
    trap = home / "trap"
    trap.mkdir(mode=0o777)
    (home / "postgres.socket-folder").write_text(str(trap))
    chosen = embedded_folders.socket_folder(home)
    assert chosen != trap
    assert chosen.stat().st_mode & 0o077 == 0
    (home / "postgres.socket-folder").write_text(str(home / "gone"))
    other = embedded_folders.socket_folder(home)
    assert other not in {chosen, home / "gone"}
    for folder in (chosen, other):
        folder.rmdir()


def test_remove_refuses_while_somebody_uses_the_server(home: Path) -> None:
    with other_process(home), pytest.raises(Conflict, match="in use"):
        EmbeddedPostgres(home).remove()


def test_remove_stops_an_orphan_and_deletes_its_data(home: Path) -> None:
    with other_process(home) as holder:
        kill(holder)
    orphan = postmaster(home)
    EmbeddedPostgres(home).remove()
    assert not alive(orphan)
    assert not (home / "postgres").exists()


def test_remove_of_a_home_that_never_was_does_nothing(tmp_path: Path) -> None:
    EmbeddedPostgres(tmp_path / "nowhere").remove()
    assert not (tmp_path / "nowhere").exists()


def test_environment_of_another_postgresql_does_not_lead_astray(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PGDATA", "/nowhere"), ("PGPORT", "1"), ("PGHOST", "127.0.0.1"), ("PGDATABASE", "other")):
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres(home) as server:
        assert answers(server.url)


def test_programs_of_the_servers_version_are_found() -> None:
    for name in ("pg_dump", "pg_basebackup", "psql"):
        assert EmbeddedPostgres.binary(name).is_file()
    with pytest.raises(SettingsError, match="no program 'pg_nothing'"):
        EmbeddedPostgres.binary("pg_nothing")


def test_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match="LEDGER_DATABASE_URL"):
        EmbeddedPostgres.binary("postgres")


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.touch()
    with pytest.raises(SettingsError, match="cannot be written"):
        EmbeddedPostgres(home).start()


def test_data_of_another_version_are_refused_and_left_alone(empty_home: Path) -> None:
    (empty_home / "postgres").mkdir()
    version = empty_home / "postgres" / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(SettingsError, match="PostgreSQL 15"):
        EmbeddedPostgres(empty_home).start()
    assert version.read_text() == "15\n"


def test_folder_without_postgresql_data_is_refused_and_left_alone(empty_home: Path) -> None:
    (empty_home / "postgres").mkdir()
    (empty_home / "postgres" / "letters.txt").write_text("mine")
    with pytest.raises(SettingsError, match="no PostgreSQL data"):
        EmbeddedPostgres(empty_home).start()
    assert (empty_home / "postgres" / "letters.txt").read_text() == "mine"


def test_full_disk_is_named_before_anything_is_written(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_LEAST_FREE_BYTES", 2**62)
    with pytest.raises(SettingsError, match="MiB are free"):
        EmbeddedPostgres(empty_home).start()
    assert not (empty_home / "postgres").exists()


def test_failing_start_shows_the_end_of_the_log_and_holds_nothing(home: Path) -> None:
    with EmbeddedPostgres(home):
        pass
    configuration = home / "postgres" / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "no_such_setting = 1\n")
    with pytest.raises(StoreUnavailable, match="no_such_setting"):
        EmbeddedPostgres(home).start()
    configuration.write_text(good)
    with EmbeddedPostgres(home) as server:
        assert answers(server.url)


def test_failing_initialisation_is_told(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "SUPERUSER", "pg_reserved")
    with pytest.raises(StoreUnavailable, match="could not make its data folder"):
        EmbeddedPostgres(empty_home).start()


def test_forked_child_that_leaves_stops_nothing(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        child = os.fork()
        if child == 0:
            server.stop()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert answers(server.url)
    assert postmaster(home) is None


def test_copy_of_a_hold_in_another_process_stops_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedPostgres(home) as server:
        copy = EmbeddedPostgres(home)
        copy.start()
        monkeypatch.setattr(copy, "_owner", os.getpid() + 1)
        copy.stop()
        assert answers(server.url)


def test_server_that_does_not_stop_in_time_is_stopped_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedPostgres(home)
    asked: list[str] = []

    def never_fast(action: str, *arguments: str) -> None:
        asked.append(arguments[-1])
        if arguments[-1] == "fast":
            raise StoreUnavailable("It does not stop.")
        EmbeddedPostgres(home)._run_pg_ctl(action, *arguments)

    server.start()
    monkeypatch.setattr(server, "_run_pg_ctl", never_fast)
    server.stop()
    assert asked == ["fast", "immediate"]
    with EmbeddedPostgres(home) as again:
        assert answers(again.url)


def test_adopted_server_that_still_recovers_is_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = psycopg.connect
    refusals = [psycopg.OperationalError("the database system is starting up")] * 2

    def late(url: str, *, connect_timeout: int = 5, autocommit: bool = False) -> psycopg.Connection[tuple[object, ...]]:
        if refusals:
            raise refusals.pop()
        return connect(url, connect_timeout=connect_timeout, autocommit=autocommit)

    with other_process(home):
        monkeypatch.setattr(psycopg, "connect", late)
        with EmbeddedPostgres(home) as server:
            assert answers(server.url)
    assert not refusals


def test_server_that_never_answers_is_told_and_not_held(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: str, **__: int) -> None:
        raise psycopg.OperationalError("no answer")

    with other_process(home), monkeypatch.context() as patched:
        patched.setattr(psycopg, "connect", never)
        patched.setattr(embedded, "_START_SECONDS", -1)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            EmbeddedPostgres(home).start()
    assert postmaster(home) is None


def test_data_of_another_user_of_the_machine_are_refused(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", refuse)
        with pytest.raises(SettingsError, match="belongs to another user"):
            EmbeddedPostgres(empty_home).start()
