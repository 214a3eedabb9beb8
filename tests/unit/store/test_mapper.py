"""From events to sealed states and back: for every topic, today and for ever."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.aggregates.disclosures import DataDisclosed, DisclosureRefused
from ledger.aggregates.registry import EVENTS
from ledger.aggregates.student.marks import MarksOpened, MarkVoided, StudentMarks
from ledger.errors import Erased, InvalidInput, NewerEvent, Unreadable
from ledger.seal.entry import Entry
from ledger.store.keyring import AES_256_GCM, KeyEncryptionKeys, Keyring
from ledger.store.mapper import MAX_STATE, EventMapper
from ledger.streams.base import LedgerEvent
from ledger.streams.record_classes import RecordClass
from tests.support.events import events_of, field_names, sample_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ledger.store.mapper import SealedState

SUBJECT = UUID("0193b5c4-0000-7000-8000-00000000000d")
HEADER = b"header"
MAPPER = EventMapper(EVENTS)

every_topic = pytest.mark.parametrize("topic", sorted(EVENTS))


def _keyring(*record_classes: str) -> Keyring:
    keyring = Keyring(KeyEncryptionKeys({1: bytes(32)}))
    for record_class in record_classes or tuple(RecordClass):
        keyring.put(SUBJECT, record_class, keyring.create(SUBJECT, record_class)[0])
    return keyring


RING = _keyring()


def _seal(event: LedgerEvent, mapper: EventMapper = MAPPER) -> SealedState:
    return mapper.seal(event, SUBJECT, HEADER, RING.get(SUBJECT, mapper.record_class(type(event))))


def _entry(event: LedgerEvent, sealed: SealedState) -> Entry:
    return Entry(
        1, event.event_id, event.originator_id, event.originator_version, SUBJECT, sealed.topic, event.timestamp,
        sealed.record_class, sealed.algorithm, sealed.commitment, HEADER, sealed.state,
    )  # fmt: skip


def _event(event: type[LedgerEvent], **values: object) -> Any:  # noqa: ANN401 - the library's metaclass makes __init__
    identity: dict[str, Any] = {
        "originator_id": uuid4(), "originator_version": 1, "timestamp": datetime.now(UTC), "event_id": uuid4(),
    }  # fmt: skip
    return event(**{**identity, **values})


@settings(max_examples=50, deadline=None)
@given(
    said=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=8),
    refused=st.booleans(),
)
def test_what_an_access_says_of_each_student_is_read_as_it_was_said(
    said: list[tuple[int, int]], *, refused: bool
) -> None:
    ids, classes = [uuid4(), uuid4(), uuid4()], [("marks",), ("marks", "credits"), ()]
    kind = DisclosureRefused if refused else DataDisclosed
    told = [_event(kind, access_id=ids[one], categories=classes[other]) for one, other in said]
    stored = [_entry(event, _seal(event)) for event in told]
    opened = [MAPPER.open(entry, RING) for entry in stored]
    vars(opened[0])["categories"] = ("altered",)
    assert [vars(event) for event in opened[1:]] == [vars(event) for event in told[1:]]
    assert vars(MAPPER.open(stored[0], RING)) == vars(told[0])


# --- every event ----------------------------------------------------------------------------------------------------


@every_topic
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_decoded_event_equals_the_encoded_one(topic: str, data: st.DataObject) -> None:
    event = data.draw(events_of(EVENTS[topic]))
    opened = MAPPER.open(_entry(event, _seal(event)), RING)
    assert type(opened) is type(event)
    assert vars(opened) == vars(event)
    assert [type(value) for value in vars(opened).values()] == [type(vars(event)[name]) for name in vars(opened)]


@every_topic
def test_wrong_type_in_any_field_is_refused_while_the_sender_waits(topic: str) -> None:
    event = sample_event(EVENTS[topic])
    for name in field_names(EVENTS[topic]):
        for wrong in ({"a": "map"}, 0.1, ["2025-09-01"]):
            broken = object.__new__(type(event))
            object.__setattr__(broken, "__dict__", {**vars(event), name: wrong})
            with pytest.raises(InvalidInput, match=topic):
                _seal(broken)


@every_topic
def test_missing_and_unknown_fields_are_refused(topic: str) -> None:
    event = sample_event(EVENTS[topic])
    plaintext = MAPPER._by_topic[topic].encode(event)
    state = msgspec.msgpack.decode(plaintext[1:])
    for broken in [{**state, "unknown": 1}, *({k: v for k, v in state.items() if k != name} for name in state)]:
        with pytest.raises(Unreadable, match="not of its shape"):
            MAPPER.open(_forged(event, plaintext[:1] + msgspec.msgpack.encode(broken)), RING)


@pytest.mark.parametrize("plaintext", [b"", b"\x00", b"\x00\x80", b"\x01", b"\x01\xc1", b"\x01\x90"])
def test_state_of_no_known_version_or_no_map_is_refused(plaintext: bytes) -> None:
    with pytest.raises(Unreadable, match="not of its shape"):
        MAPPER.open(_forged(sample_event(MarksOpened), plaintext), RING)


def _forged(event: LedgerEvent, plaintext: bytes) -> Entry:
    """An entry that was sealed with the right key and has another content."""

    class Forger(msgspec.Struct):
        text: bytes

    codec = MAPPER._by_class[type(event)]
    key = RING.get(SUBJECT, codec.record_class)
    sealed = _seal(event)
    associated = (
        b"event\x01" + event.event_id.bytes + event.originator_id.bytes + SUBJECT.bytes + codec.associated + HEADER
    )
    return _entry(event, sealed)._replace(state=key.seal(Forger(plaintext).text, associated))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("mark_id", "0193b5c4-0000-7000-8000-00000000000a"), ("voided_on", "2025-09-01"), ("reason", b"bytes")],
)
def test_value_that_would_be_read_as_another_type_is_refused(field: str, wrong: object) -> None:
    values = {**_values(sample_event(MarkVoided)), field: wrong}
    with pytest.raises(InvalidInput):
        _seal(_event(MarkVoided, **values))


# --- upcasting ------------------------------------------------------------------------------------------------------


class NoteTaken(LedgerEvent):
    """As it was in a first release."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.MARKS
    text: str


class NoteTakenToday(LedgerEvent):
    """The same topic three releases later: `text` was split, then a day came in."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.MARKS
    class_version: ClassVar[int] = 3
    title: str
    body: str
    day: date | None

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Splits the text."""
        state["title"], _, state["body"] = state.pop("text").partition(": ")

    @staticmethod
    def upcast_v2_v3(state: dict[str, Any]) -> None:
        """Adds the day, which nobody knew."""
        state["day"] = None


class NoteTakenWithoutUpcast(LedgerEvent):
    """The same topic in a release that forgot how to read the first one."""

    TOPIC = "test.note_taken"
    RECORD_CLASS = RecordClass.MARKS
    class_version: ClassVar[int] = 2
    text: str


def _mapper(event: type[LedgerEvent]) -> EventMapper:
    return EventMapper({event.TOPIC: event})


def test_older_version_is_upcast_step_by_step() -> None:
    old = _event(NoteTaken, text="Title: body")
    entry = _entry(old, _seal(old, _mapper(NoteTaken)))
    opened = _mapper(NoteTakenToday).open(entry, RING)
    assert isinstance(opened, NoteTakenToday)
    assert (opened.title, opened.body, opened.day, opened.event_id) == ("Title", "body", None, old.event_id)


def test_newer_version_than_known_is_refused() -> None:
    new = _event(NoteTakenToday, title="t", body="b", day=date(2025, 9, 1))
    entry = _entry(new, _seal(new, _mapper(NoteTakenToday)))
    assert _mapper(NoteTakenToday).open(entry, RING) == new
    with pytest.raises(NewerEvent, match=r"test.note_taken was recorded in its version 3, .* knows it up to 1"):
        _mapper(NoteTaken).open(entry, RING)
    with pytest.raises(NewerEvent, match=r"knows no event 'test\.note_taken'"):
        MAPPER.open(entry, RING)


def test_missing_upcast_is_refused_and_not_guessed() -> None:
    old = _event(NoteTaken, text="text")
    with pytest.raises(Unreadable):
        _mapper(NoteTakenWithoutUpcast).open(_entry(old, _seal(old, _mapper(NoteTaken))), RING)


# --- what is bound to its place --------------------------------------------------------------------------------------

SWAPS: Mapping[str, Callable[[Entry], Entry]] = {
    "event": lambda entry: entry._replace(event_id=uuid4()),
    "stream": lambda entry: entry._replace(stream_id=uuid4()),
    "header": lambda entry: entry._replace(header=b"another"),
    "no header": lambda entry: entry._replace(header=b""),
    "topic of the same class": lambda entry: entry._replace(topic="marks.corrected"),
    "unknown topic": lambda entry: entry._replace(topic="marks.unknown"),
    "record class": lambda entry: entry._replace(record_class="awards"),
    "algorithm": lambda entry: entry._replace(algorithm=0),
    "commitment": lambda entry: entry._replace(commitment=bytes(16)),
    "state of nothing": lambda entry: entry._replace(state=b""),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS.keys())
def test_entry_with_another_column_is_refused(swap: Callable[[Entry], Entry]) -> None:
    event = sample_event(MarkVoided)
    entry = _entry(event, _seal(event))
    assert MAPPER.open(entry, RING) == event
    with pytest.raises(Unreadable) as caught:
        MAPPER.open(swap(entry), RING)
    assert not isinstance(caught.value, Erased)


def test_entry_of_one_subject_is_refused_under_another_with_the_same_key() -> None:
    event, other = sample_event(MarkVoided), uuid4()
    ring = _keyring()
    ring.put(other, "marks", ring.get(SUBJECT, "marks"))
    sealed = MAPPER.seal(event, SUBJECT, HEADER, ring.get(SUBJECT, "marks"))
    with pytest.raises(Unreadable):
        MAPPER.open(_entry(event, sealed)._replace(subject_id=other), ring)


def test_state_of_one_event_is_refused_in_the_place_of_another() -> None:
    one, two = sample_event(MarkVoided), _event(MarkVoided, **_values(sample_event(MarkVoided)))
    with pytest.raises(Unreadable):
        MAPPER.open(_entry(two, _seal(one)), RING)


def _values(event: LedgerEvent) -> dict[str, object]:
    return {name: vars(event)[name] for name in field_names(type(event))}


def test_every_flipped_bit_of_the_header_is_found() -> None:
    event = sample_event(MarksOpened)
    entry = _entry(event, _seal(event))
    assert entry.header
    for place in range(len(entry.header) * 8):
        altered = bytearray(entry.header)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(Unreadable):
            MAPPER.open(entry._replace(header=bytes(altered)), RING)


def test_every_flipped_bit_of_the_state_is_found() -> None:
    event = sample_event(MarksOpened)
    entry = _entry(event, _seal(event))
    for place in range(len(entry.state) * 8):
        altered = bytearray(entry.state)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(Unreadable):
            MAPPER.open(entry._replace(state=bytes(altered)), RING)


def test_event_of_an_erased_class_says_so() -> None:
    event = sample_event(MarkVoided)
    with pytest.raises(Erased):
        MAPPER.open(_entry(event, _seal(event)), _keyring("awards"))


def test_state_over_60_kib_is_refused_and_just_under_is_not() -> None:
    fits = _event(MarksOpened, year="x" * (MAX_STATE - 64))
    assert len(_seal(fits).state) <= MAX_STATE
    with pytest.raises(InvalidInput, match="60 KiB"):
        _seal(_event(MarksOpened, year="x" * MAX_STATE))


def test_kinds_of_lanes_come_from_the_events_that_open_them() -> None:
    assert MAPPER.lane_kinds()["student_marks/2"] is StudentMarks
    assert {kind.shape() for kind in MAPPER.lane_kinds().values()} == set(MAPPER.lane_kinds())


def test_sealed_state_names_topic_class_and_algorithm() -> None:
    sealed = _seal(sample_event(MarksOpened))
    assert (sealed.topic, sealed.record_class, sealed.algorithm) == ("marks.opened", "marks", AES_256_GCM)
    assert sealed.commitment == RING.get(SUBJECT, "marks").commitment
