"""Structs derived from forms: what msgspec decodes in one pass is what the form would have taken.

Each form is written once, for pydantic, which says of a wrong body everything that is wrong with it. Where there are
thousands of right ones, a struct that was derived from the form reads them faster. A field of a kind that the two read
differently (a decimal), or with a rule that is not known here, leaves the whole form to pydantic.
"""

from __future__ import annotations

import types
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Union, cast, get_args, get_origin
from uuid import UUID

import msgspec
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ledger.api.schemas.base import MAX_TEXT, Form

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_IF_MATCH = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | None


class OnlyForTheForm(Exception):
    """A field of a kind, or with a rule, that only the form itself reads as the form does."""


def struct_of(form: type[Form], *, ids: Sequence[str] = (), tag: str | None = None) -> type[msgspec.Struct]:
    """Returns the struct that takes what the form takes.

    Raises:
        OnlyForTheForm: there is none.
    """
    own = form.__pydantic_decorators__
    if own.validators or own.field_validators or own.root_validators or own.model_validators:
        raise OnlyForTheForm
    required: list[Any] = [("key", str), ("if_match", _IF_MATCH, None)] if tag else []
    required += [(name, UUID) for name in ids]
    days: dict[str, tuple[date, date]] = {}
    for name, field in form.model_fields.items():
        kind = _kind_of(field.annotation, field.metadata)
        bounds = {type(rule): rule for rule in _rules_of(field.annotation, field.metadata)}
        if Ge in bounds and isinstance(cast("Ge", bounds[Ge]).ge, date):
            days[name] = cast("date", cast("Ge", bounds[Ge]).ge), cast("date", cast("Le", bounds[Le]).le)
        required.append((name, kind) if field.is_required() else (name, kind, field.default))

    def __post_init__(struct: object) -> None:  # noqa: N807 - msgspec calls it by this name
        for name, (first, last) in days.items():
            value = getattr(struct, name)
            if value is not None and not first <= value <= last:
                raise ValueError(name)

    return msgspec.defstruct(
        f"{form.__name__}Line",
        required,
        kw_only=True,
        frozen=True,
        forbid_unknown_fields=True,
        tag_field="command" if tag else None,
        tag=tag,
        namespace={"__post_init__": __post_init__} if days else None,
    )


def _rules_of(kind: object, rules: Sequence[object]) -> list[object]:
    """Returns the rules of a field, those that its named type brings along among them."""
    found = list(rules)
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        for rule in more:
            found += rule.metadata if isinstance(rule, FieldInfo) else [rule]
        return _rules_of(inner, found)
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        for member in get_args(kind):
            found += _rules_of(member, ())
    return found


def _kind_of(kind: Any, rules: Sequence[object]) -> Any:  # noqa: ANN401, PLR0911 - types at run time, a line for each
    """Returns the type that msgspec reads as pydantic reads `kind` under these rules."""
    if get_origin(kind) is Annotated:
        return _kind_of(get_args(kind)[0], _rules_of(kind, rules))
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        members = [_kind_of(member, rules) if member is not types.NoneType else None for member in get_args(kind)]
        return Union[tuple(members)]  # noqa: UP007 - made at run time
    if get_origin(kind) is tuple:
        member, ellipsis = get_args(kind)
        if ellipsis is not Ellipsis:
            raise OnlyForTheForm
        return Annotated[tuple[_kind_of(member, ()), ...], _meta(rules)]  # type: ignore[misc]  # made at run time
    if isinstance(kind, type) and issubclass(kind, Form):
        return struct_of(kind)
    if kind is str:
        return Annotated[str, _meta([MaxLen(MAX_TEXT), *rules])]
    if kind is int:
        return Annotated[int, _meta(rules)]
    if kind is date and all(isinstance(rule, Ge | Le) for rule in rules):
        return kind
    if kind in (UUID, bool) and not rules:
        return kind
    raise OnlyForTheForm


def _meta(rules: Sequence[object]) -> msgspec.Meta:
    """Returns pydantic's rules as msgspec has them; the later of two of a kind holds."""
    found: dict[str, Any] = {}
    for rule in rules:
        if isinstance(rule, MinLen):
            found["min_length"] = rule.min_length
        elif isinstance(rule, MaxLen):
            found["max_length"] = rule.max_length
        elif isinstance(rule, Ge):
            found["ge"] = rule.ge
        elif isinstance(rule, Le):
            found["le"] = rule.le
        elif (pattern := getattr(rule, "pattern", None)) is not None:
            # For Python a final `$` also stands before a line break at the end; for pydantic it does not.
            found["pattern"] = pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern
        else:
            raise OnlyForTheForm
    return msgspec.Meta(**found)


def plain_of(form: type[Form]) -> Callable[[object], dict[str, object]]:
    """Returns what turns a struct into the fields that are not at their defaults, as the form's own dump has them."""
    fields = [(name, field.default) for name, field in form.model_fields.items()]
    nested = {name: plain_of(inner) for name, field in form.model_fields.items() if (inner := lines_in(field))}

    def plain(struct: object) -> dict[str, object]:
        values: dict[str, object] = {}
        for name, default in fields:
            value = getattr(struct, name)
            if default is PydanticUndefined or value != default:
                values[name] = [nested[name](line) for line in value] if name in nested else value
        return values

    return plain


def lines_in(field: FieldInfo) -> type[Form] | None:
    """Returns the form of the lines that a field holds, such as a lesson's."""
    member = next(iter(get_args(field.annotation)), None)
    return member if isinstance(member, type) and issubclass(member, Form) else None
