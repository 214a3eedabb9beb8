"""The error of a package that cannot be read as a whole."""

from __future__ import annotations

from ledger.errors import InvalidInput


class PackageError(InvalidInput):
    """The package itself is unusable: its zip, its manifest, a header, an encoding. No row of it should be imported.

    A single bad row is not this error but a `RowError`, because the other rows are still good.
    The detail names files, columns and line numbers, never a cell's content.
    """

    code = "oneroster-package"
