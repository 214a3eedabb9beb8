"""What docs/bulk.md shows works on a new ledger, and it names every command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.api.recordings import RECORDINGS
from tests.support.api import Api, a_foundation, serving
from tests.support.postgres import fresh_schema

if TYPE_CHECKING:
    import pytest

DOCUMENT = (Path(__file__).parents[2] / "docs" / "bulk.md").read_text(encoding="utf-8")


def test_example_of_the_document_is_recorded_on_a_new_ledger(
    postgres_url: str, kek_text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (shown,) = re.findall(r"```ndjson\n(.*?)```", DOCUMENT, re.DOTALL)
    lines = [json.loads(line) for line in shown.splitlines()]
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, tmp_path) as base,
        serving(base) as service,
        service.acts().http as client,
    ):
        answers = Api(client).bulk(*lines)
        again = Api(client).bulk(*lines)
    assert [answer.get("code") for answer in answers] == [None] * (len(lines) - 1) + ["refused"]
    assert again[:-1] == answers[:-1]
    assert "Фамилия" not in caplog.text


def test_document_names_every_command_and_its_single_route() -> None:
    rows = dict(re.findall(r"\| `(\w+)` \| `POST (/[^`]+)` \|", DOCUMENT))
    wanted = {recording.name: recording.path for recording in RECORDINGS.values()}
    assert rows == wanted, "the table of commands in docs/bulk.md"
