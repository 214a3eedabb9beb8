"""The table of recordings knows every recording route, and makes whole commands of their forms."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
import pytest
from fastapi.routing import APIRoute
from msgspec.structs import astuple

from ledger.api.openapi import FORMS
from ledger.api.recordings import RECORDINGS, Recording
from ledger.api.routes import all_routers

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = tuple(RECORDINGS.values())


def routes() -> Iterator[tuple[str, str]]:
    """Yields the address and the form of every route that records under a key."""
    for router in all_routers():
        for route in router.routes:
            if isinstance(route, APIRoute) and "requestBody" in (route.openapi_extra or {}):
                body = (route.openapi_extra or {})["requestBody"]["content"]
                if "application/json" in body:
                    yield route.path, body["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]


def example_of(recording: Recording) -> Any:  # noqa: ANN401 - the recording's form
    """Returns the form of the documentation's example."""
    extra = recording.form.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    examples = extra["examples"]
    assert isinstance(examples, list)
    return recording.form.model_validate_json(msgspec.json.encode(examples[0]))


def test_table_has_every_recording_route_with_its_form() -> None:
    assert sorted(routes()) == sorted((recording.path, recording.form.__name__) for recording in ALL)
    assert {recording.form for recording in ALL} <= set(FORMS)


LOOKED_UP = ("registered_by",)
"""Fields that a command finds out for itself, when it is recorded."""


@pytest.mark.parametrize("recording", ALL, ids=lambda recording: recording.name)
def test_form_and_address_together_make_the_whole_command(recording: Recording) -> None:
    form, school, ids = example_of(recording), uuid4(), [uuid4() for _ in recording.ids]
    command = recording.make(school, ids, form)
    made = dataclasses.asdict(command)
    assert type(command) is recording.command
    assert made["school"] == school
    assert [made[name] for name in recording.ids] == ids
    for name in recording.form.model_fields.keys() - recording.shapes.keys():
        assert made[name] == getattr(form, name)
    unsaid = made.keys() - recording.form.model_fields.keys() - {"school", *recording.ids, *LOOKED_UP}
    assert all(isinstance(made[name], UUID) for name in unsaid)  # new random ids and nothing else
    assert not set(recording.ids) & recording.form.model_fields.keys()


def test_shaped_fields_keep_every_value() -> None:
    shaped = [recording for recording in ALL if recording.shapes]
    assert [recording.name for recording in shaped] == ["EnrolStudent", "RecordLesson"]
    for recording in shaped:
        form = example_of(recording)
        command = recording.make(uuid4(), [], form)
        for name in recording.shapes:
            sent = [tuple(dict(line).values()) for line in getattr(form, name)]
            assert sent
            kept = getattr(command, name)
            assert [astuple(line) if isinstance(line, msgspec.Struct) else line for line in kept] == sent
