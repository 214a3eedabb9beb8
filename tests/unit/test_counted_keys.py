"""Whoever shows personal data has no key but those that are counted: read from the program's own text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ledger
from ledger.store.openings import CountedKeyring

PACKAGE = Path(ledger.__file__).parent
SHOWING = ("api", "cli", "documents", "application/disclose", "application/webhooks/shown.py")
KEYS = frozenset({"Keyring", "DataKey"})
PROVING = "application/disclose/proving.py"
"""Opens the disclosure that it is asked to prove, shows nothing of it, and would count itself otherwise."""


def modules(*places: str) -> dict[str, ast.Module]:
    """Returns the modules of places in the package, by their path in it."""
    found = {}
    for place in places:
        path = PACKAGE / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            found[str(file.relative_to(PACKAGE))] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def uncounted(module: ast.Module) -> list[str]:
    """Returns what in a module gets at keys that nobody counts."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and node.attr in {"keyring", "_keyring"}:
            if "executor" in ast.unparse(node.value):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and node.module == "ledger.store.keyring":
            found += [alias.name for alias in node.names if alias.name in KEYS]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("ledger.store")]
    return found


def test_keyring_of_a_ledger_is_one_that_counts() -> None:
    source = ast.parse((PACKAGE / "application/ledger.py").read_text(encoding="utf-8"))
    fields = {
        node.target.id: ast.unparse(node.annotation)
        for node in ast.walk(source)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert fields["keyring"] == CountedKeyring.__name__


def test_nothing_that_shows_data_gets_at_keys_that_nobody_counts() -> None:
    showing = modules(*SHOWING)
    assert len(showing) > 50
    found = {path: uncounted(module) for path, module in showing.items()}
    assert {path: names for path, names in found.items() if names} == {PROVING: ["ledger.executor.keyring"]}


@pytest.mark.parametrize(
    "text",
    [
        "keyring = ledger.executor.keyring",
        "key = call.ledger.executor._keyring.get(student, 'marks')",
        "from ledger.store.keyring import SELECT_KEYS, Keyring",
        "from ledger.store.keyring import DataKey as Other",
        "import ledger.store.keyring",
    ],
)
def test_way_to_keys_that_nobody_counts_is_found(text: str) -> None:
    assert uncounted(ast.parse(text))
