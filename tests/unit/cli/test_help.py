"""The help of every command ends with an example of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
import typer

from ledger.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator


def every_command(group: typer.core.TyperGroup, *names: str) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from every_command(command, *names, name)
        else:
            assert isinstance(command, typer.core.TyperCommand)
            yield " ".join(("ledger", *names, name)), command


MAIN = typer.main.get_command(app)
assert isinstance(MAIN, typer.core.TyperGroup)
COMMANDS = dict(every_command(MAIN))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_ends_with_an_example_that_it_takes(name: str) -> None:
    title, _, line = (COMMANDS[name].epilog or "").partition(": ")
    assert title == "Пример / example"
    _, called, rest = line.partition(name)
    assert called
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    given = shlex.split(rest)
    assert {word for word in given if word.startswith("--")} <= options
    needed = {
        parameter.opts[0] for parameter in COMMANDS[name].params if parameter.required and "--" in parameter.opts[0]
    }
    assert needed <= set(given)
