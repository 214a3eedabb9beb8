"""The table of `ledger bench` in Markdown has every figure, with what it is compared with and its goal."""

from __future__ import annotations

from dataclasses import replace

from ledger.benchmarks.figures import Goal, Measurement
from ledger.cli.bench import _markdown


def test_markdown_has_a_line_for_each_figure_with_spread_ratio_and_goal() -> None:
    beside = Measurement.of("http_mark_64", "events/s", [2400, 2500, 2600], [500, 400, 600])
    alone = Measurement.of("journal_page_p95", "ms", [14, 12, 13], more={"p50": 9.0})
    head, rule, first, second = _markdown([replace(beside, goal=Goal("≥ 5.0× stock", met=True)), alone])
    assert head == "| figure | ours | beside | ratio | goal |"
    assert rule.count("|") == head.count("|") == first.count("|")
    assert first == (
        "| `http_mark_64` | 2,500 events/s (2,400–2,600) | stock 500 (400–600) | 5.0× | ≥ 5.0× stock: met |"
    )
    assert second == "| `journal_page_p95` | 13 ms (12–14)<br>p50 9 | — | — |  |"
