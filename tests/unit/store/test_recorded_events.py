"""What was recorded once is read for ever, and nobody changes a form of an event without noticing."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from ledger.aggregates.registry import EVENTS
from ledger.store.mapper import EventMapper
from ledger.streams.base import LedgerEvent
from ledger.streams.record_classes import RecordClass
from tests.support.events import sample_event
from tests.support.recording import Recorder, class_version, read_recorded
from tests.support.released import RELEASES, Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.recording import Recorded

MAPPER = EventMapper(EVENTS)
RECORDED = read_recorded()


def test_every_form_of_every_event_is_recorded_and_still_read() -> None:
    assert Recorder(EVENTS).findings(RECORDED) == []


def test_nothing_waits_to_be_recorded(tmp_path: Path) -> None:
    for version, entries in RECORDED.items():
        (tmp_path / f"events-v{version}.json").write_text(json.dumps(entries), encoding="utf-8")
    assert Recorder(EVENTS).record(tmp_path) == []


@pytest.mark.parametrize(
    ("version", "topic"), [(version, topic) for version, entries in RECORDED.items() for topic in entries]
)
def test_event_that_was_written_once_is_read_for_ever(version: int, topic: str) -> None:
    entry, event = RECORDED[version][topic], EVENTS[topic]
    values = MAPPER._by_topic[topic].decode(bytes.fromhex(entry["plaintext"]))
    newest = RECORDED[class_version(event)][topic]
    assert values.keys() == newest["fields"].keys()
    if version == class_version(event):
        assert MAPPER._by_topic[topic].encode(sample_event(event)).hex() == entry["plaintext"]


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_entries_of_a_release_are_still_there_word_for_word(release: Release) -> None:
    for name, entries in release.events.items():
        now = RECORDED[int(name.removeprefix("events-v").removesuffix(".json"))]
        for topic, entry in entries.items():
            assert {part: now[topic][part] for part in entry} == entry, topic


# --- the comparison itself ---------------------------------------------------------------------------------------


class NoteTaken(LedgerEvent):
    """As it was in a first release."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.MARKS
    text: str


class NoteTakenV2(LedgerEvent):
    """Its text was split."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.MARKS
    class_version: ClassVar[int] = 2
    title: str
    body: str

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Splits the text."""
        state["title"], _, state["body"] = state.pop("text").partition(" ")


class NoteTakenV3(NoteTakenV2):
    """A day came in, which nobody had known."""

    class_version: ClassVar[int] = 3
    day: date | None

    @staticmethod
    def upcast_v2_v3(state: dict[str, Any]) -> None:
        """Adds the day."""
        state["day"] = None


class FieldAdded(NoteTaken):
    """A field more."""

    more: int


class FieldRenamed(LedgerEvent):
    """A field of another name."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.MARKS
    words: str


class TypeWidened(LedgerEvent):
    """A field that may be missing now; the sample does not show it."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.MARKS
    text: str | None


class ClassMoved(LedgerEvent):
    """Another record class."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.AWARDS
    text: str


class UpcastMissing(LedgerEvent):
    """A second version that cannot read the first one."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.MARKS
    class_version: ClassVar[int] = 2
    title: str


class UpcastWrong(UpcastMissing):
    """A second version whose upcast makes something else."""

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Forgets the title."""
        state.pop("text")


def recorder(event: type[LedgerEvent]) -> Recorder:
    return Recorder({event.TOPIC: event})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert recorder(NoteTaken).record(tmp_path) == [NoteTaken.TOPIC]
    return tmp_path


@pytest.mark.parametrize(
    ("event", "finding"),
    [
        (FieldAdded, "plaintext changed. Raise class_version, write upcast_v1_v2"),
        (FieldRenamed, "plaintext changed"),
        (TypeWidened, "fields changed"),
        (ClassMoved, "record class never changes"),
        (UpcastMissing, "Write upcast_v1_v2"),
        (UpcastWrong, "a recorded state cannot be read"),
        (NoteTakenV2, "not recorded. Run"),
        (NoteTakenV3, "version 2 was never recorded"),
    ],
)
def test_changed_event_is_found(folder: Path, event: type[LedgerEvent], finding: str) -> None:
    found = recorder(event).findings(read_recorded(folder))
    assert found
    assert finding in found[0]


def test_topic_that_went_or_fell_back_is_found(folder: Path) -> None:
    assert "has gone" in Recorder({}).findings(read_recorded(folder))[0]
    recorder(NoteTakenV2).record(folder)
    assert "was version 2 already" in recorder(NoteTaken).findings(read_recorded(folder))[0]


def test_each_new_form_is_recorded_beside_the_older_ones(folder: Path) -> None:
    first = (folder / "events-v1.json").read_bytes()
    for event in (NoteTakenV2, NoteTakenV3):
        assert recorder(event).record(folder) == [event.TOPIC]
        assert recorder(event).record(folder) == []
        assert recorder(event).findings(read_recorded(folder)) == []
    assert (folder / "events-v1.json").read_bytes() == first
    newest = entry_of(read_recorded(folder), 3)
    assert newest["from"] == {
        "1": {"title": "Ёлка", "body": "☃ text", "day": None},
        "2": {"title": "Ёлка ☃ text", "body": "Ёлка ☃ text", "day": None},
    }


def test_upcast_that_changes_its_mind_is_found(folder: Path) -> None:
    recorder(NoteTakenV2).record(folder)

    class Changed(NoteTakenV2):
        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["title"], state["body"] = "", state.pop("text")

    assert "from changed" in recorder(Changed).findings(read_recorded(folder))[0]


def entry_of(recorded: Recorded, version: int) -> dict[str, Any]:
    return recorded[version][NoteTaken.TOPIC]
