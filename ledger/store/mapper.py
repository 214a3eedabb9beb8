"""From events to stored columns and back.

The state of an event is its own fields (not stream, version, time or id, which are columns), in MessagePack by msgspec,
behind one byte that says which version of the event's class wrote it, padded and sealed with the data key of the
subject's record class. Decoding validates: wrong types, missing and unknown fields are refused, older versions are
upcast first (`class_version` and `upcast_v1_v2(state)`, as in the library). Encoding reads again what it wrote, once
for each combination of types: an event that could not be read for ever is refused while its sender still waits.
"""

from __future__ import annotations

import typing
from dataclasses import fields
from datetime import date
from decimal import Decimal
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from ledger.errors import InvalidInput, NewerEvent, Unreadable
from ledger.store.keyring import AES_256_GCM, DataKey
from ledger.streams.base import Lane, LedgerEvent, OpeningEvent
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ledger.seal.entry import Entry
    from ledger.store.database import Row
    from ledger.store.keyring import Keyring

MAX_STATE = 61_440
_START_NEWER = "Start the version that recorded it, or a newer one; where none did, run `ledger audit`."
_BASE_FIELDS = frozenset({"originator_id", "originator_version", "timestamp", "event_id"})
_SCALARS: frozenset[type] = frozenset({type(None), bool, int, str, UUID, date, Decimal})
MAX_PROVEN = 64
_encoder = msgspec.msgpack.Encoder(uuid_format="bytes", decimal_format="string")
_raw = msgspec.msgpack.Decoder()


class SealedState(msgspec.Struct, frozen=True, gc=False):
    """What the mapper adds to an event's identity when it is stored."""

    topic: str
    record_class: str
    algorithm: int
    commitment: bytes
    state: bytes


class _Codec:
    """Encodes and decodes the events of one class."""

    def __init__(self, topic: str, event: type[LedgerEvent]) -> None:
        self.topic = topic
        self.event = event
        self.record_class = event.RECORD_CLASS.value
        self.version: int = getattr(event, "class_version", 1)
        hints = typing.get_type_hints(event)
        self.names = tuple(field.name for field in fields(event) if field.name not in _BASE_FIELDS)
        # itemgetter of one name returns the value alone, of none it does not exist
        self._content: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            itemgetter(*self.names)
            if len(self.names) > 1
            else lambda values: tuple([values[name] for name in self.names])
        )
        self._shape = msgspec.defstruct(
            f"{event.__name__}State", [(name, hints[name]) for name in self.names], forbid_unknown_fields=True
        )
        self._decoder: msgspec.msgpack.Decoder[msgspec.Struct] = msgspec.msgpack.Decoder(self._shape)
        self._proven: dict[tuple[type, ...], tuple[int, ...]] = {}
        """Types of fields with which an event was read again as the same: scalars of them need no second proof, nor do
        empty tuples; at which places these stand."""
        self._prefix = bytes((self.version,))
        self._repeats = self.record_class == RecordClass.DISCLOSURES
        self._last: tuple[tuple[Any, ...], bytes] | None = None
        """Of what an access says of each student: the fields that were encoded last, and their bytes."""
        self._last_read: tuple[bytes, dict[str, Any]] | None = None
        """Likewise: the bytes that were read last, and their fields, which nobody changes."""
        self.associated = bytes((len(topic),)) + topic.encode() + bytes((len(self.record_class),))
        self.associated += self.record_class.encode()

    def encode(self, event: LedgerEvent) -> bytes:
        values = vars(event)
        if len(values) != len(self.names) + len(_BASE_FIELDS):
            message = "The event has not exactly the fields of its class."
            raise msgspec.ValidationError(message)
        content = self._content(values)
        last = self._last  # once: another thread may set it meanwhile
        if last is not None and all(map(is_, content, last[0])):  # the very same: the same for ever
            return last[1]
        state = self._shape(*content)
        body = _encoder.encode(state)
        shape = tuple(map(type, content))
        collections = self._proven.get(shape)
        if collections is None or any(content[place] for place in collections):
            if self._decoder.decode(body) != state:
                # A text in place of a date can be read again, as a date: then what was rebuilt is not what was applied.
                message = "The event would be read as another one."
                raise msgspec.ValidationError(message)
            self._note_proven(shape, content)
        encoded = self._prefix + body
        if self._repeats:
            self._last = (content, encoded)
        return encoded

    def _note_proven(self, shape: tuple[type, ...], content: tuple[Any, ...]) -> None:
        collections = tuple(place for place, kind in enumerate(shape) if kind is tuple)
        empty = not any(content[place] for place in collections)
        if empty and (_SCALARS | {tuple}).issuperset(shape) and len(self._proven) < MAX_PROVEN:
            self._proven[shape] = collections

    def decode(self, plaintext: bytes) -> dict[str, Any]:
        last = self._last_read
        if last is not None and plaintext == last[0]:
            return last[1].copy()
        version = plaintext[0] if plaintext else 0
        if version == self.version:
            values = msgspec.structs.asdict(self._decoder.decode(plaintext[1:]))
            if self._repeats:
                self._last_read = (plaintext, values.copy())
            return values
        if version > self.version:
            raise NewerEvent(
                f"An event {self.topic} was recorded in its version {version}, and this version of the ledger knows it"
                f" up to {self.version}.",
                help=_START_NEWER,
            )
        if version == 0:
            message = "The state has no version."
            raise msgspec.ValidationError(message)
        state = _raw.decode(plaintext[1:])
        for step in range(version, self.version):
            upcast: Callable[[dict[str, Any]], None] = getattr(self.event, f"upcast_v{step}_v{step + 1}")
            upcast(state)
        return msgspec.structs.asdict(self._decoder.decode(_encoder.encode(state)))


class EventMapper:
    """Converts events of a registry to sealed states and back."""

    def __init__(self, registry: Mapping[str, type[LedgerEvent]]) -> None:
        self._by_topic = {topic: _Codec(topic, event) for topic, event in registry.items()}
        self._by_class = {codec.event: codec for codec in self._by_topic.values()}

    def record_class(self, event: type[LedgerEvent]) -> str:
        """Returns the record class under which the events of a class are kept."""
        return self._by_class[event].record_class

    def lane_kinds(self) -> dict[str, type[Lane]]:
        """Returns the classes of lanes by the name of their state's shape, as the opening events name them."""
        lanes = (event.LANE for event in self._by_class if issubclass(event, OpeningEvent))
        return {lane.shape(): lane for lane in lanes}

    def seal(
        self, event: LedgerEvent, subject_id: UUID, header: bytes, key: DataKey, nonce: bytes | None = None
    ) -> SealedState:
        """Returns the event's stored state, bound to its id, stream, subject, topic, class and header.

        Args:
            nonce: see `DataKey.seal`.

        Raises:
            InvalidInput: a field has the wrong type, or the state is over 60 KiB.
        """
        codec = self._by_class[type(event)]
        try:
            plaintext = codec.encode(event)
        except (msgspec.MsgspecError, TypeError, KeyError) as error:
            raise InvalidInput(
                f"An event {codec.topic} does not have the shape that it must be readable in.",
                help="This is a fault of the ledger; report it.",
            ) from error
        associated = _associated(event.event_id, event.originator_id, subject_id, codec.associated, header)
        state = key.seal(plaintext, associated, nonce)
        if len(state) > MAX_STATE:
            raise InvalidInput("The event is over 60 KiB.", help="Shorten its texts, or record several events.")
        return SealedState(codec.topic, codec.record_class, AES_256_GCM, key.commitment, state)

    def open(self, entry: Entry | Row, keyring: Keyring) -> LedgerEvent:
        """Returns the event of a stored entry, or of a row that has its columns.

        Raises:
            Erased: its record class was erased.
            NewerEvent: a newer version of the ledger recorded it. Unreadable: it was altered.
        """
        # Unpacked at once: reading twelve fields of a named tuple one by one takes more than twice as long.
        (
            _, event_id, stream_id, version, subject_id, topic, recorded_at, record_class, algorithm, commitment,
            header, state,
        ) = entry  # fmt: skip
        codec = self._by_topic.get(topic)
        if codec is None:
            raise NewerEvent(f"This version of the ledger knows no event {topic!r}.", help=_START_NEWER)
        if record_class != codec.record_class or algorithm != AES_256_GCM:
            raise Unreadable(
                f"An event {topic} has another record class or algorithm than its topic.", help="Run `ledger audit`."
            )
        key = keyring.get(subject_id, record_class)
        if key.commitment != commitment:
            raise Unreadable(
                "The event was sealed with another data key than the one stored.", help="Run `ledger audit`."
            )
        plaintext = key.open(state, _associated(event_id, stream_id, subject_id, codec.associated, header))
        try:
            values = codec.decode(plaintext)
        except (msgspec.MsgspecError, AttributeError, KeyError, TypeError) as error:
            raise Unreadable("The state of an event is not of its shape.", help="Run `ledger audit`.") from error
        values["originator_id"] = stream_id
        values["originator_version"] = version
        values["timestamp"] = recorded_at
        values["event_id"] = event_id
        return codec.event.of(values)


def _associated(event_id: UUID, stream_id: UUID, subject_id: UUID, kind: bytes, header: bytes) -> bytes:
    identity = event_id.int << 256 | stream_id.int << 128 | subject_id.int  # three ids packed at once
    return b"event\x01" + identity.to_bytes(48) + kind + header
