"""What a witness vouches for, and what it refuses, in the order of checks of its specification."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.api.witness import Witness
from ledger.errors import NotProven
from ledger.seal.checkpoint import Checkpoint, open_checkpoint
from ledger.seal.merkle import consistency_proof, root
from ledger.seal.note import COSIGNATURE, ED25519, Note, SignerKey, parse_note, sign
from ledger.seal.witness import Denied, Known, Request, Verdict, judge_request, parse_request, read_cosignature
from ledger.store.witness_state import WitnessState
from tests.support.log import SIGNER, an_entry, checkpoint_of, nodes_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOG = [an_entry(position) for position in range(1, 41)]
FORGED = [*LOG[:4], an_entry(99), *LOG[5:]]
WITNESS = SignerKey("witness.example/w1", COSIGNATURE, b"\x07" * 32)
STRANGER = SignerKey(SIGNER.name, ED25519, b"\x09" * 32)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(WITNESS, {SIGNER.name: [SIGNER.verifier]}, WitnessState(tmp_path / "state.db"))


def asks(old: int, new: int, log: Sequence[bytes] = LOG, signer: SignerKey = SIGNER) -> Request:
    proof = consistency_proof(nodes_of(log), old, new) if old <= new else []
    return Request(old, tuple(proof), parse_note(checkpoint_of(log[:new], signer)))


def refused(witness: Witness, request: Request | bytes) -> Denied:
    with pytest.raises(Denied) as denied:
        witness.add_checkpoint(bytes(request))
    return denied.value


def known(size: int, log: Sequence[bytes] = LOG) -> Known:
    return Known(size, root(nodes_of(log), size))


def test_growing_log_is_cosigned_step_by_step(witness: Witness) -> None:
    for old, new in ((0, 1), (1, 5), (5, 5), (5, 33), (33, 40)):
        request = asks(old, new)
        line, seconds = read_cosignature(witness.add_checkpoint(bytes(request)), request.note.text, WITNESS.verifier)
        assert line.name == WITNESS.name
        assert seconds > 1_700_000_000
        assert witness.state.known(SIGNER.name) == known(new)


def test_request_reads_back() -> None:
    request = asks(3, 17)
    assert parse_request(bytes(request)) == request


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        (asks(0, 5, signer=SignerKey("another.example", ED25519, b"\x02" * 32)), Verdict.UNKNOWN),
        (asks(0, 5, signer=STRANGER), Verdict.UNSIGNED),
        (asks(9, 5), Verdict.MALFORMED),
        (asks(3, 9), Verdict.CONFLICT),
        (asks(5, 9, FORGED), Verdict.UNPROVEN),
        (asks(5, 9)._replace(proof=()), Verdict.UNPROVEN),
        (asks(5, 5, FORGED), Verdict.CONFLICT),
    ],
)
def test_what_does_not_continue_is_refused_and_changes_nothing(
    witness: Witness, request_: Request, verdict: Verdict
) -> None:
    witness.add_checkpoint(bytes(asks(0, 5)))
    denied = refused(witness, request_)
    assert denied.verdict == verdict
    assert denied.known == (5 if verdict == Verdict.CONFLICT else None)
    assert witness.state.known(SIGNER.name) == known(5)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n" + checkpoint_of(LOG[:3]),
        b"new 0\n\n" + checkpoint_of(LOG[:3]),
        b"old 0\nAAAA\n\n" + checkpoint_of(LOG[:3]),
        b"old 0\n\xff\n\n" + checkpoint_of(LOG[:3]),
        b"old 0\n\nno note",
        b"old 0\n" + b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n" * 64 + b"\n" + checkpoint_of(LOG[:3]),
        b"old 0\n\n" + checkpoint_of(LOG[:3]) + b"x" * 200_000,
    ],
)
def test_malformed_request_is_refused(witness: Witness, data: bytes) -> None:
    assert refused(witness, data).verdict == Verdict.MALFORMED


def test_checkpoint_with_an_extension_line_is_refused(witness: Witness) -> None:
    text = Checkpoint(SIGNER.name, 0, known(0).root).text + "more\n"
    request = Request(0, (), Note(text, (sign(text, SIGNER),)))
    assert refused(witness, request).verdict == Verdict.MALFORMED


def test_witness_that_lost_a_race_says_what_it_knows(witness: Witness) -> None:
    before = witness.state.known(SIGNER.name)
    assert witness.state.replace(SIGNER.name, before, known(7), b"note")
    assert not witness.state.replace(SIGNER.name, before, known(9), b"note")
    assert witness.state.known(SIGNER.name) == known(7)


def test_of_two_histories_at_once_only_one_is_cosigned(witness: Witness) -> None:
    witness.add_checkpoint(bytes(asks(0, 3)))
    begin = threading.Barrier(8)
    cosigned: set[bool] = set()

    def ask(log: Sequence[bytes]) -> None:
        request = bytes(asks(3, 20, log))
        begin.wait()
        try:
            witness.add_checkpoint(request)
        except Denied as denied:
            assert denied.verdict == Verdict.CONFLICT  # noqa: PT017 - the others of the race
        else:
            cosigned.add(log is LOG)

    threads = [threading.Thread(target=ask, args=(LOG if number % 2 else FORGED,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cosigned) == 1
    assert witness.state.known(SIGNER.name) == known(20, LOG if cosigned.pop() else FORGED)


def test_state_outlives_the_process(tmp_path: Path) -> None:
    logs = {SIGNER.name: [SIGNER.verifier]}
    Witness(WITNESS, logs, WitnessState(tmp_path / "state.db")).add_checkpoint(bytes(asks(0, 5)))
    again = Witness(WITNESS, logs, WitnessState(tmp_path / "state.db"))
    assert refused(again, asks(0, 9, FORGED)).known == 5
    again.add_checkpoint(bytes(asks(5, 9)))


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_witness_never_vouches_for_what_does_not_continue(old: int, new: int, at: int, forged: bool) -> None:  # noqa: FBT001 - drawn
    log = FORGED if forged else LOG
    request = asks(old, new, log)
    state = known(at)
    honest = (
        request.old == at <= new
        and (new == at or not forged or at <= 4)
        and (new > at or root(nodes_of(log), new) == state.root)
    )
    try:
        judge_request(request, [SIGNER.verifier], state)
    except Denied:
        assert not honest
    else:
        assert honest


def test_answer_of_another_key_is_no_cosignature() -> None:
    text = asks(0, 3).note.text
    other = SignerKey(WITNESS.name, COSIGNATURE, b"\x08" * 32)
    with pytest.raises(NotProven):
        read_cosignature(sign(text, other, seconds=5).line().encode(), text, WITNESS.verifier)
    with pytest.raises(NotProven):
        read_cosignature(b"", text, WITNESS.verifier)


def test_cosignature_of_another_text_than_the_checkpoints_is_none() -> None:
    text = asks(0, 3).note.text
    other = text + "\nmore\n"
    answer = "more\n\n" + sign(other, WITNESS, seconds=5).line()
    assert parse_note(text.encode() + b"\n" + answer.encode()).text == other
    with pytest.raises(NotProven):
        read_cosignature(answer.encode(), text, WITNESS.verifier)


def test_quorum_counts_witnesses_and_not_keys() -> None:
    second_key = SignerKey(WITNESS.name, COSIGNATURE, b"\x08" * 32)
    second_name = SignerKey("witness.example/w2", COSIGNATURE, WITNESS.seed)
    own = SignerKey("witness.example/w3", COSIGNATURE, SIGNER.seed)
    plain = SignerKey("witness.example/w4", ED25519, b"\x09" * 32)
    note = parse_note(checkpoint_of(LOG))
    several = (WITNESS, second_key, second_name, own, plain)
    signed = bytes(note.signed(*(sign(note.text, signer, seconds=5) for signer in several)))
    for signer in several:
        keys = [WITNESS.verifier, signer.verifier]
        assert open_checkpoint(signed, SIGNER.verifier, keys, quorum=1)
        with pytest.raises(NotProven, match="1 of the known witnesses"):
            open_checkpoint(signed, SIGNER.verifier, keys, quorum=2)
    independent = SignerKey("witness.example/w5", COSIGNATURE, b"\x0a" * 32)
    signed = bytes(note.signed(*(sign(note.text, signer, seconds=5) for signer in (WITNESS, independent))))
    assert open_checkpoint(signed, SIGNER.verifier, [WITNESS.verifier, independent.verifier], quorum=2)
