"""`ledger evidence`: a pack from an imported school, verified by another home that knows nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from ledger.seal.entry import decode_entry
from ledger.seal.note import VerifierKey
from ledger.seal.proof import parse_receipt, verify_receipt
from ledger.seal.tiles import ENTRIES, Tile, read_bundle

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from ledger.store.database import Row
    from tests.e2e.cli.conftest import Imported
    from tests.support.cli import Cli


def test_pack_is_verified_without_database_and_what_was_not_checked_is_said(
    tiny: Imported, cli: Cli, tmp_path: Path
) -> None:
    pack = tmp_path / "pack"
    exported = tiny.cli.works("evidence", "export", "--out", str(pack), "--json").last
    report = cli.works("evidence", "verify", str(pack), "--json").last
    assert report["entries"] == report["size"] == exported["size"]
    assert report["continues"] is None
    key = (pack / "keys").read_text().splitlines()[0]
    told = cli.works("evidence", "verify", str(pack), "--key", key, "--checkpoint", str(pack / "checkpoint")).out
    assert "Всё сходится" in told
    assert "continues the older checkpoint" in told
    assert "The verifier key is the pack's own" not in told
    printed = cli.works("evidence", "receipt", str(pack), "2")
    assert "the verifier key is the pack's own" in printed.err
    written = cli.works("evidence", "receipt", str(pack), "2", "--key", key, "--out", str(tmp_path / "2.tlog-proof"))
    assert (written.out, (tmp_path / "2.tlog-proof").read_text()) == ("", printed.out)
    entries = read_bundle(
        next((pack / "tile" / "entries" / "000.p").iterdir()).read_bytes(), Tile(ENTRIES, 0, report["size"])
    )
    verify_receipt(parse_receipt(printed.out.encode()), entries[1], VerifierKey.parse(key))
    assert f"position 2: {decode_entry(entries[1]).event_id}, " in written.err
    assert "exists" in cli.fails("evidence", "receipt", str(pack), "2", "--out", str(tmp_path / "2.tlog-proof")).error
    assert "no position" in cli.fails("evidence", "receipt", str(pack), str(report["size"] + 1)).error
    assert not (cli.home / "postgres").exists()


def test_altered_pack_is_refused_with_the_position(tiny: Imported, cli: Cli, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    tiny.cli.works("evidence", "export", "--out", str(pack))
    (bundle,) = (pack / "tile" / "entries" / "000.p").iterdir()
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.write_bytes(data)
    refused = cli.fails("evidence", "verify", str(pack))
    assert refused.error.startswith("Position ")
    assert refused.code == 1


def test_pack_of_a_student_is_disclosed(tiny: Imported, owner: psycopg.Connection[Row], tmp_path: Path) -> None:
    student = str(owner.execute("SELECT subject_id FROM events WHERE topic = 'student.enrolled'").fetchone()[0])  # type: ignore[index]  # there are some
    tiny.cli.works("evidence", "export", "--out", str(tmp_path / "pack"), "--student", student)
    lines = tiny.cli.works("disclosures", student, "--json").lines
    assert any(line.get("resource") == "history" and line.get("channel") == "cli" for line in lines)
    assert tiny.cli.works("evidence", "verify", str(tmp_path / "pack"), "--json").last["kind"] == "student"


def test_teacher_exports_nothing(tiny: Imported, tmp_path: Path) -> None:
    assert "FEED" not in tiny.cli.fails("evidence", "export", "--out", str(tmp_path / "x"), "--office", "teacher").error
    assert not (tmp_path / "x").exists()


def test_bad_arguments_are_said(cli: Cli, tmp_path: Path) -> None:
    assert "no evidence pack" in cli.fails("evidence", "verify", str(tmp_path)).error
    assert "PRIVATE" not in cli.fails("evidence", "verify", str(tmp_path), "--key", "x").error


def test_database_is_verified_against_its_log_and_an_older_checkpoint(
    tiny: Imported, owner: psycopg.Connection[Row], tmp_path: Path
) -> None:
    tiny.cli.works("evidence", "export", "--out", str(tmp_path / "pack"))
    old = str(tmp_path / "pack" / "checkpoint")
    told = tiny.cli.works("verify", "--checkpoint", old, "--json").last
    assert told["sound"] is told["views_equal"] is True
    assert told["sealed"] == told["events"] > 0
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute("UPDATE events SET recorded_at = recorded_at - interval '1 s' WHERE position = 3")
    try:
        refused = tiny.cli.fails("verify", "--checkpoint", old, "--hashes-only")
        assert "events: position 3 " in refused.out
        assert "IT DOES NOT HOLD" in refused.out
        assert tiny.cli.fails("verify", "--json").lines[0]["record"].startswith("position 3 ")
    finally:
        with owner.transaction():
            owner.execute("SET LOCAL session_replication_role = replica")
            owner.execute("UPDATE events SET recorded_at = recorded_at + interval '1 s' WHERE position = 3")
    assert "Всё сходится" in tiny.cli.works("verify", "--checkpoint", old).out


def test_key_of_the_log_is_changed_and_older_checkpoints_still_hold(tiny: Imported, cli: Cli, tmp_path: Path) -> None:
    tiny.cli.works("evidence", "export", "--out", str(tmp_path / "before"))
    kept = str(tmp_path / "before" / "checkpoint")
    old = (tmp_path / "before" / "keys").read_text().splitlines()[0]
    old_id = old.split("+")[1]
    new = tiny.cli.works("log", "rotate", "--reason", "плановая смена").out.splitlines()[0]
    assert "Two keys" in tiny.cli.fails("log", "rotate", "--reason", "ещё раз").error
    tiny.cli.works("evidence", "export", "--out", str(tmp_path / "both"))
    assert "less than 24 hours" in tiny.cli.fails("log", "retire", old_id, "--reason", "плановая смена").error
    assert old in tiny.cli.works("log", "retire", old_id, "--reason", "плановая смена", "--grace-hours", "0").out
    tiny.cli.works("evidence", "export", "--out", str(tmp_path / "after"))
    assert tiny.cli.works("verify", "--checkpoint", kept, "--hashes-only", "--json").last["sound"] is True
    after = ("evidence", "verify", str(tmp_path / "after"), "--checkpoint", kept, "--key", new)
    assert "older checkpoint" in cli.fails(*after).error
    assert cli.works(*after, "--key", old, "--json").last["continues"]
    both = ("evidence", "verify", str(tmp_path / "both"), "--checkpoint", kept, "--key", old)
    assert cli.works(*both, "--json").last["continues"]


def test_file_that_is_no_checkpoint_is_an_error_and_no_finding(tiny: Imported, tmp_path: Path) -> None:
    tiny.cli.works("evidence", "export", "--out", str(tmp_path / "pack"))
    kept = tmp_path / "kept"
    kept.write_bytes((tmp_path / "pack" / "checkpoint").read_bytes() + b"\n")  # as it may come out of a letter
    failed = tiny.cli.fails("verify", "--hashes-only", "--checkpoint", str(kept))
    assert "This is no signed note" in failed.error
    assert failed.out == ""


def test_lost_seal_file_is_made_anew_by_an_operator_who_was_told_what_that_trusts(
    tiny: Imported, tmp_path: Path
) -> None:
    tiny.cli.works("evidence", "export", "--out", str(tmp_path / "pack"))
    kept, file = str(tmp_path / "pack" / "checkpoint"), tiny.cli.home / "log" / "checkpoint"
    away = file.with_name("lost")
    assert "is there" in tiny.cli.fails("log", "anchor", "--accept").error
    file.rename(away)
    looked = tiny.cli.works("log", "anchor").out
    assert "the database alone says." in looked
    assert "nothing was written" in looked
    assert not file.exists()
    assert "has a reason" in tiny.cli.fails("log", "anchor", "--accept", "--checkpoint", kept).error
    assert not file.exists()
    operator = ("--actor", str(uuid4()))
    accepted = tiny.cli.works("log", "anchor", "--accept", "--checkpoint", kept, "--reason", "Диск заменён", *operator)
    assert "it continues the one you gave" in accepted.out
    assert "accepted anew" in accepted.err
    assert file.read_bytes() == away.read_bytes()
    assert "has a reason" in tiny.cli.fails("log", "dismiss", "witness.example/w1", "--reason", " ").error
    assert "claims nothing" in tiny.cli.fails("log", "dismiss", "witness.example/w1", "--reason", "gone").error
    (decision,) = tiny.cli.works("log", "decisions", "--json").lines
    assert (decision["decided_by"], decision["about"], decision["reason"]) == (operator[1], "anchor", "Диск заменён")
    size, root = (tmp_path / "pack" / "checkpoint").read_text().split("\n")[1:3]
    assert decision["said"].endswith(f" {size} {root}; continues {size} {root}, given with --checkpoint")
    listed = tiny.cli.works("log", "decisions").out
    assert all(told in listed for told in (operator[1], decision["said"], "Диск заменён", "decisions: 1."))
