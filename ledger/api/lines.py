"""A line of a bulk request: a command, its key and the ids that its route has in the address, as one JSON object.

Lines are decoded into structs that are derived from the forms of the single routes (`structs`). What a struct takes is
what the form would take; whatever it does not take is given to the form itself, which says what is wrong, or (an id in
an unusual spelling) that nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, create_model

from ledger.api.calls import read_form
from ledger.api.problems import FieldError, InvalidFields
from ledger.api.recordings import RECORDINGS, Recording
from ledger.api.schemas.base import said
from ledger.api.structs import OnlyForTheForm, lines_in, plain_of, struct_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ledger.api.schemas.base import Form
    from ledger.application.record.command import RecordingCommand

REFERENCE = "@"
"""Begins the key of an earlier line where an id is asked for: what that line made is meant."""

_BY_NAME: Mapping[str, Recording] = {recording.name: recording for recording in RECORDINGS.values()}


class _Named(BaseModel):
    """What every line has."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)

    key: str
    command: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read: the client's key, which command it is, and its content as the single route has it."""

    key: str
    recording: Recording
    ids: tuple[UUID, ...]
    form: object
    content: bytes
    if_match: str | None
    """As the header of the single route; like it no part of the content."""

    def command(self, school: UUID) -> RecordingCommand:
        """Returns the command."""
        return self.recording.make(school, self.ids, self.form)


async def read_line(text: bytes, find: Callable[[str, str], Awaitable[UUID]]) -> Line:
    """Returns what a line holds.

    Args:
        text: the line.
        find: told a field and the key of an earlier line that it names, returns the id that this line made.

    Raises:
        BadRequest: it is no JSON. InvalidFields: every field that breaks a rule is named.
    """
    try:
        return _of_struct(_decoder().decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        named = read_form(_Named, text)
    recording = _BY_NAME.get(named.command)
    if recording is None:
        raise InvalidFields([FieldError("body.command", "unknown", "is no command; docs/bulk.md lists them.")])
    if b'"' + REFERENCE.encode() in text:
        text = await _resolved(text, recording, find)
    return _of_form(recording, read_form(line_form(recording), text))


@cache
def line_form(recording: Recording) -> type[Form]:
    """Returns the form of a line: that of the single route, with the key, the command's name and the ids."""
    own: dict[str, Any] = {
        "key": (Annotated[str, said("Ключ строки, как Idempotency-Key", "The line's key, as Idempotency-Key")], ...),
        "command": (Annotated[Literal[recording.name], said("Команда", "The command")], ...),
        "if_match": (Annotated[str | None, said("ETag того, что меняется", "As If-Match of the single route")], None),
    }
    own |= {name: (Annotated[UUID, said(*_WORDS[name])], ...) for name in recording.ids}
    form = create_model(recording.name, __base__=recording.form, __doc__=recording.form.__doc__, **own)
    examples = cast("dict[str, Any]", recording.form.model_config["json_schema_extra"])["examples"]
    line = {"key": "6f1d2c9e", "command": recording.name} | dict.fromkeys(recording.ids, _AN_ID) | examples[0]
    form.model_config["json_schema_extra"] = {"examples": [line]}
    return form


_AN_ID = "019a0000-0000-7000-8000-000000000005"
_WORDS = {
    "webhook_id": ("Вебхук", "The webhook"),
    "student_id": ("Ученик", "The student"),
    "mark_id": ("Отметка", "The mark"),
    "representation_id": ("Представительство", "The representation"),
    "consent_id": ("Согласие", "The consent"),
    "request_id": ("Обращение", "The request"),
    "group_id": ("Класс", "The class group"),
    "course_id": ("Курс", "The course"),
    "person_id": ("Человек", "The person"),
    "tenure_id": ("Запись о должности", "The tenure"),
    "mandate_id": ("Предписание", "The mandate"),
    "login_id": ("Вход", "The login"),
}


def _of_form(recording: Recording, form: Form) -> Line:
    values = cast("Any", form)
    own = {"key", "command", "if_match", *recording.ids}
    ids = tuple(getattr(values, name) for name in recording.ids)
    fields = form.model_dump(exclude_defaults=True, exclude=own)
    return Line(values.key, recording, ids, form, recording.content(ids, fields), values.if_match)


def _of_struct(struct: Any) -> Line:  # noqa: ANN401 - of a class made at run time
    recording, plain = _STRUCTS[type(struct)]
    ids = tuple(getattr(struct, name) for name in recording.ids)
    return Line(struct.key, recording, ids, struct, recording.content(ids, plain(struct)), struct.if_match)


_STRUCTS: dict[type[msgspec.Struct], tuple[Recording, Callable[[object], dict[str, object]]]] = {}


@cache
def _decoder() -> msgspec.json.Decoder[Any]:
    kinds = []
    for recording in RECORDINGS.values():
        try:
            kind = struct_of(recording.form, ids=recording.ids, tag=recording.name)
        except OnlyForTheForm:
            continue
        _STRUCTS[kind] = recording, plain_of(recording.form)
        kinds.append(kind)
    return msgspec.json.Decoder(Union[tuple(kinds)])  # noqa: UP007 - made at run time


# --- references to earlier lines -------------------------------------------------------------------------------------


@cache
def _ids_of(form: type[Form]) -> frozenset[str]:
    """Returns the names of the fields that hold ids, or lines with ids."""
    found = {name for name, field in form.model_fields.items() if "UUID" in str(field.annotation)}
    return frozenset(found | {name for name, field in form.model_fields.items() if lines_in(field)})


async def _resolved(text: bytes, recording: Recording, find: Callable[[str, str], Awaitable[UUID]]) -> bytes:
    """Returns the line with the ids of what earlier lines made; every other byte of a value stays as it came."""
    try:
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return text  # JSON to pydantic only, such as NaN: the form says what is wrong with it
    form = line_form(recording)
    for name in fields.keys() & _ids_of(form):
        value = msgspec.json.decode(fields[name])
        inner = lines_in(form.model_fields[name])
        fields[name] = msgspec.Raw(msgspec.json.encode(await _with_ids(value, name, inner, find)))
    return msgspec.json.encode(fields)


async def _with_ids(
    value: object, name: str, inner: type[Form] | None, find: Callable[[str, str], Awaitable[UUID]]
) -> object:
    if isinstance(value, str) and value.startswith(REFERENCE):
        return await find(f"body.{name}", value.removeprefix(REFERENCE))
    if isinstance(value, list):
        return [await _with_ids(member, f"{name}.{number}", inner, find) for number, member in enumerate(value)]
    if isinstance(value, dict) and inner is not None:
        ids = _ids_of(inner)
        return {
            key: await _with_ids(member, f"{name}.{key}", None, find) if key in ids else member
            for key, member in value.items()
        }
    return value
