"""What a measurement comes to: a figure, what it is compared with, and the goal that it is held against."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be, in words, and whether it was."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: medians of the rounds (unless `more` says otherwise), and how far they spread (smallest to largest).

    `beside` says what `other` is: the stock part, or ours in another state. `ratio` is value to other; `more` are
    further figures in the same unit, `samples` how many single measurements stand behind them all, and `load` the
    events per second that were recorded meanwhile.
    """

    name: str
    value: float
    unit: str
    spread: tuple[float, float]
    rounds: int
    beside: str = "stock"
    other: float | None = None
    other_spread: tuple[float, float] | None = None
    ratio: float | None = None
    ratio_spread: tuple[float, float] | None = None
    more: dict[str, float] = field(default_factory=dict)
    samples: int | None = None
    load: float | None = None
    goal: Goal | None = None

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        own: Sequence[float],
        theirs: Sequence[float] | None = None,
        *,
        beside: str = "stock",
        more: dict[str, float] | None = None,
    ) -> Self:
        """Returns the figure of some rounds, beside those of another way where there is one."""
        value, other = statistics.median(own), statistics.median(theirs) if theirs else None
        return cls(
            name,
            value,
            unit,
            (min(own), max(own)),
            len(own),
            beside=beside,
            other=other,
            other_spread=(min(theirs), max(theirs)) if theirs else None,
            ratio=value / other if other else None,
            more=more or {},
        )

    def plain(self) -> dict[str, object]:
        """Returns the figure as a line of `--json`."""
        digits = 3 if self.unit == "s" else 1
        told: dict[str, object] = {
            "name": self.name,
            "value": round(self.value, digits),
            "unit": self.unit,
            self.beside: round(self.other, digits) if self.other is not None else None,
            "ratio": round(self.ratio, 3) if self.ratio is not None else None,
            "spread": _pair(self.spread, digits),
            f"{self.beside}_spread": _pair(self.other_spread, digits),
            "ratio_spread": _pair(self.ratio_spread, 3),
            "rounds": self.rounds,
        }
        told |= {name: round(value, digits) for name, value in self.more.items()}
        if self.samples is not None:
            told["samples"] = self.samples
        if self.load is not None:
            told["load"] = round(self.load, 1)
        if self.goal is not None:
            told |= {"goal": self.goal.text, "met": self.goal.met}
        return told


def _pair(bounds: tuple[float, float] | None, digits: int) -> list[float] | None:
    return [round(bound, digits) for bound in bounds] if bounds is not None else None
