"""The zip around the CSV files, opened with suspicion: a package comes from outside and may be damaged or hostile.

Source: OneRoster 1.2 CSV binding, which packs the CSV files at the root of one zip file. Limits are checked against
the sizes declared in the zip directory; `zipfile` never gives out more bytes than declared and checks the CRC at the
end, so a lying directory ends in an error and not in a full memory.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING, cast

from ledger.interchange.oneroster.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_MEMBERS = 1_000
MAX_MEMBER_BYTES = 2 * 1024**3
MAX_TOTAL_BYTES = 8 * 1024**3
MAX_RATIO = 200
# Small files of equal lines do reach a high ratio honestly, and cannot hurt.
RATIO_FREE_BYTES = 1024**2
# A longer line is no row of a school; without a bound a file without line ends would be read into memory at once.
MAX_LINE_BYTES = 1024**2

_BUFFER_BYTES = 256 * 1024
_ENCRYPTED = 0x1
_READABLE = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_EXPORT_AGAIN = "Export the package again, or copy it again in full."


class Archive:
    """An opened and checked zip file; gives the lines of its members as text.

    Raises:
        PackageError: not a zip, truncated, encrypted, too large, or with member names that no honest exporter writes.
    """

    def __init__(self, path: Path) -> None:
        self.label = path.name
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, ValueError) as error:
            raise _unopened(self.label, error) from error
        try:
            self._members = _checked(self._zip.infolist())
        except PackageError:
            self._zip.close()
            raise

    def close(self) -> None:
        """Release the file."""
        self._zip.close()

    def __contains__(self, file: str) -> bool:
        return file in self._members

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the members at the root, which is where the binding wants its files."""
        return tuple(name for name in self._members if "/" not in name)

    @property
    def folders(self) -> tuple[str, ...]:
        """The members that lie in folders: nothing that the binding knows, but worth a hint when a file is missing."""
        return tuple(name for name in self._members if "/" in name)

    def lines(self, file: str) -> Iterator[str]:
        """Give the lines of one member with their line ends, without the byte order mark.

        Raises:
            PackageError: the member is damaged, is not UTF-8 (the line is named), or has an endless line.
        """
        number = 0
        try:
            # zipfile's own bounded readline is ten times slower than the buffer's; the cast is typeshed's, not ours.
            with (
                self._zip.open(self._members[file]) as member,
                io.BufferedReader(cast("io.RawIOBase", member), _BUFFER_BYTES) as raw,
            ):
                while line := raw.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    if len(line) > MAX_LINE_BYTES:
                        raise PackageError(
                            detail=f"{file}, line {number}: the line is longer than {MAX_LINE_BYTES} bytes.",
                            help="Check that the rows end with a line feed.",
                        )
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise PackageError(
                detail=f"{file}, line {number}: the text is not UTF-8.",
                help="Save the file as UTF-8 (in a spreadsheet: “CSV UTF-8”), not as windows-1251 or UTF-16.",
            ) from error
        except (OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise PackageError(
                detail=f"{file}: the zip is damaged after line {number} of this file.", help=_EXPORT_AGAIN
            ) from error


def _unopened(label: str, error: Exception) -> PackageError:
    match error:
        case FileNotFoundError():
            return PackageError(detail=f"{label}: there is no such file.", help="Check the path.")
        case OSError():
            return PackageError(
                detail=f"{label}: the file cannot be read.", help="Check that it is a file and may be read."
            )
        case _:
            return PackageError(detail=f"{label}: this is not a zip file, or it is cut off.", help=_EXPORT_AGAIN)


def _checked(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > MAX_MEMBERS:
        raise PackageError(
            detail=f"The zip has {len(infos)} members; at most {MAX_MEMBERS} are read.", help="Pack only the CSV files."
        )
    members: dict[str, zipfile.ZipInfo] = {}
    folded: set[str] = set()
    for info in infos:
        _check_name(info)
        if info.filename.casefold() in folded:
            raise PackageError(
                detail=f"The zip holds {info.filename!r} twice.",
                help="Pack each file once; it is unclear which one is meant.",
            )
        folded.add(info.filename.casefold())
        _check_readable(info)
        if not info.is_dir():
            members[info.filename] = info
    if sum(info.file_size for info in infos) > MAX_TOTAL_BYTES:
        raise PackageError(
            detail=f"The zip would unpack to more than {MAX_TOTAL_BYTES} bytes.",
            help="Split the export into several packages.",
        )
    return members


def _check_name(info: zipfile.ZipInfo) -> None:
    # orig_filename still has what stands behind a NUL, which zipfile cuts off silently.
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in name or "\\" in name or not name.isprintable():
        raise PackageError(
            detail=f"The zip has a member with the unsafe name {name[:80]!r}.",
            help="Names must be plain, like results.csv: no “..”, no absolute path, no drive, no backslash.",
        )


def _check_readable(info: zipfile.ZipInfo) -> None:
    name = info.filename[:80]
    if info.flag_bits & _ENCRYPTED:
        raise PackageError(
            detail=f"{name}: the zip is encrypted.", help="Unpack it and pack it again without a password."
        )
    if info.compress_type not in _READABLE:
        raise PackageError(
            detail=f"{name}: unknown zip compression.", help="Pack the files with ordinary (deflate) compression."
        )
    if info.file_size > MAX_MEMBER_BYTES:
        raise PackageError(
            detail=f"{name}: unpacked it would have {info.file_size} bytes; at most {MAX_MEMBER_BYTES} are read.",
            help="Split the export into several packages.",
        )
    if info.file_size > RATIO_FREE_BYTES and info.file_size > MAX_RATIO * info.compress_size:
        raise PackageError(
            detail=f"{name}: unpacked it would be more than {MAX_RATIO} times as large; this looks like a zip bomb.",
            help="If the file is honest, pack it without compression.",
        )
