"""JSON schemas of forms (by pydantic) and answers (by msgspec), made plain enough for programs that generate clients.

Such a program names a class after each schema, so a schema has the name under which the API knows it and not that of
our own type (`Student`, not `StudentShown`; `StudentPage`, not `Page_StudentShown_`).
"""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any, cast

import msgspec
from pydantic.json_schema import models_json_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

REF = "#/components/schemas/"
_OWN_ENDINGS = ("Shown", "Body")
Json = dict[str, Any]


def form_schemas(forms: Iterable[type[BaseModel]]) -> Json:
    """Returns the schemas of forms and of what they are made of, by name."""
    _, definitions = models_json_schema([(form, "validation") for form in forms], ref_template=REF + "{model}")
    schemas: Json = _without_wrapped_null(definitions["$defs"])
    return schemas


def answer_schemas(answers: Mapping[str, Any]) -> Json:
    """Returns the schemas of answers and of what they are made of, by name.

    Args:
        answers: types by the name that the API gives them.
    """
    outer, components = msgspec.json.schema_components(
        list(answers.values()), schema_hook=_any_json, ref_template=REF + "{name}"
    )
    given = {schema["$ref"].removeprefix(REF): name for name, schema in zip(answers, outer, strict=True)}
    names = {own: given.get(own) or _plain_name(own) for own in components}
    schemas: Json = {
        names[own]: _plain(schema, names) | _said(names[own], schema) for own, schema in components.items()
    }
    if len(schemas) != len(components):
        message = f"Two answers have one name: {sorted(names.values())}."
        raise ValueError(message)
    return cast("Json", _without_wrapped_null(schemas))


def _any_json(kind: type) -> Json:
    """Leaves a type of any JSON (an event's state) open."""
    if kind is object:
        return {"description": "Any JSON: the event's own fields."}
    raise NotImplementedError(kind)


def _plain_name(own: str) -> str:
    for ending in _OWN_ENDINGS:
        own = own.removesuffix(ending)
    return own


def _said(name: str, schema: Json) -> Json:
    """Returns title and description of a component, without what only a docstring has."""
    return {"title": name, "description": cleandoc(schema.get("description", name))}


def _plain(schema: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any part of a schema
    """Returns a schema that refers to others by their new names.

    Without the defaults of empty lists, which only our own code has, and with pairs of one type written as lists of
    two, because generators do not read `prefixItems`.
    """
    if isinstance(schema, list):
        return [_plain(part, names) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _plain(part, names) for name, part in schema.items()}
    if "$ref" in made:
        made["$ref"] = REF + names[made["$ref"].removeprefix(REF)]
    if "prefixItems" in made:
        first, *others = made.pop("prefixItems")
        made["items"] = first if all(other == first for other in others) else {"anyOf": [first, *others]}
    for found in made.get("properties", {}).values():
        found.pop("default", None)
    return made


def _without_wrapped_null(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Returns a schema in which "one of these codes, or null" is one type: a union would get no good name."""
    if isinstance(schema, list):
        return [_without_wrapped_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _without_wrapped_null(part) for name, part in schema.items()}
    match made.get("anyOf"):
        case [{"enum": [*codes], "type": str(kind)} as first, {"type": "null"}]:
            del made["anyOf"]
            made = {**first, **made, "type": [kind, "null"], "enum": [*codes, None]}
    return made
