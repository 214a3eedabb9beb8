"""The thresholds of findings are those that the documentation gives reasons for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from uuid import UUID

from ledger.policy.watching import BURST_STUDENTS, BURST_WINDOW, DAY_BEGINS, DAY_ENDS, Kind, Seen, bursts

PAGE = (Path(__file__).parents[3] / "docs" / "register.md").read_text(encoding="utf-8")


def test_every_kind_of_finding_and_its_threshold_is_documented() -> None:
    rows = {line.split("|")[1].strip(" `"): line for line in PAGE.splitlines() if line.startswith("| `")}
    assert set(Kind) <= set(rows)
    assert f"more than {BURST_STUDENTS} students within {BURST_WINDOW.seconds // 60} minutes" in rows[Kind.BURST]
    assert f"before {DAY_BEGINS:%H:%M} or from {DAY_ENDS:%H:%M} on" in rows[Kind.UNUSUAL_HOURS]


def test_whoever_collects_by_the_ten_thousand_makes_looking_for_it_no_slower() -> None:
    began, actor, count = datetime(2025, 11, 5, 9, tzinfo=UTC), UUID(int=1), 20_000
    step = BURST_WINDOW / count
    seen = [
        Seen(n, began + n * step, UUID(int=n), actor, "teacher", True, False, (UUID(int=n % 1000),))  # noqa: FBT003 - as they stand in the row
        for n in range(1, count + 1)
    ]
    since = process_time()
    [found] = bursts(seen)
    assert process_time() - since < 3
    assert found.positions == tuple(range(1, count + 1))
