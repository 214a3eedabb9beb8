"""Evidence packs: what an honest one proves, and that nothing in one can be changed unseen."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import NotProven
from ledger.seal.check import WrongAt, check_tiles
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.entry import decode_entry, encode_entry
from ledger.seal.merkle import root
from ledger.seal.note import COSIGNATURE, ED25519, SignerKey, parse_note, sign
from ledger.seal.pack import verify_pack, write_sums
from ledger.seal.tiles import ENTRIES, Tile, tiled_nodes
from tests.support.log import SIGNER, an_entry, checkpoint_of, files_of, nodes_of, write_pack

if TYPE_CHECKING:
    from pathlib import Path

LOG = [an_entry(position) for position in range(1, 701)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 700])
def test_honest_pack_verifies_from_its_first_entry_to_its_last(tmp_path: Path, size: int) -> None:
    seen: list[int] = []
    report = verify_pack(
        write_pack(tmp_path, LOG[:size]), trusted=[SIGNER.verifier], progress=lambda done, _all: seen.append(done)
    )
    assert (report.kind, report.size, report.entries) == ("log", size, size)
    assert (report.first_position, report.last_position, seen[-1]) == (1, size, size)


def test_pack_may_begin_later_and_says_what_it_lacks(tmp_path: Path) -> None:
    report = verify_pack(write_pack(tmp_path, LOG, since=300))
    assert (report.first_position, report.last_position, report.entries) == (257, 700, 444)
    assert any("before position 257" in told for told in report.not_checked)
    assert any("verifier key" in told for told in report.not_checked)


def test_pack_of_a_student_proves_each_entry(tmp_path: Path) -> None:
    report = verify_pack(write_pack(tmp_path, LOG, student=[3, 256, 700]), trusted=[SIGNER.verifier])
    assert (report.kind, report.entries, report.receipts) == ("student", 3, 3)
    assert (report.first_position, report.last_position) == (3, 700)


def test_older_checkpoint_is_continued(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, LOG)
    for size in (0, 1, 256, 699, 700):
        assert verify_pack(pack, old=checkpoint_of(LOG[:size])).continues == size


def test_changed_history_does_not_continue_the_older_checkpoint(tmp_path: Path) -> None:
    forged = [*LOG[:9], an_entry(10).replace(b"state 10", b"state 11"), *LOG[10:]]
    pack = write_pack(tmp_path, forged)
    assert verify_pack(pack).entries == 700  # consistent in itself: only what was kept elsewhere can tell
    with pytest.raises(NotProven, match="does not continue"):
        verify_pack(pack, old=checkpoint_of(LOG[:300]))


def test_cut_off_history_is_smaller_than_the_older_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NotProven, match="the end was cut off"):
        verify_pack(write_pack(tmp_path, LOG[:300]), old=checkpoint_of(LOG))


def test_older_checkpoint_of_another_key_or_for_one_student_is_refused(tmp_path: Path) -> None:
    stranger = SignerKey(SIGNER.name, ED25519, b"\x09" * 32)
    with pytest.raises(NotProven, match="own signature is missing"):
        verify_pack(write_pack(tmp_path / "log", LOG[:9]), old=checkpoint_of(LOG[:5], stranger))
    with pytest.raises(NotProven, match="without --student"):
        verify_pack(write_pack(tmp_path / "one", LOG[:9], student=[3]), old=checkpoint_of(LOG[:5]))


NEXT = SignerKey(SIGNER.name, ED25519, b"\x0a" * 32)
"""The key that follows on SIGNER."""


def test_pack_that_both_keys_signed_is_verified_with_either(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, LOG[:9], student=[3, 4], signers=[SIGNER, NEXT])
    for key in (SIGNER, NEXT):
        assert verify_pack(pack, trusted=[key.verifier]).receipts == 2


def test_older_checkpoint_of_the_older_key_needs_both_keys_from_elsewhere(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, LOG[:300], signers=[NEXT], named=[SIGNER])
    old = checkpoint_of(LOG[:200])
    assert verify_pack(pack, trusted=[NEXT.verifier, SIGNER.verifier], old=old).continues == 200
    for alone in ([NEXT.verifier], []):  # that the pack names the older key proves nothing
        with pytest.raises(NotProven, match="older checkpoint: The log's own signature is missing"):
            verify_pack(pack, trusted=alone, old=old)
    with pytest.raises(NotProven, match="own signature is missing"):
        verify_pack(pack, trusted=[SIGNER.verifier], old=old)


def test_forger_who_names_the_real_key_beside_his_own_is_refused(tmp_path: Path) -> None:
    """He continues the real log with events of his own: the older checkpoint holds, the signature is his alone."""
    forged = [*LOG[:200], *(an_entry(position).replace(b"state", b"forge") for position in range(201, 301))]
    pack = write_pack(tmp_path / "a", forged, signers=[NEXT], named=[SIGNER])
    with pytest.raises(NotProven):
        verify_pack(pack, trusted=[SIGNER.verifier], old=checkpoint_of(LOG[:200]))
    with pytest.raises(NotProven):
        verify_pack(pack, old=checkpoint_of(LOG[:200]))


def test_false_signature_of_a_trusted_key_is_refused_beside_a_true_one(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, LOG[:9], signers=[SIGNER, NEXT])
    other = checkpoint_of(LOG[:8], NEXT).splitlines()[-1]
    lines = (pack / "checkpoint").read_bytes().splitlines()
    (pack / "checkpoint").write_bytes(b"\n".join([*lines[:-1], other]) + b"\n")
    write_sums(pack)
    with pytest.raises(NotProven, match="is not its own"):
        verify_pack(pack, trusted=[SIGNER.verifier, NEXT.verifier])


def test_key_from_elsewhere_must_be_the_packs(tmp_path: Path) -> None:
    stranger = SignerKey(SIGNER.name, ED25519, b"\x09" * 32)
    with pytest.raises(NotProven, match="another verifier key"):
        verify_pack(write_pack(tmp_path, LOG[:9]), trusted=[stranger.verifier])


def test_witness_that_did_not_sign_is_missed(tmp_path: Path) -> None:
    witness = SignerKey("witness.example", COSIGNATURE, b"\x07" * 32)
    with pytest.raises(NotProven, match="0 of the known witnesses"):
        verify_pack(write_pack(tmp_path, LOG[:9]), witnesses=[witness.verifier], quorum=1)


# --- nothing can be changed unseen ----------------------------------------------------------------------------------


def every_file(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("student", [(), (2,)])
def test_flipped_bit_in_every_byte_of_a_small_pack_is_refused(tmp_path: Path, student: tuple[int, ...]) -> None:
    flip_all(write_pack(tmp_path, LOG[:3], student=student), lambda at: (at % 8,))


@pytest.mark.soak
@pytest.mark.parametrize("student", [(), (2,)])
def test_every_flipped_bit_of_a_small_pack_is_refused(tmp_path: Path, student: tuple[int, ...]) -> None:
    flip_all(write_pack(tmp_path, LOG[:3], student=student), lambda _at: range(8))


def flip_all(pack: Path, bits: object) -> None:
    assert callable(bits)
    for path in every_file(pack):
        whole = path.read_bytes()
        for at in range(len(whole)):
            for bit in bits(at):
                altered = bytearray(whole)
                altered[at] ^= 1 << bit
                path.write_bytes(altered)
                with pytest.raises(NotProven):
                    verify_pack(pack)
        path.write_bytes(whole)
    verify_pack(pack)


@pytest.mark.parametrize("student", [(), (2, 5)])
def test_missing_or_added_file_is_refused(tmp_path: Path, student: tuple[int, ...]) -> None:
    pack = write_pack(tmp_path / "pack", LOG[:300], student=student)
    for path in every_file(pack):
        path.rename(tmp_path / "kept")
        with pytest.raises(NotProven):
            verify_pack(pack)
        (tmp_path / "kept").rename(path)
    for name in ("more", "tile/0/002", "tile/entries/009", "receipts/9.tlog-proof"):
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        (pack / name).write_bytes(b"more")
        with pytest.raises(NotProven):
            verify_pack(pack)
        (pack / name).unlink()
    (pack / "link").symlink_to(pack / "keys")
    with pytest.raises(NotProven, match="no plain file"):
        verify_pack(pack)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(position=st.integers(1, 700), data=st.data())
def test_altered_entry_is_named_by_its_position(tmp_path: Path, position: int, data: st.DataObject) -> None:
    pack = tmp_path / "pack"
    if not pack.exists():
        write_pack(pack, LOG)
    bundle = pack / Tile(ENTRIES, (position - 1) // 256, min(256, 700 - (position - 1) // 256 * 256)).path
    whole = bundle.read_bytes()
    begin = whole.index(LOG[position - 1])
    at = data.draw(st.integers(begin, begin + len(LOG[position - 1]) - 1))
    bundle.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
    with pytest.raises(WrongAt) as refused:
        verify_pack(pack)
    bundle.write_bytes(whole)
    assert refused.value.position == position


def test_entries_in_another_order_are_named_by_the_first_of_them(tmp_path: Path) -> None:
    swapped = [*LOG[:4], LOG[5], LOG[4], *LOG[6:]]
    with pytest.raises(WrongAt, match="stands elsewhere") as refused:
        verify_pack(write_pack(tmp_path, swapped))
    assert refused.value.position == 5


def test_tile_that_does_not_fit_the_one_above_is_named_by_its_first_position() -> None:
    files = files_of(LOG)
    altered = Tile(0, 1)

    def load(tile: Tile) -> bytes:
        data = files(tile)
        return data[:64] + bytes(32) + data[96:] if tile == altered else data

    checkpoint = Checkpoint(SIGNER.name, 700, root(nodes_of(LOG), 700))
    assert root(tiled_nodes(load, 700), 700) == checkpoint.root  # the highest tiles alone do not tell
    with pytest.raises(WrongAt) as refused:
        check_tiles(load, checkpoint)
    assert refused.value.position == 257
    reached: list[int] = []
    check_tiles(files, checkpoint, reached.append)
    assert reached[-1] == 700


def test_receipt_of_another_position_is_named(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, LOG, student=[3, 4])
    receipts = pack / "receipts"
    receipts.joinpath("3.tlog-proof").write_bytes(receipts.joinpath("4.tlog-proof").read_bytes())
    write_sums(pack)
    with pytest.raises(WrongAt, match="another position") as refused:
        verify_pack(pack)
    assert refused.value.position == 3


def test_receipt_under_another_checkpoint_than_the_packs_is_refused(tmp_path: Path) -> None:
    """The witnesses vouch for the pack's checkpoint: a receipt under one that only the log signed goes past them."""
    witness = SignerKey("witness.example", COSIGNATURE, b"\x07" * 32)
    forged = [*LOG[:2], an_entry(3).replace(b"state 3", b"state 4"), *LOG[3:9]]
    pack = write_pack(tmp_path, forged, student=[3])
    note = parse_note(checkpoint_of(LOG[:9]))
    (pack / "checkpoint").write_bytes(bytes(note.signed(sign(note.text, witness, seconds=1))))
    write_sums(pack)
    with pytest.raises(WrongAt, match="another checkpoint") as refused:
        verify_pack(pack, trusted=[SIGNER.verifier], witnesses=[witness.verifier], quorum=1)
    assert refused.value.position == 3


def test_pack_of_a_student_holds_nobody_elses_entries(tmp_path: Path) -> None:
    theirs = encode_entry(decode_entry(an_entry(4))._replace(subject_id=UUID(int=10)))
    pack = write_pack(tmp_path / "mixed", [*LOG[:3], theirs, *LOG[4:9]], student=[3, 4])
    with pytest.raises(WrongAt, match="about another student") as refused:
        verify_pack(pack)
    assert refused.value.position == 4
    elsewhere = write_pack(tmp_path / "elsewhere", [*LOG[:3], LOG[6], *LOG[4:9]], student=[4])
    with pytest.raises(WrongAt, match="stands elsewhere"):
        verify_pack(elsewhere)
    no_entry = write_pack(tmp_path / "none", [*LOG[:3], b"no entry"], student=[4])
    with pytest.raises(WrongAt):
        verify_pack(no_entry)
    honest = verify_pack(write_pack(tmp_path / "honest", LOG[:9], student=[3]))
    assert honest.student == UUID(int=9)
    assert any("all events of the student" in told for told in honest.not_checked)


@pytest.mark.parametrize("since", [0, -1, 10, 10_000])
@pytest.mark.parametrize("student", [(), (3,)])
def test_pack_that_begins_behind_its_end_is_refused(tmp_path: Path, since: int, student: tuple[int, ...]) -> None:
    pack = write_pack(tmp_path, LOG[:9], student=student)
    info = json.loads((pack / "pack.json").read_bytes())
    (pack / "pack.json").write_text(json.dumps(info | {"since": since}))
    if since > 0 and not student:
        shutil.rmtree(pack / "tile" / "entries")
    write_sums(pack)
    with pytest.raises(NotProven, match="since"):
        verify_pack(pack)


def test_empty_log_has_the_root_of_the_empty_tree(tmp_path: Path) -> None:
    assert verify_pack(write_pack(tmp_path / "honest", [])).size == 0
    pack = write_pack(tmp_path / "forged", [])
    (pack / "checkpoint").write_bytes(bytes(Checkpoint(SIGNER.name, 0, b"\x05" * 32).signed_by(SIGNER)))
    write_sums(pack)
    with pytest.raises(NotProven, match="empty"):
        verify_pack(pack)


def test_folder_that_is_no_pack_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotProven, match="no evidence pack"):
        verify_pack(tmp_path)
    shutil.copytree(write_pack(tmp_path / "a", LOG[:2]), tmp_path / "b")
    (tmp_path / "b" / "SHA256SUMS").write_text("nothing\n")
    with pytest.raises(NotProven, match="cannot be read"):
        verify_pack(tmp_path / "b")
