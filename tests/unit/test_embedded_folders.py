"""The server's user and folders, with root played by whoever runs the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from ledger.errors import SettingsError
from ledger.store import embedded_folders

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> pwd.struct_passwd:
    """Root, whose server user is the user of the tests: the only one that every machine lets us give files to."""
    me = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: me)
    return me


def unknown_user(_name: str) -> pwd.struct_passwd:
    raise KeyError


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_ordinary_user_runs_the_server_as_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert embedded_folders.server_user() == {}
    tmp_path.chmod(0o700)
    embedded_folders.give_to_server(tmp_path, [tmp_path / "bin" / "postgres"])
    assert mode(tmp_path) == 0o700


def test_root_runs_the_server_as_the_servers_user(as_root: pwd.struct_passwd) -> None:
    assert embedded_folders.server_user() == {"user": as_root.pw_uid, "group": as_root.pw_gid, "extra_groups": []}


@pytest.mark.usefixtures("as_root")
def test_way_to_data_and_programs_may_be_passed_and_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chown", lambda *_: None)
    closed = tmp_path / "closed"
    programs = closed / "wheel" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").touch(mode=0o700)
    (programs.parent / "readme").touch(mode=0o600)
    (programs.parent / "link").symlink_to("readme")
    data = closed / "data"
    data.mkdir(mode=0o700)
    closed.chmod(0o700)
    embedded_folders.give_to_server(data, [programs / "postgres"])
    assert mode(closed) == 0o701
    assert mode(data) == 0o700
    assert mode(programs / "postgres") == 0o705
    assert mode(programs.parent / "readme") == 0o604


@pytest.mark.usefixtures("as_root")
def test_data_of_somebody_else_are_given_to_the_servers_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[object, ...]] = []
    other = pwd.struct_passwd(("pgserver", "x", 4242, 4243, "", "/", "/bin/false"))
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: other)
    monkeypatch.setattr(os, "chown", lambda *arguments: given.append(arguments))
    embedded_folders.give_to_server(tmp_path, [])
    assert given == [(tmp_path, 4242, 4243)]


def test_root_without_useradd_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", unknown_user)
    monkeypatch.setattr(shutil, "which", lambda _name, **_: None)
    with pytest.raises(SettingsError, match="Start as an ordinary user"):
        embedded_folders.server_user()


def test_root_that_may_not_make_users_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = subprocess.CompletedProcess(["useradd"], 1, "", "useradd: cannot lock /etc/passwd\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", unknown_user)
    monkeypatch.setattr(shutil, "which", lambda _name, **_: "/usr/sbin/useradd")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(SettingsError, match="cannot lock"):
        embedded_folders.server_user()


def test_temporary_folder_that_is_too_deep_itself_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/" + "deep/" * 30)
    home = tmp_path / "with a blank"
    home.mkdir()
    folder = embedded_folders.socket_folder(home)
    assert len(folder.parts) == 3
    assert mode(folder) == 0o700
    embedded_folders.remove_socket_folder(home)
    assert not folder.exists()
