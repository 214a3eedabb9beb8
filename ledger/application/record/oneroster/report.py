"""What came of an import: every row is counted as imported, or listed with file, row and reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RowNote:
    """A row that was not imported, or that differs from what was imported before."""

    file: str
    row: int
    sourced_id: str
    reason: str


@dataclass(slots=True)
class ImportReport:
    """Counts of one run; `rows` stand in the ledger now, whether this run put them there or an earlier one."""

    rows: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    refused: list[RowNote] = field(default_factory=list)
    differs: list[RowNote] = field(default_factory=list)
    applied: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    events_added: int = 0
    seconds: float = 0.0

    def summary(self) -> dict[str, object]:
        """Returns the report as the last line of `--json`."""
        return {
            "students": self.rows["users.csv"],
            "enrolments": self.rows["enrollments.csv"],
            "line_items": self.rows["lineItems.csv"],
            "results": self.rows["results.csv"],
            "flagged": self.flags["outside_enrolment"],
            "flags": dict(self.flags),
            "unchanged": self.unchanged.total(),
            "differs": len(self.differs),
            "applied": self.applied,
            "passed_over": dict(self.passed_over),
            "refused": len(self.refused),
            "events_added": self.events_added,
            "seconds": round(self.seconds, 3),
        }
