"""Events of every topic, made from nothing but their type hints: for properties that hold for all of them."""

from __future__ import annotations

import types
import typing
from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hypothesis import strategies as st

if TYPE_CHECKING:
    from ledger.streams.base import LedgerEvent

IDENTITY = {"originator_id", "originator_version", "timestamp", "event_id"}
"""Fields that are columns and no part of the state."""

# UTF-8 has no lone surrogates; everything else may stand in a text, NUL included.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)

_PLAIN: dict[object, st.SearchStrategy[Any]] = {
    str: _TEXTS,
    int: st.integers(-(2**63), 2**64 - 1),
    bool: st.booleans(),
    UUID: st.uuids(),
    date: st.dates(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
}


def values_of(hint: object) -> st.SearchStrategy[Any]:
    """Returns a strategy for the values of a type that an event's field may have."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(values_of(argument) for argument in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*(values_of(argument) for argument in arguments))
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=4)
    if isinstance(hint, type) and hasattr(hint, "__struct_fields__"):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{name: values_of(hints[name]) for name in hint.__struct_fields__})
    message = f"No values are known for {hint}: say here how they are made."
    raise TypeError(message)


def field_names(event: type[LedgerEvent]) -> list[str]:
    """Returns the names of the fields that make up an event's state."""
    return [field.name for field in fields(event) if field.name not in IDENTITY]


def events_of(event: type[LedgerEvent]) -> st.SearchStrategy[LedgerEvent]:
    """Returns a strategy for events of a class."""
    hints = typing.get_type_hints(event)
    return st.builds(
        event,
        originator_id=st.uuids(),
        originator_version=st.integers(1, 2**31 - 1),
        timestamp=st.datetimes(timezones=st.just(UTC)),
        event_id=st.uuids(),
        **{name: values_of(hints[name]) for name in field_names(event)},
    )


_SAMPLES: dict[object, Any] = {
    str: "Ёлка ☃ text",
    int: 300,
    bool: True,
    UUID: UUID("0193b5c4-0000-7000-8000-00000000000a"),
    date: date(2025, 9, 1),
    Decimal: Decimal("2.50"),
}


def sample_of(hint: object) -> Any:  # noqa: ANN401 - a value of whatever type is asked for
    """Returns the one value of a type with which the recorded fixture is made."""
    if hint in _SAMPLES:
        return _SAMPLES[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return sample_of(arguments[0])
    if origin is tuple:
        return tuple(sample_of(argument) for argument in arguments if argument is not Ellipsis)
    if origin is dict:
        return {sample_of(arguments[0]): sample_of(arguments[1])}
    if isinstance(hint, type) and hasattr(hint, "__struct_fields__"):
        hints = typing.get_type_hints(hint)
        return hint(**{name: sample_of(hints[name]) for name in hint.__struct_fields__})
    message = f"No sample is known for {hint}: say here what it is."
    raise TypeError(message)


def sample_event(event: type[LedgerEvent]) -> LedgerEvent:
    """Returns the event of a class with which the recorded fixture is made."""
    hints = typing.get_type_hints(event)
    values = {name: sample_of(hints[name]) for name in field_names(event)}
    return typing.cast("Any", event)(  # type: ignore[no-any-return]  # any event class
        originator_id=UUID("0193b5c4-0000-7000-8000-00000000000b"),
        originator_version=7,
        timestamp=datetime(2025, 9, 1, 8, 30, tzinfo=UTC),
        event_id=UUID("0193b5c4-0000-7000-8000-00000000000c"),
        **values,
    )
