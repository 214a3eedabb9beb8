"""Receipts from a pack: those that the service hands out, made without it, and refused where anything was altered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidInput, LedgerError, NotProven
from ledger.seal.check import WrongAt
from ledger.seal.merkle import inclusion_proof
from ledger.seal.note import ED25519, SignerKey
from ledger.seal.pack_receipt import make_receipt
from ledger.seal.proof import Receipt, parse_receipt, verify_receipt
from tests.support.log import SIGNER, an_entry, checkpoint_of, nodes_of, write_pack

if TYPE_CHECKING:
    from pathlib import Path

LOG = [an_entry(position) for position in range(1, 701)]
TRUSTED = [SIGNER.verifier]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 513, 700])
def test_it_is_the_receipt_of_the_log_byte_for_byte(tmp_path: Path, size: int) -> None:
    entries, nodes = LOG[:size], nodes_of(LOG[:size])
    pack = write_pack(tmp_path, entries)
    for position in {1, size // 2 + 1, min(256, size), min(257, size), size}:
        made = make_receipt(pack, position, TRUSTED)
        path = tuple(inclusion_proof(nodes, position - 1, size))
        assert made.receipt == bytes(Receipt(position - 1, path, checkpoint_of(entries)))
        assert made.entry is not None
        assert made.entry.position == position
        assert verify_receipt(parse_receipt(made.receipt), entries[position - 1], SIGNER.verifier)


def test_record_that_the_pack_has_only_the_hash_of_has_its_receipt_too(tmp_path: Path) -> None:
    made = make_receipt(write_pack(tmp_path, LOG, since=600), 3, TRUSTED)
    assert made.entry is None
    assert verify_receipt(parse_receipt(made.receipt), LOG[2], SIGNER.verifier)


def test_pack_of_a_student_gives_the_receipts_that_it_holds(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, LOG, student=[3, 700])
    assert make_receipt(pack, 700, TRUSTED).receipt == (pack / "receipts" / "700.tlog-proof").read_bytes()
    with pytest.raises(InvalidInput, match="none of this student's"):
        make_receipt(pack, 4, TRUSTED)
    (pack / "receipts" / "3.tlog-proof").write_bytes((pack / "receipts" / "700.tlog-proof").read_bytes())
    with pytest.raises(WrongAt, match="another one"):
        make_receipt(pack, 3, TRUSTED)


@pytest.mark.parametrize("position", [0, 10, -1])
def test_position_that_the_checkpoint_does_not_cover_is_refused(tmp_path: Path, position: int) -> None:
    with pytest.raises(InvalidInput, match="no position"):
        make_receipt(write_pack(tmp_path, LOG[:9]), position, TRUSTED)


def test_key_from_elsewhere_decides(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, LOG[:9])
    assert make_receipt(pack, 2).receipt == make_receipt(pack, 2, TRUSTED).receipt
    stranger = SignerKey(SIGNER.name, ED25519, b"\x09" * 32).verifier
    with pytest.raises(NotProven, match="own signature is missing"):
        make_receipt(pack, 2, [stranger])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_flipped_bit_gives_no_receipt_that_does_not_hold(tmp_path: Path, data: st.DataObject) -> None:
    pack = write_pack(tmp_path, LOG[:300])
    path = data.draw(st.sampled_from(sorted(found for found in (pack / "tile").rglob("*") if found.is_file())))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    position = data.draw(st.integers(1, 300))
    try:
        made = make_receipt(pack, position, TRUSTED)
    except LedgerError:
        return
    assert verify_receipt(parse_receipt(made.receipt), LOG[position - 1], SIGNER.verifier)


def test_altered_entry_tile_or_missing_file_is_named(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, LOG[:9])
    bundle, tile = pack / "tile" / "entries" / "000.p" / "9", pack / "tile" / "0" / "000.p" / "9"
    for path in (bundle, tile):
        kept = path.read_bytes()
        path.write_bytes(bytes((kept[0] ^ 1,)) + kept[1:])
        with pytest.raises(WrongAt, match="Position 9"):
            make_receipt(pack, 9, TRUSTED)
        path.unlink()
        with pytest.raises(NotProven, match="missing from the pack"):
            make_receipt(pack, 9, TRUSTED)
        path.write_bytes(kept)
