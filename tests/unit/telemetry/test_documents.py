"""Dashboard, alert rules and documentation speak of the metrics that there are, with the labels that they have."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from ledger.application.standing import HistoryCollector
from ledger.store.database import Database
from ledger.telemetry.exposition import Gathered
from ledger.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[3]
ALERTS = yaml.safe_load((ROOT / "ops/prometheus/alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((ROOT / "ops/grafana/ledger.json").read_text(encoding="utf-8"))
OPERATION = (ROOT / "docs/operation.md").read_text(encoding="utf-8")

SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",), "gauge": ("",)}
OF_EVERY_PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def families() -> dict[str, tuple[str, frozenset[str]]]:
    """Returns every metric of ours with its type and labels."""
    metrics = Metrics()
    groups = [name for name, member in vars(Metrics).items() if isinstance(member, cached_property)]
    assert len(groups) >= 7
    for name in groups:
        getattr(metrics, name)
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for collector in list(metrics.registry._collector_to_names):
        labels = frozenset(getattr(collector, "_labelnames", ()))
        for family in _described(collector):
            found[family.name] = (family.type, labels)
    for family in HistoryCollector(Database("", "ledger"), []).describe():
        found[family.name] = (family.type, frozenset(family._labelnames))  # type: ignore[attr-defined]  # families have it
    for family in Gathered({}, CollectorRegistry(), "supervisor").describe():
        found[family.name] = (family.type, frozenset({"process"}))
    return found


def _described(collector: Collector) -> list[Any]:
    return list(collector.describe() if hasattr(collector, "describe") else collector.collect())


FAMILIES = families()
SAMPLES = {name + suffix for name, (kind, _) in FAMILIES.items() for suffix in SUFFIXES[kind]}
ALERT_RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in ALERT_RULES] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]


def used(text: str) -> set[str]:
    return set(re.findall(r"\b(?:ledger|process|python)_[a-z_]+", text))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_of_an_expression_exists(expression: str) -> None:
    names = used(expression)
    assert names
    assert names <= SAMPLES | OF_EVERY_PROCESS


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_labels_that_an_expression_groups_by_are_labels_of_its_metrics(expression: str) -> None:
    having = {"job", "le", "process"}
    for name in used(expression):
        family = next(
            (known for known in FAMILIES if name in {known + suffix for suffix in ("", *_all_suffixes())}), ""
        )
        having |= FAMILIES[family][1] if family else set()
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= having
    for matcher in re.findall(r"\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)(?==)", matcher)) <= having


def _all_suffixes() -> list[str]:
    return [suffix for suffixes in SUFFIXES.values() for suffix in suffixes]


def test_every_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    rows = re.findall(r"^\| `(ledger_[a-z_]+)` \|([^|]*)\| [^|]+ \|$", OPERATION, re.MULTILINE)
    documented = {name: frozenset(re.findall(r"\w+", labels)) for name, labels in rows}
    assert len(documented) == len(rows)
    shown = {name + ("_total" if kind == "counter" else ""): labels for name, (kind, labels) in FAMILIES.items()}
    assert documented == shown


def test_every_check_of_the_doctor_is_documented() -> None:
    sources = [*(ROOT / "ledger/application/doctor").glob("*.py"), ROOT / "ledger/cli/doctoring.py"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    called = r"\b(?:ok|unknown|warning|problem|check_file)\)?\(\s*"
    checks = set(re.findall(called + r'"([^"]+)"', code)) | set(re.findall(r'^CHECK = "([^"]+)"', code, re.MULTILINE))
    assert len(checks) > 20
    table = OPERATION[OPERATION.index("| Check |") :]
    told = {
        name
        for row in table.splitlines()
        if row.startswith("|")
        for name in re.findall(r"`([^`…]+?)(?: …)?`", row.split("|")[1])
    }
    assert {check.partition(" of the ")[0] for check in checks} <= told


def test_histograms_are_called_so() -> None:
    for name, (kind, _) in FAMILIES.items():
        if kind == "histogram":
            assert re.search(rf"^\| `{name}` \|[^|]*\| histogram: ", OPERATION, re.MULTILINE), name


def test_alerts_have_what_prometheus_needs_and_say_what_to_do() -> None:
    names = [rule["alert"] for rule in ALERT_RULES]
    assert len(set(names)) == len(names)
    for rule in ALERT_RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert " / " in rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_panels_do_not_overlap_and_are_titled_in_both_languages() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert " / " in panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
