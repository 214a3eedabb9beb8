"""`ledger witness` as another organisation runs it: its own key, its own file, no database."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import httpx

from ledger.seal.note import VerifierKey, parse_note
from ledger.seal.witness import Request, read_cosignature
from tests.support.log import SIGNER, an_entry, checkpoint_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Cli


def test_witness_vouches_and_remembers_across_a_restart(cli: Cli, tmp_path: Path) -> None:
    key_file, state = tmp_path / "key", tmp_path / "state.db"
    key = VerifierKey.parse(cli.works("witness", "keygen", "witness.example/w1", "--key-file", str(key_file)).out)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert "exists" in cli.fails("witness", "keygen", "w", "--key-file", str(key_file)).error
    log = [an_entry(position) for position in range(1, 4)]
    arguments = ("--key-file", str(key_file), "--state", str(state), "--log", str(SIGNER.verifier), "--port", "0")
    for status in (200, 409):
        with cli.started("witness", "serve", *arguments) as running:
            url = running.line("+").partition(" ")[0]
            note = parse_note(checkpoint_of(log))
            answer = httpx.post(f"{url}/add-checkpoint", content=bytes(Request(0, (), note)))
            assert answer.status_code == status
            if status == 200:
                assert read_cosignature(answer.content, note.text, key)
            else:
                assert (answer.text, answer.headers["content-type"]) == ("3\n", "text/x.tlog.size")
    assert not (cli.home / "postgres").exists()


def test_key_of_a_log_is_no_key_of_a_witness(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SIGNER.export())
    arguments = ("--state", str(tmp_path / "state.db"), "--log", str(SIGNER.verifier))
    assert "no witness's key" in cli.fails("witness", "serve", "--key-file", str(tmp_path / "key"), *arguments).error
    assert "cannot be read" in cli.fails("witness", "serve", "--key-file", str(tmp_path / "x"), *arguments).error
