"""The header in clear beside a sealed state, and the keyed hashes of what must not be stored."""

from __future__ import annotations

import hmac
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput, Unreadable
from ledger.store.header import MAX_HEADER, Header, actor_of, decode_header, encode_header
from ledger.store.secrets import Hasher
from tests.support.commands import header

RECORDED = (
    "97c410000000000000700080000000000000aaa774656163686572c410000000000000700080000000000000bbc0c4100000"
    "00000000700080000000000000bbc0aa656c656374726f6e6963"
)


def test_header_reads_as_it_was_written() -> None:
    full = header(causation=uuid4(), local_act="grading/3", office="deputy_head")
    assert decode_header(encode_header(full)) == full


def test_header_is_still_written_as_it_was_recorded() -> None:
    assert encode_header(header()).hex() == RECORDED
    assert decode_header(bytes.fromhex(RECORDED)) == header()


def test_cited_local_act_stands_in_the_header() -> None:
    assert decode_header(encode_header(header(), "grading/3")).local_act == "grading/3"
    assert decode_header(encode_header(header(local_act="old"), None)).local_act == "old"


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x90", msgspec.msgpack.encode([1, 2, 3, 4, 5, 6, 7]), bytes.fromhex(RECORDED)[:-1]],
)
def test_bytes_that_are_no_header_are_refused(data: bytes) -> None:
    for read in (decode_header, actor_of, actor_of):  # what is remembered of one that was read does not make it one
        with pytest.raises(Unreadable):
            read(data)


def test_whoever_recorded_an_event_is_told_by_its_header_alone() -> None:
    one, another = header(actor=uuid4()), header(actor=uuid4())
    for full in (one, another, one):
        assert actor_of(encode_header(full)) == full.actor


def test_header_that_the_history_cannot_store_is_refused() -> None:
    assert len(encode_header(header(office="o" * (MAX_HEADER - 100)))) <= MAX_HEADER
    with pytest.raises(InvalidInput, match="2 KiB"):
        encode_header(header(office="o" * MAX_HEADER))


def test_header_of_a_later_release_with_more_fields_is_read() -> None:
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(bytes.fromhex(RECORDED)), "a new field"])
    assert isinstance(decode_header(longer), Header)


# --- keyed hashes ---------------------------------------------------------------------------------------------------

CLIENT = UUID(int=1)


def _all(hasher: Hasher) -> list[bytes]:
    return [
        hasher.command(CLIENT, "text"),
        hasher.request(b"text"),
        hasher.blind_index("text", "text"),
    ]


def test_hash_is_the_same_for_the_same_key_and_differs_for_another() -> None:
    assert _all(Hasher(bytes(32))) == _all(Hasher(bytes(32)))
    assert not set(_all(Hasher(bytes(32)))) & set(_all(Hasher(b"\x01" * 32)))


def test_purposes_clients_and_fields_are_kept_apart() -> None:
    hasher = Hasher(bytes(32))
    assert len(set(_all(hasher))) == len(_all(hasher)) == 3
    assert hasher.command(CLIENT, "key") != hasher.command(UUID(int=2), "key")
    assert hasher.blind_index("name", "ab") != hasher.blind_index("namea", "b")


def test_hash_shows_no_key() -> None:
    assert bytes(32).hex() not in repr(Hasher(bytes(32)))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_keyed_hash_is_the_hmac_of_rfc_2104(key: bytes, content: bytes) -> None:
    message = b"".join(len(part).to_bytes(4) + part for part in (b"request", content))
    assert Hasher(key).request(content) == hmac.digest(key, message, "sha256")
