"""OneRoster 1.2 CSV packages: a zip of CSV files and a manifest, read as plain frozen records.

Source: 1EdTech OneRoster 1.2, CSV binding. `open_package` refuses a package that is broken as a whole before the first
row is given out; after that each row is either a record or a `RowError`, so an importer can account for every one.
"""

from ledger.interchange.oneroster.columns import ScoreStatus
from ledger.interchange.oneroster.errors import PackageError
from ledger.interchange.oneroster.package import Package, open_package
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

__all__ = [
    "AcademicSession",
    "Category",
    "Class",
    "Course",
    "Enrollment",
    "LineItem",
    "Org",
    "Package",
    "PackageError",
    "Result",
    "Role",
    "Row",
    "RowError",
    "ScoreStatus",
    "User",
    "open_package",
]
