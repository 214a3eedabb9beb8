"""The recorded forms of events: what was written once is read for ever.

`tests/fixtures/events-v<N>.json` has one entry for each topic whose class has reached version N:

* `record_class`, `plaintext` (a sample event's state, before sealing), its `values`, and the types of its `fields`;
* `from` (in files after the first): what the recorded states of older versions become when they are read by this one.

Entries are added and never changed. `python -m tests.support.recording` adds what is missing; nobody writes them by
hand.
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.aggregates.registry import EVENTS
from ledger.store.mapper import EventMapper
from tests.support.events import field_names, sample_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.streams.base import LedgerEvent

FIXTURES = Path(__file__).parents[1] / "fixtures"
Json = dict[str, Any]
Recorded = dict[int, dict[str, Json]]
"""Entries by class version and topic."""


def read_recorded(folder: Path = FIXTURES) -> Recorded:
    """Returns every recorded entry."""
    return {
        int(path.stem.removeprefix("events-v")): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("events-v*.json"))
    }


def type_name(hint: object) -> str:
    """Returns the name of a field's type, with everything that changes how it is written or read."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(argument) for argument in arguments)
    if origin is not None:
        inner = ", ".join("..." if argument is Ellipsis else type_name(argument) for argument in arguments)
        return f"{origin.__name__}[{inner}]"
    if hint is type(None):
        return "None"
    assert isinstance(hint, type), hint
    if hasattr(hint, "__struct_fields__"):
        hints = typing.get_type_hints(hint)
        inner = ", ".join(f"{name}: {type_name(hints[name])}" for name in hint.__struct_fields__)
        return f"{hint.__name__}({inner})"
    return hint.__name__


def class_version(event: type[LedgerEvent]) -> int:
    """Returns which form of its topic a class writes."""
    version: int = getattr(event, "class_version", 1)
    return version


@dataclass(frozen=True)
class Recorder:
    """Compares event classes with what is recorded of them, and records what is new."""

    events: Mapping[str, type[LedgerEvent]]

    def entry(self, topic: str, recorded: Recorded) -> Json:
        """Returns the entry of a topic in its present form."""
        event = self.events[topic]
        hints = typing.get_type_hints(event)
        codec = EventMapper({topic: event})._by_topic[topic]
        plaintext = codec.encode(sample_event(event))
        made: Json = {
            "record_class": event.RECORD_CLASS.value,
            "plaintext": plaintext.hex(),
            "values": _plain(codec.decode(plaintext)),
            "fields": {name: type_name(hints[name]) for name in field_names(event)},
        }
        if older := range(1, class_version(event)):
            made["from"] = {
                str(version): _plain(codec.decode(bytes.fromhex(recorded[version][topic]["plaintext"])))
                for version in older
            }
        return made

    def findings(self, recorded: Recorded) -> list[str]:
        """Returns what is wrong, in words that say what to do; nothing if everything recorded is still read."""
        found = []
        for version, entries in recorded.items():
            for topic in entries:
                if topic not in self.events:
                    found.append(f"{topic} has gone: its events could not be read any more. Put its class back.")
                elif version > class_version(self.events[topic]):
                    found.append(f"{topic} was version {version} already. Put its class_version back.")
        for topic, event in self.events.items():
            found.extend(f"{topic}: {finding}" for finding in self._compare(topic, event, recorded))
        return found

    def _compare(self, topic: str, event: type[LedgerEvent], recorded: Recorded) -> list[str]:
        known = [version for version in recorded if topic in recorded[version]]
        if any(recorded[version][topic]["record_class"] != event.RECORD_CLASS for version in known):
            return ["a topic's record class never changes (it chose the data key). Make a new topic."]
        version = class_version(event)
        missing = [older for older in range(1, version) if older not in known]
        if missing:
            return [f"version {missing[0]} was never recorded. Versions begin with 1 and follow each other."]
        try:
            now = self.entry(topic, recorded)
        except (msgspec.MsgspecError, AttributeError, KeyError, TypeError) as error:
            return [f"a recorded state cannot be read ({error}). Write upcast_v{version - 1}_v{version}."]
        if version not in known:
            return ["its present form is not recorded. Run `python -m tests.support.recording`."]
        return [
            f"{part} changed. Raise class_version, write upcast_v{version}_v{version + 1}, then"
            " `python -m tests.support.recording`."
            for part in now
            if now[part] != recorded[version][topic].get(part)
        ]

    def record(self, folder: Path = FIXTURES) -> list[str]:
        """Adds what is not recorded yet and returns the topics; what is recorded stays as it is."""
        added = []
        for topic, event in sorted(self.events.items(), key=lambda item: (class_version(item[1]), item[0])):
            recorded = read_recorded(folder)
            entries = recorded.get(class_version(event), {})
            entry = {**self.entry(topic, recorded), **entries.get(topic, {})}
            if entry != entries.get(topic):
                added.append(topic)
                text = json.dumps(dict(sorted({**entries, topic: entry}.items())), ensure_ascii=False, indent=2)
                path = folder / f"events-v{class_version(event)}.json"
                path.write_text(text + "\n", encoding="utf-8")
        return added


def _plain(values: dict[str, Any]) -> Json:
    plain: Json = json.loads(msgspec.json.encode(values))
    return plain


if __name__ == "__main__":
    print("\n".join(Recorder(EVENTS).record()) or "Nothing is new.")  # noqa: T201 - the answer to whoever ran it
