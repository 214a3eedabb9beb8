"""What docs/log.md shows works: its addresses, and its program, which has none of our code, on a served log."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.policy.offices import Office
from ledger.seal.checkpoint import Checkpoint, open_checkpoint
from ledger.store.log_keys import read_log_keys

if TYPE_CHECKING:
    from tests.support.api import AClass, Api, Served

DOCUMENT = (Path(__file__).parents[2] / "docs" / "log.md").read_text(encoding="utf-8")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (text,) = re.findall(r'```python\n("""python check_log\.py.*?)```', DOCUMENT, re.DOTALL)
    path = tmp_path / "check_log.py"
    path.write_text(text, encoding="utf-8")
    return path


def check(program: Path, served: Served, *files: Path, key: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the program as a stranger would: without this project on its path."""
    vkey = key or served.anonymous().get("/log/key").text.splitlines()[0]
    command = [sys.executable, "-I", str(program), served.url, vkey, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def receipt(served: Served, director: Api, a_class: AClass, tmp_path: Path) -> Path:
    """The receipt of an event in the middle, kept before more was recorded."""
    path = tmp_path / "kept.tlog-proof"
    path.write_bytes(director.get(f"/v1/events/{a_class.position}/receipt", wait=10).content)
    kept = tmp_path / "kept.checkpoint"
    kept.write_bytes(served.anonymous().get("/log/checkpoint").content)
    last = [director.records("/v1/marks", a_class.mark(a_class.students[0]))["position"] for _ in range(3)][-1]
    assert director.get(f"/v1/events/{last}/receipt", wait=10).status_code == 200
    return path


def test_program_of_the_document_verifies_log_checkpoint_and_receipt(
    program: Path, served: Served, receipt: Path, a_class: AClass
) -> None:
    done = check(program, served, receipt, receipt.with_name("kept.checkpoint"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"position {a_class.position}, leaf " in done.stdout
    assert "everything holds" in done.stdout


def test_program_of_the_document_goes_across_a_change_of_the_key(program: Path, served: Served, receipt: Path) -> None:
    [signer, *_] = read_log_keys(served.base.settings.log_key_path)
    kept, older = receipt.with_name("kept.checkpoint"), signer._replace(seed=b"\x03" * 32)
    checkpoint = open_checkpoint(kept.read_bytes(), signer.verifier).checkpoint
    kept.write_bytes(bytes(checkpoint.signed_by(older)))
    assert "has not signed it" in check(program, served, kept).stderr
    assert check(program, served, kept, receipt, key=f"{signer.verifier},{older.verifier}").returncode == 0
    newest_by_the_older_key = check(program, served, kept, key=f"{older.verifier},{signer.verifier}")
    assert "has not signed it" in newest_by_the_older_key.stderr


def test_program_of_the_document_refuses_what_is_forged(program: Path, served: Served, receipt: Path) -> None:
    [signer, *_] = read_log_keys(served.base.settings.log_key_path)
    forged = receipt.with_name("forged")
    forged.write_bytes(bytes(Checkpoint(signer.name, 3, b"\x01" * 32).signed_by(signer)))
    assert "does not continue it" in check(program, served, forged).stderr
    lines = receipt.read_text().split("\n")
    swapped = [*lines[:2], lines[3], lines[2], *lines[4:]]
    receipt.write_text("\n".join(swapped))
    assert "does not lead" in check(program, served, receipt).stderr
    receipt.write_text("\n".join(lines).replace(f"\n{signer.name}\n", f"\n{signer.name}x\n"))
    assert "InvalidSignature" in check(program, served, receipt).stderr
    other = signer._replace(seed=b"\x02" * 32)
    assert "has not signed it" in check(program, served, key=str(other.verifier)).stderr


@pytest.mark.parametrize("address", re.findall(r'"\$LEDGER(/[^"]+)"', DOCUMENT))
def test_every_address_of_the_document_answers(served: Served, receipt: Path, address: str) -> None:
    assert receipt.is_file()
    assert served.acts(Office.AUDITOR).get(address).status_code == 200
