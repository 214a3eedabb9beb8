"""manifest.csv: which files a package holds, how they are meant, and where they come from.

Source: OneRoster 1.2 CSV binding, the definition of manifest.csv: rows of `propertyName,value`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.interchange.oneroster.errors import PackageError
from ledger.interchange.oneroster.rows import header_of, split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.interchange.oneroster.archive import Archive

FILE = "manifest.csv"
_VERSIONS = {"manifest.version": "1.0", "oneroster.version": "1.2"}
_MODES = frozenset({"absent", "bulk", "delta"})
_FILE_PREFIX = "file."
_NAME, _VALUE = "propertyName", "value"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the manifest says: the files present (as `results.csv`), and the exporting system's code and name."""

    files: frozenset[str]
    system_code: str
    system_name: str


def read_manifest(archive: Archive, known: frozenset[str]) -> Manifest:
    """Read the manifest and compare it with what the zip holds.

    Args:
        archive: the opened package.
        known: the files that we read; one that is there must be mentioned, or its rows would be lost without a word.

    Raises:
        PackageError: no manifest, another version, a delta file, or manifest and zip contradict each other.
    """
    properties = _properties(archive)
    for name, version in _VERSIONS.items():
        if properties.get(name) != version:
            raise PackageError(
                detail=f"{FILE}: {name} must be {version}.",
                help="Export the package as OneRoster 1.2 CSV; others are not read.",
            )
    modes = {
        f"{name.removeprefix(_FILE_PREFIX)}.csv": mode.casefold()
        for name, mode in properties.items()
        if name.startswith(_FILE_PREFIX)
    }
    _check_modes(modes)
    for file, mode in modes.items():
        if mode == "bulk" and file not in archive:
            raise PackageError(
                detail=f"{FILE} calls {file} bulk, but the zip does not hold it.", help=_where(archive, file)
            )
        if mode == "absent" and file in archive:
            raise PackageError(
                detail=f"{FILE} calls {file} absent, but the zip holds it.",
                help=f"Call it bulk in {FILE}, or take it out.",
            )
    unmentioned = sorted(known.intersection(archive.files).difference(modes))
    if unmentioned:
        raise PackageError(
            detail=f"{FILE} does not mention {', '.join(unmentioned)}.",
            help="Add a row like file.results,bulk for each file.",
        )
    return Manifest(
        files=frozenset(file for file, mode in modes.items() if mode == "bulk"),
        system_code=properties.get("source.systemCode", ""),
        system_name=properties.get("source.systemName", ""),
    )


def _properties(archive: Archive) -> dict[str, str]:
    if FILE not in archive:
        raise PackageError(detail=f"{archive.label}: the zip holds no {FILE}.", help=_where(archive, FILE))
    rows = split(archive, FILE)
    header = header_of(FILE, rows, (_NAME, _VALUE))
    name_at, value_at = header.index(_NAME), header.index(_VALUE)
    properties: dict[str, str] = {}
    for row, cells in rows:
        if len(cells) != len(header):
            raise PackageError(
                detail=f"{FILE}, line {row}: {len(cells)} cells, but the header has {len(header)}.",
                help="Make them equal.",
            )
        name = cells[name_at].strip()
        if name in properties:
            raise PackageError(
                detail=f"{FILE}, line {row}: {name[:80]!r} stands there twice.", help="Keep one of them."
            )
        properties[name] = cells[value_at].strip()
    return properties


def _check_modes(modes: Mapping[str, str]) -> None:
    unknown = sorted(file for file, mode in modes.items() if mode not in _MODES)
    if unknown:
        raise PackageError(detail=f"{FILE}: unknown mode of {', '.join(unknown)}.", help="Write absent or bulk.")
    deltas = sorted(file for file, mode in modes.items() if mode == "delta")
    if deltas:
        raise PackageError(
            detail=f"{FILE} calls {', '.join(deltas)} delta; only bulk packages are imported so far.",
            help="Export the package in bulk mode: rows that are known already add nothing.",
        )


def _where(archive: Archive, file: str) -> str:
    if any(name.endswith(f"/{file}") for name in archive.folders):
        return f"{file} lies in a folder of the zip: pack the files themselves, not the folder."
    return f"Put {file} at the root of the zip."
