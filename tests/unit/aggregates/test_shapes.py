"""Snapshots of an older shape are passed over only if the shape got another number."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.streams.base import Lane

if TYPE_CHECKING:
    from ledger.store.mapper import EventMapper

SHAPES = {
    "class_group/3": "fa8578409cef",
    "course/3": "691edc2bf365",
    "request/1": "34d421e205d1",
    "school/3": "de6c86596607",
    "staff/2": "060da3417798",
    "student_marks/2": "1f6c0839e393",
    "student_record/4": "2addb0122cfb",
    "webhook/1": "1493eba4c907",
}
"""By lane and number: what its state is made of. Who changes a state raises the lane's SHAPE and writes it here."""


def made_of(kind: type[Lane]) -> str:
    """Returns a short digest of the fields of a lane's state and of everything in them, without the words on them."""

    def bare(schema: Any) -> Any:  # noqa: ANN401 - a JSON schema
        if isinstance(schema, dict):
            return {key: bare(value) for key, value in schema.items() if key not in ("description", "title")}
        return [bare(value) for value in schema] if isinstance(schema, list) else schema

    encoded = msgspec.json.encode(bare(msgspec.json.schema(kind.STATE)), order="sorted")
    return hashlib.sha256(encoded).hexdigest()[:12]


def test_state_that_was_changed_has_another_shape(mapper: EventMapper) -> None:
    found = {shape: made_of(kind) for shape, kind in mapper.lane_kinds().items() if kind.LOADED}
    assert found == SHAPES
