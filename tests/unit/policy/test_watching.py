"""The thresholds of findings are those that the documentation gives reasons for."""

from __future__ import annotations

from pathlib import Path

from ledger.policy.watching import BURST_STUDENTS, BURST_WINDOW, DAY_BEGINS, DAY_ENDS, Kind

PAGE = (Path(__file__).parents[3] / "docs" / "register.md").read_text(encoding="utf-8")


def test_every_kind_of_finding_and_its_threshold_is_documented() -> None:
    rows = {line.split("|")[1].strip(" `"): line for line in PAGE.splitlines() if line.startswith("| `")}
    assert set(Kind) <= set(rows)
    assert f"more than {BURST_STUDENTS} students within {BURST_WINDOW.seconds // 60} minutes" in rows[Kind.BURST]
    assert f"before {DAY_BEGINS:%H:%M} or from {DAY_ENDS:%H:%M} on" in rows[Kind.UNUSUAL_HOURS]
