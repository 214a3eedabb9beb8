"""docs/threat-model.md names tests that are there, and every change of the tamper matrix."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODEL = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def test_every_named_test_is_there() -> None:
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", MODEL)
    assert len(named) > 15
    for path, test in named:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test


def test_every_change_of_the_matrix_is_named_and_no_other() -> None:
    cells = tomllib.loads((ROOT / "tests" / "fixtures" / "tamper-matrix.toml").read_text(encoding="utf-8"))["cell"]
    table = MODEL[MODEL.index("## Attacks") : MODEL.index("## What each command")]
    assert sorted(re.findall(r'"([^"]+)"', table)) == sorted(cell["change"] for cell in cells)


def test_every_attack_has_a_test() -> None:
    rows = [line for line in MODEL[MODEL.index("| Attack |") : MODEL.index("## What each")].splitlines() if line][2:]
    assert all("matrix" in row or "`tests/" in row for row in rows)


def test_links_of_both_documents_lead_somewhere() -> None:
    for name in ("threat-model.md", "log.md"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / "docs" / target).exists(), target
