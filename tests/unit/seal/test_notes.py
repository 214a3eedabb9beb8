"""Keys, signed notes, checkpoints and cosignatures; the golden log byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import NotProven
from ledger.seal.checkpoint import Checkpoint, open_checkpoint
from ledger.seal.merkle import Frontier, consistency_proof, inclusion_proof, leaf_hash, verify_consistency
from ledger.seal.note import COSIGNATURE, ED25519, Note, SignerKey, VerifierKey, distinct, parse_note, sign, verified_by
from ledger.seal.proof import Receipt, parse_receipt, verify_receipt
from ledger.seal.strict import read_base64, read_hash, read_number
from ledger.seal.tiles import ENTRIES, parse_path, tile_at
from tests.support.log import files_of, nodes_of

GOLDEN = Path(__file__).parents[2] / "fixtures" / "tlog" / "golden-log"
# Published with the golden log, for tests only.
SIGNER = SignerKey.parse("PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg")
VERIFIER = VerifierKey.parse("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
_WORDS = "one two three four five six seven eit nain ten ileven twelf threeten fourten fivten"
ENTRIES_OF_GOLDEN = [word.encode() for word in _WORDS.split()]
WITNESS = SignerKey("witness.example/w1", COSIGNATURE, b"\x07" * 32)
SECOND = SignerKey("witness.example/w2", COSIGNATURE, b"\x08" * 32)


def checkpoint(size: int = 3) -> Checkpoint:
    frontier = Frontier()
    for entry in ENTRIES_OF_GOLDEN[:size]:
        frontier.append(leaf_hash(entry))
    return Checkpoint(SIGNER.name, frontier.size, frontier.root())


# --- the golden log -------------------------------------------------------------------------------------------------


def test_golden_keys_belong_together_and_are_written_as_they_were_read() -> None:
    assert SIGNER.verifier == VERIFIER
    assert str(VERIFIER) == "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
    assert SignerKey.parse(SIGNER.export()) == SIGNER
    assert SIGNER.export() not in repr(SIGNER)


def test_golden_log_is_reproduced_byte_for_byte() -> None:
    seen = set()
    for size in range(16):
        made = bytes(checkpoint(size).signed_by(SIGNER))
        assert made == (GOLDEN / f"checkpoint.{size}").read_bytes()
        seen.add(f"checkpoint.{size}")
        load = files_of(ENTRIES_OF_GOLDEN[:size])
        for level in (0, ENTRIES) if size else ():
            tile = tile_at(level, 0, size)
            assert load(tile) == (GOLDEN / tile.path).read_bytes()
            seen.add(tile.path)
    assert (GOLDEN / "checkpoint").read_bytes() == (GOLDEN / "checkpoint.15").read_bytes()
    files = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()}
    assert files - seen == {"checkpoint"}
    for path in files - {name for name in files if name.startswith("checkpoint")}:
        assert parse_path(path).path == path


def test_golden_checkpoints_continue_each_other() -> None:
    nodes = nodes_of(ENTRIES_OF_GOLDEN)
    opened = [open_checkpoint((GOLDEN / f"checkpoint.{size}").read_bytes(), VERIFIER).checkpoint for size in range(16)]
    for old in opened:
        for new in opened[old.size :]:
            proof = consistency_proof(nodes, old.size, new.size)
            verify_consistency(old.size, old.root, new.size, new.root, proof)


# --- strictness -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "AB==", "AAA", "AAAA\n", " AAAA", "AA-_", "AAAA====", "ф"])
def test_other_spelling_of_base64_is_refused(text: str) -> None:
    with pytest.raises(NotProven):
        read_base64(text, "value")


def test_hash_has_thirty_two_bytes() -> None:
    with pytest.raises(NotProven, match="32 bytes"):
        read_hash("AAAA", "root")


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", "1_0", "1.0", " 1", "٣", str(2**63), "9" * 40])
def test_other_spelling_of_a_number_is_refused(text: str) -> None:
    with pytest.raises(NotProven):
        read_number(text, "size")


def test_largest_size_is_read() -> None:
    assert (read_number("0", "size"), read_number(str(2**63 - 1), "size")) == (0, 2**63 - 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "example.com/log/testdata+33d7b497+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "example.com/log/testdatA+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "example.com/log/testdata+33D7B496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "example.com/log/testdata+33d7b496+A+HTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkk==",
    ],
)
def test_verifier_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(NotProven):
        VerifierKey.parse(text)


def test_signing_key_that_is_none_is_refused_without_telling_it() -> None:
    for text in (str(VERIFIER), SIGNER.export().replace("33d7b496", "33d7b490"), SIGNER.export()[:-4]):
        with pytest.raises(NotProven) as refused:
            SignerKey.parse(text)
        assert "mY/SZAX0" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\nno signature\n",
        "text\n\n— name AAAAAAAA".encode(),
        "text\n\n— name AAAA\n".encode(),
        "text\r\n\n— name AAAAAAAA\n".encode(),
        "text\n\n—  AAAAAAAA\n".encode(),
        "te\x01xt\n\n— name AAAAAAAA\n".encode(),
        b"\xff\n\n\xe2\x80\x94 name AAAAAAAA\n",
        b"a" * 70_000 + "\n\n— name AAAAAAAA\n".encode(),
        ("text\n\n" + "— name AAAAAAAA\n" * 65).encode(),
    ],
)
def test_note_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(NotProven):
        parse_note(data)


def test_text_of_a_note_may_have_empty_lines() -> None:
    note = Note("one\n\ntwo\n", (sign("one\n\ntwo\n", SIGNER),))
    assert parse_note(bytes(note)) == note


@pytest.mark.parametrize(
    "text", ["", "origin\n1\n", "origin\n1\nAAAA\n", "\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"]
)
def test_checkpoint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(NotProven):
        Checkpoint.parse(text)


def test_checkpoint_with_an_extension_line_is_refused() -> None:
    found = checkpoint()
    text = found.text + "extension\n"
    with pytest.raises(NotProven, match="three lines"):
        open_checkpoint(bytes(Note(text, (sign(text, SIGNER),))), VERIFIER)


# --- who signed -----------------------------------------------------------------------------------------------------


def test_witnesses_vouch_with_the_time_at_which_they_saw_it() -> None:
    note = checkpoint().signed_by(SIGNER)
    note = note.signed(sign(note.text, WITNESS, seconds=1_750_000_000), sign(note.text, SECOND, seconds=5))
    opened = open_checkpoint(bytes(note), VERIFIER, (WITNESS.verifier, SECOND.verifier), quorum=2)
    assert opened.witnesses == {WITNESS.verifier: 1_750_000_000, SECOND.verifier: 5}
    assert opened.checkpoint == checkpoint()


def test_too_few_known_witnesses_are_said() -> None:
    note = checkpoint().signed_by(SIGNER).signed(sign(checkpoint().text, WITNESS, seconds=1))
    for witnesses in ((), (SECOND.verifier,)):
        with pytest.raises(NotProven, match="0 of the known witnesses"):
            open_checkpoint(bytes(note), VERIFIER, witnesses, quorum=1)


def test_signature_of_an_unknown_key_does_not_count_and_does_not_hurt() -> None:
    stranger = SignerKey("somebody.example", ED25519, b"\x09" * 32)
    note = checkpoint().signed_by(SIGNER).signed(sign(checkpoint().text, stranger))
    assert verified_by(note, (VERIFIER,)) == {VERIFIER: 0}
    with pytest.raises(NotProven, match="own signature is missing"):
        open_checkpoint(bytes(checkpoint().signed_by(SIGNER)), VerifierKey(VERIFIER.name, ED25519, b"\x01" * 32))


def test_checkpoint_of_another_origin_is_refused() -> None:
    found = Checkpoint("another.example/log", 0, checkpoint(0).root)
    with pytest.raises(NotProven, match="another log"):
        open_checkpoint(bytes(found.signed_by(SIGNER)), VERIFIER)


def test_time_of_a_cosignature_is_part_of_what_is_signed() -> None:
    note = checkpoint().signed_by(SIGNER)
    honest = sign(note.text, WITNESS, seconds=100)
    later = honest._replace(value=(101).to_bytes(8) + honest.value[8:])
    with pytest.raises(NotProven):
        verified_by(note.signed(later), (VERIFIER, WITNESS.verifier))


def test_two_signatures_of_one_key_are_refused() -> None:
    note = checkpoint().signed_by(SIGNER)
    with pytest.raises(NotProven, match="two signatures"):
        verified_by(note.signed(*note.signatures), (VERIFIER,))


def test_two_keys_of_one_name_and_id_are_refused() -> None:
    assert distinct((VERIFIER, WITNESS.verifier)) == (VERIFIER, WITNESS.verifier)
    with pytest.raises(NotProven):
        distinct((VERIFIER, VERIFIER))


# --- receipts -------------------------------------------------------------------------------------------------------


def a_receipt(index: int = 4, extra: bytes | None = None) -> Receipt:
    note = checkpoint(15).signed_by(SIGNER).signed(sign(checkpoint(15).text, WITNESS, seconds=7))
    path = tuple(inclusion_proof(nodes_of(ENTRIES_OF_GOLDEN), index, 15))
    return Receipt(index, path, bytes(note), extra)


@pytest.mark.parametrize("extra", [None, b"what the holder needs"])
@pytest.mark.parametrize("index", range(15))
def test_receipt_of_every_entry_reads_back_and_verifies(index: int, extra: bytes | None) -> None:
    receipt = a_receipt(index, extra)
    assert parse_receipt(bytes(receipt)) == receipt
    opened = verify_receipt(receipt, ENTRIES_OF_GOLDEN[index], VERIFIER, (WITNESS.verifier,), quorum=1)
    assert opened.checkpoint.size == 15


def test_receipt_of_another_entry_is_refused() -> None:
    with pytest.raises(NotProven, match="does not lead"):
        verify_receipt(a_receipt(4), ENTRIES_OF_GOLDEN[5], VERIFIER)


def test_every_flipped_bit_of_a_receipt_is_refused() -> None:
    whole = bytes(a_receipt())
    for bit in range(len(whole) * 8):
        altered = bytearray(whole)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotProven):
            verify_receipt(parse_receipt(bytes(altered)), ENTRIES_OF_GOLDEN[4], VERIFIER, (WITNESS.verifier,), quorum=1)


@settings(max_examples=200)
@given(st.data())
def test_receipt_with_lines_taken_out_or_doubled_is_refused(data: st.DataObject) -> None:
    lines = bytes(a_receipt()).splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    changed = lines[:at] + lines[at + 1 :] if data.draw(st.booleans()) else lines[: at + 1] + lines[at:]
    with pytest.raises(NotProven):
        verify_receipt(parse_receipt(b"".join(changed)), ENTRIES_OF_GOLDEN[4], VERIFIER, (WITNESS.verifier,), quorum=1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"c2sp.org/tlog-proof@v1\n\n",
        b"c2sp.org/tlog-proof@v2\nindex 1\n\n",
        b"c2sp.org/tlog-proof@v1\nextra AAA\nindex 1\n\n",
        b"c2sp.org/tlog-proof@v1\nindex 1\n" + b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n" * 64 + b"\n",
        b"\xff\n\n",
    ],
)
def test_file_that_is_no_receipt_is_refused(data: bytes) -> None:
    with pytest.raises(NotProven):
        parse_receipt(data)
