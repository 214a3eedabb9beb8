"""Snapshots of an older shape are passed over only if the shape got another number."""

from __future__ import annotations

import hashlib
from dataclasses import make_dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import inspect

if TYPE_CHECKING:
    from ledger.store.mapper import EventMapper

SHAPES = {
    "class_group/3": "cb4959c1aeb8",
    "course/3": "77ff1c252bef",
    "request/1": "b9fd1bd8798d",
    "school/3": "cce0c6625bd9",
    "staff/2": "97e675c171aa",
    "student_marks/2": "3503517ff0f6",
    "student_record/4": "de02eb0a2eaa",
    "webhook/1": "c30bbcd2bea0",
}
"""By lane and number: what its state is made of. Who changes a state raises the lane's SHAPE and writes it here."""


def _parts(node: object) -> object:
    """Returns a type as nested lists: its kind, and its fields by name; the keys of a mapping are a part of it."""
    if isinstance(node, inspect.Field):
        return [node.name, node.required, _parts(node.type)]
    if isinstance(node, inspect.EnumType):
        return [each.value for each in node.cls]
    if isinstance(node, inspect.Type):
        own = {name: getattr(node, name) for name in node.__struct_fields__ if name != "cls"}
        return [type(node).__name__, *([name, _parts(value)] for name, value in own.items())]
    return [_parts(each) for each in node] if isinstance(node, tuple) else node


def made_of(kind: type) -> str:
    """Returns a short digest of the fields of a lane's state and of everything in them."""
    return hashlib.sha256(msgspec.json.encode(_parts(inspect.type_info(kind)))).hexdigest()[:12]


def test_state_that_was_changed_has_another_shape(mapper: EventMapper) -> None:
    found = {shape: made_of(kind.STATE) for shape, kind in mapper.lane_kinds().items() if kind.LOADED}
    assert found == SHAPES


@pytest.mark.parametrize("changed", [dict[bytes, int], dict[str, str], dict[str, int | None], list[int]])
def test_another_type_of_a_field_or_of_its_keys_is_another_shape(changed: type) -> None:
    before = make_dataclass("State", [("works", dict[str, int])])
    assert made_of(make_dataclass("State", [("works", dict[str, int])])) == made_of(before)
    assert made_of(make_dataclass("State", [("works", changed)])) != made_of(before)
