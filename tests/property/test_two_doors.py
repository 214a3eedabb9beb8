"""A line of a bulk request and the body of the single route are read alike, whatever is in them."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledger.api.calls import read_form
from ledger.api.framing import Lines, LineTooLong
from ledger.api.lines import _STRUCTS, _decoder, line_form, read_line
from ledger.api.problems import InvalidFields
from ledger.api.recordings import RECORDINGS, Recording
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.application.record.command import RecordingCommand

ALL = tuple(RECORDINGS.values())
KEY = "key"
Json = dict[str, Any]

WORDS = st.characters(exclude_characters="@", codec="utf-8")
ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(WORDS, max_size=50),
    st.text(WORDS, max_size=3),
    st.sampled_from(["5", "н", "2025-09-01", "2025-9-1", "1066-01-01", "2025-02-30", "2025-09-01T00:00:00", "code\n"]),
    st.sampled_from([n * "а" for n in (20, 21, 40, 41, 200, 201, 300, 301, 500, 501, 2000, 2001)]),
    st.sampled_from(["NaN", "Infinity", "1e400", "1.50", "1.0", " 1 ", "1.12345", 2.50, 1e2, 1e300, 10**30]),
    st.uuids().map(str),
    st.uuids().flatmap(lambda one: st.sampled_from([one.hex, one.urn, f"{{{one}}}", str(one).upper(), f" {one}"])),
    st.lists(st.one_of(st.uuids().map(str), st.text(WORDS, max_size=25), st.integers()), max_size=22),
    st.dictionaries(st.sampled_from(["source", "id", "student_id", "marks"]), st.text(max_size=5), max_size=3),
    st.lists(
        st.fixed_dictionaries(
            {"student_id": st.uuids().map(str)},
            optional={
                "marks": st.lists(st.text(max_size=21), max_size=6),
                "attendance": st.one_of(st.none(), st.text(max_size=3)),
                "comment": st.text(max_size=3),
                "more": st.none(),
            },
        ),
        max_size=3,
    ),
    st.lists(st.fixed_dictionaries({"source": st.text(max_size=3), "id": st.text(max_size=3)}), max_size=3),
)


def example_of(recording: Recording) -> Json:
    extra: Any = line_form(recording).model_config["json_schema_extra"]
    return dict(extra["examples"][0])


async def _no_reference(field: str, key: str) -> UUID:
    raise AssertionError(field, key)


def by_single_route(recording: Recording, line: Json) -> object:
    """Returns what the single route makes of the same fields: the command and its content, or what it refuses."""
    body = {name: value for name, value in line.items() if name not in {KEY, "command", *recording.ids}}
    ids = [UUID(line[name]) for name in recording.ids]
    try:
        form = read_form(recording.form, msgspec.json.encode(body))
    except InvalidFields as error:
        return error.fields
    content = recording.content(ids, form.model_dump(exclude_defaults=True))
    return content, told(recording, recording.make(UUID(int=1), ids, form))


def by_bulk(line: Json) -> object:
    try:
        read = asyncio.run(read_line(msgspec.json.encode(line), _no_reference))
    except InvalidFields as error:
        return error.fields
    assert read.key == line[KEY]
    return read.content, told(read.recording, read.command(UUID(int=1)))


def told(recording: Recording, command: RecordingCommand) -> Json:
    """Returns the command's fields but for the random ids that were made for it."""
    said = {"school", *recording.ids, *recording.form.model_fields}
    return {name: value for name, value in vars(command).items() if name in said}


def test_most_forms_are_read_by_structs() -> None:
    _decoder()
    by_struct = {recording.name for recording, _ in _STRUCTS.values()}
    assert not by_struct & {"DefineMarkScale", "AddWork"}  # decimals
    assert len(by_struct) > len(ALL) * 0.8


@pytest.mark.parametrize("recording", ALL, ids=lambda recording: recording.name)
def test_example_is_the_same_command_through_both_doors(recording: Recording) -> None:
    line = example_of(recording)
    single = by_single_route(recording, line)
    assert isinstance(single, tuple), single
    assert by_bulk(line) == single
    for name, field in recording.form.model_fields.items():
        if not field.is_required():
            spelled = {**line, name: msgspec.to_builtins(field.default)}
            assert by_bulk(spelled) == by_single_route(recording, spelled), name


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_both_doors_take_and_refuse_the_same(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(ALL))
    line = example_of(recording)
    names = [*recording.form.model_fields, "unknown"]
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
        if name in line and data.draw(st.integers(0, 4)) == 0:
            del line[name]
        else:
            line[name] = data.draw(ODD_VALUES)
    assert by_bulk(line) == by_single_route(recording, line)


@given(junk=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
@example(b"[" * 100_000)
@example(b'{"key": ' + b"[" * 100_000)
@example(b'{"key":"k","command":"RecordMark","student_id":"@a","value":NaN}')
@example(b'{"key":"k","command":"FoundSchool","name":"\\ud800"}')
def test_junk_is_refused_in_words(junk: bytes) -> None:
    with pytest.raises(LedgerError):
        asyncio.run(read_line(junk, _no_reference))


def test_references_are_looked_up_where_ids_stand_and_nowhere_else() -> None:
    made = {"a": uuid4(), "b": uuid4(), "c": uuid4()}
    asked: list[tuple[str, str]] = []

    async def find(field: str, key: str) -> UUID:
        asked.append((field, key))
        return made[key]

    def read(**line: object) -> str:
        return repr(asyncio.run(read_line(msgspec.json.encode(line), find)).command(uuid4()))

    ids = {name: str(uuid4()) for name in ("course_id", "work_id")}
    lesson = read(
        key="@a",
        command="RecordLesson",
        **ids,
        held_on="2025-09-22",
        entries=[{"student_id": "@a", "comment": "@b"}, {"student_id": "@b", "marks": ["@c"]}],
    )
    assert asked == [("body.entries.0.student_id", "a"), ("body.entries.1.student_id", "b")]
    assert str(made["a"]) in lesson
    assert "'@b'" in lesson
    assert "'@c'" in lesson
    asked.clear()
    award = {"form": "diploma", "sphere": "study", "title": "@a", "order": "@b", "granted_on": "2025-09-22"}
    granted = read(key="k", command="GrantAward", student_id="@a", basis=["@b", "@c"], **award)
    assert sorted(asked) == [("body.basis.0", "b"), ("body.basis.1", "c"), ("body.student_id", "a")]
    assert "title='@a'" in granted


# --- framing ---------------------------------------------------------------------------------------------------------


def framed(pieces: Sequence[bytes], most: int) -> tuple[list[bytes], bool]:
    """Returns the lines of pieces and whether one was too long."""
    lines = Lines(most)
    found: list[bytes] = []
    try:
        for piece in pieces:
            for line in lines.feed(piece):
                found.append(line)  # noqa: PERF402 - what came before a line that is too long is kept
    except LineTooLong:
        return found, True
    last = lines.end()
    return [*found, *([last] if last is not None else [])], False


@given(
    text=st.lists(st.sampled_from([b"{}", b"ab", b"\n", b"\r\n", b" ", b"long line"]), max_size=30).map(b"".join),
    cuts=st.lists(st.integers(0, 120), max_size=10),
    most=st.integers(1, 12),
)
def test_lines_are_the_same_however_the_body_is_cut(text: bytes, cuts: list[int], most: int) -> None:
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[begin:end] for begin, end in pairwise(borders)]
    whole = framed([text], most)
    assert framed(pieces, most) == whole
    assert framed([text[place : place + 1] for place in range(len(text))], most) == whole
    parts = text.split(b"\n")
    fitting = next((number for number, part in enumerate(parts) if len(part) > most), len(parts))
    assert whole == ([part for part in parts[:fitting] if part.strip()], fitting < len(parts))
