"""What the README says is so: settings, commands, targets, and a test behind each promise."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from ledger.application.doctor.rights import NEEDED
from ledger.cli.main import app
from ledger.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_documented_with_its_default_and_meaning() -> None:
    for name, field in Settings.model_fields.items():
        default = "—" if field.default is None else f"`{field.default}`"
        assert f"| `LEDGER_{name.upper()}` | {default} | {field.description} |" in README


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {f"LEDGER_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"LEDGER_[A-Z_]+", README)) <= known


def test_every_command_is_documented_and_exists() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    table = README[README.index("## Commands") : README.index("## Settings")]
    for name in group.commands:
        assert re.search(rf"`(ledger )?{name}\b", table), name
    for name in re.findall(r"`ledger ([a-z]+)", README):
        assert name in group.commands


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_promise_names_tests_that_are_there() -> None:
    promises = README[README.index("## What it promises") : README.index("What it does not promise")]
    rows = [line for line in promises.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 5
    for row in rows:
        paths = re.findall(r"`(tests/[^`]+)`", row)
        assert paths, row
        for path in paths:
            assert (ROOT / path).is_file(), path


def test_every_link_leads_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    assert len(documents) > 20
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), (document.name, target)


def test_glossary_names_what_is_in_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ledger").rglob("*.py"))
    rows = (ROOT / "docs" / "glossary" / "README.md").read_text(encoding="utf-8").splitlines()
    names = [name for row in rows if row.startswith("|") for name in re.findall(r"`(\w+)`", row.split("|")[3])]
    assert len(names) > 30
    for name in names:
        assert re.search(rf"\b{name}\b", code), name


def test_production_names_every_role_that_the_service_works_as() -> None:
    told = README[README.index("## Production") : README.index("## More")]
    assert set(re.findall(r"_([a-z]+)`", told)) == set(NEEDED)
