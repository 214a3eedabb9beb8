"""Data keys and the keys around them: what opens, what does not, and what is never told."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Erased, SettingsError, Unreadable
from ledger.store.keyring import NONCE_BYTES, PAD_TO, DataKey, KeyEncryptionKeys, Keyring, KeyRow, nonces

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
TAG_BYTES = 16


def _line(epoch: int, key: bytes) -> str:
    return f"{epoch} {base64.b64encode(key).decode()}"


# --- data keys ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_sealed_value_opens_to_itself(plaintext: bytes, associated: bytes) -> None:
    assert DataKey(KEY).open(DataKey(KEY).seal(plaintext, associated), associated) == plaintext


@pytest.mark.parametrize("plaintext", [b"\x80", b"\x00", b"\x80\x00", b"x" * 31, b"x" * 32, b"\x00" * 64])
def test_value_that_looks_like_padding_opens_to_itself(plaintext: bytes) -> None:
    assert DataKey(KEY).open(DataKey(KEY).seal(plaintext, b""), b"") == plaintext


def test_value_in_another_place_does_not_open() -> None:
    sealed = DataKey(KEY).seal(b"value", b"here")
    with pytest.raises(Unreadable):
        DataKey(KEY).open(sealed, b"there")


def test_value_does_not_open_with_another_key() -> None:
    with pytest.raises(Unreadable):
        DataKey(OTHER).open(DataKey(KEY).seal(b"value", b""), b"")


def test_every_flipped_bit_is_found() -> None:
    sealed = DataKey(KEY).seal(b"value", b"place")
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unreadable):
            DataKey(KEY).open(bytes(altered), b"place")


@pytest.mark.parametrize("length", [0, 1, NONCE_BYTES, NONCE_BYTES + TAG_BYTES, 40])
def test_truncated_value_does_not_open(length: int) -> None:
    with pytest.raises(Unreadable):
        DataKey(KEY).open(DataKey(KEY).seal(b"value", b"")[:length], b"")


@pytest.mark.parametrize("padded", [b"", b"\x00" * 32, b"value\x80\x00\x01"])
def test_broken_padding_is_refused(padded: bytes) -> None:
    key = DataKey(KEY)
    nonce = bytes(NONCE_BYTES)
    with pytest.raises(Unreadable, match="padding"):
        key.open(nonce + key._aead.encrypt(nonce, padded, b""), b"")


def test_padding_hides_which_short_value_was_sealed() -> None:
    lengths = {len(DataKey(KEY).seal(value, b"")) for value in (b"", b"5", "зачёт".encode(), b"x" * 31)}
    assert lengths == {NONCE_BYTES + PAD_TO + TAG_BYTES}
    assert len(DataKey(KEY).seal(b"x" * 32, b"")) == NONCE_BYTES + 2 * PAD_TO + TAG_BYTES


def test_same_value_is_sealed_differently_each_time() -> None:
    assert len({DataKey(KEY).seal(b"5", b"") for _ in range(50)}) == 50


def test_values_that_are_sealed_together_have_a_nonce_each() -> None:
    drawn = nonces(50)
    assert len(set(drawn)) == 50
    assert {len(nonce) for nonce in drawn} == {NONCE_BYTES}
    assert nonces(0) == []
    sealed = DataKey(KEY).seal(b"5", b"", drawn[7])
    assert sealed[:NONCE_BYTES] == drawn[7]
    assert DataKey(KEY).open(sealed, b"") == b"5"


def test_commitment_tells_keys_apart_and_says_nothing_else() -> None:
    assert DataKey(KEY).commitment == DataKey(KEY).commitment != DataKey(OTHER).commitment
    assert DataKey(KEY).commitment not in KEY


def test_no_representation_shows_a_key() -> None:
    keks = KeyEncryptionKeys({1: KEY})
    ring = Keyring(keks)
    ring.put(uuid4(), "marks", DataKey(KEY))
    for shown in (repr(DataKey(KEY)), repr(keks), repr(ring)):
        assert base64.b64encode(KEY).decode() not in shown
        assert KEY.hex() not in shown
        assert repr(KEY) not in shown


# --- key-encryption keys --------------------------------------------------------------------------------------------


def test_newest_epoch_wraps_and_older_ones_still_open() -> None:
    old = KeyEncryptionKeys({1: KEY})
    epoch, wrapped = old.wrap(b"name", b"data key")
    both = KeyEncryptionKeys.parse(f"{_line(1, KEY)},{_line(3, OTHER)}")
    assert (both.epoch, epoch) == (3, 1)
    assert both.unwrap(b"name", epoch, wrapped) == b"data key"
    newest, rewrapped = both.wrap(b"name", b"data key")
    assert (newest, both.unwrap(b"name", 3, rewrapped)) == (3, b"data key")
    with pytest.raises(SettingsError, match="epoch 3 is missing"):
        old.unwrap(b"name", 3, rewrapped)


def test_key_wrapped_for_one_name_does_not_open_for_another() -> None:
    keks = KeyEncryptionKeys({1: KEY})
    epoch, wrapped = keks.wrap(b"name", b"data key")
    for name, value in ((b"other", wrapped), (b"name", wrapped[:-1]), (b"name", b"")):
        with pytest.raises(Unreadable):
            keks.unwrap(name, epoch, value)


def test_another_key_of_the_same_epoch_is_told_as_such() -> None:
    epoch, wrapped = KeyEncryptionKeys({1: KEY}).wrap(b"name", b"data key")
    with pytest.raises(Unreadable, match="epoch 1"):
        KeyEncryptionKeys({1: OTHER}).unwrap(b"name", epoch, wrapped)


def test_comments_and_blank_lines_of_a_key_file_are_passed_over() -> None:
    assert KeyEncryptionKeys.parse(f"# a comment\n\n  {_line(2, KEY)}  \n").epoch == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing but a comment",
        "c2VjcmV0",
        "one c2VjcmV0",
        "1 c2VjcmV0",
        "1 c2VjcmV0!",
        "1 ключ",
        f"0 {base64.b64encode(KEY).decode()}",
        f"-1 {base64.b64encode(KEY).decode()}",
        f"{_line(1, KEY)}\n{_line(1, OTHER)}",
        _line(1, KEY + b"x"),
    ],
)
def test_unusable_key_text_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KeyEncryptionKeys.parse(text)
    shown = f"{caught.value}{caught.value.detail}{caught.value.help}"
    for part in ("c2VjcmV0", "ключ", base64.b64encode(KEY).decode(), base64.b64encode(KEY + b"x").decode()):
        assert part not in shown


def test_unusable_key_text_is_not_in_the_traceback_either() -> None:
    with pytest.raises(SettingsError) as caught:
        KeyEncryptionKeys.parse("c2VjcmV0-c2VjcmV0")
    causes, error = [], caught.value.__cause__
    while error is not None:
        causes.append(str(error))
        error = error.__cause__
    assert not any("c2VjcmV0" in cause for cause in causes)


def test_generated_key_file_is_private_usable_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "kek"
    KeyEncryptionKeys.generate(path)
    text = path.read_text(encoding="ascii")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert KeyEncryptionKeys.parse(text).epoch == 1
    with pytest.raises(FileExistsError):
        KeyEncryptionKeys.generate(path)
    assert path.read_text(encoding="ascii") == text


# --- the ring -------------------------------------------------------------------------------------------------------


def _ring(maximum: int = 100) -> Keyring:
    return Keyring(KeyEncryptionKeys({1: KEY}), maximum=maximum)


def test_created_key_is_used_only_after_its_row_was_admitted() -> None:
    ring, subject = _ring(), uuid4()
    key, row = ring.create(subject, "marks")
    assert ring.find(subject, "marks") is None
    ring.admit([subject], [row])
    assert ring.get(subject, "marks").open(key.seal(b"value", b""), b"") == b"value"
    assert ring.surveyed(subject)


def test_missing_key_of_a_surveyed_subject_means_erased() -> None:
    ring, subject = _ring(), uuid4()
    ring.admit([subject], [])
    with pytest.raises(Erased):
        ring.get(subject, "marks")


@pytest.mark.parametrize("other", ["subject", "class"])
def test_row_moved_to_another_subject_or_class_is_refused(other: str) -> None:
    ring, subject, stranger = _ring(), uuid4(), uuid4()
    row = ring.create(subject, "marks")[1]
    moved = (
        KeyRow(stranger, "marks", 1, row.wrapped) if other == "subject" else KeyRow(subject, "awards", 1, row.wrapped)
    )
    with pytest.raises(Unreadable):
        ring.admit([moved.subject_id], [moved])
    assert not ring.surveyed(moved.subject_id)


def test_forgotten_subject_is_surveyed_again_and_keeps_its_keys_meanwhile() -> None:
    ring, subject = _ring(), uuid4()
    row = ring.create(subject, "marks")[1]
    ring.admit([subject], [row])
    assert ring.unsurveyed([subject]) == []
    ring.forget([subject, uuid4()])
    assert ring.unsurveyed([subject]) == [subject]
    assert ring.find(subject, "marks") is not None
    ring.admit([subject], [row])
    assert ring.surveyed(subject)


def test_least_recently_used_key_is_forgotten_first_with_its_survey() -> None:
    ring = _ring(maximum=2)
    subjects = [UUID(int=number) for number in range(3)]
    rows = [ring.create(subject, "marks")[1] for subject in subjects]
    ring.admit(subjects[:1], rows[:1])
    ring.admit(subjects[1:2], rows[1:2])
    ring.get(subjects[0], "marks")
    ring.admit(subjects[2:], rows[2:])
    assert [ring.find(subject, "marks") is not None for subject in subjects] == [True, False, True]
    assert ring.unsurveyed(subjects) == [subjects[1]]


@pytest.mark.parametrize("maximum", [2, 100], ids=["crowded", "roomy"])
def test_keys_that_are_asked_for_together_stay_and_those_that_are_missing_are_told(maximum: int) -> None:
    ring = _ring(maximum)
    first, second, third, stranger = (UUID(int=number) for number in range(4))
    for subject in (first, second):
        ring.admit([subject], [ring.create(subject, "marks")[1]])
    names = [(first.int, "marks"), (stranger.int, "marks"), (stranger.int, "awards")]
    assert ring.missing(names) == [stranger]
    ring.admit([third], [ring.create(third, "marks")[1]])  # a ring of two forgets the one that nobody asked for
    kept = [ring.find(subject, "marks") is not None for subject in (first, second, third)]
    assert kept == [True, maximum > 2, True]


def test_surveys_are_bounded_as_well() -> None:
    ring = _ring(maximum=2)
    subjects = [UUID(int=number) for number in range(5)]
    ring.admit(subjects, [])
    assert ring.unsurveyed(subjects) == subjects[:3]
