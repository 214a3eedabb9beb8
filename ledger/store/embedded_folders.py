"""Folders and the operating system's user of the embedded PostgreSQL.

Two things make this a module of its own. PostgreSQL refuses to run as root, so that where we are root (a container, a
CI machine) the server runs as a user of its own and must reach its binaries and its data. And the path of a unix socket
has at most 107 bytes, so that a deep home needs a short folder elsewhere, which is recorded in the home and used again.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ledger.errors import SettingsError
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVER_USER = "pgserver"  # the name that the wheel itself would use: one user, whoever starts first

_LONGEST_SOCKET_FOLDER = 85  # of 107 bytes; the file's name and its lock file take the rest (macOS allows 103)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")  # commas, quotes and blanks would have to pass through three parsers

logger = get_logger(__name__)


class ServerUser(TypedDict, total=False):
    """Arguments of `subprocess.run` that change the user; empty where we are not root."""

    user: int
    group: int
    extra_groups: list[int]


def make_home(home: Path) -> None:
    """Make the home and see that it can be written, before anything half-done stands in it.

    Raises:
        SettingsError: it cannot be made or written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise SettingsError(
            f"The folder {home} cannot be written ({error.strerror}).",
            help="Set LEDGER_HOME to a folder that you may write, on a disk with free space.",
        ) from error


def server_user() -> ServerUser:
    """The user under which the server runs: ours, or where we are root one that is made for it.

    Raises:
        SettingsError: we are root and cannot make one.
    """
    if os.geteuid() != 0:
        return {}
    entry = _server_entry()
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_to_server(data: Path, binaries: Iterable[Path]) -> None:
    """Where we are root: let the server's user own its data, and reach them and its binaries.

    Folders on the way get the right to be passed through (`o+x`), not to be listed or read.
    """
    if os.geteuid() != 0:
        return
    entry = _server_entry()
    if data.stat().st_uid != entry.pw_uid:
        os.chown(data, entry.pw_uid, entry.pw_gid)
    _let_pass(data.parent)
    for binary in binaries:
        _let_pass(binary.parent)
        _let_read(binary.parent.parent)


def socket_folder(home: Path) -> Path:
    """The private folder for the socket: in the home if its path is short and plain, else in the temporary folder.

    The folder's mode is the only guard before the database, so a recorded folder is used again only if it still is
    ours and closed to others; in a shared temporary folder its name could have been taken in the meantime.
    """
    near = home / "postgres.run"
    if len(os.fsencode(near)) <= _LONGEST_SOCKET_FOLDER and _PLAIN_PATH.fullmatch(str(near)):
        near.mkdir(mode=0o700, exist_ok=True)
        _make_private(near)
        return near
    record = home / "postgres.socket-folder"
    if record.exists():
        recorded = Path(record.read_text(encoding="utf-8"))
        if _is_private(recorded):
            return recorded
    made = Path(tempfile.mkdtemp(prefix="ledger-", dir=_short_temporary_folder()))
    _make_private(made)
    record.write_text(str(made), encoding="utf-8")
    return made


def remove_socket_folder(home: Path) -> None:
    """Delete the socket's folder and its record; a recorded folder that is not ours any more stays untouched."""
    record = home / "postgres.socket-folder"
    if record.exists():
        recorded = Path(record.read_text(encoding="utf-8"))
        if _is_private(recorded):
            shutil.rmtree(recorded)
        record.unlink()
    near = home / "postgres.run"
    if near.exists():
        shutil.rmtree(near)


def _server_entry() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        pass  # not made yet: the first start on this machine
    program = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    advice = "Start as an ordinary user, or set LEDGER_DATABASE_URL to a PostgreSQL server."
    if program is None:
        raise SettingsError("PostgreSQL does not run as root, and useradd is not here to make a user.", help=advice)
    made = subprocess.run(  # noqa: S603 - the system's own program, without a shell
        [program, "--system", "--user-group", "--no-create-home", SERVER_USER],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        return pwd.getpwnam(SERVER_USER)  # also where another process was faster and useradd failed for it
    except KeyError:
        raise SettingsError(
            f"PostgreSQL does not run as root, and no user could be made for it: {made.stderr.strip()}.", help=advice
        ) from None


def _short_temporary_folder() -> str:
    """The temporary folder, unless that itself is too deep."""
    folder = tempfile.gettempdir()
    room = len("/ledger-12345678")
    short = len(os.fsencode(folder)) + room <= _LONGEST_SOCKET_FOLDER
    return folder if short and _PLAIN_PATH.fullmatch(folder) else "/tmp"  # noqa: S108 - mkdtemp makes it private


def _make_private(folder: Path) -> None:
    user = server_user()
    if user:
        os.chown(folder, user["user"], user["group"])
        _let_pass(folder.parent)
    folder.chmod(0o700)


def _is_private(folder: Path) -> bool:
    """Whether this is a real folder of the server's user that nobody else enters."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    owner = server_user().get("user", os.geteuid())
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077


def _let_pass(folder: Path) -> None:
    for step in (folder, *folder.parents):
        mode = step.stat().st_mode
        if not mode & stat.S_IXOTH:
            logger.warning("Others may now pass through (o+x): the database's user has to.", path=str(step))
            step.chmod(mode | stat.S_IXOTH)


def _let_read(tree: Path) -> None:
    """Undo a strict umask of the installation: the server's user must read its programs and libraries."""
    if (tree / "bin" / "postgres").stat().st_mode & stat.S_IROTH:
        return
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        runs = stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0
        path.chmod(mode | stat.S_IROTH | runs)
