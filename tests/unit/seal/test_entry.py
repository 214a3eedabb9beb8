"""The entry of an event: its bytes are final, and nothing but those bytes is an entry."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.aggregates.registry import EVENTS
from ledger.aggregates.student.marks import MarksOpened
from ledger.errors import InvalidInput
from ledger.seal.entry import MAX_ENTRY, Entry, decode_entry, encode_entry
from ledger.store.header import decode_header
from ledger.store.keyring import DataKey
from ledger.store.mapper import EventMapper

if TYPE_CHECKING:
    from ledger.store.keyring import Keyring

DOCUMENT = (Path(__file__).parents[3] / "docs" / "entry-format.md").read_text(encoding="utf-8")

GOLDEN = bytes.fromhex(
    "4c4447310000000000000007019000000000700080000000000000e19d0f6a52"
    "53cb5b0a8d5e0d3f2f6f5c11000000010190000000007000800000000000005a"
    "00063db856d1b040010c6d61726b732e6f70656e6564056d61726b73106e5296"
    "06a583b7db44733470846bb48c005897c4100190000000007000800000000000"
    "00aca774656163686572c410019000000000700080000000000000c0c0c41001"
    "9000000000700080000000000000c0ac6173736573736d656e742f31aa656c65"
    "6374726f6e6963003c000102030405060708090a0b46837262a084b0b2bf71a5"
    "be9cdb485fb5568734f07b5f7c3867e5851d6900b24ea466726d9c8b7b773e6b"
    "5c7cc40386"
)
LEAF = "71cd2268f73e797b772eacfe1bf203091e1def0c2c83321c5f311090486ec4c9"


def block(language: str) -> str:
    """Returns the document's only code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    return str(found)


def reencode(columns: dict[str, Any]) -> bytes:
    """Returns the entry of exported columns; written from docs/entry-format.md alone."""

    def number(value: int, size: int, *, signed: bool = False) -> bytes:
        return value.to_bytes(size, "big", signed=signed)

    def sized(value: bytes, width: int) -> bytes:
        return number(len(value), width) + value

    since = datetime.fromisoformat(columns["recorded_at"]) - datetime(1970, 1, 1, tzinfo=UTC)
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return (
        b"LDG1"
        + number(columns["position"], 8)
        + bytes.fromhex(columns["event_id"].replace("-", ""))
        + bytes.fromhex(columns["stream_id"].replace("-", ""))
        + number(columns["version"], 4)
        + bytes.fromhex(columns["subject_id"].replace("-", ""))
        + number(micros, 8, signed=True)
        + number(columns["algorithm"], 1)
        + sized(columns["topic"].encode("utf-8"), 1)
        + sized(columns["record_class"].encode("utf-8"), 1)
        + sized(bytes.fromhex(columns["key_commitment"]), 1)
        + sized(bytes.fromhex(columns["header"]), 2)
        + sized(bytes.fromhex(columns["state"]), 2)
    )


def exported(entry: Entry) -> dict[str, Any]:
    """Returns an entry's columns as the document's example shows them."""
    return {
        "position": entry.position,
        "event_id": str(entry.event_id),
        "stream_id": str(entry.stream_id),
        "version": entry.version,
        "subject_id": str(entry.subject_id),
        "recorded_at": entry.recorded_at.isoformat(),
        "algorithm": entry.algorithm,
        "topic": entry.topic,
        "record_class": entry.record_class,
        "key_commitment": entry.commitment.hex(),
        "header": entry.header.hex(),
        "state": entry.state.hex(),
    }


short_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
entries = st.builds(
    Entry,
    position=st.integers(0, 2**64 - 1),
    event_id=st.uuids(),
    stream_id=st.uuids(),
    version=st.integers(0, 2**32 - 1),
    subject_id=st.uuids(),
    topic=short_text,
    recorded_at=st.datetimes(timezones=st.just(UTC)),
    record_class=short_text,
    algorithm=st.integers(0, 255),
    commitment=st.binary(max_size=255),
    header=st.binary(max_size=2048),
    state=st.binary(max_size=2048),
)

SMALL = Entry(
    1, UUID(int=1), UUID(int=2), 1, UUID(int=3), "t", datetime(2025, 9, 1, tzinfo=UTC), "c", 1, b"k", b"h", b"s"
)


@given(entries)
@example(SMALL._replace(recorded_at=datetime.min.replace(tzinfo=UTC)))
@example(SMALL._replace(recorded_at=datetime.max.replace(tzinfo=UTC)))
@example(SMALL._replace(topic="", record_class="", commitment=b"", header=b"", state=b""))
def test_decoded_entry_is_the_encoded_one(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@given(entries)
def test_encoder_agrees_with_one_written_from_the_document_alone(entry: Entry) -> None:
    assert encode_entry(entry) == reencode(exported(entry))


def test_golden_bytes_never_change() -> None:
    entry = decode_entry(GOLDEN)
    assert encode_entry(entry) == GOLDEN
    assert hashlib.sha256(b"\x00" + GOLDEN).hexdigest() == LEAF
    assert (entry.position, entry.version, entry.algorithm) == (7, 1, 1)
    assert (entry.topic, entry.record_class) == ("marks.opened", "marks")
    assert entry.recorded_at == datetime(2025, 9, 1, 7, 30, 0, 123456, tzinfo=UTC)


def test_documents_example_is_the_golden_entry() -> None:
    data = bytes.fromhex(block("hex"))
    assert data == GOLDEN
    assert f"entry of {len(data)} bytes" in DOCUMENT
    columns = json.loads(block("json"))
    assert reencode(columns) == data
    assert exported(decode_entry(data)) == columns | {"recorded_at": columns["recorded_at"].replace("Z", "+00:00")}
    assert hashlib.sha256(b"\x00" + data).hexdigest() == block("sha256").strip() == LEAF


def test_golden_entry_opens_with_the_documents_key() -> None:
    class OneKey:
        def get(self, subject_id: UUID, record_class: str) -> DataKey:
            return DataKey(bytes(range(32)))

    entry = decode_entry(GOLDEN)
    event = EventMapper(EVENTS).open(entry, cast("Keyring", OneKey()))
    assert isinstance(event, MarksOpened)
    assert event.year == "2025-2026"
    header = decode_header(entry.header)
    assert (header.office, header.local_act, header.carrier) == ("teacher", "assessment/1", "electronic")


def test_same_instant_in_another_zone_is_the_same_entry() -> None:
    elsewhere = SMALL._replace(recorded_at=SMALL.recorded_at.astimezone(timezone(timedelta(hours=3))))
    assert encode_entry(elsewhere) == encode_entry(SMALL)


def test_every_truncation_is_refused() -> None:
    for length in range(len(GOLDEN)):
        with pytest.raises(InvalidInput):
            decode_entry(GOLDEN[:length])


def test_every_flipped_bit_is_refused_or_another_entry() -> None:
    original = decode_entry(GOLDEN)
    for bit in range(len(GOLDEN) * 8):
        altered = bytearray(GOLDEN)
        altered[bit // 8] ^= 1 << (bit % 8)
        try:
            entry = decode_entry(bytes(altered))
        except InvalidInput:
            continue
        assert entry != original
        assert encode_entry(entry) == altered


def test_bytes_after_the_state_are_refused() -> None:
    for tail in (b"\x00", GOLDEN):
        with pytest.raises(InvalidInput, match="not one entry"):
            decode_entry(GOLDEN + tail)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_or_encode_to_themselves(data: bytes) -> None:
    for candidate in (data, b"LDG1" + data):
        try:
            entry = decode_entry(candidate)
        except InvalidInput:
            continue
        assert encode_entry(entry) == candidate


@pytest.mark.parametrize("micros", [-(2**63), 2**63 - 1])
def test_time_that_no_calendar_has_is_refused(micros: int) -> None:
    data = bytearray(GOLDEN)
    data[64:72] = micros.to_bytes(8, signed=True)
    with pytest.raises(InvalidInput):
        decode_entry(bytes(data))


def test_text_that_is_not_utf8_is_refused() -> None:
    data = encode_entry(SMALL)
    with pytest.raises(InvalidInput):
        decode_entry(data.replace(b"\x01t", b"\x01\xff"))


def test_largest_entry_fits_and_one_byte_more_does_not() -> None:
    room = MAX_ENTRY - len(encode_entry(SMALL._replace(state=b"")))
    largest = SMALL._replace(state=bytes(room))
    assert len(encode_entry(largest)) == MAX_ENTRY
    assert decode_entry(encode_entry(largest)) == largest
    for oversize in (bytes(room + 1), bytes(MAX_ENTRY), bytes(MAX_ENTRY + 1), bytes(2 * MAX_ENTRY)):
        with pytest.raises(InvalidInput, match="65,535"):
            encode_entry(SMALL._replace(state=oversize))
        with pytest.raises(InvalidInput, match="65,535"):
            encode_entry(SMALL._replace(header=oversize))


def test_oversize_bytes_are_no_entry_although_their_lengths_agree() -> None:
    parts = encode_entry(SMALL._replace(header=b"", state=b""))[:-4]
    data = parts + (40_000).to_bytes(2) + bytes(40_000) + (40_000).to_bytes(2) + bytes(40_000)
    with pytest.raises(InvalidInput):
        decode_entry(data)


@pytest.mark.parametrize("field", ["topic", "record_class"])
def test_text_over_255_bytes_is_refused(field: str) -> None:
    fits: dict[str, Any] = {field: "ж" * 127}
    over: dict[str, Any] = {field: "ж" * 128}
    assert decode_entry(encode_entry(SMALL._replace(**fits))) == SMALL._replace(**fits)
    with pytest.raises(InvalidInput, match="255 bytes"):
        encode_entry(SMALL._replace(**over))


def test_commitment_over_255_bytes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="key commitment"):
        encode_entry(SMALL._replace(commitment=bytes(256)))
