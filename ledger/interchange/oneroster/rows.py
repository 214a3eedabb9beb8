"""The rows of one CSV file: split strictly, then turned into records or row errors.

Source: OneRoster 1.2 CSV binding (RFC 4180 commas and quotes, UTF-8, a header row). The binding wants all headers in a
fixed order; we accept any order and ignore further columns, but a column that we read must be there, because a misspelt
header would otherwise look like a column of blanks. The binding wants `status` and `dateLastModified` blank in bulk
files; we accept `active`, and refuse a row that asks for deletion: a ledger deletes nothing on the word of a file.
"""

from __future__ import annotations

import csv
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ledger.interchange.oneroster.columns import Column, Malformed, columns_of, reference
from ledger.interchange.oneroster.errors import PackageError
from ledger.interchange.oneroster.records import Row, RowError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ledger.interchange.oneroster.archive import Archive

R = TypeVar("R", bound=Row)

_ID = Column("sourcedId", reference)
_STATUS = "status"
_LIVING = frozenset({"", "active"})
_canonical = msgspec.json.Encoder().encode


def split(archive: Archive, file: str) -> Iterator[tuple[int, list[str]]]:
    """Give the line number and the raw cells of each row, the header included, blank lines not.

    Raises:
        PackageError: quotes or line ends are wrong, so that nobody can say where the rows begin and end.
    """
    reader = csv.reader(archive.lines(file), strict=True)
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise PackageError(
            detail=f"{file}: the row that begins in line {begins} is not valid CSV.",
            help="Close every quote, double a quote inside quotes, and end rows with a line feed.",
        ) from error


def header_of(file: str, rows: Iterator[tuple[int, list[str]]], needed: Iterable[str]) -> list[str]:
    """Take the header off the rows and check it.

    Raises:
        PackageError: the file is empty, a needed column is missing, or one stands there twice.
    """
    _, cells = next(rows, (1, None))
    if cells is None:
        raise PackageError(detail=f"{file}: the file is empty.", help="Give at least the header row.")
    header = [cell.strip() for cell in cells]
    missing = [name for name in needed if name not in header]
    if missing:
        help_ = "Write the column names as in OneRoster 1.2, small and capital letters included."
        if len(header) == 1 and ";" in header[0]:
            help_ = "Separate the columns by commas, not by semicolons."
        raise PackageError(detail=f"{file}: missing column {', '.join(missing)}.", help=help_)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise PackageError(detail=f"{file}: column {', '.join(twice)} stands there twice.", help="Keep one of them.")
    return header


def survey(archive: Archive, record: type[Row]) -> int:
    """Read a file once for its structure alone and count its data rows.

    Costs a fraction of the real reading, and saves an importer from recording half of a package that turns out broken.

    Raises:
        PackageError: damage, encoding, quotes or header.
    """
    rows = split(archive, record.file)
    header_of(record.file, rows, _names(record))
    return sum(1 for _ in rows)


def read(archive: Archive, record: type[R]) -> Iterator[R | RowError]:
    """Give each data row of a file as a record, or as the error that it is.

    Raises:
        PackageError: as `survey`; not after a survey of the same archive.
    """
    file = record.file
    rows = split(archive, file)
    columns = (_ID, *columns_of(record))
    names = _names(record)
    header = header_of(file, rows, names)
    width = len(header)
    pick = itemgetter(*map(header.index, names))
    status_at = header.index(_STATUS) if _STATUS in header else None
    parsers = [column.parse for column in columns]
    seeded = sha256(file.encode())
    first_seen: dict[str, int] = {}

    for row, raw in rows:
        if len(raw) != width:
            yield RowError(file, row, "", f"the row has {len(raw)} cells and the header {width}; make them equal")
            continue
        cells = [cell.strip() for cell in pick(raw)]
        if status_at is not None and raw[status_at].strip().casefold() not in _LIVING:
            yield RowError(
                file, row, _shown(cells[0]), f"column {_STATUS}: leave it blank; a bulk package deletes nothing"
            )
            continue
        try:
            _, *values = [parse(cell) for parse, cell in zip(parsers, cells, strict=True)]
        except Malformed:
            yield RowError(file, row, _shown(cells[0]), _diagnosis(columns, cells))
            continue
        sourced_id = cells[0]
        earlier = first_seen.setdefault(sourced_id, row)
        if earlier != row:
            yield RowError(file, row, sourced_id, f"sourcedId stands already in row {earlier}; make it unique")
            continue
        digest = seeded.copy()
        # Only cells with content, so that reading one more column some day changes no digest of a row without it.
        digest.update(_canonical([pair for pair in zip(names, cells, strict=True) if pair[1]]))
        yield record(row, sourced_id, digest.digest(), *values)


def _names(record: type[Row]) -> list[str]:
    return [_ID.name, *(column.name for column in columns_of(record))]


def _diagnosis(columns: tuple[Column, ...], cells: list[str]) -> str:
    reasons = []
    for column, cell in zip(columns, cells, strict=True):
        try:
            column.parse(cell)
        except Malformed as bad:
            reasons.append(f"column {column.name}: {bad}")
    return "; ".join(reasons)


def _shown(cell: str) -> str:
    try:
        return reference(cell)
    except Malformed:
        return ""
