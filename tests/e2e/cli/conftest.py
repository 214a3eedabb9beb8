"""Homes for the command line; the tests of a file run in one worker, so that they share them.

`cli`           a command line with an empty home
`tiny`          one with the tiny school of `tests.support.oneroster` imported; its server is kept running
`owner`         a connection to the ledger of `tiny` as its owner
`example`       one with the example class imported; `example.first` is what the import printed
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.store.embedded import EmbeddedPostgres
from tests.support.cli import EXAMPLE, Cli, Result, a_home
from tests.support.oneroster import write_package

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from ledger.store.database import Row


GROUPS = {
    "test_import.py": "short",
    "test_reading.py": "short",
    "test_auditing.py": "short",
    "test_evidence.py": "short",
}
"""Files of one group share its homes, so they run in one worker; every other file is a group of its own."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of its own, and after it they would be too late
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(f"cli-{GROUPS.get(item.path.name, item.path.stem)}"))


@dataclass(frozen=True)
class Imported:
    """A home with an imported package, its server, and what the import printed."""

    cli: Cli
    server: EmbeddedPostgres
    package: Path
    first: Result


@pytest.fixture
def cli() -> Iterator[Cli]:
    with a_home() as made:
        yield made


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    package = write_package(tmp_path_factory.mktemp("tiny") / "tiny.zip")
    with a_home() as made, EmbeddedPostgres(made.home) as server:
        yield Imported(made, server, package, made.works("import", "oneroster", str(package), "--json"))


@pytest.fixture
def owner(tiny: Imported) -> Iterator[psycopg.Connection[Row]]:
    with tiny.cli.database(tiny.server).connect("owner") as connection:
        yield connection


@pytest.fixture(scope="session")
def example() -> Iterator[Imported]:
    with a_home() as made, EmbeddedPostgres(made.home) as server:
        yield Imported(made, server, EXAMPLE, made.works("import", "oneroster", str(EXAMPLE), "--json"))
