"""A whole OneRoster package: checked when opened, then read file by file as streams of records.

Source: OneRoster 1.2 CSV binding. The methods stand in the order in which an importer needs the files: each file refers
to files before it only.
"""

from __future__ import annotations

from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from ledger.interchange.oneroster import rows
from ledger.interchange.oneroster.archive import Archive
from ledger.interchange.oneroster.columns import MAX_ID_LENGTH
from ledger.interchange.oneroster.errors import PackageError
from ledger.interchange.oneroster.manifest import FILE, read_manifest
from ledger.interchange.oneroster.records import (
    AcademicSession,
    Category,
    Class,
    Course,
    Enrollment,
    LineItem,
    Org,
    Result,
    Role,
    Row,
    RowError,
    User,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

R = TypeVar("R", bound=Row)

RECORDS: tuple[type[Row], ...] = (
    AcademicSession,
    Org,
    Course,
    Class,
    Role,
    User,
    Enrollment,
    Category,
    LineItem,
    Result,
)


def open_package(path: Path, *, source: str | None = None) -> Package:
    """Open a package and check it as a whole, so that a broken one is refused before anything of it is recorded.

    Each file that we read is gone through once for damage, encoding, quotes and header; that takes about a sixth of
    the time that reading the records takes.

    Args:
        path: the zip file.
        source: the exporting system's code, where the manifest has none or another one is meant.

    Raises:
        PackageError: with the file, the line where there is one, and what to do.
    """
    archive = Archive(path)
    try:
        return Package(archive, source=source)
    except BaseException:
        archive.close()
        raise


class Package:
    """An opened package; a context manager that closes the zip.

    Each method reads its file anew and holds one row at a time, besides the sourcedIds that it has seen (`users` holds
    the roles too). A file that the manifest calls absent gives nothing. Every data row gives one record or `RowError`.

    Attributes:
        source: the code (or else the name) of the exporting system; a sourcedId means something only together with it.
        row_counts: the number of data rows per file, for progress bars and for proving that none was lost.
    """

    source: str
    row_counts: Mapping[str, int]

    def __init__(self, archive: Archive, *, source: str | None = None) -> None:
        self._archive = archive
        manifest = read_manifest(archive, frozenset(record.file for record in RECORDS))
        self._files = manifest.files
        self.source = _checked_source(source or manifest.system_code or manifest.system_name)
        if User.file in self._files and Role.file not in self._files:
            raise PackageError(
                detail=f"{FILE} calls {User.file} bulk and {Role.file} absent.",
                help=f"Export {Role.file} too: in OneRoster 1.2 it alone says who is a student.",
            )
        self.row_counts = MappingProxyType(
            {record.file: rows.survey(archive, record) for record in RECORDS if record.file in self._files}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._archive.close()

    def academic_sessions(self) -> Iterator[AcademicSession | RowError]:
        """Give school years, terms and grading periods."""
        return self._read(AcademicSession)

    def orgs(self) -> Iterator[Org | RowError]:
        """Give the schools."""
        return self._read(Org)

    def courses(self) -> Iterator[Course | RowError]:
        """Give the courses."""
        return self._read(Course)

    def classes(self) -> Iterator[Class | RowError]:
        """Give the classes."""
        return self._read(Class)

    def roles(self) -> Iterator[Role | RowError]:
        """Give the roles row by row; `users` has them joined."""
        return self._read(Role)

    def users(self) -> Iterator[User | RowError]:
        """Give the persons with their roles.

        Rows of roles.csv that cannot be used are not repeated here: `roles` lists them.
        """
        roles: dict[str, set[str]] = {}
        for role in self.roles():
            if isinstance(role, Role):
                roles.setdefault(role.user_id, set()).add(role.role.casefold())
        for user in self._read(User):
            yield (
                user if isinstance(user, RowError) else _with_roles(user, tuple(sorted(roles.get(user.sourced_id, ()))))
            )

    def enrollments(self) -> Iterator[Enrollment | RowError]:
        """Give who was in which class from when to when."""
        return self._read(Enrollment)

    def categories(self) -> Iterator[Category | RowError]:
        """Give the kinds of line items."""
        return self._read(Category)

    def line_items(self) -> Iterator[LineItem | RowError]:
        """Give the pieces of work."""
        return self._read(LineItem)

    def results(self) -> Iterator[Result | RowError]:
        """Give what the students reached."""
        return self._read(Result)

    def _read(self, record: type[R]) -> Iterator[R | RowError]:
        return rows.read(self._archive, record) if record.file in self._files else iter(())


def _with_roles(user: User, roles: tuple[str, ...]) -> User:
    # The roles are part of the person that we import, so a changed role must be seen as a changed person.
    digest = sha256(user.digest + msgspec.json.encode(roles)).digest()
    return msgspec.structs.replace(user, roles=roles, digest=digest)


def _checked_source(source: str) -> str:
    if not source:
        raise PackageError(
            detail=f"{FILE} names no source.systemCode and no source.systemName.",
            help="Say with --source which system the package comes from: its ids are unique only there.",
        )
    if len(source) > MAX_ID_LENGTH or not source.isprintable():
        raise PackageError(
            detail="The source is too long or has unprintable characters.",
            help=f"Give at most {MAX_ID_LENGTH} with --source.",
        )
    return source
