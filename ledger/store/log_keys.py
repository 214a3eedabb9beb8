"""The log's signing keys: a file outside the database, one key a line, all of one name (the log's origin).

Several lines stand there only while keys change: every checkpoint is signed by all of them, so that nobody is left
behind who knows one of them. Whoever has this file can sign in the name of the log; keep it apart from the database and
from its backups. Beside it stand `.next`, a key that is being added and signs nothing yet, `.retired`, the verifier
keys of those that were taken out, and `.<id>.unused`, the mark of a log's first key until it has signed: only with it a
sealer begins a log, since an empty database does not say that nothing was ever sealed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ledger.errors import NotProven, SettingsError
from ledger.ids import new_id
from ledger.seal.note import ED25519, SignerKey, VerifierKey, distinct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_TOLD = "# Signs this log's checkpoints. Keep it secret, and apart from the database.\n"
_HELP = "Each line is a key as `ledger keygen --log` writes it."


def new_log_key(origin: str) -> SignerKey:
    """Returns a new signing key for a log of this name.

    Raises:
        SettingsError: the origin cannot name a log.
    """
    key = SignerKey(origin, ED25519, os.urandom(32))
    try:
        SignerKey.parse(key.export())
    except NotProven as error:
        raise SettingsError("A log's origin has neither spaces nor plus signs.", help=error.help) from error
    return key


def make_log_key(path: Path, origin: str) -> None:
    """Writes a log's first key with its mark, readable by its owner only; of several processes at once one wins.

    Raises:
        SettingsError: the origin cannot name a log, or the file cannot be written.
    """
    _make_key(path, origin, first=True)


def _make_key(path: Path, origin: str, *, first: bool) -> None:
    key = new_log_key(origin)
    fresh = path.with_name(f"{path.name}.{new_id().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(fresh, f"{_TOLD}{key.export()}\n")
        if first:  # before the key, which may be used at once
            _write(
                _mark(path, key), "# This key has signed nothing yet; whoever begins the log with it removes this.\n"
            )
        try:
            os.link(fresh, path)  # fails where another process was first; its key is the log's then
        except FileExistsError:
            _mark(path, key).unlink(missing_ok=True)
        finally:
            fresh.unlink()
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}).", help="Name another file.") from error


def read_log_keys(path: Path) -> tuple[SignerKey, ...]:
    """Returns the keys of the file, in their order.

    Raises:
        SettingsError: it cannot be read, or holds something else; nothing of it is told.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        keys = tuple(SignerKey.parse(line) for line in lines if line and not line.startswith("#"))
        distinct([key.verifier for key in keys])
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The key file of the log {path} cannot be read.", help="Check its permissions and content."
        ) from error
    except NotProven as error:
        raise SettingsError(f"The key file of the log {path} holds something that is no key.", help=_HELP) from error
    if not keys or len({key.name for key in keys}) != 1 or any(key.kind != ED25519 for key in keys):
        raise SettingsError(f"The key file {path} must hold keys of one log.", help=_HELP)
    return keys


class LogKeyFile:
    """The key file as a running sealer follows it: read again when it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    @property
    def place(self) -> str:
        """The file's name, for an operator."""
        return str(self._path)

    @property
    def there(self) -> bool:
        """Whether there is such a file."""
        return self._path.exists()

    def read(self) -> tuple[SignerKey, ...]:
        """Returns the keys of the file; see `read_log_keys`."""
        return read_log_keys(self._path)

    def changed(self) -> tuple[SignerKey, ...] | None:
        """Returns the keys if the file is another one than last time, else None.

        Raises:
            SettingsError: it cannot be read now; it is looked at again next time.
        """
        try:
            status = self._path.stat()
        except OSError as error:
            raise SettingsError(
                f"The key file of the log {self._path} cannot be read.", help="Put it back; see `ledger doctor`."
            ) from error
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen == self._seen:
            return None
        keys = read_log_keys(self._path)
        self._seen = seen
        return keys

    def is_unused(self, keys: Iterable[SignerKey]) -> bool:
        """Tells whether one of the keys has the mark of a log that was not begun."""
        return any(_mark(self._path, key).exists() for key in keys)

    def mark_used(self, keys: Iterable[SignerKey]) -> None:
        """Removes the mark for good: with these keys no log is begun any more.

        Raises:
            SettingsError: it cannot be removed.
        """
        for key in keys:
            if (mark := _mark(self._path, key)).exists():
                _remove(mark, "The key has signed.")

    def retired(self) -> tuple[VerifierKey, ...]:
        """Returns the keys that signed once; they open what lies outside the database since then.

        Raises:
            SettingsError: their list cannot be read.
        """
        return read_retired(self._path)


def make_next_key(path: Path) -> SignerKey:
    """Returns the key that is being added to a key file: the one of an interrupted attempt, or a new one of its name.

    Raises:
        SettingsError: the files cannot be read or written.
    """
    waiting = _beside(path, "next")
    if not waiting.exists():
        _make_key(waiting, read_log_keys(path)[0].name, first=False)
    (key,) = read_log_keys(waiting)
    return key


def add_next_key(path: Path) -> None:
    """Puts the key that is being added at the end of the file, where it signs from now on.

    Raises:
        SettingsError: the file cannot be replaced.
    """
    waiting = _beside(path, "next")
    (key,) = read_log_keys(waiting)
    keys = read_log_keys(path)
    if key not in keys:
        _replace(path, [*keys, key])
    _remove(waiting, "Its key is in use.")


def take_out(path: Path, key: SignerKey) -> None:
    """Takes a key out of the file for good; its verifier key is kept beside it.

    Raises:
        SettingsError: the files cannot be written.
    """
    known = _beside(path, "retired")
    lines = dict.fromkeys([*(str(verifier) for verifier in read_retired(path)), str(key.verifier)])
    _put(known, "# Verifier keys that signed this log once.\n" + "".join(f"{line}\n" for line in lines))
    _replace(path, [other for other in read_log_keys(path) if other != key])


def read_retired(path: Path) -> tuple[VerifierKey, ...]:
    """Returns the verifier keys that were taken out of a key file; they open older checkpoints and no newer ones.

    Raises:
        SettingsError: their list cannot be read.
    """
    known = _beside(path, "retired")
    try:
        lines = known.read_text(encoding="ascii").splitlines() if known.exists() else []
        return tuple(VerifierKey.parse(line) for line in lines if line and not line.startswith("#"))
    except (OSError, UnicodeDecodeError, NotProven) as error:
        raise SettingsError(f"The list {known} cannot be read.", help="Put it back as it was.") from error


def is_adding(path: Path) -> bool:
    """Tells whether a key is being added, or the attempt was interrupted."""
    return _beside(path, "next").exists()


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}")


def _mark(path: Path, key: SignerKey) -> Path:
    return _beside(path, f"{key.verifier.id.hex()}.unused")


def _replace(path: Path, keys: Sequence[SignerKey]) -> None:
    _put(path, _TOLD + "".join(f"{key.export()}\n" for key in keys))


def _put(path: Path, text: str) -> None:
    """Replaces a file whole, readable by its owner only; after a crash the old one or the new one stands there."""
    fresh = path.with_name(f"{path.name}.{new_id().hex}")
    try:
        _write(fresh, text)
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}).", help="Do this where its owner may write."
        ) from error


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _remove(path: Path, why: str) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise SettingsError(f"{path} cannot be removed ({error.strerror}).", help=f"Remove it. {why}") from error
