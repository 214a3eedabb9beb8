"""The migrations as files: what their linter says of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.store.migrate import Migration, migrations

ROOT = Path(__file__).parents[3]
SQUAWK = shutil.which("squawk", path=Path(sys.executable).parent)


def lint(text: str, name: str) -> subprocess.CompletedProcess[str]:
    assert SQUAWK is not None
    return subprocess.run(
        [SQUAWK, "--config", str(ROOT / ".squawk.toml"), "--reporter", "gcc", "--stdin-filepath", name],
        input=text.replace("{schema}", "ledger"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_migrations_are_numbered_without_gaps_and_no_number_twice() -> None:
    """Two that were written side by side would both be the next."""
    assert [migration.number for migration in migrations()] == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_migration_locks_nobody_out(migration: Migration) -> None:
    """Excuses, each with its reason, are in `.squawk.toml`."""
    result = lint(migration.text, f"{migration.number:04}_{migration.name}.sql")
    assert (result.returncode, result.stdout) == (0, ""), result.stdout


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("ALTER TABLE {schema}.events ADD CONSTRAINT narrow CHECK (position < 9);", "constraint-missing-not-valid"),
        ("ALTER TABLE {schema}.events ALTER COLUMN state SET NOT NULL;", "adding-not-nullable-field"),
        ("ALTER TABLE {schema}.events RENAME COLUMN state TO content;", "renaming-column"),
        ("DROP TABLE {schema}.snapshots;", "ban-drop-table"),
    ],
)
def test_linter_finds_what_would_stop_the_service_or_an_older_version(text: str, rule: str) -> None:
    result = lint(text, "9999_wrong.sql")
    assert result.returncode != 0
    assert rule in result.stdout
